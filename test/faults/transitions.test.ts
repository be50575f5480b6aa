/**
 * Every order of events: fast-check deals steps to two workers, a person and time, and its scheduler decides who goes next, over the
 * real server and real SQL. Taken one at a time, each step has to be answered as the model says, and what is stored has to be what the
 * model holds. Overlapping, the same steps race inside PostgreSQL, and what is stored has to be legal and agree with the replies.
 *
 * A failure prints its seed and path; `FAULTS_SEED=…` runs the same draws again, `FAULTS_SCHEDULES=10000` runs more of them.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { sql } from '../../src/database/sql.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';
import { ENDS, MAX_ATTEMPTS, OTHER_STEPS, RunModel, WORKER_STEPS, type Step, type Worker } from './run-model.js';
import { check, deal, PATIENCE_MS, SCHEDULES, type Hand } from './schedules.js';
import { expectSound, storedRun } from './stored-run.js';

const WORKERS: readonly Worker[] = ['red', 'blue'];

let server: TestServer;
let reaper: LeaseRescuer;
const keys = new Map<Worker, string>();

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  reaper = server.app.get(LeaseRescuer);
  // Its own sweeps end, so that a sweep is a step like any other; `sweep` still works when it is called.
  await reaper.beforeApplicationShutdown();
  const made = await server.call('POST', '/api/v1/agents', {
    body: {
      slug: 'modelled',
      kind: 'worker',
      max_attempts: MAX_ATTEMPTS,
      concurrency_limit: 50,
      retry: { min_seconds: 0, max_seconds: 0 },
    },
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  for (const worker of WORKERS) {
    keys.set(
      worker,
      (await server.call('POST', '/api/v1/api-keys', { body: { name: worker, role: 'worker' } })).body.key,
    );
  }
});

afterAll(async () => {
  await server.stop();
});

const work = (by: Worker): fc.Arbitrary<Hand<Step>> =>
  fc
    .array(fc.constantFrom(...WORKER_STEPS), { minLength: 1, maxLength: 5 })
    // Nothing can come of a first step that is no claim.
    .map((whats) => ({ name: by, steps: ['claim' as const, ...whats].map((what): Step => ({ by, what })) }));
const other: fc.Arbitrary<Hand<Step>> = fc
  .array(fc.constantFrom(...OTHER_STEPS), { minLength: 1, maxLength: 4 })
  .map((whats) => ({ name: 'other', steps: whats.map((what): Step => ({ by: 'other', what })) }));
const hands = fc.tuple(work('red'), work('blue'), other, other).map((all): Hand<Step>[] => all);

/** One run, and what each worker knows of it. */
class Play {
  readonly fences = new Map<Worker, string>();
  readonly accepted = new Set<string>();

  private constructor(
    readonly taskId: string,
    readonly runId: string,
  ) {}

  static async begin(): Promise<Play> {
    const made = await server.call('POST', '/api/v1/tasks', { body: { agent: 'modelled', prompt: 'x' } });
    expect([made.status, made.text]).toEqual([201, expect.any(String)]);
    return new Play(made.body.task.id, made.body.stream.streamId);
  }

  async perform(step: Step): Promise<string> {
    if (step.by !== 'other') {
      return this.#work(step.by, step.what);
    }
    switch (step.what) {
      case 'cancel':
      case 'force cancel':
        return said(
          await server.call('POST', `/api/v1/runs/${this.runId}/cancel`, { body: { force: step.what !== 'cancel' } }),
        );
      case 'answer':
        return said(await server.call('POST', `/api/v1/runs/${this.runId}/answer`, { body: { text: 'Yes.' } }));
      case 'lease runs out':
        await server.database.execute(
          sql`update runs set lease_expires_at = clock_timestamp() where id = ${this.runId} and status = 'running'`,
        );
        return 'so it is';
      case 'time runs out':
        await server.database.execute(
          sql`update runs set deadline_at = clock_timestamp() where id = ${this.runId} and status = 'running'`,
        );
        return 'so it is';
      case 'sweep':
        await reaper.sweep();
        return 'swept';
    }
  }

