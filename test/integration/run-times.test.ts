import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { parseDelay, parseDuration, parseTtl } from '../../src/modules/runs/core/run-times.js';
import { TestQueue } from '../support/queue.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let q: TestQueue;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

async function fresh(settings: object = {}): Promise<TestQueue> {
  serial += 1;
  q = await TestQueue.make(server, `times-${serial}`, settings);
  return q;
}

function secondsFromCreation(run: { created_at: string }, instant: string): number {
  return Math.round((Date.parse(instant) - Date.parse(run.created_at)) / 1000);
}

describe('a delayed run', () => {
  test.each([
    [90, 90],
    ['PT90S', 90],
    ['PT1H30M', 5_400],
    ['P1D', 86_400],
    ['P2W', 1_209_600],
  ])('starts %j after it was made, by database time', async (delay, seconds) => {
    await fresh();
    const run = await q.get(await q.run({ delay }));
    expect(run).toMatchObject({ status: 'delayed', attempt: 0, queued_at: null, available_at: run.delayed_until });
    expect(secondsFromCreation(run, run.delayed_until)).toBe(seconds);
    expect(run.waiting_for).toMatchObject({
      reason: 'delayed',
      since: run.created_at,
      next_action_at: run.delayed_until,
    });
  });

  test('starts at an instant, whatever its offset', async () => {
    await fresh();
    const at = new Date(Date.now() + 3_600_000);
    const local = `${new Date(at.getTime() + 7_200_000).toISOString().slice(0, -1)}+02:00`;
    expect((await q.get(await q.run({ delay: local }))).delayed_until).toBe(at.toISOString());
  });

  test('is not claimed before its time, is claimed at its time even without a sweep, and shows its task so', async () => {
    await fresh();
    const reply = await q.hand({ delay: 60 });
    const [taskId, runId] = [reply.body.task.id, reply.body.stream.streamId];
    expect(reply.body.task.status).toBe('delayed');
    expect(await q.claim()).toEqual([]);
    await q.sweep();
    expect((await q.get(runId)).status).toBe('delayed');
    await q.pass(runId, 61);
    expect((await q.one()).runId).toBe(runId);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('running');
    expect(await q.told(runId)).toEqual(['status delayed', 'status running']);
    expect((await q.get(runId)).queued_at).not.toBeNull();
  });

  test('is shown as queued by the first sweep after its time, once, with its task', async () => {
    await fresh();
    const reply = await q.hand({ delay: 60 });
    const runId = reply.body.stream.streamId;
    await q.pass(runId, 61);
    await Promise.all([q.sweep(), q.sweep()]);
    expect((await q.get(runId)).status).toBe('queued');
    expect((await server.call('GET', `/api/v1/tasks/${reply.body.task.id}`)).body.task.status).toBe('queued');
    expect(await q.told(runId)).toEqual(['status delayed', 'status queued']);
  });

  test('of no length, or of an instant that has just gone by, is queued at once', async () => {
    await fresh();
    for (const delay of [0, 'PT0S', new Date(Date.now() - 5_000).toISOString()]) {
      expect((await q.get(await q.run({ delay }))).status).toBe('queued');
    }
  });

  test('can be asked for of a later run of a task', async () => {
    await fresh();
    const task = (await q.hand({ start: false })).body.task.id;
    const made = await server.call('POST', `/api/v1/tasks/${task}/runs`, { body: { delay: 'PT1M', ttl: 60 } });
    expect([made.status, made.body.status, made.body.ttl]).toEqual([201, 'delayed', 'PT60S']);
  });

  test('is canceled at once', async () => {
    await fresh();
    const runId = await q.run({ delay: 60 });
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).body).toMatchObject({
      status: 'canceled',
      waiting_for: null,
    });
  });
});

describe('a time to live', () => {
  test('ends a run that no worker has begun, with its end in the log', async () => {
    await fresh();
    const reply = await q.hand({ ttl: 'PT5M' });
    const runId = reply.body.stream.streamId;
    await q.sweep();
    expect(await q.get(runId)).toMatchObject({ status: 'queued', ttl: 'PT5M', expired_at: null });
    await q.pass(runId, 301);
    expect(await q.claim()).toEqual([]);
    await Promise.all([q.sweep(), q.sweep()]);
    expect(await q.get(runId)).toMatchObject({ status: 'expired', expired_at: expect.any(String), attempts: [] });
    expect(await q.told(runId)).toEqual(['status queued', 'status expired', 'end']);
    expect((await server.call('GET', `/api/v1/tasks/${reply.body.task.id}`)).body.task.status).toBe('expired');
  });

  test('counts from the end of a delay', async () => {
    await fresh();
    const runId = await q.run({ ttl: 60, delay: 600 });
    await q.pass(runId, 630);
    await q.sweep();
    expect((await q.get(runId)).status).toBe('queued');
    await q.pass(runId, 31);
    await q.sweep();
    expect((await q.get(runId)).status).toBe('expired');
  });

  test('is over with the first start: a retry and a release do not expire', async () => {
    await fresh({ retry: { min_seconds: 0, max_seconds: 0 } });
    const runId = await q.run({ ttl: 60 });
    await q.act(await q.one(), 'release');
    await q.pass(runId, 61);
    await q.sweep();
    expect((await q.get(runId)).status).toBe('queued');
    await q.fail(await q.one());
    await q.sweep();
    expect((await q.one()).run).toMatchObject({ id: runId, attempt: 2 });
  });
});

