/**
 * A parent that waits for its children, and everything that may end either meanwhile, in orders that fast-check draws. What has to
 * hold is said of what is stored: nobody waits for children that have all ended, nothing of a canceled family is left in the queue, no
 * batch of children is started twice, and each run's log is sound.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { sql } from '../../src/database/sql.js';
import { startServer, type TestServer } from '../support/server.js';
import { ENDS, MAX_ATTEMPTS } from './run-model.js';
import { check, deal, PATIENCE_MS, SCHEDULES, type Hand } from './schedules.js';
import { expectSound, storedRun } from './stored-run.js';

const PARENT_STEPS = [
  'claim',
  'start children',
  'start and wait',
  'wait',
  'complete',
  'fail',
  'canceled',
  'release',
] as const;
const CHILD_STEPS = ['claim', 'complete', 'fail', 'canceled', 'release'] as const;
const OTHER_STEPS = ['cancel the parent', 'force the parent', 'cancel a child', 'leases run out', 'sweep'] as const;
type Step =
  | { by: 'parent'; what: (typeof PARENT_STEPS)[number] }
  | { by: 'child'; what: (typeof CHILD_STEPS)[number] }
  | { by: 'other'; what: (typeof OTHER_STEPS)[number] };

let server: TestServer;
let reaper: LeaseRescuer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  reaper = server.app.get(LeaseRescuer);
  // A sweep is a step like any other; see transitions.test.ts.
  await reaper.beforeApplicationShutdown();
  for (const slug of ['parent', 'child']) {
    const made = await server.call('POST', '/api/v1/agents', {
      body: { slug, kind: 'worker', max_attempts: MAX_ATTEMPTS, retry: { min_seconds: 0, max_seconds: 0 } },
    });
    expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  }
});

afterAll(async () => {
  await server.stop();
});

const hands = fc
  .tuple(
    fc.array(fc.constantFrom(...PARENT_STEPS), { minLength: 1, maxLength: 5 }),
    fc.array(fc.constantFrom(...CHILD_STEPS), { minLength: 3, maxLength: 8 }),
    fc.array(fc.constantFrom(...OTHER_STEPS), { maxLength: 3 }),
    fc.array(fc.constantFrom(...OTHER_STEPS), { maxLength: 3 }),
  )
  .map(([parent, child, other, another]): Hand<Step>[] => [
    {
      name: 'parent',
      steps: ['claim' as const, 'start and wait' as const, ...parent].map((what) => ({ by: 'parent', what })),
    },
    { name: 'child', steps: child.map((what) => ({ by: 'child', what })) },
    { name: 'person', steps: other.map((what) => ({ by: 'other', what })) },
    { name: 'time', steps: another.map((what) => ({ by: 'other', what })) },
  ]);

interface Held {
  runId: string;
  fence: string;
}

class Family {
  parentFence: string | null = null;
  readonly held: Held[] = [];

  private constructor(readonly runId: string) {}

  static async begin(): Promise<Family> {
    const made = await server.call('POST', '/api/v1/tasks', { body: { agent: 'parent', prompt: 'x' } });
    expect([made.status, made.text]).toEqual([201, expect.any(String)]);
    return new Family(made.body.stream.streamId);
  }

  async perform(step: Step): Promise<number> {
    switch (step.by) {
      case 'parent':
        return this.#workOnParent(step.what);
      case 'child':
        return this.#workOnChild(step.what);
      case 'other':
        return this.#meddle(step.what);
    }
  }

  async #workOnParent(what: (typeof PARENT_STEPS)[number]): Promise<number> {
    if (what === 'claim') {
      const [lease] = await claim('parent');
      this.parentFence = lease?.fence ?? this.parentFence;
      return 200;
    }
    if (this.parentFence === null) {
      return 0;
    }
    if (what === 'start children' || what === 'start and wait' || what === 'wait') {
      const runs = what === 'wait' ? [] : [{ agent: 'child' }, { agent: 'child' }];
      return act(this.runId, 'children', {
        fence: this.parentFence,
        runs,
        wait: what !== 'start children',
        ...(what === 'wait' ? {} : { batch_id: 'the only one' }),
      });
    }
    return act(this.runId, what, { fence: this.parentFence, ...ending(what) });
  }

  async #workOnChild(what: (typeof CHILD_STEPS)[number]): Promise<number> {
    if (what === 'claim') {
      this.held.push(...(await claim('child')));
      return 200;
    }
    const held = this.held.shift();
    return held === undefined ? 0 : act(held.runId, what, { fence: held.fence, ...ending(what) });
  }

  async #meddle(what: (typeof OTHER_STEPS)[number]): Promise<number> {
    switch (what) {
      case 'cancel the parent':
      case 'force the parent':
        return cancel(this.runId, what === 'force the parent');
      case 'cancel a child': {
        const child = (await this.members()).find(({ id }) => id !== this.runId);
        return child === undefined ? 0 : cancel(child.id, false);
      }
      case 'leases run out':
        await server.database.execute(
          sql`update runs set lease_expires_at = clock_timestamp() where status = 'running'`,
        );
        return 200;
      case 'sweep':
        await reaper.sweep();
        return 200;
    }
  }

  async members(): Promise<{ id: string; status: string; isAsked: boolean }[]> {
    return server.database.rows(sql`select id, status, cancel_requested_at is not null as "isAsked" from runs
      where root_run_id = ${this.runId} order by number, id`);
  }
}

async function claim(agent: string): Promise<Held[]> {
  const reply = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent] } });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.body.runs.map(({ run, lease }: { run: { id: string }; lease: { fence: string } }) => ({
    runId: run.id,
    fence: lease.fence,
  }));
}

async function act(runId: string, route: string, body: object): Promise<number> {
  return (await server.call('POST', `/api/v1/worker/runs/${runId}/${route}`, { body })).status;
}

async function cancel(runId: string, force: boolean): Promise<number> {
  return (await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: { force } })).status;
}

function ending(what: string): object {
  return what === 'complete' ? { output: {} } : what === 'fail' ? { error: { message: 'It broke.' } } : {};
}

async function expectFamilySound(family: Family): Promise<void> {
  const members = await family.members();
  const parent = members.find(({ id }) => id === family.runId);
  const children = members.filter(({ id }) => id !== family.runId);
  const open = children.filter(({ status }) => !ENDS.includes(status));
  expect([0, 2]).toContain(children.length);
  expect({ parent: parent?.status, waitsForNobody: parent?.status === 'waiting' && open.length === 0 }).toEqual({
    parent: parent?.status,
    waitsForNobody: false,
  });
  const unasked = open.filter(({ status, isAsked }) => status !== 'running' || !isAsked);
  expect(parent?.status === 'canceled' ? unasked : []).toEqual([]);
  for (const { id } of members) {
    expectSound(await storedRun(server, id));
  }
}

describe('a parent and its children', () => {
  test.each([
    ['one step at a time', true],
    ['with steps that overlap', false],
  ])(
    'keep their promises to each other in every order, %s',
    async (_, wait) => {
      await check(
        fc.asyncProperty(fc.scheduler(), hands, async (scheduler, dealt) => {
          const family = await Family.begin();
          try {
            await deal(scheduler, dealt, wait, async (step) => {
              expect(await family.perform(step)).toBeLessThan(500);
            });
            await expectFamilySound(family);
          } finally {
            await cancel(family.runId, true);
            // Children of a parent that ended otherwise live on.
            for (const { id } of await family.members()) {
              await cancel(id, true);
            }
          }
          expect((await family.members()).filter(({ status }) => !ENDS.includes(status))).toEqual([]);
        }),
        Math.ceil(SCHEDULES * 0.1),
      );
    },
    PATIENCE_MS,
  );
});
