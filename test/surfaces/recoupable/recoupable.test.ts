import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { v7 } from 'uuid';
import { type Yard, makeYard } from '../../support/actors.js';
import { type CallOptions, type Reply, type TestServer, startServer } from '../../support/server.js';
import { contract } from '../support/contract.js';
import { addManyTasks, addTask, countingQueries, failingFrom, firstOrganization } from '../support/rows.js';

const tasks = contract('recoupable/tasks');
const runs = contract('recoupable/runs');
const error = contract('recoupable/error');
const runsError = contract('recoupable/runs-error');

let server: TestServer;
let yard: Yard;
let first: Awaited<ReturnType<typeof firstOrganization>>;
let artist: string;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
  first = await firstOrganization(server);
  artist = await account({ name: 'The Band', kind: 'artist' });
});
afterAll(() => server.stop());

const call = (method: string, options: CallOptions = {}, query = ''): Promise<Reply> =>
  server.call(method, `/api/tasks${query}`, options);
const get = (query = '', options: CallOptions = {}): Promise<Reply> => call('GET', options, query);
const add = (row: Partial<Parameters<typeof addTask>[1]> = {}) =>
  addTask(server, { organizationId: first.id, createdBy: first.keyId, ...row });
const newTask = (more: object = {}): object => ({
  title: 'Weekly digest',
  prompt: 'Sum it up.',
  schedule: '0 9 * * 1',
  artist_account_id: artist,
  ...more,
});

async function account(body: object): Promise<string> {
  const reply = await server.call('POST', '/api/v1/accounts', { body });
  expect(reply.status).toBe(201);
  return reply.body.id;
}

async function made(more: object = {}, options: CallOptions = {}): Promise<Record<string, unknown> & { id: string }> {
  const reply = await call('POST', { ...options, body: newTask(more) });
  expect([reply.status, reply.text.slice(0, 300)]).toEqual([200, expect.any(String)]);
  expect(tasks(reply.body)).toEqual([]);
  return reply.body.tasks[0];
}

