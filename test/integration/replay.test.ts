import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
let agent: AgentAtWork;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});

afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  agent = await AgentAtWork.make(server, `again-${serial}`);
});

test('a replay is a new run that gets what the old one got, whatever its task says by now', async () => {
  const { taskId, runId } = await agent.task({
    payload: { n: 1 },
    priority: 7,
    run_config: { max_steps: 9 },
    max_attempts: 5,
  });
  await agent.act(await agent.claim(), 'complete', { output: { done: 1 } });
  const other = await AgentAtWork.make(server, `other-${serial}`);
  await server.call('PATCH', `/api/v1/tasks/${taskId}`, {
    body: { payload: { n: 2 }, priority: 0, run_config: { max_steps: 50 }, agent: other.slug },
  });
  const replayed = await server.call('POST', `/api/v1/runs/${runId}/replay`);
  expect(replayed.status).toBe(200);
  expect(replayed.headers.get('location')).toBe(`/api/v1/runs/${replayed.body.id}`);
  expect(replayed.body).toMatchObject({
    task_id: taskId,
    number: 2,
    status: 'queued',
    replay_of_run_id: runId,
    payload: { n: 1 },
    priority: 7,
    max_attempts: 5,
    agent_id: agent.id,
    run_config: { max_steps: 9 },
    parent_run_id: null,
    root_run_id: replayed.body.id,
    attempt: 0,
    output: null,
  });
  expect((await agent.run(runId)).replay_of_run_id).toBeNull();
  const task = (await server.call('GET', `/api/v1/tasks/${taskId}`)).body;
  expect([task.task.status, task.stream.streamId]).toEqual(['queued', replayed.body.id]);
  const { claimed } = await agent.claim();
  expect(claimed.run).toMatchObject({ id: replayed.body.id, payload: { n: 1 } });
  expect(claimed.resume).toBeNull();
  expect((await agent.events(replayed.body.id)).map((event) => event.type)).toEqual(['status', 'status']);
});

test('the same Idempotency-Key replays once', async () => {
  const { runId, taskId } = await agent.task();
  const replay = (key: string) =>
    server.call('POST', `/api/v1/runs/${runId}/replay`, { headers: { 'idempotency-key': key } });
  const first = await replay('one');
  const again = await replay('one');
  expect([again.status, again.body.id, again.headers.get('idempotency-replayed')]).toEqual([
    200,
    first.body.id,
    'true',
  ]);
  const second = await replay('two');
  expect(second.body.id).not.toBe(first.body.id);
  expect((await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data).toHaveLength(3);
});

test('a replay of a replay, and of a child, is a root run of its own', async () => {
  const { runId, taskId } = await agent.task();
  const lease = await agent.claim();
  const started = await agent.act(lease, 'children', { runs: [{ agent: agent.slug, payload: { child: true } }] });
  const childId: string = started.body.runs[0].id;
  const replayed = (await server.call('POST', `/api/v1/runs/${childId}/replay`)).body;
  expect(replayed).toMatchObject({
    replay_of_run_id: childId,
    parent_run_id: null,
    depth: 0,
    payload: { child: true },
    number: 3,
  });
  const third = (await server.call('POST', `/api/v1/runs/${replayed.id}/replay`)).body;
  expect(third).toMatchObject({ replay_of_run_id: replayed.id, number: 4 });
  expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.stream.streamId).toBe(third.id);
  expect((await agent.run(runId)).status).toBe('running');
});

test('a replay takes its place in the line of its concurrency key', async () => {
  const { runId } = await agent.task({ concurrency_key: 'k' });
  const lease = await agent.claim();
  const replayed = await server.call('POST', `/api/v1/runs/${runId}/replay`);
  expect([replayed.status, replayed.body.concurrency_key]).toEqual([200, 'k']);
  expect(await agent.claimAll()).toEqual([]);
  await agent.act(lease, 'complete', { output: {} });
  expect((await agent.claim()).runId).toBe(replayed.body.id);
});

test('a replay takes the right to contribute', async () => {
  const { runId } = await agent.task({ team_id: yard.teams.red });
  const replay = (as: string) => server.call('POST', `/api/v1/runs/${runId}/replay`, { as });
  expect((await replay(yard.member.token)).status).toBe(403);
  expect((await replay(yard.outsider.token)).status).toBe(404);
  expect((await replay(yard.stranger.token)).status).toBe(404);
  expect((await replay(yard.viewer.token)).status).toBe(403);
  expect((await replay(yard.maintainer.token)).status).toBe(200);
  expect((await server.call('POST', `/api/v1/runs/${runId}/replay`, { body: { payload: {} } })).status).toBe(400);
});

test('a run whose agent is gone is not replayed', async () => {
  const { runId } = await agent.task();
  await agent.act(await agent.claim(), 'complete', { output: {} });
  expect((await server.call('DELETE', `/api/v1/agents/${agent.id}`)).status).toBe(204);
  const refused = await server.call('POST', `/api/v1/runs/${runId}/replay`);
  expect([refused.status, refused.body.code]).toEqual([409, 'conflict']);
});
