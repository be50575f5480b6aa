import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let taskId: string;
let before: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  taskId = (await server.call('POST', '/api/v1/tasks', { body: { prompt: 'kept as it is', start: false } })).body.task
    .id;
});

afterAll(async () => {
  await server.stop();
});

/** All that a request about tasks could leave behind, as one text. */
async function stored(): Promise<string> {
  const row = await server.database.row<{ all: unknown }>(sql`select json_build_array(
    (select json_agg(t order by t.id) from tasks t), (select count(*) from runs), (select count(*) from messages),
    (select json_agg(s order by s.id) from schedules s), (select count(*) from task_shares), (select count(*) from idempotency_records)) as all`);
  return JSON.stringify(row);
}

beforeEach(async () => {
  before = await stored();
});

const KIB = 1024;
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const task = (rest: string): string => `{"prompt":"x",${rest}}`;

async function refused(reply: Reply, status: number, path?: string): Promise<void> {
  expect([reply.status, reply.headers.get('content-type')]).toEqual([
    status,
    'application/problem+json; charset=utf-8',
  ]);
  expect(reply.body).toMatchObject({
    status,
    code: expect.any(String),
    request_id: expect.any(String),
    detail: expect.any(String),
  });
  if (path !== undefined) {
    expect(reply.body.errors.map((issue: { path: string }) => issue.path)).toContain(path);
  }
  expect(reply.text).not.toMatch(/select |insert |at .*\.ts|node_modules/i);
  expect(await stored()).toBe(before);
}

