import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { startServer, type Credential, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

async function task(body: object = {}, as: Credential = yard.maintainer.token): Promise<string> {
  const reply = await server.call('POST', '/api/v1/tasks', {
    as,
    body: { prompt: 'Morning digest', start: false, ...body },
  });
  expect(reply.status).toBe(201);
  return reply.body.task.id;
}

function create(body: object, as: Credential = yard.maintainer.token, headers: Record<string, string> = {}) {
  return server.call('POST', '/api/v1/schedules', { as, body, headers });
}

describe('a schedule', () => {
  test('is made, read, changed and deleted; its task stays', async () => {
    const taskId = await task();
    const made = await create({ task_id: taskId, cron: '0 9 * * 1-5', timezone: 'Europe/London' });
    expect([made.status, made.headers.get('location')]).toEqual([201, `/api/v1/schedules/${made.body.id}`]);
    expect(made.body).toEqual({
      id: expect.any(String),
      task_id: taskId,
      name: 'Morning digest',
      cron: '0 9 * * 1-5',
      every_seconds: null,
      at: null,
      timezone: 'Europe/London',
      starts_at: null,
      ends_at: null,
      enabled: true,
      overlap: 'allow',
      catch_up: 'one',
      catch_up_window_seconds: 3600,
      jitter_seconds: 0,
      pause_after_failures: null,
      consecutive_failures: 0,
      paused_at: null,
      pause_reason: null,
      next_execution_at: expect.stringMatching(/T0[89]:00:00\.000Z$/),
      last_executed_at: null,
      execution_count: 0,
      description: 'Every weekday at 09:00 in Europe/London',
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    const path = `/api/v1/schedules/${made.body.id}`;
    const as = yard.maintainer.token;
    expect((await server.call('GET', path, { as })).body).toEqual(made.body);
    const patched = await server.call('PATCH', path, {
      as,
      body: { cron: '*/15 * * * *', name: 'Often', enabled: false },
    });
    expect(patched.body).toMatchObject({
      id: made.body.id,
      name: 'Often',
      timezone: 'Europe/London',
      next_execution_at: null,
      description: 'Every 15 minutes, in Europe/London',
    });
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`, { as })).body.task.schedule_info.schedule_name).toBe(
      'Often',
    );
    expect((await server.call('DELETE', path, { as })).status).toBe(204);
    expect((await server.call('GET', path, { as })).status).toBe(404);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`, { as })).body.task.is_scheduled).toBe(false);
  });

  test('is one a task', async () => {
    const taskId = await task({ schedule: { cron: '0 9 * * *' } });
    const second = await create({ task_id: taskId, cron: '0 10 * * *' });
    expect([second.status, second.body.code]).toEqual([409, 'already-exists']);
    const wrong = await create({ task_id: taskId, cron: '61 10 * * *' });
    expect([wrong.status, wrong.body.errors[0].path]).toEqual([400, '/cron']);
    const other = await task();
    const replies = await Promise.all(Array.from({ length: 8 }, () => create({ task_id: other, cron: '0 9 * * *' })));
    expect(replies.map((reply) => reply.status).sort()).toEqual([201, 409, 409, 409, 409, 409, 409, 409]);
  });

  test('is made once for one Idempotency-Key', async () => {
    const body = { task_id: await task(), cron: '0 9 * * *' };
    const headers = { 'idempotency-key': 'schedule-once' };
    const first = await create(body, yard.maintainer.token, headers);
    const again = await create(body, yard.maintainer.token, headers);
    expect([again.status, again.headers.get('idempotency-replayed'), again.body.id]).toEqual([
      201,
      'true',
      first.body.id,
    ]);
  });

  test('goes with its task', async () => {
    const taskId = await task({ schedule: { cron: '0 9 * * *' } });
    const as = yard.maintainer.token;
    const { schedule_id: id } = (await server.call('GET', `/api/v1/tasks/${taskId}`, { as })).body.task.schedule_info;
    await server.call('DELETE', `/api/v1/tasks/${taskId}`, { as });
    expect((await server.call('GET', `/api/v1/schedules/${id}`, { as })).status).toBe(404);
    expect((await server.call('GET', '/api/v1/schedules?limit=100', { as })).body.data).not.toContainEqual(
      expect.objectContaining({ id }),
    );
  });
});

