import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { AgentAtWork, type Claimed, type Shown } from '../support/agent-at-work.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let agent: AgentAtWork;
let helper: AgentAtWork;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  agent = await AgentAtWork.make(server, `parent-${serial}`, { retry: { min_seconds: 0, max_seconds: 0 } });
  helper = await AgentAtWork.make(server, `child-${serial}`, { retry: { min_seconds: 0, max_seconds: 0 } });
});

async function atWork(more: object = {}): Promise<Claimed & { taskId: string }> {
  const { taskId } = await agent.task(more);
  return { ...(await agent.claim()), taskId };
}

/** Ids of the children, of which a test that asked for fewer uses fewer. */
async function start(lease: Claimed, count: number, more: object = {}): Promise<[string, string, string]> {
  const runs = Array.from({ length: count }, (_, index) => ({ agent: helper.slug, payload: { index } }));
  const reply = await agent.act(lease, 'children', { runs, ...more });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.body.runs.map(({ id }: { id: string }) => id) as [string, string, string];
}

/** What is due of the helper's, up to three that a test has made sure of. */
async function claimChildren(): Promise<[Claimed, Claimed, Claimed]> {
  return (await helper.claimAll()) as [Claimed, Claimed, Claimed];
}

async function expireLease(runId: string): Promise<void> {
  await server.database.execute(
    sql`update runs set lease_expires_at = clock_timestamp() - interval '1 second' where id = ${runId}`,
  );
}