describe('a body that is no acceptable JSON is refused, and nothing is stored', () => {
  test.each([
    ['half an object', '{"prompt":', 400],
    ['nothing', '', 400],
    ['an array', '[]', 400],
    ['text', '"prompt"', 400],
    ['null', 'null', 400],
    ['NUL in a text', task('"title":"a\\u0000b"'), 400],
    ['NUL in a name', task('"metadata":{"a\\u0000":1}'), 400],
    ['half a surrogate pair', task('"title":"\\ud800"'), 400],
    ['a number past 2^53', task('"metadata":{"n":9007199254740993}'), 400],
    ['a number past all numbers', task('"payload":1e999'), 400],
    ['65 levels', task(`"payload":${nested(64)}`), 400],
    ['a name twice', '{"prompt":"x","prompt":"y"}', 400],
    ['__proto__', task('"metadata":{"__proto__":{"admin":true}}'), 400],
    ['more than 2 MiB', task(`"payload":"${'x'.repeat(2 * KIB * KIB)}"`), 413],
  ])('%s', async (_, body, status) => {
    await refused(
      await server.call('POST', '/api/v1/tasks', { body, headers: { 'content-type': 'application/json' } }),
      status,
    );
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml'])(
    'the content type %s',
    async (type) => {
      await refused(
        await server.call('POST', '/api/v1/tasks', { body: '{"prompt":"x"}', headers: { 'content-type': type } }),
        415,
      );
    },
  );
});

describe('a field that cannot be is refused by its pointer, and nothing is stored', () => {
  const id = '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33';
  test.each<[string, object, string]>([
    ['by name', { agent: 'nobody' }, '/agent'],
    ['by id', { agent_id: id }, '/agent_id'],
  ])('an agent that is not there %s is not found at once, and not when the run is due', async (_, fields, path) => {
    await refused(await server.call('POST', '/api/v1/tasks', { body: { prompt: 'x', ...fields } }), 404, path);
  });

  test.each<[string, object, string]>([
    ['no prompt', { prompt: undefined }, '/prompt'],
    ['an empty prompt', { prompt: '' }, '/prompt'],
    ['a prompt of another type', { prompt: { text: 'x' } }, '/prompt'],
    ['a prompt over 1 MiB', { prompt: 'é'.repeat(600 * KIB) }, '/prompt'],
    ['a payload over 1 MiB', { payload: 'x'.repeat(KIB * KIB) }, '/payload'],
    ['metadata over 64 KiB', { metadata: { a: 'x'.repeat(64 * KIB) } }, '/metadata'],
    ['metadata that is no object', { metadata: [1] }, '/metadata'],
    ['an empty title', { title: '' }, '/title'],
    ['a title of 501 characters', { title: '🙂'.repeat(501) }, '/title'],
    ['11 tags', { tags: Array.from({ length: 11 }, (_, index) => `t${index}`) }, '/tags'],
    ['a tag of 65 characters', { tags: ['x'.repeat(65)] }, '/tags/0'],
    ['an empty tag', { tags: ['a', ''] }, '/tags/1'],
    ['a priority past 100', { priority: 101 }, '/priority'],
    ['a priority between', { priority: 0.5 }, '/priority'],
    ['no attempts', { max_attempts: 0 }, '/max_attempts'],
    ['an unknown visibility', { visibility: 'public' }, '/visibility'],
    ['team visibility without a team', { visibility: 'team' }, '/visibility'],
    ['a malformed id', { team_id: 'red' }, '/team_id'],
    ['an absent team', { team_id: id }, '/team_id'],
    ['an absent project', { project_id: id }, '/project_id'],
    ['an absent account', { account_id: id }, '/account_id'],
    ['an absent artist', { artist_account_id: id }, '/artist_account_id'],
    ['an absent agent in run_config', { run_config: { agent_ids: [id] } }, '/run_config/agent_ids/0'],
    ['6 iterations', { run_config: { max_iterations: 6 } }, '/run_config/max_iterations'],
    ['3 steps', { run_config: { max_steps: 3 } }, '/run_config/max_steps'],
    ['an unknown part of run_config', { run_config: { temperature: 1 } }, '/run_config/temperature'],
    ['two models', { model: 'a', run_config: { model: 'b' } }, '/model'],
    ['an unknown field', { promt: 'x' }, '/promt'],
    ['start that is no boolean', { start: 'yes' }, '/start'],
    ['a delay that is none', { delay: '1h' }, '/delay'],
    ['a time to live that is none', { ttl: '1h' }, '/ttl'],
    ['a schedule without cron', { schedule: { timezone: 'UTC' } }, '/schedule/cron'],
    ['a schedule that is none', { schedule: { cron: 'daily' } }, '/schedule/cron'],
    ['a schedule that never fires', { schedule: { cron: '0 0 31 4 *' } }, '/schedule/cron'],
    ['a schedule by the second', { schedule: { cron: '* * * * * *' } }, '/schedule/cron'],
    ['an unknown zone', { schedule: { cron: '0 9 * * *', timezone: 'Nope/Zone' } }, '/schedule/timezone'],
    ['two rules in one schedule', { schedule: { cron: '0 9 * * *', every_seconds: 60 } }, '/schedule/every_seconds'],
    ['a schedule by less than the floor', { schedule: { every_seconds: 59 } }, '/schedule/every_seconds'],
    ['a schedule in the past', { schedule: { at: '2020-01-01T00:00:00Z' } }, '/schedule/at'],
    ['a jitter that is none', { schedule: { cron: '0 9 * * *', jitter_seconds: -1 } }, '/schedule/jitter_seconds'],
    ['an unknown part of a schedule', { schedule: { cron: '0 9 * * *', when: 1 } }, '/schedule/when'],
  ])('%s', async (_, fields, path) => {
    await refused(await server.call('POST', '/api/v1/tasks', { body: { prompt: 'x', ...fields } }), 400, path);
  });
});

test('a field of a later version is refused as not available, never silently accepted', async () => {
  const reply = await server.call('PATCH', `/api/v1/tasks/${taskId}`, { body: { concurrency_key: 'page' } });
  expect(reply.body.code).toBe('not-available');
  await refused(reply, 400, '/concurrency_key');
});

describe('a change that cannot be leaves the task as it is', () => {
  test.each<[string, object]>([
    ['no title', { title: null }],
    ['no prompt', { prompt: null }],
    ['no visibility', { visibility: null }],
    ['an unknown field', { status: 'completed' }],
    ['the creator', { created_by: 'me@example.com' }],
    ['tags past their number', { tags: Array.from({ length: 11 }, () => 'x') }],
    ['half a good change', { title: 'good', priority: 1000 }],
    [
      'half a good change that the database finds out',
      { title: 'good', account_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33' },
    ],
    ['a schedule without cron', { title: 'good', schedule: { name: 'x' } }],
  ])('%s', async (_, body) => {
    await refused(await server.call('PATCH', `/api/v1/tasks/${taskId}`, { body }), 400);
  });

  test('nor does an empty one change more than the moment', async () => {
    const reply = await server.call('PATCH', `/api/v1/tasks/${taskId}`, { body: {} });
    expect([reply.status, reply.body.task.title]).toEqual([200, 'kept as it is']);
  });
});

describe('an id that is none is an absent one', () => {
  test.each([
    'not-an-id',
    '1',
    '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e3',
    '%00',
    '..%2f..%2fetc',
    'a'.repeat(300),
    '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33',
  ])('%s', async (id) => {
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PATCH', '', {}],
      ['DELETE', '', undefined],
      ['GET', '/shares', undefined],
      ['POST', '/messages', { text: 'x' }],
    ] as const) {
      const reply = await server.call(method, `/api/v1/tasks/${id}${path}`, body === undefined ? {} : { body });
      expect([method, path, reply.status < 500 && reply.status >= 400]).toEqual([method, path, true]);
    }
    expect(await stored()).toBe(before);
  });
});

describe('a key that is none is refused before anything happens', () => {
  test.each(['with space', 'x'.repeat(256), 'umlaut-ü'])('%s', async (key) => {
    const reply = await fetch(`${server.url}/api/v1/tasks`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer test_bootstrap_key_0123456789_0123456789',
        'idempotency-key': Buffer.from(key).toString('latin1'),
      },
      body: '{"prompt":"x"}',
    });
    expect(reply.status).toBe(400);
    expect(await stored()).toBe(before);
  });
});