describe('when it fires', () => {
  test('is told ahead, enabled or not, as often as asked', async () => {
    const as = yard.maintainer.token;
    const { body } = await create({
      task_id: await task(),
      cron: '30 2 * * *',
      timezone: 'America/New_York',
      enabled: false,
    });
    const few = (await server.call('GET', `/api/v1/schedules/${body.id}/upcoming`, { as })).body.data;
    const many = (await server.call('GET', `/api/v1/schedules/${body.id}/upcoming?count=100`, { as })).body.data;
    expect([few.length, many.length, many.slice(0, 5)]).toEqual([5, 100, few]);
    expect(new Set(many).size).toBe(100);
    for (const count of ['0', '101', 'x', '-1', '1.5']) {
      expect([
        count,
        (await server.call('GET', `/api/v1/schedules/${body.id}/upcoming?count=${count}`, { as })).status,
      ]).toEqual([count, 400]);
    }
  });

  test('can be previewed by whoever may read schedules, and nothing is stored', async () => {
    const reply = await server.call('POST', '/api/v1/schedules/preview', {
      as: yard.viewer.token,
      body: { cron: '0 0 29 2 *', timezone: 'UTC', count: 2 },
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      cron: '0 0 29 2 *',
      every_seconds: null,
      at: null,
      timezone: 'UTC',
      description: 'At 00:00, on day 29 of the month, only in February, in UTC',
      upcoming: [expect.stringMatching(/-02-29T00:00:00\.000Z$/), expect.stringMatching(/-02-29T00:00:00\.000Z$/)],
    });
    expect((await server.call('GET', '/api/v1/schedules', { as: yard.viewer.token })).body.data).toEqual([]);
  });

  test('a preview knows intervals, single moments, beginnings and ends', async () => {
    const preview = async (body: object) => server.call('POST', '/api/v1/schedules/preview', { body });
    const bounded = { starts_at: '2100-01-01T00:00:00Z', ends_at: '2100-01-01T01:00:00+00:00' };
    expect((await preview({ every_seconds: 1800, ...bounded })).body).toMatchObject({
      description: 'Every 30 minutes',
      upcoming: ['2100-01-01T00:00:00.000Z', '2100-01-01T00:30:00.000Z'],
    });
    expect((await preview({ at: '2100-06-01T12:00:00+02:00' })).body).toMatchObject({
      at: '2100-06-01T10:00:00.000Z',
      upcoming: ['2100-06-01T10:00:00.000Z'],
    });
    expect((await preview({ cron: '@daily', timezone: 'Asia/Tokyo', ...bounded })).body.errors[0].path).toBe(
      '/ends_at',
    );
  });
});

