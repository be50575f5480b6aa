import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { v7 } from 'uuid';
import { type Yard, makeYard } from '../../support/actors.js';
import { BOOTSTRAP_KEY, type CallOptions, type Reply, type TestServer, startServer } from '../../support/server.js';
import { contract } from '../support/contract.js';
import { addManyTasks, addTask, countingQueries, failingFrom, firstOrganization } from '../support/rows.js';

const task = contract('nla/task');
const list = contract('nla/list');
const error = contract('nla/error');

let server: TestServer;
let yard: Yard;
let first: Awaited<ReturnType<typeof firstOrganization>>;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
  first = await firstOrganization(server);
});
afterAll(() => server.stop());

const add = (row: Partial<Parameters<typeof addTask>[1]> = {}) =>
  addTask(server, { organizationId: first.id, createdBy: first.keyId, runs: [{ status: 'completed' }], ...row });
const get = (path: string, options: CallOptions = {}): Promise<Reply> =>
  server.call('GET', `/api/v1/task${path}`, options);
const remove = (id: string, options: CallOptions = {}): Promise<Reply> =>
  server.call('DELETE', `/api/v1/task/${id}`, options);
const idsOf = (reply: Reply): string[] => reply.body.map((item: { id: string }) => item.id);

describe('GET /api/v1/task/{id}', () => {
  test.each([
    ['delayed', 'running'],
    ['queued', 'running'],
    ['running', 'running'],
    ['waiting', 'running'],
    ['completed', 'complete'],
    ['failed', 'error'],
    ['timed_out', 'error'],
    ['expired', 'error'],
    ['canceled', 'error'],
  ] as const)('a task whose latest run is %s is %s', async (state, word) => {
    const { id } = await add({ runs: [{ status: 'completed' }, { status: state }] });
    const reply = await get(`/${id}`);
    expect(reply.status).toBe(200);
    expect(task(reply.body)).toEqual([]);
    expect(reply.body.status).toBe(word);
  });

  test('a person’s task has all its fields', async () => {
    const { id } = await add({
      createdBy: yard.member.id,
      title: 'Synopsis',
      runs: [{ status: 'completed', output: { text: 'Short.', words: 1 }, lines: [['Sypnosis: Running'], ['Done']] }],
    });
    const { body } = await get(`/${id}`);
    expect(task(body)).toEqual([]);
    expect(body).toEqual({
      id,
      name: 'Synopsis',
      agentId: first.agentId,
      userId: yard.member.id,
      createdAt: expect.any(String),
      logs: ['Sypnosis: Running', 'Done'],
      output: { text: 'Short.', words: 1 },
      status: 'complete',
      callback: null,
      agent: { id: first.agentId, name: expect.any(String) },
      user: { id: yard.member.id, email: yard.member.email },
    });
  });

  test('a key’s task has no user, and before its end no output', async () => {
    const { id } = await add({ runs: [{ status: 'running' }] });
    expect((await get(`/${id}`)).body).toMatchObject({
      userId: null,
      user: null,
      output: {},
      logs: [],
      callback: null,
    });
  });

  test('the logs are the last 1,000 lines of the latest run', async () => {
    const lines = Array.from({ length: 1500 }, (_, index) => `line ${index + 1}`);
    const { id } = await add({
      runs: [
        { status: 'completed', lines: [['of an earlier run']] },
        { status: 'completed', lines: [lines.slice(0, 400), lines.slice(400, 1499), lines.slice(1499)] },
      ],
    });
    expect((await get(`/${id}`)).body.logs).toEqual(lines.slice(500));
  });

  test('what the actor did not create is found all the same, where it may be read', async () => {
    const { id } = await add({ visibility: 'organization' });
    expect((await get(`/${id}`, { as: yard.viewer.token })).status).toBe(200);
  });

  test('absent, hidden, malformed and never run are one and the same 404', async () => {
    const [hidden, idle] = [await add(), await add({ runs: [], visibility: 'organization' })];
    const absent = await get(`/${v7()}`, { as: yard.strangerKey });
    expect(absent.status).toBe(404);
    expect(error(absent.body)).toEqual([]);
    expect((await get(`/${hidden.id}`, { as: yard.strangerKey })).text).toBe(absent.text);
    expect((await get(`/${idle.id}`)).text).toBe(absent.text);
    expect((await get('/taskid123')).status).toBe(404);
  });

  test('takes one round trip to the database', async () => {
    const { id } = await add({ runs: [{ status: 'completed', lines: [['one']] }] });
    await get(`/${id}`);
    const { value, count } = await countingQueries(server, () => get(`/${id}`));
    expect(value.status).toBe(200);
    expect(count).toBe(1);
  });
});

