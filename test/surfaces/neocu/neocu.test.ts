import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { v7 } from 'uuid';
import { type Yard, key, makeYard } from '../../support/actors.js';
import { BOOTSTRAP_KEY, type Reply, type TestServer, startServer } from '../../support/server.js';
import { contract } from '../support/contract.js';
import { addManyTasks, addTask, countingQueries, failingFrom, firstOrganization } from '../support/rows.js';

const page = contract('neocu/page');
const single = contract('neocu/single');
const error = contract('neocu/error');

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
const get = (path: string, as?: Parameters<TestServer['call']>[2]): Promise<Reply> => server.call('GET', path, as);

describe('GET /v1/task/{id}', () => {
  test.each([
    ['delayed', 'generating'],
    ['queued', 'generating'],
    ['running', 'generating'],
    ['waiting', 'generating'],
    ['completed', 'completed'],
    ['failed', 'failed'],
    ['timed_out', 'failed'],
    ['expired', 'failed'],
    ['canceled', 'failed'],
  ] as const)('a task whose latest run is %s is %s', async (state, word) => {
    const { id } = await add({ runs: [{ status: 'completed' }, { status: state }] });
    const reply = await get(`/v1/task/${id}`);
    expect(reply.status).toBe(200);
    expect(single(reply.body)).toEqual([]);
    expect(reply.body.task).toMatchObject({ _id: id, status: word });
  });

  test('the message is the last 50 lines of the latest run, its error last', async () => {
    const lines = Array.from({ length: 70 }, (_, index) => `line ${index + 1}`);
    const { id } = await add({
      runs: [
        { status: 'completed', lines: [['of an earlier run']] },
        {
          status: 'failed',
          lines: [lines.slice(0, 10), lines.slice(10, 65), lines.slice(65)],
          error: { message: 'No ink.', name: 'Error', stack_trace: 'at secret.ts:1' },
        },
      ],
    });
    const { body, text } = await get(`/v1/task/${id}`);
    expect(body.task.message).toEqual([...lines.slice(-49), 'No ink.']);
    expect(text).not.toContain('secret.ts');
  });

  test('without a line the message is an empty array', async () => {
    const { id } = await add();
    expect((await get(`/v1/task/${id}`)).body.task.message).toEqual([]);
  });

  test('assets have every field, files are left out, and only what is ready has links', async () => {
    const { id, assetIds } = await add({
      assets: [
        { name: 'chart.png', type: 'image', status: 'ready' },
        { name: 'talk.mp3', type: 'voice', status: 'processing' },
        { name: 'scene.glb', type: '3d', status: 'failed' },
        { name: 'notes.txt', type: 'file', status: 'ready' },
      ],
    });
    const { body } = await get(`/v1/task/${id}`);
    expect(single(body)).toEqual([]);
    expect(
      body.asset.map((asset: Record<string, unknown>) => [asset['_id'], asset['name'], asset['type'], asset['status']]),
    ).toEqual([
      [assetIds[0], 'chart.png', 'image', 'completed'],
      [assetIds[1], 'talk.mp3', 'voice', 'generating'],
      [assetIds[2], 'scene.glb', '3d', 'failed'],
    ]);
    const url = new URL(body.asset[0].url);
    expect(url.pathname).toContain(assetIds[0]);
    const lifetime = Number(url.searchParams.get('expires')) * 1000 - server.clock.nowMs();
    expect(lifetime).toBeLessThanOrEqual(3_600_000);
    expect(lifetime).toBeGreaterThan(3_500_000);
    const page = /^<iframe src="([^"]+)"/.exec(body.asset[0].embed)?.[1]?.replaceAll('&amp;', '&');
    for (const link of [body.asset[0].thumbnail, page].filter((text: string) => text !== '')) {
      expect(new URL(link).searchParams.get('signature')).toBe(url.searchParams.get('signature'));
    }
    for (const asset of body.asset.slice(1)) {
      expect(asset).toMatchObject({ url: '', thumbnail: '', embed: '' });
    }
  });

  test('a task that was never run is not there', async () => {
    const { id } = await add({ runs: [] });
    expect((await get(`/v1/task/${id}`)).status).toBe(404);
  });

  test('a viewer reads what the organisation may see', async () => {
    const { id } = await add({ visibility: 'organization' });
    expect((await get(`/v1/task/${id}`, { as: yard.viewer.token })).status).toBe(200);
  });

  test('to a stranger a task is as absent as one that never was, byte for byte', async () => {
    const { id } = await add();
    const hidden = await get(`/v1/task/${id}`, { as: yard.strangerKey });
    const absent = await get(`/v1/task/${v7()}`, { as: yard.strangerKey });
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe(absent.text);
    expect(error(hidden.body)).toEqual([]);
  });

  test('another’s private task is absent too', async () => {
    const { id } = await add({ visibility: 'private', createdBy: yard.member.id });
    expect((await get(`/v1/task/${id}`, { as: yard.maintainer.token })).status).toBe(404);
    expect((await get(`/v1/task/${id}`, { as: yard.member.token })).status).toBe(200);
  });

  test('what is no id at all is 404', async () => {
    const reply = await get('/v1/task/taskid123');
    expect(reply.status).toBe(404);
    expect(error(reply.body)).toEqual([]);
  });

  test('takes one round trip to the database', async () => {
    const { id } = await add({ assets: [{}], runs: [{ status: 'completed', lines: [['one']] }] });
    await get(`/v1/task/${id}`);
    const { value, count } = await countingQueries(server, () => get(`/v1/task/${id}`));
    expect(value.status).toBe(200);
    expect(count).toBe(1);
  });
});

