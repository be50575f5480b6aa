/** What a caller may not read shows nowhere else either: not in what a concurrency key does, why a run waits, usage, or callbacks. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';
import { openSse } from '../support/sse-reader.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});
afterAll(() => server.stop());

async function createAgent(slug: string, settings: object): Promise<void> {
  const reply = await server.call('POST', '/api/v1/agents', {
    body: { slug, name: slug, kind: 'worker', ...settings },
  });
  expect(reply.status).toBe(201);
}

const createTask = (as: string, body: object): Promise<Reply> =>
  server.call('POST', '/api/v1/tasks', { as, body: { prompt: 'Work.', ...body } });
const runOf = (task: Reply): string => task.body.task.latest_run_id;
const statusOf = async (runId: string): Promise<string> =>
  (await server.call('GET', `/api/v1/runs/${runId}`)).body.status;

test('a run cancels the oldest of its concurrency key only among runs that its starter may contribute to', async () => {
  await createAgent('newest', { concurrency_strategy: 'cancel_oldest' });
  const ask = { agent: 'newest', concurrency_key: 'report' };
  const hidden = await createTask(yard.outsider.token, ask);
  const readable = await createTask(yard.outsider.token, { ...ask, visibility: 'organization' });
  expect(await statusOf(runOf(hidden))).toBe('canceled');
  const first = await createTask(yard.member.token, ask);
  const second = await createTask(yard.member.token, ask);
  expect([await statusOf(runOf(readable)), await statusOf(runOf(first)), await statusOf(runOf(second))]).toEqual([
    'queued',
    'canceled',
    'queued',
  ]);
});

test('a run is dropped only for runs of its concurrency key that its starter may contribute to', async () => {
  await createAgent('single', { concurrency_strategy: 'drop_newest' });
  const ask = { agent: 'single', concurrency_key: 'report' };
  const statuses: number[] = [];
  for (const { token } of [yard.outsider, yard.member, yard.member])
    statuses.push((await createTask(token, ask)).status);
  expect(statuses).toEqual([201, 201, 429]);
});

test('why a run waits names the runs that hold the limit to those who may read them, and to nobody else', async () => {
  await createAgent('narrow', { concurrency_limit: 1 });
  const hidden = runOf(await createTask(yard.outsider.token, { agent: 'narrow' }));
  await server.call('POST', '/api/v1/worker/claim', { as: yard.workerKey, body: { agents: ['narrow'] } });
  const waiting = runOf(await createTask(yard.member.token, { agent: 'narrow' }));
  const shown = await server.call('GET', `/api/v1/runs/${waiting}`, { as: yard.member.token });
  const toAdmin = await server.call('GET', `/api/v1/runs/${waiting}`, { as: yard.admin.token });
  expect(shown.body.waiting_for.reason).toBe('concurrency_limit');
  expect(shown.text).not.toContain(hidden);
  expect(toAdmin.body.waiting_for.detail).toContain(hidden);
});

test('usage by API key tells the names of keys to admins only', async () => {
  await createAgent('used', {});
  await createTask('test_bootstrap_key_0123456789_0123456789', { agent: 'used', visibility: 'organization' });
  const names = async (as: string): Promise<(string | null)[]> => {
    const { body } = await server.call('GET', '/api/v1/usage?group_by=api_key', { as });
    return body.groups.map(({ name }: { name: string | null }) => name);
  };
  expect((await names(yard.viewer.token)).filter((name) => name !== null)).toEqual([]);
  expect((await names(yard.viewer.token)).length).toBeGreaterThan(0);
  expect((await names(yard.admin.token)).filter((name) => name !== null).length).toBeGreaterThan(0);
});

test('a callback URL is shown to those who may change it, on every surface', async () => {
  await createAgent('told', {});
  const callback = 'https://hooks.example.com/ended?token=of-the-receiver';
  const task = await createTask(yard.member.token, { agent: 'told', visibility: 'organization', callback });
  expect(task.status).toBe(201);
  const { id } = task.body.task;
  const paths = [
    `/api/v1/tasks/${id}`,
    '/api/v1/tasks?agent=told',
    `/api/v1/task/${id}`,
    '/api/v1/task',
    '/api/tasks',
    '/v1/task',
  ];
  const shows = async (as: string): Promise<boolean[]> => {
    const found: boolean[] = [];
    for (const path of paths) found.push((await server.call('GET', path, { as })).text.includes('of-the-receiver'));
    return found;
  };
  expect(await shows(yard.viewer.token)).toEqual(paths.map(() => false));
  expect((await shows(yard.member.token)).slice(0, 3)).toEqual([true, true, true]);
});

test('a cursor shows nothing of the place that it stands for, which may be that of a run its holder cannot read', async () => {
  await createAgent('followed', {});
  const runId = runOf(await createTask(yard.member.token, { agent: 'followed', visibility: 'organization' }));
  const reader = await openSse(`${server.url}/api/v1/streams?after=0`, { as: yard.member.token });
  const frames = await reader.until(({ data }) => data?.run_id === runId);
  reader.close();
  const page = await server.call('GET', '/api/v1/tasks?limit=1', { as: yard.member.token });
  for (const cursor of [frames.at(-1)?.id ?? '', page.body.next_cursor]) {
    const bytes = Buffer.from(cursor.split('.')[1] ?? '', 'base64url').toString('latin1');
    expect(bytes.length).toBeGreaterThan(0);
    expect(bytes).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}/);
  }
});
