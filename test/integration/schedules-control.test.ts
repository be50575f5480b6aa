/** Schedules that change while slots come, by hand and by their runs' failing. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { ScheduleRunner, ScheduleDispatcher } from '../../src/modules/schedules/index.js';
import { person } from '../support/actors.js';
import { TestQueue } from '../support/queue.js';
import { type Made, RARE, TestSchedules } from '../support/schedules.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let schedules: TestSchedules;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  schedules = new TestSchedules(server);
  await TestQueue.make(server, 'scheduled', { max_attempts: 1 });
});

afterAll(async () => {
  await server.stop();
});

describe('a schedule that changes while slots come', () => {
  test('settles what has come by its old rule, and nothing of the past by its new one', async () => {
    const { id } = await schedules.made();
    await server.database.execute(sql`update schedules set next_at = date_trunc('milliseconds', clock_timestamp()),
      due_at = date_trunc('milliseconds', clock_timestamp()) where id = ${id}`);
    const patched = await server.call('PATCH', `/api/v1/schedules/${id}`, {
      body: { every_seconds: 60, starts_at: '2026-01-01T00:00:00Z', timezone: 'Asia/Tokyo' },
    });
    expect(patched.body).toMatchObject({ cron: null, every_seconds: 60, timezone: 'Asia/Tokyo', execution_count: 1 });
    expect(await schedules.ledger(id)).toEqual([['fired', null, true]]);
    expect(Date.parse(patched.body.next_execution_at) % 60_000).toBe(0);
    expect(Date.parse(patched.body.next_execution_at)).toBeGreaterThan(Date.parse(patched.body.last_executed_at));
  });

  test('paused and resumed fires nothing of the meantime; the same with its task', async () => {
    for (const [off, on] of [
      [
        (made: Made) => schedules.post(`${made.id}/pause`, { reason: 'Holidays' }),
        (made: Made) => schedules.post(`${made.id}/resume`),
      ],
      [
        (made: Made) => server.call('PATCH', `/api/v1/tasks/${made.taskId}`, { body: { enabled: false } }),
        (made: Made) => server.call('PATCH', `/api/v1/tasks/${made.taskId}`, { body: { enabled: true } }),
      ],
    ] as const) {
      const schedule = await schedules.made({ cron: undefined, every_seconds: 3600, catch_up: 'all' });
      expect((await off(schedule)).status).toBe(200);
      expect(await schedules.get(`/api/v1/schedules/${schedule.id}`)).toMatchObject({ next_execution_at: null });
      await server.database.execute(sql`update schedules set cursor_at = cursor_at - interval '1 day',
        anchor_at = anchor_at - interval '1 day' where id = ${schedule.id}`);
      expect((await on(schedule)).status).toBe(200);
      await server.app.get(ScheduleDispatcher).fire();
      expect(await schedules.ledger(schedule.id)).toEqual([]);
      const { enabled, paused_at, next_execution_at } = await schedules.get(`/api/v1/schedules/${schedule.id}`);
      expect([enabled, paused_at]).toEqual([true, null]);
      const { now } = (await server.database.row<{ now: Date }>(sql`select clock_timestamp() as now`)) ?? {
        now: new Date(0),
      };
      expect(Date.parse(next_execution_at)).toBeGreaterThan(now.getTime() - 60_000);
    }
  });

  test('gets its next slot back where it was lost, from where it stood', async () => {
    const { id } = await schedules.made();
    await server.database.execute(sql`update schedules set next_at = null, due_at = null where id = ${id}`);
    await server.app.get(ScheduleRunner).check();
    expect((await schedules.get(`/api/v1/schedules/${id}`)).next_execution_at).toMatch(/-01-01T00:00:00\.000Z$/);
  });

  test('computes its next slot anew when the time zone database is newer', async () => {
    const { id } = await schedules.made({ cron: '0 9 * * *', timezone: 'Europe/London' });
    const { next_execution_at: right } = await schedules.get(`/api/v1/schedules/${id}`);
    await server.database.execute(sql`update schedules set tz_version = '2000a', next_at = next_at + interval '1 hour',
      due_at = due_at + interval '1 hour' where id = ${id}`);
    expect(await server.app.get(ScheduleDispatcher).recompute()).toBeGreaterThan(0);
    expect((await schedules.get(`/api/v1/schedules/${id}`)).next_execution_at).toBe(right);
  });

  test('whose task is deleted fires no more', async () => {
    const { id, taskId } = await schedules.made();
    await server.call('DELETE', `/api/v1/tasks/${taskId}`);
    await schedules.come(id);
    const left = await server.database.row<{ runs: number }>(
      sql`select count(*)::int as runs from runs r where r.schedule_id = ${id}`,
    );
    expect(left?.runs).toBe(0);
  });
});

describe('by hand', () => {
  test('a schedule is triggered, paused or not, without a slot', async () => {
    const { id, taskId } = await schedules.made({ enabled: false });
    const run = await schedules.post(`${id}/trigger`);
    expect(run.body).toMatchObject({ status: 'queued', task_id: taskId, schedule_id: id });
    expect(await schedules.ledger(id)).toEqual([]);
    expect((await schedules.get(`/api/v1/schedules/${id}`)).execution_count).toBe(0);
  });

  test('slots of the past are filled once, whatever became of them, and only those that have none', async () => {
    const { id, taskId } = await schedules.made({ cron: '0 12 * * *' });
    await server.database.execute(sql`
      insert into schedule_slots (organization_id, schedule_id, scheduled_at, due_at, status, reason, run_id)
      select s.organization_id, s.id, v.at, v.at, v.status, v.reason, v.run_id from schedules s cross join (values
        ('2026-01-02T12:00:00Z'::timestamptz, 'missed', 'down', null::uuid), ('2026-01-03T12:00:00Z', 'fired', null, gen_random_uuid())) v (at, status, reason, run_id)
      where s.id = ${id}`);
    const range = { from: '2026-01-01T12:00:00Z', to: '2026-01-04T12:00:00Z' };
    const filled = await schedules.post(`${id}/backfill`, range);
    expect([filled.status, filled.body]).toEqual([
      200,
      { backfilled: 3, fired_before: 1, run_ids: [expect.any(String), expect.any(String), expect.any(String)] },
    ]);
    expect((await schedules.post(`${id}/backfill`, range)).body).toEqual({
      backfilled: 0,
      fired_before: 4,
      run_ids: [],
    });
    expect((await schedules.ledger(id)).map(([status]) => status)).toEqual([
      'backfilled',
      'backfilled',
      'fired',
      'backfilled',
    ]);
    const { data } = await schedules.get(`/api/v1/tasks/${taskId}/runs?sort=created_at`);
    expect(data.map((run: { id: string; number: number }) => [run.id, run.number])).toEqual(
      filled.body.run_ids.map((runId: string, index: number) => [runId, index + 1]),
    );
    expect(await schedules.get(`/api/v1/schedules/${id}`)).toMatchObject({ execution_count: 3, enabled: true });
    const page = await schedules.get(`/api/v1/schedules/${id}/slots?limit=3`);
    const rest = await schedules.get(`/api/v1/schedules/${id}/slots?limit=3&cursor=${page.next_cursor}`);
    expect([...page.data, ...rest.data].map((slot) => slot.scheduled_at.slice(0, 10))).toEqual([
      '2026-01-04',
      '2026-01-03',
      '2026-01-02',
      '2026-01-01',
    ]);
  });

  test.each([
    [{ from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, '/to'],
    [{ from: '2026-01-02T00:00:00Z', to: '2100-01-01T00:00:00Z' }, '/to'],
    [{ from: '2020-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }, '/from'],
    [{ from: 'yesterday', to: '2026-01-01T00:00:00Z' }, '/from'],
  ])('a backfill of %j is refused', async (body, path) => {
    const { id } = await schedules.made({ cron: '0 12 * * *' });
    const reply = await schedules.post(`${id}/backfill`, body);
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, path]);
  });

  test('all that fit a filter are paused and resumed, of those that one may change', async () => {
    const someone = await person(server, 'someone', 'member');
    const theirs = await server.call('POST', '/api/v1/tasks', {
      as: someone.token,
      body: { agent: 'scheduled', prompt: 'x', tags: ['night'], schedule: RARE },
    });
    const mine = await schedules.made({}, { tags: ['night'] });
    const enabled = async (id: string): Promise<boolean> => (await schedules.get(`/api/v1/schedules/${id}`)).enabled;
    const theirId = theirs.body.task.schedule_info.schedule_id;
    const byThem = await server.call('POST', '/api/v1/schedules/pause', { as: someone.token, body: { all: true } });
    expect([byThem.body, await enabled(theirId), await enabled(mine.id)]).toEqual([{ changed: 1 }, false, true]);
    expect((await schedules.post('pause', { tag: 'night', reason: 'Moving' })).body).toEqual({ changed: 1 });
    expect(await schedules.get(`/api/v1/schedules/${mine.id}`)).toMatchObject({
      enabled: false,
      pause_reason: 'Moving',
    });
    expect((await schedules.post('resume', { tag: 'night' })).body).toEqual({ changed: 2 });
    expect([await enabled(theirId), await enabled(mine.id)]).toEqual([true, true]);
    for (const body of [{}, { all: true, tag: 'night' }, { all: false }, { tag: '' }]) {
      expect([body, (await schedules.post('pause', body)).status]).toEqual([body, 400]);
    }
  });
});

describe('runs that fail one after the other', () => {
  test('pause their schedule, where it says after how many; one that completes begins the count anew', async () => {
    const failing = await TestQueue.make(server, 'failing', { max_attempts: 1 });
    const { id } = await schedules.made({ pause_after_failures: 2 }, {}, failing.agent);
    await schedules.come(id);
    await failing.fail(await failing.one());
    await schedules.come(id);
    await failing.complete(await failing.one());
    expect(await schedules.get(`/api/v1/schedules/${id}`)).toMatchObject({ enabled: true, consecutive_failures: 0 });
    for (const enabled of [true, false]) {
      await schedules.come(id);
      await failing.fail(await failing.one());
      expect(await schedules.get(`/api/v1/schedules/${id}`)).toMatchObject({
        enabled,
        consecutive_failures: enabled ? 1 : 2,
      });
    }
    expect(await schedules.get(`/api/v1/schedules/${id}`)).toMatchObject({
      pause_reason: '2 runs in a row failed.',
      paused_at: expect.any(String),
      next_execution_at: null,
    });
    expect((await schedules.post(`${id}/resume`)).body).toMatchObject({
      enabled: true,
      consecutive_failures: 0,
      pause_reason: null,
    });
  });
});