describe('POST', () => {
  test('makes a task with its schedule, and starts no run', async () => {
    const accountId = await account({ name: 'Label', kind: 'customer', email: 'label@example.org' });
    const task = await made({ account_id: accountId, model: 'small', timezone: 'Europe/London' });
    expect(task).toMatchObject({
      title: 'Weekly digest',
      prompt: 'Sum it up.',
      schedule: '0 9 * * 1',
      timezone: 'Europe/London',
      account_id: accountId,
      artist_account_id: artist,
      enabled: true,
      recent_runs: [],
      owner_email: 'label@example.org',
      model: 'small',
    });
    expect(task['trigger_schedule_id']).toEqual(expect.any(String));
    const detail = await server.call('GET', `/api/v1/tasks/${task.id}`);
    expect(detail.body.stream.hasStream).toBe(false);
    expect((await get(`?id=${task.id}`)).body.tasks).toEqual([task]);
  });

  test('the next five fires are computed in the schedule’s zone before it ever ran', async () => {
    const task = await made({ schedule: '30 9 * * 1-5', timezone: 'Asia/Tokyo' });
    const upcoming = task['upcoming'];
    expect(upcoming).toHaveLength(5);
    for (const moment of upcoming as string[]) {
      expect(moment).toMatch(/T00:30:00\.000Z$/);
      expect(Date.parse(moment)).toBeGreaterThan(server.clock.nowMs());
    }
    expect([...(upcoming as string[])].sort()).toEqual(upcoming);
  });

  test('the creator’s e-mail owns a task whose account has none', async () => {
    const accountId = await account({ name: 'Silent', kind: 'customer' });
    expect(await made({ account_id: accountId }, { as: yard.member.token })).toMatchObject({
      owner_email: yard.member.email,
    });
    expect(await made({ account_id: accountId })).toMatchObject({ owner_email: null });
  });

  test('the same Idempotency-Key and body get the same reply, and one task', async () => {
    const headers = { 'idempotency-key': v7() };
    const [one, again] = [
      await call('POST', { body: newTask(), headers }),
      await call('POST', { body: newTask(), headers }),
    ];
    expect(again.body).toEqual(one.body);
    expect([one.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    const other = await call('POST', { body: newTask({ title: 'Other' }), headers });
    expect(other.status).toBe(422);
    expect(error(other.body)).toEqual([]);
  });

  test.each([
    ['title', { title: undefined }],
    ['prompt', { prompt: undefined }],
    ['schedule', { schedule: undefined }],
    ['artist_account_id', { artist_account_id: undefined }],
    ['artist_account_id', { artist_account_id: 'x' }],
    ['artist_account_id', { artist_account_id: v7() }],
    ['account_id', { account_id: v7() }],
    ['account_id', { account_id: 7 }],
    ['schedule', { schedule: 'every day' }],
    ['schedule', { schedule: '0 0 31 4 *' }],
    ['schedule', { schedule: '* * * * * *' }],
    ['timezone', { timezone: 'Mars/Olympus' }],
    ['model', { model: '' }],
    ['colour', { colour: 'red' }],
    ['title', { title: 'x'.repeat(501) }],
    ['title', { title: 'a\u0000b' }],
  ])('%s is named where it is wrong: %j', async (field, more) => {
    const reply = await call('POST', { body: newTask(more) });
    expect(reply.status).toBe(400);
    expect(error(reply.body)).toEqual([]);
    expect(reply.body.missing_fields).toEqual([field]);
  });

  test('a viewer may not, and a stranger’s accounts are no accounts', async () => {
    const refused = await call('POST', { as: yard.viewer.token, body: newTask() });
    expect(refused.status).toBe(403);
    expect(error(refused.body)).toEqual([]);
    const stranger = await call('POST', { as: yard.strangerKey, body: newTask() });
    expect(stranger.status).toBe(400);
    expect(stranger.body.missing_fields).toEqual(['artist_account_id']);
  });
});

describe('GET', () => {
  test('a task without schedule, account and run has every field all the same', async () => {
    const { id } = await add();
    const { status, body } = await get(`?id=${id}`);
    expect(status).toBe(200);
    expect(tasks(body)).toEqual([]);
    expect(body.tasks).toEqual([
      {
        id,
        title: 'A task',
        prompt: 'Do it.',
        schedule: '',
        timezone: null,
        account_id: null,
        artist_account_id: null,
        enabled: true,
        trigger_schedule_id: null,
        recent_runs: [],
        upcoming: [],
        owner_email: null,
        model: null,
      },
    ]);
    expect('error' in body).toBe(false);
  });

  test.each([
    ['delayed', 'DELAYED'],
    ['queued', 'QUEUED'],
    ['running', 'EXECUTING'],
    ['waiting', 'WAITING'],
    ['completed', 'COMPLETED'],
    ['failed', 'FAILED'],
    ['timed_out', 'TIMED_OUT'],
    ['expired', 'EXPIRED'],
    ['canceled', 'CANCELED'],
  ] as const)('a run that is %s is %s', async (state, word) => {
    const { id } = await add({ runs: [{ status: state }] });
    const { body } = await get(`?id=${id}`);
    expect(tasks(body)).toEqual([]);
    expect(body.tasks[0].recent_runs[0].status).toBe(word);
  });

  test('the last five runs, newest first', async () => {
    const { id, runIds } = await add({ runs: Array.from({ length: 7 }, () => ({ status: 'completed' as const })) });
    const { body } = await get(`?id=${id}`);
    expect(body.tasks[0].recent_runs.map((run: { id: string }) => run.id)).toEqual(runIds.slice(2).reverse());
  });

  test('a run has every field, in trigger.dev’s words', async () => {
    const { id, runIds } = await add({
      runs: [
        {
          status: 'failed',
          output: { imageUrl: 'https://example.org/a.png', lipsync: true },
          error: { message: 'No ink.', name: 'Error', stack_trace: 'at draw' },
          attempts: [{ status: 'lost' }, { status: 'failed' }],
        },
      ],
    });
    const { body } = await get(`?id=${id}`);
    expect(tasks(body)).toEqual([]);
    const [run] = body.tasks[0].recent_runs;
    expect(run).toMatchObject({
      id: runIds[0],
      taskIdentifier: 'digest',
      version: '1',
      isTest: false,
      costInCents: 1.5,
      baseCostInCents: 0,
      env: { id: first.id, name: 'production', user: null },
      depth: 0,
      output: { imageUrl: 'https://example.org/a.png', lipsync: true },
      error: { message: 'No ink.', name: 'Error', stackTrace: 'at draw' },
      schedule: {},
      relatedRuns: {},
      tags: [],
      metadata: {},
      idempotencyKey: null,
      delayedUntil: null,
      ttl: null,
      expiredAt: null,
      batchId: null,
      payload: null,
    });
    expect(run.durationMs).toBeGreaterThanOrEqual(1250);
    expect(run.attempts.map((attempt: { status: string }) => attempt.status)).toEqual(['FAILED', 'FAILED']);
    const again = await get(`?id=${id}`);
    expect(again.body.tasks[0].recent_runs[0].attempts).toEqual(run.attempts);
    expect(new Set(run.attempts.map((attempt: { id: string }) => attempt.id)).size).toBe(2);
  });

  test('an unknown id is 200 with none; to a stranger a hidden one is the same, byte for byte', async () => {
    const { id } = await add();
    const absent = await get(`?id=${v7()}`, { as: yard.strangerKey });
    const hidden = await get(`?id=${id}`, { as: yard.strangerKey });
    expect(absent.status).toBe(200);
    expect(absent.body).toEqual({ status: 'success', tasks: [] });
    expect(hidden.text).toBe(absent.text);
  });

  test.each(['id', 'account_id', 'artist_account_id', 'enabled', 'limit', 'cursor', 'page'])(
    'a malformed or unknown %s is 400 and named',
    async (name) => {
      for (const query of [`?${name}=x`, `?${name}=1&${name}=1`]) {
        const reply = await get(query);
        if (name === 'cursor' && query === '?cursor=x') {
          expect(reply.body.error).toContain('cursor');
        } else {
          expect(reply.body.missing_fields).toEqual([name]);
        }
        expect(reply.status).toBe(400);
        expect(error(reply.body)).toEqual([]);
      }
    },
  );

  test('filters by account, artist and enabled', async () => {
    const [one, two] = [
      await account({ name: 'One', kind: 'artist' }),
      await account({ name: 'Two', kind: 'customer' }),
    ];
    const on = await add({ accountId: two, artistAccountId: one });
    const off = await add({ accountId: two, artistAccountId: one, enabled: false });
    const ids = async (query: string): Promise<string[]> =>
      (await get(query)).body.tasks.map((task: { id: string }) => task.id);
    expect(await ids(`?account_id=${two}`)).toEqual([off.id, on.id]);
    expect(await ids(`?artist_account_id=${one}&enabled=true`)).toEqual([on.id]);
    expect(await ids(`?account_id=${two}&enabled=false`)).toEqual([off.id]);
    expect(await ids(`?account_id=${one}`)).toEqual([]);
    expect(await ids(`?id=${on.id}&enabled=false`)).toEqual([]);
  });

  test('by id takes one round trip to the database', async () => {
    const { id } = await made();
    await get(`?id=${id}`);
    const { value, count } = await countingQueries(server, () => get(`?id=${id}`));
    expect(value.status).toBe(200);
    expect(count).toBe(1);
  });

  test('the whole list is streamed: each task once, newest first; pages say where the next one is', async () => {
    const labelled = await account({ name: 'Many', kind: 'artist' });
    const ids = await addManyTasks(
      server,
      { organizationId: first.id, createdBy: first.keyId, artistAccountId: labelled },
      230,
    );
    const { value, count } = await countingQueries(server, () => get(`?artist_account_id=${labelled}`));
    expect(tasks(value.body)).toEqual([]);
    expect(value.body.tasks.map((task: { id: string }) => task.id)).toEqual(ids);
    expect(count).toBe(3);
    const walked: string[] = [];
    for (let path: string | null = `/api/tasks?artist_account_id=${labelled}&limit=90`; path !== null;) {
      const reply: Reply = await server.call('GET', path);
      expect(tasks(reply.body)).toEqual([]);
      walked.push(...reply.body.tasks.map((task: { id: string }) => task.id));
      path = nextPath(reply);
    }
    expect(walked).toEqual(ids);
    const borrowed = await get(`?artist_account_id=${labelled}&limit=90`);
    const cursor = new URL(nextPath(borrowed) ?? '', server.url).searchParams.get('cursor') ?? '';
    expect((await get(`?cursor=${encodeURIComponent(cursor)}`)).status).toBe(400);
  });

  test('a failure after the first byte breaks the connection', async () => {
    await get('?limit=1');
    await expect(failingFrom(server, 2, () => get())).rejects.toThrow();
    const whole = await failingFrom(server, 1, () => get());
    expect(whole.status).toBe(500);
    expect(error(whole.body)).toEqual([]);
    expect(whole.text).not.toContain('secret detail');
  });

  test('a disabled task has no next fires', async () => {
    const { id } = await made();
    const reply = await call('PATCH', { body: { id, enabled: false } });
    expect(reply.body.tasks[0]).toMatchObject({ enabled: false, upcoming: [], schedule: '0 9 * * 1' });
  });
});

describe('GET /api/tasks/runs', () => {
  test('a run by its id; none for one that is unknown or hidden', async () => {
    const { runIds } = await add({ runs: [{ status: 'completed', output: { captionText: 'Hi' } }] });
    const found = await server.call('GET', `/api/tasks/runs?runId=${runIds[0]}`);
    expect(found.status).toBe(200);
    expect(runs(found.body)).toEqual([]);
    expect(found.body.runs[0]).toMatchObject({ id: runIds[0], output: { captionText: 'Hi' } });
    const absent = await server.call('GET', `/api/tasks/runs?runId=${v7()}`, { as: yard.strangerKey });
    const hidden = await server.call('GET', `/api/tasks/runs?runId=${runIds[0]}`, { as: yard.strangerKey });
    expect(absent.body).toEqual({ status: 'success', runs: [] });
    expect(hidden.text).toBe(absent.text);
  });

  test.each(['', '?runId=x', '?runId='])('%j is 400 with runs: []', async (query) => {
    const reply = await server.call('GET', `/api/tasks/runs${query}`);
    expect(reply.status).toBe(400);
    expect(runsError(reply.body)).toEqual([]);
    expect(reply.body.missing_fields).toEqual(['runId']);
  });

  test('takes one round trip to the database', async () => {
    const { runIds } = await add({ runs: [{ status: 'completed' }] });
    const { count } = await countingQueries(server, () => server.call('GET', `/api/tasks/runs?runId=${runIds[0]}`));
    expect(count).toBe(1);
  });
});

describe('PATCH', () => {
  test('changes what is given and leaves the rest', async () => {
    const { id } = await made({ model: 'small' });
    const reply = await call('PATCH', {
      body: { id, title: 'Daily', schedule: '0 8 * * *', timezone: 'Asia/Tokyo', model: null },
    });
    expect(reply.status).toBe(200);
    expect(tasks(reply.body)).toEqual([]);
    expect(reply.body.tasks[0]).toMatchObject({
      id,
      title: 'Daily',
      prompt: 'Sum it up.',
      schedule: '0 8 * * *',
      timezone: 'Asia/Tokyo',
      model: null,
    });
    expect((await get(`?id=${id}`)).body.tasks).toEqual(reply.body.tasks);
  });

  test('null takes the schedule away, and a later one gives it a new, in the zone it had', async () => {
    const { id } = await made({ timezone: 'America/Lima' });
    const without = await call('PATCH', { body: { id, schedule: null } });
    expect(without.body.tasks[0]).toMatchObject({
      schedule: '',
      timezone: null,
      trigger_schedule_id: null,
      upcoming: [],
    });
    const zone = await call('PATCH', { body: { id, timezone: 'Asia/Tokyo' } });
    expect([zone.status, zone.body.missing_fields]).toEqual([400, ['schedule']]);
    const again = await call('PATCH', { body: { id, schedule: '0 7 * * *' } });
    expect(again.body.tasks[0]).toMatchObject({ schedule: '0 7 * * *', timezone: 'America/Lima' });
  });

  test.each([
    [{}, 'id'],
    [{ id: 'x' }, 'id'],
    [{ id: v7(), visibility: 'private' }, 'visibility'],
    [{ id: v7(), enabled: 'no' }, 'enabled'],
  ])('%j is 400', async (body, field) => {
    const reply = await call('PATCH', { body });
    expect(reply.status).toBe(400);
    expect(error(reply.body)).toEqual([]);
    expect(reply.body.missing_fields).toContain(field);
  });

  test('readable but not yours is 403, a stranger’s is 404, as if absent', async () => {
    const { id } = await add({ visibility: 'organization' });
    for (const as of [yard.viewer.token, yard.member.token]) {
      expect((await get(`?id=${id}`, { as })).body.tasks).toHaveLength(1);
      const refused = await call('PATCH', { as, body: { id, title: 'Mine' } });
      expect(refused.status).toBe(403);
      expect(error(refused.body)).toEqual([]);
    }
    const hidden = await call('PATCH', { as: yard.strangerKey, body: { id, title: 'Mine' } });
    const absent = await call('PATCH', { as: yard.strangerKey, body: { id: v7(), title: 'Mine' } });
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe(absent.text);
    expect(error(hidden.body)).toEqual([]);
    expect((await get(`?id=${id}`)).body.tasks[0].title).toBe('A task');
  });
});

describe('DELETE', () => {
  test('by id in the body, or in the query', async () => {
    const [one, two] = [await made(), await made()];
    const body = await call('DELETE', { body: { id: one.id } });
    const query = await call('DELETE', {}, `?id=${two.id}`);
    for (const [reply, { id }] of [
      [body, one],
      [query, two],
    ] as const) {
      expect([reply.status, reply.body]).toEqual([200, { status: 'success' }]);
      expect((await get(`?id=${id}`)).body.tasks).toEqual([]);
    }
    expect((await call('DELETE', { body: { id: one.id } })).status).toBe(404);
  });

  test('no id, two that differ, or a malformed one is 400', async () => {
    for (const reply of [
      await call('DELETE'),
      await call('DELETE', { body: { id: v7() } }, `?id=${v7()}`),
      await call('DELETE', { body: { id: 'x' } }),
      await call('DELETE', {}, '?id=x'),
    ]) {
      expect(reply.status).toBe(400);
      expect(error(reply.body)).toEqual([]);
      expect(reply.body.missing_fields).toEqual(['id']);
    }
  });

  test('readable but not yours is 403, a stranger’s is 404, as if absent', async () => {
    const { id } = await add({ visibility: 'organization' });
    for (const as of [yard.viewer.token, yard.member.token]) {
      expect((await call('DELETE', { as }, `?id=${id}`)).status).toBe(403);
    }
    const hidden = await call('DELETE', { as: yard.strangerKey }, `?id=${id}`);
    const absent = await call('DELETE', { as: yard.strangerKey }, `?id=${v7()}`);
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe(absent.text);
    expect((await get(`?id=${id}`)).body.tasks).toHaveLength(1);
  });
});

describe('refusals before any handler', () => {
  test.each([
    ['no credential', 401, () => get('', { as: null })],
    ['an unknown path', 404, () => server.call('GET', '/api/tasks/nothing')],
    ['an unknown method', 404, () => call('PUT', { body: {} })],
    ['a body past 1 MiB', 413, () => call('POST', { body: newTask({ prompt: 'x'.repeat(1_100_000) }) })],
    [
      'another content type',
      415,
      () => call('POST', { body: 'title=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    ],
    ['broken JSON', 400, () => call('POST', { body: '{"title":' })],
    ['a body too deep', 400, () => call('POST', { body: `${'['.repeat(70)}${']'.repeat(70)}` })],
    ['a body that is no object', 400, () => call('POST', { body: '[]' })],
    ['no body', 400, () => call('POST')],
  ] as const)('%s is %i, in the surface’s own shape', async (_what, status, send) => {
    const reply = await send();
    expect(reply.status).toBe(status);
    expect(error(reply.body)).toEqual([]);
  });

  test('under /runs they have runs instead of tasks', async () => {
    const reply = await server.call('GET', `/api/tasks/runs?runId=${v7()}`, { as: null });
    expect(reply.status).toBe(401);
    expect(runsError(reply.body)).toEqual([]);
  });
});

test('the document shows the page’s own schemes first', async () => {
  const { body } = await server.call('GET', '/openapi.json');
  const { security } = body.paths['/api/tasks'].get;
  expect(security.slice(0, 2).map((scheme: object) => Object.keys(scheme)[0])).toEqual(['x-api-key', 'bearer']);
  expect(security).toHaveLength(4);
});

function nextPath(reply: Reply): string | null {
  const link = /^<([^>]+)>; rel="next"$/.exec(reply.headers.get('link') ?? '')?.[1];
  if (link === undefined) {
    return null;
  }
  const url = new URL(link);
  return `${url.pathname}${url.search}`;
}
