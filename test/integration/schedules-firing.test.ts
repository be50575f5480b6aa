/** What becomes of slots that have come. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { TestQueue } from '../support/queue.js';
import { type Row, TestSchedules } from '../support/schedules.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let schedules: TestSchedules;
let queue: TestQueue;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  schedules = new TestSchedules(server);
  queue = await TestQueue.make(server, 'scheduled', { max_attempts: 1 });
});

afterAll(async () => {
  await server.stop();
});

function times(count: number, row: Row): Row[] {
  return Array.from({ length: count }, () => row);
}

describe('a slot that has come', () => {
  test('starts a run of its task, and is in the ledger, the task’s detail and the board with it', async () => {
    const { id, taskId } = await schedules.made({ name: 'Mornings' }, { payload: { page: 1 }, model: 'm-1' });
    await schedules.come(id);
    const { data } = await schedules.get(`/api/v1/tasks/${taskId}/runs`);
    expect(data).toMatchObject([
      { status: 'queued', number: 1, schedule_id: id, payload: { page: 1 }, run_config: { model: 'm-1' } },
    ]);
    const [lease] = await queue.claim(100).then((all) => all.filter(({ runId }) => runId === data[0].id));
    expect(lease).toBeDefined();
    if (lease !== undefined) {
      expect((await queue.complete(lease)).status).toBe(200);
    }
    const { data: slots } = await schedules.get(`/api/v1/schedules/${id}/slots`);
    expect(slots).toEqual([
      {
        scheduled_at: expect.any(String),
        due_at: slots[0].scheduled_at,
        status: 'fired',
        reason: null,
        detail: null,
        run_id: data[0].id,
        decided_at: expect.any(String),
        started_at: expect.any(String),
        completed_at: expect.any(String),
      },
    ]);
    const shown = await schedules.get(`/api/v1/schedules/${id}`);
    expect(shown).toMatchObject({ execution_count: 1, last_executed_at: expect.any(String), consecutive_failures: 0 });
    expect(shown.next_execution_at).toMatch(/-01-01T00:00:00\.000Z$/);
    expect((await schedules.get(`/api/v1/tasks/${taskId}`)).task.schedule_info).toEqual({
      execution_count: 1,
      schedule_id: id,
      execution_info: {
        execution_id: data[0].id,
        scheduled_at: slots[0].scheduled_at,
        started_at: slots[0].started_at,
        completed_at: slots[0].completed_at,
      },
      last_executed_at: shown.last_executed_at,
      next_execution_at: shown.next_execution_at,
      schedule_name: 'Mornings',
      start_time: '00:00',
    });
    const [board] = (await schedules.get(`/api/tasks?id=${taskId}`)).tasks;
    expect(board).toMatchObject({ trigger_schedule_id: id, recent_runs: [{ id: data[0].id, schedule: { id } }] });
    expect(board.upcoming[0]).toBe(shown.next_execution_at);
    expect(await schedules.get(`/api/v1/schedules/${id}/stats`)).toMatchObject({
      slots: { fired: 1, late: 0, missed: 0 },
      lag_ms: { p50: expect.any(Number), p99: expect.any(Number) },
      runs: { completed: 1, failed: 0 },
    });
  });

  test('is why a task of an agent’s first run is counted and listed like any other', async () => {
    const before = Number((await schedules.get('/v1/task?limit=1')).totalTasks);
    const { id, taskId } = await schedules.made();
    await schedules.come(id);
    const after = await schedules.get('/v1/task?limit=1');
    expect([after.totalTasks, after.taskList[0].task._id]).toEqual([before + 1, taskId]);
  });

  test('is not made twice where the ledger has it already, and the schedule goes on', async () => {
    const { id, taskId } = await schedules.made();
    await server.database.execute(sql`
      insert into schedule_slots (organization_id, schedule_id, scheduled_at, due_at, status)
      select s.organization_id, s.id, '2026-01-01Z', '2026-01-01Z', 'fired' from schedules s where s.id = ${id}`);
    await server.database.execute(
      sql`update schedules set next_at = '2026-01-01Z', due_at = '2026-01-01Z', catch_up = 'all', catch_up_window_seconds = 31622400 where id = ${id}`,
    );
    await schedules.fired(id);
    expect((await schedules.get(`/api/v1/tasks/${taskId}/runs`)).data).toEqual([]);
    expect((await schedules.get(`/api/v1/schedules/${id}`)).next_execution_at).toMatch(/-01-01T00:00:00\.000Z$/);
  });

  test('of a moment is the only one', async () => {
    const { id } = await schedules.made({ cron: undefined, at: '2100-01-01T00:00:00Z', name: 'Once' });
    expect((await schedules.get(`/api/v1/schedules/${id}/upcoming`)).data).toEqual(['2100-01-01T00:00:00.000Z']);
    await server.database.execute(
      sql`update schedules set at = date_trunc('milliseconds', clock_timestamp()) where id = ${id}`,
    );
    await server.database.execute(sql`update schedules set next_at = at, due_at = at where id = ${id}`);
    await schedules.fired(id);
    expect(await schedules.ledger(id)).toEqual([['fired', null, true]]);
    expect(await schedules.get(`/api/v1/schedules/${id}`)).toMatchObject({ enabled: true, next_execution_at: null });
    expect((await schedules.get(`/api/v1/schedules/${id}/upcoming`)).data).toEqual([]);
  });

  test('is due later by the schedule’s jitter, which upcoming tells', async () => {
    const { id } = await schedules.made({ jitter_seconds: 3600 });
    const { next_execution_at: next } = await schedules.get(`/api/v1/schedules/${id}`);
    const offsetMs = Date.parse(next) % 86_400_000;
    expect([offsetMs > 0, offsetMs <= 3_600_000]).toEqual([true, true]);
    const { data } = await schedules.get(`/api/v1/schedules/${id}/upcoming?count=3`);
    expect([data[0], data.map((fire: string) => Date.parse(fire) % 86_400_000)]).toEqual([
      next,
      [offsetMs, offsetMs, offsetMs],
    ]);
  });
});

describe('slots that came while no server was up', () => {
  const cases: [string, object, Row[]][] = [
    ['none', { catch_up: 'skip' }, [...times(10, ['missed', 'down', false]), ['fired', null, true]]],
    [
      'one of them, which stands for the others',
      { catch_up: 'one' },
      [
        ...times(6, ['missed', 'past-window', false]),
        ...times(4, ['coalesced', 'later-slot', true]),
        ['fired', null, true],
      ],
    ],
    [
      'all within the window',
      { catch_up: 'all' },
      [...times(6, ['missed', 'past-window', false]), ...times(4, ['late', 'caught-up', true]), ['fired', null, true]],
    ],
    [
      'all, of which only the first may run where runs must not overlap',
      { catch_up: 'all', overlap: 'skip' },
      [
        ...times(6, ['missed', 'past-window', false]),
        ['late', 'caught-up', true],
        ...times(3, ['skipped', 'overlap', false]),
        ['skipped', 'overlap', false],
      ],
    ],
  ];
  test.each(cases)('are caught up by the rule: %s', async (_, rule, expected) => {
    const { id, taskId } = await schedules.made({
      cron: undefined,
      every_seconds: 60,
      catch_up_window_seconds: 300,
      ...rule,
    });
    // Eleven slots, the last of which is on time.
    await schedules.come(id, 602);
    expect((await schedules.ledger(id)).slice(0, 11)).toEqual(expected);
    const { data } = await schedules.get(`/api/v1/tasks/${taskId}/runs?sort=created_at`);
    const firing = expected.filter(([status]) => status === 'fired' || status === 'late').length;
    expect(data.slice(0, firing).map(({ number }: { number: number }) => number)).toEqual(
      Array.from({ length: firing }, (__, index) => index + 1),
    );
  });

  test('are accounted for one by one, however many, and stood for by one run', async () => {
    const { id, taskId } = await schedules.made({
      cron: undefined,
      every_seconds: 60,
      catch_up: 'one',
      catch_up_window_seconds: 31_622_400,
    });
    await schedules.come(id, 1200 * 60 + 2);
    const { slots } = await schedules.get(`/api/v1/schedules/${id}/stats`);
    expect(slots).toMatchObject({ coalesced: 1200, missed: 0, late: 0 });
    const { data } = await schedules.get(`/api/v1/tasks/${taskId}/runs?sort=created_at`);
    const named = await server.database.row<{ runs: string[] }>(
      sql`select array_agg(distinct l.run_id) as runs from schedule_slots l where l.schedule_id = ${id} and l.status = 'coalesced'`,
    );
    expect(named?.runs).toEqual([data[0].id]);
  });
});

describe('a slot that comes while the run before is there', () => {
  test('is skipped, where the rule is skip', async () => {
    const { id } = await schedules.made({ overlap: 'skip' });
    await schedules.come(id);
    await schedules.come(id);
    expect(await schedules.ledger(id)).toEqual([
      ['fired', null, true],
      ['skipped', 'overlap', false],
    ]);
    const { data } = await schedules.get(`/api/v1/schedules/${id}/slots?status=skipped`);
    expect(data[0].detail).toBe('The run before it had not ended.');
  });

  test('waits for it, one at a time, where the rule is queue_one', async () => {
    const { id, taskId } = await schedules.made({ overlap: 'queue_one' });
    await schedules.come(id);
    await schedules.come(id);
    await schedules.come(id);
    expect(await schedules.ledger(id)).toEqual([
      ['fired', null, true],
      ['late', 'waits', false],
      ['skipped', 'overlap', false],
    ]);
    const [{ id: runId }] = (await schedules.get(`/api/v1/tasks/${taskId}/runs`)).data;
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: {} })).status).toBe(200);
    await schedules.fired(id, 'waiting');
    expect((await schedules.ledger(id))[1]).toEqual(['late', 'waits', true]);
    expect((await schedules.get(`/api/v1/tasks/${taskId}/runs`)).data).toHaveLength(2);
    expect((await schedules.get(`/api/v1/schedules/${id}`)).execution_count).toBe(2);
  });

  test('takes its place, where the rule is cancel_running: at once of one that no worker has, by a wish of one that runs', async () => {
    const { id, taskId } = await schedules.made(
      { overlap: 'cancel_running' },
      {},
      (await TestQueue.make(server, 'replaced')).agent,
    );
    await schedules.come(id);
    await schedules.come(id);
    const statuses = async (): Promise<string[]> =>
      (await schedules.get(`/api/v1/tasks/${taskId}/runs?sort=created_at`)).data.map(
        (run: { status: string }) => run.status,
      );
    expect(await statuses()).toEqual(['canceled', 'queued']);
    const claimed = await server.call('POST', '/api/v1/worker/claim', { body: { agents: ['replaced'], max: 1 } });
    const [{ run, lease }] = claimed.body.runs;
    await schedules.come(id);
    expect(await statuses()).toEqual(['canceled', 'running', 'queued']);
    const beat = await server.call('POST', `/api/v1/worker/runs/${run.id}/heartbeat`, { body: { fence: lease.fence } });
    expect(beat.body.cancel_requested).toBe(true);
  });
});

describe('a slot that may not run', () => {
  test('is skipped while its agent is paused', async () => {
    const paused = await TestQueue.make(server, 'paused');
    const { id } = await schedules.made({}, {}, paused.agent);
    await server.call('POST', `/api/v1/agents/${paused.agentId}/pause`, { body: {} });
    await schedules.come(id);
    expect(await schedules.ledger(id)).toEqual([['skipped', 'agent-paused', false]]);
  });

  test('is skipped by a budget of its schedule alone, also one that is used up in the middle of many', async () => {
    const [mine, other] = [
      await schedules.made({ catch_up: 'all', cron: undefined, every_seconds: 60 }),
      await schedules.made(),
    ];
    const budget = (scope: object) =>
      server.call('POST', '/api/v1/budgets', { body: { name: 'Few', scope, period: 'total', limit_runs: 1 } });
    expect((await budget({ kind: 'schedule', id: mine.id })).status).toBe(201);
    expect((await budget({ kind: 'schedule', id: mine.taskId })).status).toBe(400);
    await schedules.come(mine.id);
    expect((await schedules.ledger(mine.id))[0]).toEqual(['fired', null, true]);
    await schedules.come(other.id);
    await schedules.come(mine.id);
    expect((await schedules.ledger(mine.id))[1]).toEqual(['skipped', 'budget', false]);
    expect(await schedules.ledger(other.id)).toEqual([['fired', null, true]]);
    // Two slots, one run left: known only when the second is counted.
    const two = await schedules.made({ catch_up: 'all', cron: undefined, every_seconds: 60 });
    await budget({ kind: 'task', id: two.taskId });
    await schedules.come(two.id, 62);
    expect((await schedules.ledger(two.id)).slice(0, 2)).toEqual(times(2, ['skipped', 'budget', false]));
    expect((await schedules.get(`/api/v1/tasks/${two.taskId}`)).task.run_count).toBe(0);
  });

  test('is dropped where its concurrency key is full and its agent drops the newest', async () => {
    const keyed = await TestQueue.make(server, 'keyed', { concurrency_strategy: 'drop_newest' });
    const { id } = await schedules.made({}, { concurrency_key: 'page' }, keyed.agent);
    await schedules.come(id);
    await schedules.come(id);
    expect(await schedules.ledger(id)).toEqual([
      ['fired', null, true],
      ['skipped', 'concurrency', false],
    ]);
  });

  test('that cannot be fired whatever is tried holds nobody else up, and is not lost', async () => {
    const [broken, sound] = [await schedules.made(), await schedules.made()];
    await server.database.execute(sql`update schedules set cron = 'nonsense' where id = ${broken.id}`);
    await server.database.execute(sql`update schedules s set next_at = clock_timestamp() - interval '1 second',
      due_at = clock_timestamp() - interval '1 second' where s.id = any(${[broken.id, sound.id]}::uuid[])`);
    await schedules.fired(sound.id);
    await schedules.fired(broken.id);
    expect(await schedules.ledger(sound.id)).toEqual([['fired', null, true]]);
    const row = await server.database.row(sql`
      select next_at < clock_timestamp() as "isOwed", due_at > clock_timestamp() as "rests" from schedules where id = ${broken.id}`);
    expect(row).toEqual({ isOwed: true, rests: true });
    await server.database.execute(
      sql`update schedules set cron = '0 0 1 1 *', due_at = next_at where id = ${broken.id}`,
    );
    await schedules.fired(broken.id);
    expect(await schedules.ledger(broken.id)).toEqual([['fired', null, true]]);
  });
});