describe('GET /v1/task', () => {
  test('absent and empty parameters are their defaults, and unknown ones are ignored', async () => {
    await addManyTasks(server, { organizationId: first.id, createdBy: first.keyId }, 20);
    for (const query of ['', '?page=&limit=', '?page=1&limit=15&sort=name&sort=date']) {
      const { status, body } = await get(`/v1/task${query}`);
      expect(status).toBe(200);
      expect(page(body)).toEqual([]);
      expect(body.currentPage).toBe(1);
      expect(body.taskList).toHaveLength(15);
      expect(body.totalPages).toBe(Math.ceil(body.totalTasks / 15));
    }
  });

  test('a limit over 100 is 100, and totalPages counts with it', async () => {
    await addManyTasks(server, { organizationId: first.id, createdBy: first.keyId }, 105);
    const { body } = await get('/v1/task?limit=5000');
    expect(page(body)).toEqual([]);
    expect(body.taskList).toHaveLength(100);
    expect(body.totalPages).toBe(Math.ceil(body.totalTasks / 100));
  });

  test.each(['0', '-1', '1.5', '01', 'abc', '1e3', ' 1', '12345678901', '%00', '१'])('page=%s is 400', async (text) => {
    for (const name of ['page', 'limit']) {
      const reply = await get(`/v1/task?${name}=${text}`);
      expect(reply.status).toBe(400);
      expect(error(reply.body)).toEqual([]);
    }
  });

  test('a parameter given twice is 400', async () => {
    const reply = await get('/v1/task?page=1&page=2');
    expect(reply.status).toBe(400);
    expect(error(reply.body)).toEqual([]);
  });

  test('the pages of the highest numbers there can be are empty, with true totals', async () => {
    const { body: known } = await get('/v1/task');
    const { status, body } = await get('/v1/task?page=999999999&limit=100');
    expect(status).toBe(200);
    expect(body).toMatchObject({ taskList: [], currentPage: 999_999_999, totalTasks: known.totalTasks });
  });

  test('an organisation without tasks has no pages', async () => {
    const { body } = await get('/v1/task', { as: yard.strangerKey });
    expect(body).toEqual({ isSuccess: true, taskList: [], totalPages: 0, currentPage: 1, totalTasks: 0 });
  });

  test('for every reach, the pages together hold each task once, newest first, and as many as totalTasks says', async () => {
    const openKey = await key(server, { name: 'open', role: 'member' });
    await add({ visibility: 'private', createdBy: yard.member.id });
    await add({ visibility: 'team', teamId: yard.teams.red, createdBy: yard.maintainer.id });
    await add({ visibility: 'team', teamId: yard.teams.green, createdBy: yard.admin.id });
    const seen = new Map<string, Set<string>>();
    for (const [who, as] of Object.entries({
      admin: BOOTSTRAP_KEY,
      open: openKey,
      member: yard.member.token,
      outsider: yard.outsider.token,
    })) {
      const ids: string[] = [];
      const dates: string[] = [];
      let totalTasks = 0;
      for (let number = 1, totalPages = 1; number <= totalPages; number += 1) {
        const { body } = await get(`/v1/task?page=${number}&limit=13`, { as });
        ({ totalPages, totalTasks } = body);
        ids.push(...body.taskList.map((item: { task: { _id: string } }) => item.task._id));
        dates.push(...body.taskList.map((item: { task: { date: string } }) => item.task.date));
      }
      expect(ids).toHaveLength(totalTasks);
      expect(new Set(ids).size).toBe(totalTasks);
      expect(dates).toEqual([...dates].sort().reverse());
      seen.set(who, new Set(ids));
    }
    // The admin key sees more than a member key, and that more than who is in no team.
    expect(seen.get('admin')?.size).toBeGreaterThan(seen.get('open')?.size ?? 0);
    expect(seen.get('open')?.size).toBeGreaterThan(seen.get('outsider')?.size ?? 0);
    expect(seen.get('member')?.size).toBeGreaterThan(seen.get('outsider')?.size ?? 0);
  });

  test('an organisation-wide key counts its own private tasks, and no one else’s', async () => {
    const openKey = await key(server, { name: 'counter', role: 'member' });
    const before = await get('/v1/task', { as: openKey });
    const row = await server.call('GET', '/api/v1/me', { as: openKey });
    await addManyTasks(server, { organizationId: first.id, createdBy: yard.member.id, visibility: 'private' }, 3);
    await addManyTasks(server, { organizationId: first.id, createdBy: row.body.api_key.id, visibility: 'private' }, 2);
    const after = await get('/v1/task', { as: openKey });
    expect(after.body.totalTasks - before.body.totalTasks).toBe(2);
  });

  test('takes one round trip to the database, whatever the reach and the page', async () => {
    for (const as of [BOOTSTRAP_KEY, yard.member.token]) {
      await get('/v1/task', { as });
      for (const number of [1, 3, 9]) {
        const { value, count } = await countingQueries(server, () => get(`/v1/task?page=${number}`, { as }));
        expect(value.status).toBe(200);
        expect(count).toBe(1);
      }
    }
  });
});

