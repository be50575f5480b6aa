import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { backOffRange } from '../../src/modules/runs/core/back-off.js';
import { TestQueue } from '../support/queue.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

function queue(settings: object = {}): Promise<TestQueue> {
  serial += 1;
  return TestQueue.make(server, `retries-${serial}`, settings);
}

function waitSeconds(run: { available_at: string; queued_at: string }): number {
  return (Date.parse(run.available_at) - Date.parse(run.queued_at)) / 1000;
}

describe('a run whose attempt fails', () => {
  test('is queued again with its attempt kept, and is not claimed before its back-off is over', async () => {
    const q = await queue({ retry: { min_seconds: 60, max_seconds: 600 } });
    const runId = await q.run();
    const lease = await q.one();
    expect((await q.fail(lease)).body).toEqual({ id: runId, status: 'queued' });
    const run = await q.get(runId);
    expect(run).toMatchObject({ status: 'queued', attempt: 1, error: null });
    expect(run.attempts).toMatchObject([
      {
        number: 1,
        status: 'failed',
        error: { name: 'Oops', message: 'it did not work' },
        finished_at: expect.any(String),
      },
    ]);
    expect(run.waiting_for).toMatchObject({ reason: 'backoff', next_action_at: run.available_at });
    expect(run.waiting_for.detail).toContain('Oops');
    expect(await q.claim()).toEqual([]);
    await q.pass(runId, 120);
    expect((await q.one()).run).toMatchObject({ id: runId, attempt: 2 });
    expect(await q.told(runId)).toEqual(['status queued', 'status running', 'status queued', 'status running']);
  });

  test('waits between the least of its policy and a ceiling that grows with each attempt', async () => {
    const policy = { min_seconds: 10, max_seconds: 50, factor: 2, jitter: true };
    const q = await queue({ retry: policy, max_attempts: 5 });
    const runId = await q.run();
    const waits: number[] = [];
    for (let attempt = 1; attempt < 5; attempt += 1) {
      await q.fail(await q.one());
      const { least, most } = backOffRange(policy, attempt);
      const waited = waitSeconds(await q.get(runId));
      // Both instants are rounded to milliseconds, and told a moment apart.
      expect(waited).toBeGreaterThanOrEqual(least - 0.01);
      expect(waited).toBeLessThanOrEqual(most + 0.01);
      waits.push(waited);
      await q.pass(runId, 60);
    }
    expect(backOffRange(policy, 1)).toEqual({ least: 10, most: 20 });
    expect(backOffRange(policy, 4)).toEqual({ least: 10, most: 50 });
    expect(new Set(waits).size).toBeGreaterThan(1);
  });

  test('waits exactly as long as its policy says without jitter', async () => {
    const q = await queue({ retry: { min_seconds: 8, max_seconds: 20, factor: 2, jitter: false }, max_attempts: 4 });
    const runId = await q.run();
    for (const expected of [8, 16, 20]) {
      await q.fail(await q.one());
      expect(Math.round(waitSeconds(await q.get(runId)))).toBe(expected);
      await q.pass(runId, 30);
    }
  });

  test('ends as failed with the last attempt, each attempt with its own error', async () => {
    const q = await queue({ max_attempts: 2, retry: { min_seconds: 0, max_seconds: 0 } });
    const runId = await q.run();
    await q.act(await q.one(), 'fail', { error: { name: 'First', message: '1' } });
    const last = await q.act(await q.one(), 'fail', { error: { name: 'Second', message: '2' } });
    expect(last.body).toEqual({ id: runId, status: 'failed' });
    const run = await q.get(runId);
    expect(run).toMatchObject({ status: 'failed', attempt: 2, error: { name: 'Second' }, waiting_for: null });
    expect(run.attempts.map((attempt: { error: { name: string } }) => attempt.error.name)).toEqual(['First', 'Second']);
    expect((await q.told(runId)).filter((type) => type === 'end')).toHaveLength(1);
  });

  test('ends at once where the worker says that trying again is no use', async () => {
    const q = await queue();
    const runId = await q.run();
    expect((await q.fail(await q.one(), { retry: false })).body.status).toBe('failed');
    expect(await q.get(runId)).toMatchObject({ status: 'failed', attempt: 1, max_attempts: 3 });
  });

  test('is not tried again once its cancel was asked for', async () => {
    const q = await queue();
    const runId = await q.run();
    const lease = await q.one();
    await server.call('POST', `/api/v1/runs/${runId}/cancel`);
    expect((await q.fail(lease)).body.status).toBe('failed');
  });

  test('answers the same request again the same way, and keeps one attempt', async () => {
    const q = await queue({ retry: { min_seconds: 60, max_seconds: 60 } });
    const runId = await q.run();
    const lease = await q.one();
    const replies = await Promise.all(Array.from({ length: 8 }, () => q.fail(lease)));
    expect(replies.map(({ status, body }) => [status, body.status])).toEqual(replies.map(() => [200, 'queued']));
    expect((await q.get(runId)).attempts).toHaveLength(1);
    expect((await q.complete(lease)).body.code).toBe('lease-lost');
  });

  test('can be canceled while it backs off, and ends once', async () => {
    const q = await queue({ retry: { min_seconds: 60, max_seconds: 60 }, concurrency_limit: 1 });
    const runId = await q.run();
    await q.fail(await q.one());
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).body.status).toBe('canceled');
    expect((await q.told(runId)).filter((type) => type === 'end')).toHaveLength(1);
    expect((await q.get(runId)).attempts).toMatchObject([{ status: 'failed' }]);
  });
});