describe('GET /api/v1/task', () => {
  test('a person gets what they created, newest first, and nothing else', async () => {
    const [mine, mineToo] = [
      await add({ createdBy: yard.outsider.id }),
      await add({ createdBy: yard.outsider.id, visibility: 'private' }),
    ];
    await add({ visibility: 'organization' });
    const reply = await get('', { as: yard.outsider.token });
    expect(reply.status).toBe(200);
    expect(list(reply.body)).toEqual([]);
    expect(idsOf(reply)).toEqual([mineToo.id, mine.id]);
  });

  test('a key without a user gets every task it may read, but none of another organisation', async () => {
    const [one, two] = [await add({ createdBy: yard.member.id, visibility: 'private' }), await add()];
    expect(idsOf(await get(''))).toEqual(expect.arrayContaining([one.id, two.id]));
    expect((await get('', { as: yard.strangerKey })).body).toEqual([]);
  });

  test('a person without tasks gets an empty array', async () => {
    expect((await get('', { as: yard.viewer.token })).text).toBe('[]');
  });

  test('unknown parameters are ignored; a bad limit or cursor is 400', async () => {
    expect((await get('?sort=name&limit=1')).status).toBe(200);
    for (const query of ['?limit=0', '?limit=101', '?limit=x', '?limit=1&limit=2', '?cursor=x', '?cursor=']) {
      const reply = await get(query);
      expect(reply.status).toBe(400);
      expect(error(reply.body)).toEqual([]);
    }
  });

  test('a long list is streamed whole, in a few statements: each task once, newest first', async () => {
    const ids = await addManyTasks(server, { organizationId: first.id, createdBy: yard.maintainer.id }, 230);
    await get('?limit=1', { as: yard.maintainer.token });
    const { value, count } = await countingQueries(server, () => get('', { as: yard.maintainer.token }));
    expect(value.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(list(value.body)).toEqual([]);
    expect(idsOf(value)).toEqual(ids);
    expect(count).toBe(3);
  });

  test('pages by limit and cursor hold the same, and Link names the next until there is none', async () => {
    const ids = idsOf(await get('', { as: yard.maintainer.token }));
    const walked: string[] = [];
    let pages = 0;
    for (let path: string | null = '/api/v1/task?limit=60&note=kept'; path !== null; pages += 1) {
      const reply: Reply = await server.call('GET', path, { as: yard.maintainer.token });
      expect(list(reply.body)).toEqual([]);
      walked.push(...idsOf(reply));
      path = nextPath(reply);
    }
    expect(walked).toEqual(ids);
    expect(pages).toBe(Math.ceil(ids.length / 60));
  });

  test('a cursor is no good to another person', async () => {
    const page = await get('?limit=1', { as: yard.maintainer.token });
    const cursor = new URL(nextPath(page) ?? '', server.url).searchParams.get('cursor') ?? '';
    expect((await get(`?cursor=${encodeURIComponent(cursor)}`, { as: yard.maintainer.token })).status).toBe(200);
    expect((await get(`?cursor=${encodeURIComponent(cursor)}`, { as: yard.outsider.token })).status).toBe(400);
  });

  test('results of several megabytes go out in small batches, each once', async () => {
    const output = { text: 'x'.repeat(900_000) };
    const added = [];
    for (let number = 0; number < 12; number += 1) {
      added.push((await add({ createdBy: yard.admin.id, runs: [{ status: 'completed', output }] })).id);
    }
    const { value, count } = await countingQueries(server, () => get('', { as: yard.admin.token }));
    expect(idsOf(value)).toEqual(added.reverse());
    expect(count).toBeGreaterThan(2);
    const page = await get('?limit=7', { as: yard.admin.token });
    expect(idsOf(page)).toEqual(added.slice(0, 7));
    expect(idsOf(await server.call('GET', nextPath(page) ?? '', { as: yard.admin.token }))).toEqual(added.slice(7));
  });

  test('a failure after the first byte breaks the connection; before it, it is a 500', async () => {
    const as = yard.maintainer.token;
    await get('?limit=1', { as });
    await expect(failingFrom(server, 2, () => get('', { as }))).rejects.toThrow();
    const reply = await failingFrom(server, 1, () => get('', { as }));
    expect(reply.status).toBe(500);
    expect(error(reply.body)).toEqual([]);
    expect(reply.text).not.toContain('secret detail');
  });
});

describe('DELETE /api/v1/task/{id}', () => {
  test('answers the object as it was, and the task is gone for every reader of every surface', async () => {
    const { id } = await add({
      runs: [{ status: 'completed', output: { a: 1 }, lines: [['bye']] }],
      visibility: 'organization',
    });
    const before = await get(`/${id}`);
    const { body: counted } = await server.call('GET', '/v1/task?limit=1');
    const reply = await remove(id);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual(before.body);
    for (const as of [BOOTSTRAP_KEY, yard.viewer.token]) {
      expect((await get(`/${id}`, { as })).status).toBe(404);
      expect((await server.call('GET', `/v1/task/${id}`, { as })).status).toBe(404);
      expect((await server.call('GET', `/api/v1/tasks/${id}`, { as })).status).toBe(404);
      expect((await server.call('GET', `/api/tasks?id=${id}`, { as })).body.tasks).toEqual([]);
    }
    expect((await server.call('GET', '/v1/task?limit=1')).body.totalTasks).toBe(counted.totalTasks - 1);
    expect((await remove(id)).status).toBe(404);
  });

  test('running work is ended: its stream says so and its lease is void', async () => {
    const { id, runIds } = await add({ runs: [{ status: 'running', attempts: [{ status: 'running' }] }] });
    expect((await remove(id)).body.status).toBe('running');
    const late = await server.call('POST', `/api/v1/worker/runs/${runIds[0]}/heartbeat`, {
      body: { fence: '1.nonce' },
    });
    expect(late.status).toBe(409);
  });

  test('of two that delete the same task, one gets it', async () => {
    const { id } = await add();
    const statuses = (await Promise.all([remove(id), remove(id)])).map((reply) => reply.status);
    expect(statuses.sort()).toEqual([200, 404]);
  });

  test('readable but not yours is 403, a stranger’s is 404, as if absent', async () => {
    const { id } = await add({ visibility: 'organization' });
    for (const as of [yard.viewer.token, yard.member.token]) {
      const refused = await remove(id, { as });
      expect(refused.status).toBe(403);
      expect(error(refused.body)).toEqual([]);
    }
    const hidden = await remove(id, { as: yard.strangerKey });
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe((await remove(v7(), { as: yard.strangerKey })).text);
    expect((await get(`/${id}`)).status).toBe(200);
  });

  test('what was never run is not here to delete', async () => {
    const { id } = await add({ runs: [] });
    expect((await remove(id)).status).toBe(404);
    expect((await server.call('GET', `/api/v1/tasks/${id}`)).status).toBe(200);
  });
});

describe('refusals before any handler', () => {
  test.each([
    ['no credential', 401, () => get('', { as: null })],
    ['a bad key', 401, () => get('', { as: { header: 'apikey', value: 'apikey123' } })],
    ['an unknown method', 404, () => server.call('POST', '/api/v1/task', { body: {} })],
    ['an unknown path', 404, () => get(`/${v7()}/more`)],
    ['a worker key', 403, () => get('', { as: yard.workerKey })],
  ] as const)('%s is %i, in the surface’s own shape', async (_what, status, send) => {
    const reply = await send();
    expect(reply.status).toBe(status);
    expect(error(reply.body)).toEqual([]);
  });
});

test('the document shows the page’s own scheme first', async () => {
  const { body } = await server.call('GET', '/openapi.json');
  for (const operation of [
    body.paths['/api/v1/task'].get,
    body.paths['/api/v1/task/{id}'].get,
    body.paths['/api/v1/task/{id}'].delete,
  ]) {
    expect(Object.keys(operation.security[0])).toEqual(['apikey']);
    expect(operation.security).toHaveLength(4);
  }
});

function nextPath(reply: Reply): string | null {
  const link = /^<([^>]+)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1];
  if (link === undefined) {
    return null;
  }
  const url = new URL(link);
  return `${url.pathname}${url.search}`;
}