describe('refusals', () => {
  test('no credential, a bad one, and two different ones are 401', async () => {
    const credentials: Parameters<TestServer['call']>[2][] = [
      { as: null },
      { as: { header: 'api-key', value: 'nobody' } },
      { as: { header: 'api-key', value: BOOTSTRAP_KEY }, headers: { apikey: yard.workerKey } },
    ];
    for (const options of credentials) {
      const reply = await get('/v1/task', options);
      expect(reply.status).toBe(401);
      expect(error(reply.body)).toEqual([]);
      expect(reply.headers.get('www-authenticate')).not.toBeNull();
    }
  });

  test.each(['api-key', 'apikey', 'x-api-key'] as const)('a key in %s is as good as a bearer', async (header) => {
    expect((await get('/v1/task', { as: { header, value: BOOTSTRAP_KEY } })).status).toBe(200);
  });

  test('a worker key may not read tasks', async () => {
    const reply = await get('/v1/task', { as: yard.workerKey });
    expect(reply.status).toBe(403);
    expect(error(reply.body)).toEqual([]);
  });

  test('unknown paths and methods are worded by the surface', async () => {
    for (const [method, path] of [
      ['GET', '/v1/nothing'],
      ['GET', `/v1/task/${v7()}/more`],
      ['POST', '/v1/task'],
    ] as const) {
      const reply = await server.call(method, path, method === 'POST' ? { body: {} } : {});
      expect(reply.status).toBe(404);
      expect(error(reply.body)).toEqual([]);
    }
  });

  test('whatever fails inside is the page’s one sentence, and nothing more', async () => {
    await get('/v1/task');
    for (const path of ['/v1/task', `/v1/task/${v7()}`]) {
      const reply = await failingFrom(server, 1, () => get(path));
      expect(reply.status).toBe(500);
      expect(reply.text).toBe('{"error":"System Error. Please try again"}');
    }
  });
});

test('the document shows the page’s own scheme first', async () => {
  const { body } = await get('/openapi.json');
  for (const path of ['/v1/task', '/v1/task/{id}']) {
    expect(Object.keys(body.paths[path].get.security[0])).toEqual(['api-key']);
    expect(body.paths[path].get.security).toHaveLength(4);
  }
});