describe('children', () => {
  test('are runs of the same task with an agent of their own, and never set its status', async () => {
    const lease = await atWork({ payload: { of: 'the task' }, priority: 5 });
    const { runId, taskId } = lease;
    const reply = await agent.act(lease, 'children', {
      runs: [
        { agent: helper.slug, payload: { n: 1 } },
        { agent_id: helper.id, priority: 9, run_config: { max_steps: 7 } },
      ],
    });
    expect(reply.body).toEqual({
      runs: [
        { id: expect.any(String), number: 2 },
        { id: expect.any(String), number: 3 },
      ],
      waiting: false,
    });
    const [first, second] = reply.body.runs.map(({ id }: { id: string }) => id);
    expect(await agent.run(first)).toMatchObject({
      task_id: taskId,
      agent_id: helper.id,
      parent_run_id: runId,
      root_run_id: runId,
      depth: 1,
      status: 'queued',
      payload: { n: 1 },
      priority: 5,
    });
    expect(await agent.run(second)).toMatchObject({ payload: null, priority: 9, run_config: { max_steps: 7 } });
    const [claimedSecond, claimedFirst] = await claimChildren();
    expect([claimedFirst.runId, claimedSecond.runId]).toEqual([first, second]);
    await helper.act(claimedFirst, 'fail', { error: { message: 'no' }, retry: false });
    const task = (await server.call('GET', `/api/v1/tasks/${taskId}`)).body;
    expect([task.task.status, task.task.latest_run_id, task.stream.streamId]).toEqual(['running', runId, runId]);
    expect(task.streams).toHaveLength(3);
    expect((await agent.act(lease, 'complete', { output: {} })).body.status).toBe('completed');
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('completed');
    expect((await helper.act(claimedSecond, 'complete', { output: {} })).status).toBe(200);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('completed');
  });

  test('are shown with their root as a tree, and to their parent as related runs', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1);
    const child = await helper.claim();
    const grand = await helper.act(child, 'children', { runs: [{ agent: helper.slug }] });
    const grandId: string = grand.body.runs[0].id;
    for (const id of [lease.runId, childId, grandId]) {
      const tree = await server.call('GET', `/api/v1/runs/${id}/tree`);
      expect(tree.body).toMatchObject({ run_id: id, root_run_id: lease.runId, truncated: false });
      expect(
        tree.body.nodes.map((node: Shown) => [node.id, node.parent_run_id, node.depth, node.agent, node.status]),
      ).toEqual([
        [lease.runId, null, 0, agent.slug, 'running'],
        [childId, lease.runId, 1, helper.slug, 'running'],
        [grandId, childId, 2, helper.slug, 'queued'],
      ]);
    }
    const related = async (id: string) =>
      (await server.call('GET', `/api/tasks/runs?runId=${id}`)).body.runs[0].relatedRuns;
    expect(await related(lease.runId)).toEqual({ children: [{ id: childId }] });
    expect(await related(childId)).toEqual({
      root: { id: lease.runId },
      parent: { id: lease.runId },
      children: [{ id: grandId }],
    });
    expect(await related(grandId)).toEqual({ root: { id: lease.runId }, parent: { id: childId } });
  });

  test('have no more freedom than their parent', async () => {
    const lease = await atWork({ run_config: { auto_execute: false, ask_question: false } });
    const reply = await agent.act(lease, 'children', {
      runs: [{ agent: helper.slug, run_config: { auto_execute: true, ask_question: true } }],
    });
    expect((await agent.run(reply.body.runs[0].id)).run_config).toMatchObject({
      auto_execute: false,
      ask_question: false,
    });
  });

  test('go down to depth 16', async () => {
    let lease: Claimed = await atWork();
    await agent.act(lease, 'children', { runs: [{ agent: helper.slug }] });
    for (let depth = 1; depth <= 16; depth += 1) {
      lease = await helper.claim();
      expect(lease.claimed.run.depth).toBe(depth);
      const reply = await helper.act(lease, 'children', { runs: [{ agent: helper.slug }] });
      expect(reply.status).toBe(depth < 16 ? 200 : 400);
      if (depth === 16) {
        expect(reply.body.errors).toEqual([{ path: '/runs', message: expect.stringContaining('16') }]);
      }
    }
    expect((await helper.act(lease, 'complete', { output: {} })).status).toBe(200);
  });

  test('are a thousand a run at most', async () => {
    const lease = await atWork();
    for (let batch = 0; batch < 10; batch += 1) {
      await start(lease, 100);
    }
    const refused = await agent.act(lease, 'children', { runs: [{ agent: helper.slug }] });
    expect([refused.status, refused.body.errors[0].message]).toEqual([400, expect.stringContaining('1000')]);
    const tree = await server.call('GET', `/api/v1/runs/${lease.runId}/tree`);
    expect([tree.body.nodes.length, tree.body.truncated]).toEqual([1000, true]);
    expect((await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`, { body: { force: true } })).status).toBe(
      200,
    );
    const left = await server.database.row(
      sql`select count(*)::int as count from runs where root_run_id = ${lease.runId} and finished_at is null`,
    );
    expect(left).toEqual({ count: 0 });
  });

  test('are started once for one batch id, by a later attempt too', async () => {
    const lease = await atWork();
    const first = await start(lease, 3, { batch_id: 'plan' });
    expect(await start(lease, 3, { batch_id: 'plan' })).toEqual(first);
    const other = await agent.act(lease, 'children', { runs: [{ agent: helper.slug }], batch_id: 'plan' });
    expect([other.status, other.body.code]).toEqual([422, 'batch-mismatch']);
    await expireLease(lease.runId);
    expect(await start(lease, 3, { batch_id: 'plan' })).toEqual(first);
    await server.app.get(LeaseRescuer).sweep();
    const second = await agent.claim();
    expect(second.claimed.run.attempt).toBe(2);
    expect(await start(second, 3, { batch_id: 'plan' })).toEqual(first);
    expect((await server.call('GET', `/api/v1/tasks/${lease.taskId}/runs`)).body.data).toHaveLength(4);
  });

  test('of eight senders at once are started once', async () => {
    const lease = await atWork();
    const started = await Promise.all(Array.from({ length: 8 }, () => start(lease, 2, { batch_id: 'race' })));
    expect(new Set(started.map((ids) => ids.join())).size).toBe(1);
  });

  test('of a run that the caller does not hold are not started', async () => {
    const lease = await atWork();
    await expireLease(lease.runId);
    const reply = await agent.act(lease, 'children', { runs: [{ agent: helper.slug }] });
    expect([reply.status, reply.body.code]).toEqual([409, 'lease-lost']);
  });

  test.each([
    ['an unknown agent', { runs: [{ agent: 'nobody-at-all' }] }, 404],
    ['one unknown agent among others', { runs: [{}, { agent_id: '0190a5c8-7a00-7000-8000-000000000001' }] }, 404],
    ['two names for one agent', { runs: [{ agent: 'a', agent_id: '0190a5c8-7a00-7000-8000-000000000001' }] }, 400],
    ['no run to start or wait for', { runs: [] }, 400],
    ['101 runs', { runs: Array.from({ length: 101 }, () => ({})) }, 400],
    ['a priority out of range', { runs: [{ priority: 101 }] }, 400],
    ['an unknown key', { runs: [{ prompt: 'x' }] }, 400],
  ])('with %s are refused whole, and the run lives on', async (_, body, status) => {
    const lease = await atWork();
    expect((await agent.act(lease, 'children', body)).status).toBe(status);
    expect((await server.call('GET', `/api/v1/tasks/${lease.taskId}/runs`)).body.data).toHaveLength(1);
    expect((await agent.act(lease, 'heartbeat')).status).toBe(200);
  });
});

describe('a parent that waits', () => {
  test('gives its lease back and gets what became of each child', async () => {
    const lease = await atWork();
    const ids = await start(lease, 3, { wait: true });
    const { runId, taskId } = lease;
    expect(await agent.run(runId)).toMatchObject({
      status: 'waiting',
      wait_kind: 'children',
      attempt: 1,
      waiting_for: { reason: 'children' },
    });
    expect((await agent.act(lease, 'heartbeat')).body.code).toBe('lease-lost');
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('waiting');
    const [one, two, three] = await claimChildren();
    await helper.act(one, 'complete', { output: { n: 1 } });
    await helper.act(two, 'fail', { error: { name: 'Bad', message: 'no' }, retry: false });
    expect(await agent.claimAll()).toEqual([]);
    await server.call('POST', `/api/v1/runs/${three.runId}/cancel`, { body: { force: true } });
    const next = await agent.claim();
    expect(next.claimed.run.attempt).toBe(1);
    expect(next.claimed.resume).toEqual({
      children: [
        { id: ids[0], number: 2, agent_id: helper.id, status: 'completed', output: { n: 1 }, error: null },
        {
          id: ids[1],
          number: 3,
          agent_id: helper.id,
          status: 'failed',
          output: null,
          error: { name: 'Bad', message: 'no', stack_trace: null },
        },
        { id: ids[2], number: 4, agent_id: helper.id, status: 'canceled', output: null, error: null },
      ],
    });
    expect((await agent.act(next, 'complete', { output: {} })).status).toBe(200);
    expect((await agent.events(runId)).map((event) => event.data.status ?? event.type)).toEqual([
      'queued',
      'running',
      'waiting',
      'queued',
      'running',
      'completed',
      'completed',
    ]);
    expect((await agent.run(runId)).attempts).toHaveLength(1);
  });

  test('for children that have all ended before does not wait', async () => {
    const lease = await atWork();
    await start(lease, 1);
    await helper.act(await helper.claim(), 'complete', { output: { early: true } });
    const reply = await agent.act(lease, 'children', { runs: [], wait: true });
    expect(reply.body).toEqual({ runs: [], waiting: true });
    const next = await agent.claim();
    expect(next.claimed.resume.children).toMatchObject([{ status: 'completed', output: { early: true } }]);
  });

  test('is told the same when it sends the request again', async () => {
    const lease = await atWork();
    const wait = () => agent.act(lease, 'children', { runs: [{ agent: helper.slug }], wait: true });
    const first = await wait();
    const again = await wait();
    expect([again.status, again.body]).toEqual([200, first.body]);
    await helper.act(await helper.claim(), 'complete', { output: {} });
    expect((await wait()).body).toEqual(first.body);
  });

  test('is woken once by the last two children, which end at once', async () => {
    for (let round = 0; round < 20; round += 1) {
      const lease = await atWork();
      await start(lease, 2, { wait: true });
      const [one, two] = await claimChildren();
      await Promise.all([
        helper.act(one, 'complete', { output: {} }),
        helper.act(two, 'fail', { error: { message: 'no' }, retry: false }),
      ]);
      const next = await agent.claim();
      expect(next.claimed.resume.children.map((child: Shown) => child.status)).toEqual(['completed', 'failed']);
      expect((await agent.events(lease.runId)).filter((event) => event.data.status === 'queued')).toHaveLength(2);
      await agent.act(next, 'complete', { output: {} });
    }
  });

  test('is woken however its wait and the end of its child meet', async () => {
    for (let round = 0; round < 20; round += 1) {
      const lease = await atWork();
      await start(lease, 1);
      const child = await helper.claim();
      await Promise.all([
        agent.act(lease, 'children', { runs: [], wait: true }),
        helper.act(child, 'complete', { output: {} }),
      ]);
      const next = await agent.claim();
      expect(next.claimed.resume.children).toMatchObject([{ status: 'completed' }]);
      await agent.act(next, 'complete', { output: {} });
    }
  });

  test('is woken by children that die and that run out of time to live', async () => {
    const lease = await atWork();
    const [lost, late] = await start(lease, 2, { wait: true });
    const leases = await helper.claimAll();
    expect(leases).toHaveLength(2);
    await server.database.execute(sql`update runs set attempt = max_attempts where id = ${lost}`);
    await expireLease(lost);
    await server.database.execute(sql`update runs set deadline_at = clock_timestamp() where id = ${late}`);
    await server.app.get(LeaseRescuer).sweep();
    const next = await agent.claim();
    expect(next.claimed.resume.children.map((child: Shown) => child.status)).toEqual(['failed', 'timed_out']);
  });

  test('does not wake while a child that failed is tried again', async () => {
    const lease = await atWork();
    await start(lease, 1, { wait: true });
    expect((await helper.act(await helper.claim(), 'fail', { error: { message: 'once' } })).body.status).toBe('queued');
    expect(await agent.claimAll()).toEqual([]);
    await helper.act(await helper.claim(), 'complete', { output: {} });
    expect((await agent.claim()).runId).toBe(lease.runId);
  });

  test('that was asked to stop is refused, and starts nothing', async () => {
    const lease = await atWork();
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    const reply = await agent.act(lease, 'children', { runs: [{ agent: helper.slug }], wait: true });
    expect(reply.body.code).toBe('conflict');
    expect((await server.call('GET', `/api/v1/tasks/${lease.taskId}/runs`)).body.data).toHaveLength(1);
  });

  test('is told of outputs up to 4 MiB, the newest first', async () => {
    const lease = await atWork();
    await start(lease, 6, { wait: true });
    for (const child of await helper.claimAll()) {
      expect((await helper.act(child, 'complete', { output: { text: 'x'.repeat(900_000) } })).status).toBe(200);
    }
    const { claimed } = await agent.claim();
    expect(
      claimed.resume.children.map((child: Shown) => [child.output === null, child.output_omitted === true]),
    ).toEqual([
      [true, true],
      [true, true],
      [false, false],
      [false, false],
      [false, false],
      [false, false],
    ]);
  });
});

test('children of one batch are due in the order that they were given in', async () => {
  const lease = await atWork();
  const ids = await start(lease, 30);
  const available = await server.database.rows<{ id: string }>(sql`
    select r.id from runs r where r.parent_run_id = ${lease.runId} order by r.available_at, r.number desc`);
  expect(available.map(({ id }) => id)).toEqual(ids);
  expect((await helper.claimAll()).map(({ runId }) => runId)).toEqual(ids);
});

describe('a cancel of the parent', () => {
  test('ends its waiting self, the queued of all depths, and asks the running to stop', async () => {
    const lease = await atWork();
    const [running, queued] = await start(lease, 2, { wait: true });
    const child = await helper.claim();
    expect(child.runId).toBe(running);
    const grand = await helper.act(child, 'children', { runs: [{ agent: agent.slug }] });
    const grandId: string = grand.body.runs[0].id;
    const canceled = await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    expect([canceled.status, canceled.body.status]).toEqual([200, 'canceled']);
    expect([(await agent.run(queued)).status, (await agent.run(grandId)).status]).toEqual(['canceled', 'canceled']);
    expect((await helper.act(child, 'heartbeat')).body.cancel_requested).toBe(true);
    expect((await helper.act(child, 'canceled')).body.status).toBe('canceled');
    expect((await agent.events(lease.runId)).filter((event) => event.type === 'end')).toHaveLength(1);
  });

  test('with force ends every one of them', async () => {
    const lease = await atWork();
    const [running] = await start(lease, 2);
    const child = await helper.claim();
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`, { body: { force: true } });
    expect((await agent.run(running)).status).toBe('canceled');
    expect((await helper.act(child, 'complete', { output: {} })).body.code).toBe('lease-lost');
  });

  test('that its worker fulfils takes the children along then', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1);
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    expect((await agent.run(childId)).status).toBe('queued');
    await agent.act(lease, 'canceled');
    expect((await agent.run(childId)).status).toBe('canceled');
  });

  test('whose worker is lost takes them along with the sweep', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1);
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    await expireLease(lease.runId);
    await server.app.get(LeaseRescuer).sweep();
    expect([(await agent.run(lease.runId)).status, (await agent.run(childId)).status]).toEqual([
      'canceled',
      'canceled',
    ]);
  });

  test('that broke off before the children is gone on with by a sweep', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1);
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    await agent.act(lease, 'canceled');
    await server.database.execute(
      sql`update runs set status = 'queued', finished_at = null, cancel_requested_at = null where id = ${childId}`,
    );
    await server.database.execute(
      sql`delete from run_events where run_id = ${childId} and events -> -1 ->> 'type' = 'end'`,
    );
    for (let round = 0; round < 5; round += 1) {
      await server.app.get(LeaseRescuer).sweep();
    }
    expect((await agent.run(childId)).status).toBe('canceled');
  });

  test('does not happen by a child’s failure, nor end children of a parent that completes', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1);
    await agent.act(lease, 'complete', { output: {} });
    expect((await agent.run(childId)).status).toBe('queued');
    expect((await helper.act(await helper.claim(), 'complete', { output: {} })).status).toBe(200);
  });

  test('of a child wakes its parent', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1, { wait: true });
    await server.call('POST', `/api/v1/runs/${childId}/cancel`);
    expect((await agent.claim()).claimed.resume.children).toMatchObject([{ id: childId, status: 'canceled' }]);
  });

  test('and the deletion of the task end the whole family', async () => {
    const lease = await atWork();
    const [childId] = await start(lease, 1, { wait: true });
    expect((await server.call('DELETE', `/api/v1/tasks/${lease.taskId}`)).status).toBe(204);
    const rows = await server.database.rows(
      sql`select distinct status from runs where id = any(${[lease.runId, childId]}::uuid[])`,
    );
    expect(rows).toEqual([{ status: 'canceled' }]);
  });
});
