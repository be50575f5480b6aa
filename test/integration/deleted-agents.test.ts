/** An agent that is deleted while work for it is made: either the deletion sees the work, or the work finds the agent gone. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import type { QueryRunner } from 'typeorm';
import { DeletedAgents1764000000019 } from '../../migrations/1764000000019-deleted-agents.js';
import { sql } from '../../src/database/sql.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { TestSchedules } from '../support/schedules.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let other: Client;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  other = new Client({ connectionString: server.databaseUrl });
  await other.connect();
});
afterAll(async () => {
  await other.end();
  await server.stop();
});

interface Ground {
  agentId: string;
  slug: string;
  taskId: string;
  runId: string;
  scheduleId: string;
}

let grounds = 0;

/** An agent with a task, a schedule and a run that has ended, so that nothing stands in the way of its deletion. */
async function makeGround(): Promise<Ground> {
  grounds += 1;
  const slug = `work-${grounds}`;
  const made = await server.call('POST', '/api/v1/agents', { body: { slug, name: slug, kind: 'worker' } });
  const schedule = { cron: '0 0 1 1 *', timezone: 'UTC' };
  const task = await server.call('POST', '/api/v1/tasks', { body: { agent: slug, prompt: 'Work.', schedule } });
  const started = await server.call('POST', `/api/v1/tasks/${task.body.task.id}/runs`, { body: {} });
  expect([made.status, task.status, started.status]).toEqual([201, 201, 201]);
  const runs = await server.call('GET', `/api/v1/tasks/${task.body.task.id}/runs`);
  for (const { id } of runs.body.data) await server.call('POST', `/api/v1/runs/${id}/cancel`, { body: {} });
  return {
    agentId: made.body.id,
    slug,
    taskId: task.body.task.id,
    runId: started.body.id,
    scheduleId: task.body.task.schedule_info.schedule_id,
  };
}

/** Resolves once a statement of the server waits for a lock of this test. */
async function untilBlocked(): Promise<void> {
  for (;;) {
    const { rows } = await other.query(
      `select 1 from pg_stat_activity where datname = current_database() and pg_backend_pid() = any(pg_blocking_pids(pid))`,
    );
    if (rows.length > 0) return;
  }
}

async function openRuns({ agentId }: Ground): Promise<number> {
  const found = await server.database.row<{ count: number }>(
    sql`select count(*)::int as count from runs where agent_id = ${agentId} and finished_at is null`,
  );
  return found?.count ?? -1;
}

const WAYS: readonly [name: string, make: (ground: Ground) => Promise<Reply>][] = [
  ['a task', ({ slug }) => server.call('POST', '/api/v1/tasks', { body: { agent: slug, prompt: 'More.' } })],
  [
    'a batch',
    ({ slug }) => server.call('POST', '/api/v1/tasks/batch', { body: { tasks: [{ agent: slug, prompt: 'More.' }] } }),
  ],
  ['a run', ({ taskId }) => server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} })],
  ['a message', ({ taskId }) => server.call('POST', `/api/v1/tasks/${taskId}/messages`, { body: { text: 'More.' } })],
  ['a replay', ({ runId }) => server.call('POST', `/api/v1/runs/${runId}/replay`, { body: {} })],
  ['a trigger', ({ scheduleId }) => server.call('POST', `/api/v1/schedules/${scheduleId}/trigger`, { body: {} })],
  [
    'a backfill',
    ({ scheduleId }) =>
      server.call('POST', `/api/v1/schedules/${scheduleId}/backfill`, {
        body: { from: '2019-12-31T00:00:00Z', to: '2020-01-02T00:00:00Z' },
      }),
  ],
];

describe.each(WAYS)('%s', (_name, make) => {
  test('that is made while its agent is deleted is refused, and leaves no run', async () => {
    const ground = await makeGround();
    await other.query('begin');
    await other.query('select 1 from agents where id = $1 for update', [ground.agentId]);
    await other.query('update agents set deleted_at = clock_timestamp() where id = $1', [ground.agentId]);
    const making = make(ground);
    await untilBlocked();
    await other.query('commit');
    const reply = await making;
    const statuses: number[] = [
      reply.status,
      ...(reply.body.results ?? []).map((one: { status: number }) => one.status),
    ];
    expect(statuses.some((status) => status >= 400 && status < 500)).toBe(true);
    expect(statuses.some((status) => status >= 500)).toBe(false);
    expect(await openRuns(ground)).toBe(0);
  });
});

