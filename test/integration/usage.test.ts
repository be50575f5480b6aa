import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { TaskPurger } from '../../src/modules/tasks/index.js';
import { key, makeYard, type Yard } from '../support/actors.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
let agents: string[];

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  agents = [];
  for (const slug of ['first', 'second']) {
    const made = await server.call('POST', '/api/v1/agents', { body: { slug, name: `The ${slug}`, kind: 'worker' } });
    agents.push(made.body.id);
  }
});

afterAll(() => server.stop());

/** Hands in a task, runs it at this cost and answers its id. */
async function spend(agent: string, cents: number, more: object = {}, as?: Credential): Promise<string> {
  const made = await server.call('POST', '/api/v1/tasks', {
    body: { agent, prompt: 'work', ...more },
    ...(as === undefined ? {} : { as }),
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  const { body } = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent] } });
  const [{ run, lease }] = body.runs;
  const events = [{ type: 'usage', data: { cost_in_cents: cents, input_tokens: 100, output_tokens: 10 } }];
  await server.call('POST', `/api/v1/worker/runs/${run.id}/events`, { body: { fence: lease.fence, events } });
  await server.call('POST', `/api/v1/worker/runs/${run.id}/complete`, {
    body: { fence: lease.fence, output: {}, cost_in_cents: 1 },
  });
  return made.body.task.id;
}

async function usage(query = '', as?: Credential): Promise<Reply['body']> {
  const reply = await server.call('GET', `/api/v1/usage${query}`, as === undefined ? {} : { as });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.body;
}

test('adds up by day, agent, key and task, tokens and runs under way included', async () => {
  const secret = await key(server, { name: 'spender', role: 'admin' });
  const old = await spend('first', 4, { title: 'Old' });
  await server.database.execute(
    sql`update runs set created_at = created_at - interval '2 days' where task_id = ${old}`,
  );
  await spend('first', 9, { title: 'New' }, secret);
  await spend('second', 1);
  await server.call('POST', '/api/v1/tasks', { body: { agent: 'second', prompt: 'not yet' } });
  const totals = { runs: 4, cost_in_cents: 17, input_tokens: 300, output_tokens: 30 };

  const days = await usage();
  expect(days).toMatchObject({ group_by: 'day', totals, more: false, budgets: [] });
  expect(
    days.groups.map((group: { runs: number; cost_in_cents: number }) => [group.runs, group.cost_in_cents]),
  ).toEqual([
    [1, 5],
    [3, 12],
  ]);
  expect(days.groups[0].key < days.groups[1].key).toBe(true);

  const byAgent = await usage('?group_by=agent');
  expect(byAgent.totals).toEqual(totals);
  expect(byAgent.groups).toEqual([
    { key: agents[0], name: 'The first', runs: 2, cost_in_cents: 15, input_tokens: 200, output_tokens: 20 },
    { key: agents[1], name: 'The second', runs: 2, cost_in_cents: 2, input_tokens: 100, output_tokens: 10 },
  ]);
  const byKey = await usage('?group_by=api_key');
  expect(byKey.groups.find((group: { name: string }) => group.name === 'spender')).toMatchObject({
    runs: 1,
    cost_in_cents: 10,
  });
  expect((await usage('?group_by=task')).groups[0]).toMatchObject({ name: 'New', cost_in_cents: 10 });

  const [day] = days.groups.map((group: { key: string }) => group.key);
  expect((await usage(`?from=${day}&to=${days.groups[1].key}`)).totals).toMatchObject({ runs: 1, cost_in_cents: 5 });
});

test('shows people what they may read, and only admins the budgets', async () => {
  const made = await server.call('POST', '/api/v1/budgets', {
    body: { name: 'All', scope: { kind: 'organization' }, limit_cents: 1_000_000 },
  });
  const before = await usage('', yard.outsider.token);
  await spend('first', 2, { team_id: yard.teams.red, visibility: 'team' });
  // Midnight may have passed meanwhile.
  expect(await usage('', yard.outsider.token)).toEqual({ ...before, from: expect.any(String), to: expect.any(String) });
  expect(await usage('', yard.member.token)).toMatchObject({ totals: { runs: 1, cost_in_cents: 3 }, budgets: [] });
  expect((await usage('', yard.admin.token)).budgets).toMatchObject([
    { id: made.body.id, standing: { spent_cents: 3, spent_runs: 1 } },
  ]);
  expect((await usage('', yard.strangerKey)).totals).toEqual({
    runs: 0,
    cost_in_cents: 0,
    input_tokens: 0,
    output_tokens: 0,
  });
  expect((await server.call('GET', '/api/v1/usage', { as: yard.workerKey })).status).toBe(403);
});

test('keeps what was used by tasks that are gone', async () => {
  const taskId = await spend('first', 7);
  const before = await usage('?group_by=agent');
  await server.call('DELETE', `/api/v1/tasks/${taskId}`);
  expect(await usage('?group_by=agent')).toEqual(before);
  await server.app.get(TaskPurger).purge();
  expect(await server.database.rows(sql`select 1 from runs where task_id = ${taskId}`)).toEqual([]);
  expect(await usage('?group_by=agent')).toEqual(before);
  expect((await usage('?group_by=day')).totals).toEqual(before.totals);
  expect(
    (await usage('?group_by=task')).groups.find((group: { key: string | null }) => group.key === null),
  ).toMatchObject({
    name: null,
    runs: 1,
    cost_in_cents: 8,
  });
});

test.each([
  '?from=yesterday',
  '?from=2026-02-30',
  '?from=2026-01-31T00:00:00Z',
  '?from=2026-01-02&to=2026-01-02',
  '?from=2026-01-02&to=2026-01-01',
  '?from=2024-01-01&to=2026-01-01',
  '?group_by=team',
  '?unknown=1',
])('a question that makes no sense is refused: %s', async (query) => {
  expect((await server.call('GET', `/api/v1/usage${query}`)).status).toBe(400);
});

test('is answered in one round trip, budgets in another', async () => {
  await usage();
  const seen: string[] = [];
  const watch = (text: string): void => {
    if (/usage_archive|budget_counters/.test(text)) {
      seen.push(text);
    }
  };
  server.database.observers.add(watch);
  await usage('?group_by=task');
  server.database.observers.delete(watch);
  expect(seen).toHaveLength(2);
});
