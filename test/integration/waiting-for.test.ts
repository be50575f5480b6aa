import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { type Lease, TestQueue } from '../support/queue.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

function queue(settings: object = {}): Promise<TestQueue> {
  serial += 1;
  return TestQueue.make(server, `stuck-${serial}`, settings);
}

async function forgetWorkers(q: TestQueue, seconds: number): Promise<void> {
  await server.database.execute(
    sql`update agent_workers set last_seen_at = last_seen_at - make_interval(secs => ${seconds}) where agent_id = ${q.agentId}`,
  );
}

describe('a run that does not move says why:', () => {
  test('no worker has ever claimed its agent', async () => {
    const q = await queue();
    const run = await q.get(await q.run());
    expect(run.waiting_for).toEqual({
      reason: 'no_worker',
      since: run.queued_at,
      detail: `No worker has ever claimed runs of agent ${q.agent}.`,
      next_action_at: null,
    });
  });

  test('no worker has claimed its agent since then, and a time to live is what happens next', async () => {
    const q = await queue();
    expect(await q.claim()).toEqual([]);
    const runId = await q.run({ ttl: 3_600 });
    expect((await q.get(runId)).waiting_for.reason).toBe('queue');
    await forgetWorkers(q, 300);
    const { waiting_for: why } = await q.get(runId);
    expect(why).toMatchObject({ reason: 'no_worker', next_action_at: expect.any(String) });
    expect(why.detail).toMatch(/since \d{4}-\d\d-\d\dT/);
  });

  test('it is behind others, and how many of them are of higher priority', async () => {
    const q = await queue();
    await q.claim();
    await q.run({ priority: 5 });
    await q.run();
    const runId = await q.run();
    expect((await q.get(runId)).waiting_for).toMatchObject({
      reason: 'queue',
      detail: `Behind 2 runs of agent ${q.agent}, 1 of higher priority.`,
    });
    await q.claim(2);
    expect((await q.get(runId)).waiting_for.detail).toBe('First in the queue; a worker takes it next.');
  });

  test('it is behind more than anybody wants counted', async () => {
    const q = await queue();
    await q.claim();
    const runId = await q.run({ priority: -1 });
    await server.database.execute(sql`
      insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config, root_run_id)
      select r.organization_id, gen_random_uuid(), r.task_id, 1 + n, r.agent_id, 'queued', 60, 60, 1, '{}', r.id
      from runs r, generate_series(1, 150) n where r.id = ${runId}`);
    expect((await q.get(runId)).waiting_for.detail).toBe(`Behind more than 100 runs of agent ${q.agent}.`);
  });

  test('the limit of its agent is reached by these runs, of which it names five', async () => {
    const q = await queue({ concurrency_limit: 6 });
    for (let index = 0; index < 7; index += 1) {
      await q.run();
    }
    const leases = await q.claim(10);
    const runId = await q.run();
    const { waiting_for: why } = await q.get(runId);
    expect(why).toMatchObject({ reason: 'concurrency_limit' });
    expect(why.detail).toContain('limit of 6');
    expect(leases.filter((lease) => why.detail.includes(lease.runId))).toHaveLength(5);
  });

  test('the limit of its concurrency key is reached by this run', async () => {
    const q = await queue();
    await q.run({ concurrency_key: 'room 1' });
    const lease = await q.one();
    const run = await q.get(await q.run({ concurrency_key: 'room 1' }));
    expect(run.waiting_for).toEqual({
      reason: 'concurrency_key',
      since: run.queued_at,
      detail: `The limit of 1 at a time of concurrency key "room 1" is reached by ${lease.runId}.`,
      next_action_at: null,
    });
  });

  test('a worker has it, was last heard of then, and its lease ends then', async () => {
    const q = await queue();
    const runId = await q.run();
    await q.claim(1, { worker_id: 'host-7' });
    await q.pass(runId, 20);
    const { waiting_for: why } = await q.get(runId);
    const row = await server.database.row<{ heard: string; ends: string }>(sql`
      select iso_utc(lease_expires_at - interval '60 seconds') as heard, iso_utc(lease_expires_at) as ends from runs where id = ${runId}`);
    expect(why).toMatchObject({ reason: 'running', next_action_at: row?.ends });
    expect(why.detail).toContain(
      `Worker host-7 has it, was last heard of at ${row?.heard ?? ''}, and its lease ends at ${row?.ends ?? ''}`,
    );
  });

  test('its worker was asked to stop and has not yet', async () => {
    const q = await queue();
    const runId = await q.run();
    await q.one();
    const canceled = await server.call('POST', `/api/v1/runs/${runId}/cancel`);
    expect(canceled.body.waiting_for).toMatchObject({
      reason: 'cancel_requested',
      since: canceled.body.cancel_requested_at,
      detail: expect.stringContaining('has not stopped yet'),
      next_action_at: expect.any(String),
    });
  });

  test('and nothing once it has ended, nor in lists, which do not ask', async () => {
    const q = await queue();
    const runId = await q.run();
    const lease: Lease = await q.one();
    await q.complete(lease);
    expect((await q.get(runId)).waiting_for).toBeNull();
    const list = await server.call('GET', `/api/v1/runs?agent=${q.agent}`);
    expect(list.body.data[0]).not.toHaveProperty('waiting_for');
  });
});

describe('the workers of an agent', () => {
  test('are listed with what they run and when they were heard of, the latest first', async () => {
    const q = await queue();
    await q.run();
    await q.run();
    await q.claim(2, { worker_id: 'busy' });
    await q.claim(1, { worker_id: 'idle' });
    await q.claim(1);
    const { body, status } = await server.call('GET', `/api/v1/agents/${q.agentId}/workers`);
    expect(status).toBe(200);
    expect(body.data).toHaveLength(3);
    expect(body.data.find((worker: { worker_id: string }) => worker.worker_id === 'busy')).toEqual({
      worker_id: 'busy',
      principal: { id: expect.any(String), kind: 'api_key' },
      running: 2,
      last_seen_at: expect.any(String),
      last_claim_at: expect.any(String),
    });
    expect(body.data.find((worker: { worker_id: string }) => worker.worker_id === 'idle')).toMatchObject({
      running: 0,
      last_claim_at: null,
    });
    expect(body.data.map((worker: { worker_id: string }) => worker.worker_id)).toContain('unnamed');
  });

  test('are seen by their heartbeats too', async () => {
    const q = await queue();
    await q.run();
    const [lease] = await q.claim(1, { worker_id: 'steady' });
    await forgetWorkers(q, 3_600);
    await q.act(lease as Lease, 'heartbeat');
    const [worker] = (await server.call('GET', `/api/v1/agents/${q.agentId}/workers`)).body.data;
    const age = await server.database.row<{ seconds: number }>(
      sql`select extract(epoch from clock_timestamp() - ${worker.last_seen_at}::timestamptz)::float8 as seconds`,
    );
    expect(age?.seconds).toBeLessThan(60);
  });

  test('of an agent that is not there are not found', async () => {
    const reply = await server.call('GET', '/api/v1/agents/0190a5c8-7a00-7000-8000-000000000001/workers');
    expect(reply.status).toBe(404);
  });
});