describe('the time of an attempt', () => {
  async function leftSeconds(runId: string): Promise<number> {
    const row = await server.database.row<{ left: number }>(
      sql`select extract(epoch from deadline_at - clock_timestamp())::float8 as left from runs where id = ${runId}`,
    );
    return Math.round((row?.left ?? 0) / 5) * 5;
  }

  test('counts while it is leased and stands still between leases', async () => {
    await fresh({ timeout_seconds: 1_000, lease_seconds: 600 });
    const runId = await q.run();
    const first = await q.one();
    expect(await leftSeconds(runId)).toBe(1_000);
    await q.pass(runId, 300);
    await q.act(first, 'release');
    // An hour in the queue costs nothing.
    await q.pass(runId, 3_600);
    await q.one();
    expect(await leftSeconds(runId)).toBe(700);
  });

  test('begins anew with the next attempt', async () => {
    await fresh({ timeout_seconds: 1_000, lease_seconds: 600, retry: { min_seconds: 0, max_seconds: 0 } });
    const runId = await q.run();
    const first = await q.one();
    await q.pass(runId, 300);
    await q.fail(first);
    await q.one();
    expect(await leftSeconds(runId)).toBe(1_000);
  });

  test('is over after several leases together, and ends the run as timed_out without another try', async () => {
    await fresh({ timeout_seconds: 1_000, lease_seconds: 900 });
    const runId = await q.run();
    const first = await q.one();
    await q.pass(runId, 600);
    await q.act(first, 'release');
    await q.one();
    await q.pass(runId, 401);
    await q.sweep();
    expect(await q.get(runId)).toMatchObject({ status: 'timed_out', attempt: 1, error: { name: 'TimedOut' } });
  });
});

describe('what cannot be is refused with the allowed range', () => {
  test.each([
    [{ delay: -1 }, '/delay'],
    [{ delay: 1.5 }, '/delay'],
    [{ delay: 31_536_001 }, '/delay'],
    [{ delay: 'soon' }, '/delay'],
    [{ delay: 'P' }, '/delay'],
    [{ delay: 'PT' }, '/delay'],
    [{ delay: 'P2Y' }, '/delay'],
    [{ delay: '2020-01-01T00:00:00Z' }, '/delay'],
    [{ delay: '9999-01-01T00:00:00Z' }, '/delay'],
    [{ delay: '2026-02-30T00:00:00Z' }, '/delay'],
    [{ delay: true }, '/delay'],
    [{ delay: null }, '/delay'],
    [{ ttl: 0 }, '/ttl'],
    [{ ttl: -5 }, '/ttl'],
    [{ ttl: 'PT0S' }, '/ttl'],
    [{ ttl: 'P1Y1D' }, '/ttl'],
    [{ ttl: '2030-01-01T00:00:00Z' }, '/ttl'],
    [{ priority: 101 }, '/priority'],
    [{ concurrency_key: '' }, '/concurrency_key'],
    [{ concurrency_key: 'k'.repeat(201) }, '/concurrency_key'],
  ])('%j', async (body, path) => {
    await fresh();
    const made = await q.hand(body);
    expect([made.status, made.body.code, made.body.errors[0].path]).toEqual([400, 'invalid-request', path]);
    expect(made.body.errors[0].message).toMatch(/from|to|least|most|characters|>=|<=/);
    const task = (await q.hand({ start: false })).body.task.id;
    const run = await server.call('POST', `/api/v1/tasks/${task}/runs`, { body });
    expect([run.status, run.body.errors[0].path]).toEqual([400, path]);
  });

  test('a delay or time to live of a task that starts no run', async () => {
    await fresh();
    const delayed = await q.hand({ start: false, delay: 60 });
    expect([delayed.status, delayed.body.errors[0].path]).toEqual([400, '/delay']);
    const scheduled = await q.hand({ ttl: 60, schedule: { cron: '0 9 * * *', timezone: 'UTC' } });
    expect([scheduled.status, scheduled.body.errors[0].path]).toEqual([400, '/ttl']);
  });
});

describe('durations', () => {
  test('are read as ISO 8601 says, up to a year', () => {
    expect(parseDuration('P1Y')).toEqual({ months: 12, seconds: 0 });
    expect(parseDuration('P1M2DT3H4M5.5S')).toEqual({ months: 1, seconds: 183_845.5 });
    expect(['P1YT1S', 'P13M', 'P53W', '1D', 'P1', 'PT1D', '', 'p1d', 'P-1D'].map(parseDuration)).toEqual(
      Array(9).fill(null),
    );
  });

  test('of delays may be nothing, of times to live not', () => {
    expect(parseDelay('PT0S')).toEqual({ kind: 'after', duration: { months: 0, seconds: 0 } });
    expect([parseTtl('PT0S'), parseTtl('PT0.5S'), parseTtl(0)]).toEqual([null, null, null]);
  });
});