  async #work(by: Worker, what: (typeof WORKER_STEPS)[number]): Promise<string> {
    const as = keys.get(by) ?? '';
    if (what === 'claim') {
      const reply = await server.call('POST', '/api/v1/worker/claim', {
        as,
        body: { agents: ['modelled'], worker_id: by },
      });
      expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
      const [claimed] = reply.body.runs;
      if (claimed === undefined) {
        return 'nothing due';
      }
      expect(claimed.run.id).toBe(this.runId);
      this.fences.set(by, claimed.lease.fence);
      return 'claimed';
    }
    const fence = this.fences.get(by);
    if (fence === undefined) {
      return 'nothing claimed yet';
    }
    const bodies = {
      heartbeat: { fence },
      append: { fence, events: [{ type: 'log', data: { text: by } }] },
      complete: { fence, output: { by } },
      fail: { fence, error: { message: 'It broke.' } },
      'fail for good': { fence, error: { message: 'It broke.' }, retry: false },
      canceled: { fence },
      release: { fence },
      ask: { fence, question: 'Shall I?' },
    };
    const route = what === 'append' ? 'events' : what === 'fail for good' ? 'fail' : what;
    const reply = await server.call('POST', `/api/v1/worker/runs/${this.runId}/${route}`, { as, body: bodies[what] });
    if (reply.status === 200 && what !== 'heartbeat' && what !== 'append') {
      // Of a run whose cancel was asked for, `release` and `canceled` report the same end.
      const end = reply.body.status === 'canceled' ? 'canceled' : route;
      this.accepted.add(`${fence} ${end} ${reply.body.status}`);
    }
    return said(reply);
  }

  async close(): Promise<void> {
    await server.call('POST', `/api/v1/runs/${this.runId}/cancel`, { body: { force: true } });
  }
}

function said(reply: Reply): string {
  if (reply.status >= 400) {
    return `${reply.status} ${reply.body.code}`;
  }
  const wish = reply.body.cancel_requested;
  return `${reply.status} ${wish === undefined ? reply.body.status : wish ? 'do stop' : 'go on'}`;
}

describe('a run that two workers, a person and time pull at', () => {
  test(
    'answers every step of every order as the model does, and ends at most once',
    async () => {
      await check(
        fc.asyncProperty(fc.scheduler(), hands, async (scheduler, dealt) => {
          const play = await Play.begin();
          const model = new RunModel();
          try {
            await deal(scheduler, dealt, true, async (step) => {
              const told = await play.perform(step);
              expect([step.by, step.what, told]).toEqual([step.by, step.what, model.perform(step)]);
            });
            const run = await storedRun(server, play.runId);
            expect(expectSound(run)).toEqual(model.path);
            expect(run.attempts.map(({ status }) => status)).toEqual(model.attempts);
          } finally {
            await play.close();
          }
        }),
        Math.ceil(SCHEDULES * 0.6),
      );
    },
    PATIENCE_MS,
  );

  test(
    'keeps to the legal paths where the steps overlap, and tells one worker at most that it ended the run',
    async () => {
      await check(
        fc.asyncProperty(fc.scheduler(), hands, async (scheduler, dealt) => {
          const play = await Play.begin();
          try {
            await deal(scheduler, dealt, false, async (step) => {
              expect(await play.perform(step)).not.toMatch(/^5/);
            });
            const run = await storedRun(server, play.runId);
            expectSound(run);
            const ended = [...play.accepted].filter((told) => ENDS.some((end) => told.endsWith(` ${end}`)));
            expect(ended.length).toBeLessThanOrEqual(1);
            expect(ended.every((told) => told.endsWith(` ${run.status}`))).toBe(true);
          } finally {
            await play.close();
          }
        }),
        Math.ceil(SCHEDULES * 0.2),
      );
    },
    PATIENCE_MS,
  );

  test('leaves the exact counts of tasks as counting finds them', async () => {
    const counts = await server.database.row<{ kept: string; counted: string }>(sql`
      select (select sum(shown) from task_counters)::text as kept,
        (select count(*) from tasks where latest_run_id is not null and deleted_at is null)::text as counted`);
    expect(counts?.kept).toBe(counts?.counted);
  });
});