test('a lost lease backs off like any failure, and workers that always die end the run as LostWorker', async () => {
  const q = await queue({ max_attempts: 2, retry: { min_seconds: 30, max_seconds: 60 } });
  const runId = await q.run();
  await q.one();
  await q.pass(runId, 61);
  await q.sweep();
  expect(await q.get(runId)).toMatchObject({ status: 'queued', attempt: 1, waiting_for: { reason: 'backoff' } });
  expect(await q.claim()).toEqual([]);
  await q.pass(runId, 61);
  await q.one();
  await q.pass(runId, 61);
  await q.sweep();
  const run = await q.get(runId);
  expect(run).toMatchObject({ status: 'failed', error: { name: 'LostWorker' } });
  expect(run.attempts.map((attempt: { status: string }) => attempt.status)).toEqual(['lost', 'lost']);
});

describe('the retry policy of an agent', () => {
  test('has defaults, is merged by a patch, and is back at its defaults with null', async () => {
    const { agentId } = await queue({ retry: { factor: 3 } });
    const path = `/api/v1/agents/${agentId}`;
    const retry = async (): Promise<unknown> => (await server.call('GET', path)).body.retry;
    expect(await retry()).toEqual({ min_seconds: 1, max_seconds: 3600, factor: 3, jitter: true });
    await server.call('PATCH', path, { body: { retry: { min_seconds: 5, jitter: false } } });
    expect(await retry()).toEqual({ min_seconds: 5, max_seconds: 3600, factor: 3, jitter: false });
    await server.call('PATCH', path, { body: { retry: { factor: null } } });
    expect(await retry()).toEqual({ min_seconds: 5, max_seconds: 3600, factor: 2, jitter: false });
    await server.call('PATCH', path, { body: { retry: null } });
    expect(await retry()).toEqual({ min_seconds: 1, max_seconds: 3600, factor: 2, jitter: true });
  });

  test.each([
    [{ retry: { min_seconds: -1 } }, '/retry/min_seconds', '0 to 86400'],
    [{ retry: { min_seconds: 1.5 } }, '/retry/min_seconds', '0 to 86400'],
    [{ retry: { max_seconds: 604_801 } }, '/retry/max_seconds', '0 to 604800'],
    [{ retry: { min_seconds: 10, max_seconds: 5 } }, '/retry/max_seconds', 'at least'],
    [{ retry: { factor: 0.5 } }, '/retry/factor', '1 to 10'],
    [{ retry: { factor: 11 } }, '/retry/factor', '1 to 10'],
    [{ retry: { tries: 3 } }, '/retry/tries', ''],
    [{ concurrency_limit: 0 }, '/concurrency_limit', '1 to 10000'],
    [{ concurrency_limit: 10_001 }, '/concurrency_limit', '1 to 10000'],
    [{ concurrency_key_limit: 0 }, '/concurrency_key_limit', '1 to 10000'],
    [{ concurrency_strategy: 'maybe' }, '/concurrency_strategy', ''],
  ])('refuses %j with the allowed range', async (settings, path, range) => {
    const reply = await server.call('POST', '/api/v1/agents', {
      body: { slug: 'refused', kind: 'worker', ...settings },
    });
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, path]);
    expect(reply.body.errors[0].message).toContain(range);
  });
});