describe('what cannot be is refused', () => {
  test.each([
    ['60 * * * *', 'The minute of this cron expression, 60, is not understood; it is 0 to 59.'],
    ['0 9 32 * *', 'The day of the month of this cron expression, 32, is not understood; it is 1 to 31, or L.'],
    [
      '0 0 9 * * FOO',
      'The day of the week of this cron expression, FOO, is not understood; it is 0 to 7, or SUN to SAT.',
    ],
  ])('%s is told which of its fields is wrong', async (cron, message) => {
    const reply = await server.call('POST', '/api/v1/schedules/preview', { body: { cron } });
    expect([reply.status, reply.body.errors]).toEqual([400, [{ path: '/cron', message }]]);
  });

  test('a preview holds what is asked to the floor of the organisation, as making it does', async () => {
    const floor = (value: number) =>
      server.call('PATCH', '/api/v1/organization', { body: { settings: { schedule_floor_seconds: value } } });
    const preview = (body: object) => server.call('POST', '/api/v1/schedules/preview', { body, as: yard.viewer.token });

    expect((await floor(300)).status).toBe(200);
    const tooOften = await preview({ every_seconds: 120 });
    expect([tooOften.status, tooOften.body.errors[0].path]).toEqual([400, '/every_seconds']);
    expect((await preview({ cron: '*/2 * * * *' })).body.errors[0].path).toBe('/cron');
    expect((await floor(5)).status).toBe(200);
    expect((await preview({ every_seconds: 10 })).status).toBe(200);
    expect((await floor(60)).status).toBe(200);
  });

  test.each<[string, object, string, string]>([
    ['no task', { cron: '0 9 * * *' }, 'invalid-request', '/task_id'],
    [
      'an absent task',
      { task_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33', cron: '0 9 * * *' },
      'invalid-request',
      '/task_id',
    ],
    ['no cron', {}, 'invalid-request', '/cron'],
    ['31 April', { cron: '0 0 31 4 *' }, 'invalid-request', '/cron'],
    ['every second', { cron: '* * * * * *' }, 'invalid-request', '/cron'],
    ['a very long one', { cron: `0 ${'1,'.repeat(150)}2 * * *` }, 'invalid-request', '/cron'],
    ['an unknown zone', { cron: '0 9 * * *', timezone: 'Moon/Base' }, 'invalid-request', '/timezone'],
    ['an empty name', { cron: '0 9 * * *', name: '' }, 'invalid-request', '/name'],
    ['an unknown field', { cron: '0 9 * * *', colour: 'red' }, 'invalid-request', '/colour'],
    ['60 minutes', { cron: '60 * * * *' }, 'invalid-request', '/cron'],
    ['too short an interval', { every_seconds: 59 }, 'invalid-request', '/every_seconds'],
    ['no interval', { every_seconds: 0 }, 'invalid-request', '/every_seconds'],
    ['two rules', { cron: '0 9 * * *', at: '2100-01-01T00:00:00Z' }, 'invalid-request', '/at'],
    ['a moment that has passed', { at: '2020-01-01T00:00:00Z' }, 'invalid-request', '/at'],
    ['a moment that is none', { at: '2030-02-30T00:00:00Z' }, 'invalid-request', '/at'],
    ['a moment out of all time', { at: '9999-01-01T00:00:00Z' }, 'invalid-request', '/at'],
    [
      'an end before the start',
      { cron: '0 9 * * *', starts_at: '2101-01-01T00:00:00Z', ends_at: '2100-01-01T00:00:00Z' },
      'invalid-request',
      '/ends_at',
    ],
    ['an end in the past', { cron: '0 9 * * *', ends_at: '2020-01-01T00:00:00Z' }, 'invalid-request', '/ends_at'],
    [
      'no slot between start and end',
      { cron: '0 9 * * *', starts_at: '2100-01-01T10:00:00Z', ends_at: '2100-01-01T11:00:00Z' },
      'invalid-request',
      '/ends_at',
    ],
    ['an overlap that is none', { cron: '0 9 * * *', overlap: 'maybe' }, 'invalid-request', '/overlap'],
    ['a catch-up that is none', { cron: '0 9 * * *', catch_up: 'some' }, 'invalid-request', '/catch_up'],
    [
      'a window that is none',
      { cron: '0 9 * * *', catch_up_window_seconds: -1 },
      'invalid-request',
      '/catch_up_window_seconds',
    ],
    ['too much jitter', { cron: '0 9 * * *', jitter_seconds: 86_401 }, 'invalid-request', '/jitter_seconds'],
    ['no failures', { cron: '0 9 * * *', pause_after_failures: 0 }, 'invalid-request', '/pause_after_failures'],
  ])('%s', async (name, fields, code, path) => {
    const taskId = name === 'no task' ? undefined : await task();
    const reply = await create({ task_id: taskId, ...fields });
    expect([reply.status, reply.body.code]).toEqual([400, code]);
    expect(reply.body.errors.map((issue: { path: string }) => issue.path)).toContain(path);
    if (taskId !== undefined) {
      expect(
        (await server.call('GET', `/api/v1/tasks/${taskId}`, { as: yard.maintainer.token })).body.task.is_scheduled,
      ).toBe(false);
    }
  });

  test('what the organisation’s floor does not allow, in any kind; a floor that is none is refused itself', async () => {
    const settings = (schedule_floor_seconds: unknown) =>
      server.call('PATCH', '/api/v1/organization', { body: { settings: { schedule_floor_seconds } } });
    for (const floor of [0, 1.5, 86_401, '60', true]) {
      expect([(await settings(floor)).status, floor]).toEqual([400, floor]);
    }
    expect((await settings(7200)).status).toBe(200);
    for (const [fields, path] of [
      [{ cron: '0 * * * *' }, '/cron'],
      [{ cron: '0 0,23 1,2 * *' }, '/cron'],
      [{ every_seconds: 3600 }, '/every_seconds'],
    ] as const) {
      const reply = await create({ task_id: await task(), ...fields });
      expect([reply.status, reply.body.errors?.[0].path]).toEqual([400, path]);
    }
    expect((await create({ task_id: await task(), cron: '0 */2 * * *' })).status).toBe(201);
    expect((await settings(null)).status).toBe(200);
  });
});

describe('its rights are its task’s', () => {
  test('readers read it, contributors change it, others find nothing', async () => {
    const taskId = await task({ team_id: yard.teams.red });
    const { id } = (await create({ task_id: taskId, cron: '0 9 * * *' })).body;
    const path = `/api/v1/schedules/${id}`;
    for (const [as, read, change] of [
      [yard.maintainer.token, 200, 200],
      [yard.admin.token, 200, 200],
      [yard.member.token, 200, 403],
      [yard.viewer.token, 200, 403],
      [yard.outsider.token, 404, 404],
      [yard.stranger.token, 404, 404],
      [yard.workerKey, 403, 403],
    ] as const) {
      expect((await server.call('GET', path, { as })).status).toBe(read);
      expect((await server.call('GET', `${path}/upcoming`, { as })).status).toBe(read);
      expect((await server.call('PATCH', path, { as, body: { name: 'x' } })).status).toBe(change);
      if (change !== 200) {
        expect((await server.call('DELETE', path, { as })).status).toBe(change);
      }
    }
  });

  test('a task that one may only read gets no schedule from them; one they cannot see is no task', async () => {
    const taskId = await task({ team_id: yard.teams.red });
    expect((await create({ task_id: taskId, cron: '0 9 * * *' }, yard.member.token)).status).toBe(403);
    expect((await create({ task_id: taskId, cron: '0 9 * * *' }, yard.outsider.token)).status).toBe(400);
  });

  test('the list shows those of readable tasks, by task and in pages', async () => {
    const taskId = await task({ team_id: yard.teams.red, schedule: { cron: '0 9 * * *' } });
    const mine = await server.call('GET', `/api/v1/schedules?task_id=${taskId}`, { as: yard.member.token });
    expect(mine.body.data).toMatchObject([{ task_id: taskId }]);
    expect(
      (await server.call('GET', `/api/v1/schedules?task_id=${taskId}`, { as: yard.outsider.token })).body.data,
    ).toEqual([]);
    const first = await server.call('GET', '/api/v1/schedules?limit=1&sort=created_at');
    const second = await server.call(
      'GET',
      `/api/v1/schedules?limit=1&sort=created_at&cursor=${first.body.next_cursor}`,
    );
    expect(second.body.data[0].created_at > first.body.data[0].created_at).toBe(true);
  });
});
