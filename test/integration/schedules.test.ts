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
      timezone: 'Europe/London',
      enabled: true,
      next_execution_at: expect.stringMatching(/T0[89]:00:00\.000Z$/),
      last_executed_at: null,
      execution_count: 0,
      description: 'At 09:00, Monday through Friday, in Europe/London',
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
      timezone: 'UTC',
      description: 'At 00:00, on day 29 of the month, only in February, in UTC',
      upcoming: [expect.stringMatching(/-02-29T00:00:00\.000Z$/), expect.stringMatching(/-02-29T00:00:00\.000Z$/)],
    });
    expect((await server.call('GET', '/api/v1/schedules', { as: yard.viewer.token })).body.data).toEqual([]);
  });

  test('moves with the clock', async () => {
    const as = yard.maintainer.token;
    const { body } = await create({ task_id: await task(), cron: '* * * * *' });
    server.clock.advance(60_000);
    const later = (await server.call('GET', `/api/v1/schedules/${body.id}`, { as })).body.next_execution_at;
    expect(Date.parse(later)).toBeGreaterThan(Date.parse(body.next_execution_at));
  });
});

describe('what cannot be is refused', () => {
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
    ['an interval', { every_seconds: 60 }, 'not-available', '/every_seconds'],
    ['an overlap rule', { cron: '0 9 * * *', overlap: 'skip' }, 'not-available', '/overlap'],
    ['a catch-up rule', { cron: '0 9 * * *', catch_up: 'all' }, 'not-available', '/catch_up'],
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

  test.each(['trigger', 'pause', 'resume', 'backfill', 'slots', 'stats'])(
    '%s comes with firing, and is not there yet',
    async (route) => {
      const { body } = await create({ task_id: await task(), cron: '0 9 * * *' });
      expect(
        (await server.call('POST', `/api/v1/schedules/${body.id}/${route}`, { as: yard.maintainer.token, body: {} }))
          .status,
      ).toBe(404);
    },
  );
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