test('a run that was made first keeps its agent from being deleted', async () => {
  const ground = await makeGround();
  await other.query('begin');
  await other.query('select 1 from agents where id = $1 for key share', [ground.agentId]);
  const deleting = server.call('DELETE', `/api/v1/agents/${ground.agentId}`);
  await untilBlocked();
  // What makes runs holds the row likewise, and so comes in before the deletion that waits for it.
  await other.query(
    `insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts,
        priority, run_config, created_by, queued_at, root_run_id, last_seq)
      select organization_id, gen_random_uuid(), task_id, number + 100, agent_id, 'queued', lease_seconds, timeout_seconds, max_attempts,
        priority, run_config, created_by, clock_timestamp(), id, 0 from runs where id = $1`,
    [ground.runId],
  );
  await other.query('commit');
  expect((await deleting).status).toBe(409);
  expect(await openRuns(ground)).toBe(1);
});

/** Deletes the agent in a transaction that ends once `made` waits for it. */
async function whileDeleted<Result>(agentId: string, make: () => Promise<Result>): Promise<Result> {
  await other.query('begin');
  await other.query('select 1 from agents where id = $1 for update', [agentId]);
  await other.query('update agents set deleted_at = clock_timestamp() where id = $1', [agentId]);
  const made = make();
  await untilBlocked();
  await other.query('commit');
  return made;
}

test('a child that is made while its agent is deleted is refused, and its parent goes on', async () => {
  const ground = await makeGround();
  const parent = await AgentAtWork.make(server, `parent-${ground.slug}`);
  await parent.task();
  const lease = await parent.claim();
  const reply = await whileDeleted(ground.agentId, () =>
    parent.act(lease, 'children', { runs: [{ agent: ground.slug }], wait: true }),
  );
  expect([reply.status, reply.body.code]).toEqual([409, 'conflict']);
  expect(await openRuns(ground)).toBe(0);
  expect((await parent.act(lease, 'complete', { output: {} })).status).toBe(200);
});

test('a slot that comes while its agent is deleted is skipped for that, at once', async () => {
  const ground = await makeGround();
  const schedules = new TestSchedules(server);
  await whileDeleted(ground.agentId, () => schedules.come(ground.scheduleId));
  expect(await schedules.ledger(ground.scheduleId)).toEqual([['skipped', 'agent-deleted', false]]);
  expect(await openRuns(ground)).toBe(0);
});

test('a slot that waited for its turn while its agent is deleted is skipped, and those of other agents are made', async () => {
  const schedules = new TestSchedules(server);
  const agents = [await makeGround(), await makeGround()];
  const [gone] = agents.map(({ agentId }) => agentId);
  const made = await Promise.all(agents.map(({ slug }) => schedules.made({ overlap: 'queue_one' }, {}, slug)));
  for (const { id } of made) {
    await schedules.come(id, 2);
    await schedules.come(id, 1);
  }
  const first = await Promise.all(made.map(({ taskId }) => schedules.get(`/api/v1/tasks/${taskId}/runs`)));
  // Ended in one commit, so that one turn finds both slots.
  await other.query(
    `update runs set status = 'canceled', finished_at = clock_timestamp(), fence = fence + 1 where id = any($1::uuid[])`,
    [first.map(({ data }) => data[0].id)],
  );
  await whileDeleted(gone ?? '', () => Promise.all(made.map(({ id }) => schedules.fired(id, 'waiting'))));
  const ledgers = await Promise.all(made.map(({ id }) => schedules.ledger(id)));
  expect(ledgers.map((rows) => rows[1])).toEqual([
    ['skipped', 'agent-deleted', false],
    ['late', 'waits', true],
  ]);
});

test('a run that was left to a deleted agent before is canceled by the migration, and its parent is told', async () => {
  const parent = await AgentAtWork.make(server, 'parent-left');
  const child = await AgentAtWork.make(server, 'child-left');
  await parent.task();
  const reply = await parent.act(await parent.claim(), 'children', { runs: [{ agent: child.slug }], wait: true });
  const [{ id }] = reply.body.runs;
  await other.query('update agents set deleted_at = clock_timestamp() where id = $1', [child.id]);
  await other.query('drop function runs_need_agents cascade');
  await new DeletedAgents1764000000019().up({ query: (text: string) => other.query(text) } as unknown as QueryRunner);
  expect((await child.run(id)).status).toBe('canceled');
  expect((await child.events(id)).map(({ type }) => type).slice(-2)).toEqual(['status', 'end']);
  expect((await parent.claim()).claimed.resume).toMatchObject({ children: [{ id, status: 'canceled' }] });
});
