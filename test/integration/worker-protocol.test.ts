import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { sql } from '../../src/database/sql.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let agent: string;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  serial += 1;
  agent = `agent-${serial}`;
  const made = await server.call('POST', '/api/v1/agents', {
    body: { slug: agent, name: agent, kind: 'worker', max_attempts: 2, retry: { min_seconds: 0, max_seconds: 0 } },
  });
  expect(made.status).toBe(201);
});

async function task(prompt = 'work on this', more: object = {}): Promise<{ id: string; runId: string }> {
  const reply = await server.call('POST', '/api/v1/tasks', { body: { agent, prompt, ...more } });
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return { id: reply.body.task.id, runId: reply.body.stream.streamId };
}

async function claim(as?: string): Promise<{ runId: string; fence: string; claimed: Reply['body'] }> {
  const reply = await server.call('POST', '/api/v1/worker/claim', {
    body: { agents: [agent], max: 1 },
    ...(as === undefined ? {} : { as }),
  });
  expect([reply.status, reply.body.runs.length]).toEqual([200, 1]);
  const [claimed] = reply.body.runs;
  return { runId: claimed.run.id, fence: claimed.lease.fence, claimed };
}

function act(runId: string, action: string, body: object, as?: string): Promise<Reply> {
  return server.call('POST', `/api/v1/worker/runs/${runId}/${action}`, { body, ...(as === undefined ? {} : { as }) });
}

async function expireLease(runId: string): Promise<void> {
  await server.database.execute(
    sql`update runs set lease_expires_at = clock_timestamp() - interval '1 second' where id = ${runId}`,
  );
}

async function events(runId: string): Promise<{ seq: number; type: string; data: Reply['body'] }[]> {
  const reply = await server.call('GET', `/api/v1/streams/${runId}/events?after=0&limit=100`);
  expect(reply.status).toBe(200);
  return reply.body.data;
}

async function workerKey(): Promise<string> {
  const reply = await server.call('POST', '/api/v1/api-keys', { body: { name: `worker ${serial}`, role: 'worker' } });
  expect(reply.status).toBe(201);
  return reply.body.key;
}

describe('a run that goes well', () => {
  test('is queued, claimed, written to and completed, and its log tells so in order', async () => {
    const { id, runId } = await task();
    const { fence, claimed } = await claim();
    expect(claimed.run).toMatchObject({ id: runId, task_id: id, status: 'running', attempt: 1, number: 1 });
    expect(claimed.task).toMatchObject({ id, prompt: 'work on this' });
    expect(claimed.messages).toMatchObject([{ role: 'user', parts: [{ type: 'text', text: 'work on this' }] }]);
    expect(claimed.lease.expires_in_seconds).toBe(60);

    const appended = await act(runId, 'events', {
      fence,
      events: [
        { type: 'log', data: { text: 'beginning' } },
        { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'hello' }] } },
        { type: 'usage', data: { input_tokens: 10, cost_in_cents: 0.25 } },
      ],
    });
    expect(appended.body).toEqual({ last_seq: 5, cancel_requested: false });
    expect((await act(runId, 'heartbeat', { fence })).body).toEqual({
      expires_in_seconds: 60,
      cancel_requested: false,
    });
    expect((await act(runId, 'complete', { fence, output: { answer: 42 }, cost_in_cents: 1 })).status).toBe(200);

    const run = (await server.call('GET', `/api/v1/runs/${runId}`)).body;
    expect(run).toMatchObject({
      status: 'completed',
      output: { answer: 42 },
      cost_in_cents: 1.25,
      last_seq: 7,
      error: null,
    });
    expect(run.attempts).toMatchObject([{ number: 1, status: 'completed', error: null }]);
    expect((await events(runId)).map((event) => [event.seq, event.type])).toEqual([
      [1, 'status'],
      [2, 'status'],
      [3, 'log'],
      [4, 'message'],
      [5, 'usage'],
      [6, 'status'],
      [7, 'end'],
    ]);
    const detail = (await server.call('GET', `/api/v1/tasks/${id}`)).body;
    expect(detail.task.status).toBe('completed');
    expect(detail.messages.map((message: { role: string }) => message.role)).toEqual(['user', 'assistant']);
  });

  test('takes the higher priority first, and the older first among equals', async () => {
    const low = await task('low', { priority: -5 });
    const first = await task('first');
    const second = await task('second');
    const high = await task('high', { priority: 50 });
    const order = [await claim(), await claim(), await claim(), await claim()].map((lease) => lease.runId);
    expect(order).toEqual([high.runId, first.runId, second.runId, low.runId]);
  });

  test('a waiting claim is answered as soon as there is work', async () => {
    const waiting = server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent], wait_seconds: 30 } });
    const { runId } = await task();
    expect((await waiting).body.runs[0].run.id).toBe(runId);
  });
});

describe('a lease', () => {
  test('is held by one of sixty-four claimers', async () => {
    await task();
    const replies = await Promise.all(
      Array.from({ length: 64 }, () => server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent] } })),
    );
    expect(replies.flatMap((reply) => reply.body.runs)).toHaveLength(1);
  });

  test('is not held by another key that has stolen the fence', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    const thief = await workerKey();
    for (const [action, body] of [
      ['heartbeat', {}],
      ['events', { events: [{ type: 'log', data: { text: 'x' } }] }],
      ['complete', { output: {} }],
      ['release', {}],
    ] as const) {
      const reply = await act(runId, action, { fence, ...body }, thief);
      expect([action, reply.status, reply.body.code]).toEqual([action, 409, 'lease-lost']);
    }
    expect((await act(runId, 'complete', { fence, output: {} })).status).toBe(200);
  });

  test('that ran out accepts nothing, before and after another worker has the run', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    await expireLease(runId);
    const refused = async () => {
      for (const [action, body] of [
        ['heartbeat', {}],
        ['events', { events: [{ type: 'log', data: { text: 'late' } }], batch_id: 'late' }],
        ['complete', { output: { late: true } }],
        ['fail', { error: { message: 'late' } }],
        ['release', {}],
      ] as const) {
        const reply = await act(runId, action, { fence, ...body });
        expect([action, reply.status, reply.body.code]).toEqual([action, 409, 'lease-lost']);
      }
    };
    await refused();
    await server.app.get(LeaseRescuer).sweep();
    await refused();
    const second = await claim();
    expect(second.claimed.run.attempt).toBe(2);
    await refused();
    expect((await act(runId, 'complete', { fence: second.fence, output: { by: 'second' } })).status).toBe(200);
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).body.output).toEqual({ by: 'second' });
    expect((await events(runId)).filter((event) => event.type === 'end')).toHaveLength(1);
  });

  test('absent, foreign and lost runs are the same answer', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    await act(runId, 'complete', { fence, output: {} });
    const lost = await act(runId, 'heartbeat', { fence });
    const absent = await act('0190a5c8-7a00-7000-8000-000000000001', 'heartbeat', { fence });
    const garbage = await act(runId, 'heartbeat', { fence: 'garbage' });
    const comparable = ({ status, body }: Reply) => ({ status, ...body, instance: '', request_id: '' });
    expect(comparable(absent)).toEqual(comparable(lost));
    expect(comparable(garbage)).toEqual(comparable(lost));
  });

  test('given back by release costs no attempt', async () => {
    const { runId } = await task();
    const first = await claim();
    expect((await act(runId, 'release', { fence: first.fence })).body).toEqual({ id: runId, status: 'queued' });
    expect((await act(runId, 'release', { fence: first.fence })).status).toBe(200);
    const second = await claim();
    expect(second.claimed.run.attempt).toBe(1);
    expect(second.fence).not.toBe(first.fence);
  });
});

describe('a request sent again', () => {
  test('to end the run gets the same answer, and only for the same kind', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    const first = await act(runId, 'complete', { fence, output: { a: 1 } });
    const again = await act(runId, 'complete', { fence, output: { a: 1 } });
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect((await act(runId, 'fail', { fence, error: { message: 'no' } })).body.code).toBe('lease-lost');
    expect((await events(runId)).filter((event) => event.type === 'end')).toHaveLength(1);
  });

  test('to append is recognised by its batch id, also after the run ended', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    const batch = { fence, batch_id: 'one', events: [{ type: 'log', data: { text: 'once' } }] };
    const first = await act(runId, 'events', batch);
    const again = await Promise.all([act(runId, 'events', batch), act(runId, 'events', batch)]);
    expect(again.map((reply) => reply.body.last_seq)).toEqual([first.body.last_seq, first.body.last_seq]);
    const other = await act(runId, 'events', { ...batch, events: [{ type: 'log', data: { text: 'other' } }] });
    expect([other.status, other.body.code]).toEqual([422, 'batch-mismatch']);
    await act(runId, 'complete', { fence, output: {} });
    expect((await act(runId, 'events', batch)).body.last_seq).toBe(first.body.last_seq);
    expect((await events(runId)).filter((event) => event.type === 'log')).toHaveLength(1);
  });

  test('by sixteen senders at once is appended once', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    const batch = { fence, batch_id: 'race', events: [{ type: 'log', data: { text: 'race' } }] };
    const replies = await Promise.all(Array.from({ length: 16 }, () => act(runId, 'events', batch)));
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.body.last_seq}`))).toEqual(new Set(['200 3']));
    expect((await events(runId)).filter((event) => event.type === 'log')).toHaveLength(1);
  });
});

describe('a worker that dies', () => {
  test('spends an attempt, and the last one ends the run as failed with LostWorker', async () => {
    const { id, runId } = await task();
    await claim();
    await expireLease(runId);
    await server.app.get(LeaseRescuer).sweep();
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).body).toMatchObject({ status: 'queued', attempt: 1 });
    await claim();
    await expireLease(runId);
    await Promise.all([server.app.get(LeaseRescuer).sweep(), server.app.get(LeaseRescuer).sweep()]);
    const run = (await server.call('GET', `/api/v1/runs/${runId}`)).body;
    expect(run).toMatchObject({ status: 'failed', attempt: 2, error: { name: 'LostWorker' } });
    expect(run.attempts.map((attempt: { status: string }) => attempt.status)).toEqual(['lost', 'lost']);
    expect((await events(runId)).filter((event) => event.type === 'end')).toHaveLength(1);
    expect((await server.call('GET', `/api/v1/tasks/${id}`)).body.task.status).toBe('failed');
  });

  test('or that takes longer than its agent allows ends as timed_out', async () => {
    const { runId } = await task();
    await claim();
    await server.database.execute(sql`update runs set deadline_at = clock_timestamp() where id = ${runId}`);
    await server.app.get(LeaseRescuer).sweep();
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).body).toMatchObject({
      status: 'timed_out',
      error: { name: 'TimedOut' },
    });
  });
});

describe('cancel', () => {
  test('of a queued run ends it at once, and twice is the same', async () => {
    const { runId } = await task();
    const first = await server.call('POST', `/api/v1/runs/${runId}/cancel`);
    expect([first.status, first.body.status]).toEqual([200, 'canceled']);
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).status).toBe(200);
    expect((await events(runId)).map((event) => event.type)).toEqual(['status', 'status', 'end']);
  });

  test('of a running one is a wish that the worker hears and fulfils', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    expect((await act(runId, 'canceled', { fence })).body.code).toBe('conflict');
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).status).toBe(202);
    expect((await act(runId, 'heartbeat', { fence })).body.cancel_requested).toBe(true);
    expect((await act(runId, 'canceled', { fence })).body.status).toBe('canceled');
    expect((await act(runId, 'canceled', { fence })).status).toBe(200);
  });

  test('loses against a completion that comes after it', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    await server.call('POST', `/api/v1/runs/${runId}/cancel`);
    expect((await act(runId, 'complete', { fence, output: {} })).body.status).toBe('completed');
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).body.code).toBe('run-ended');
  });

  test('with force ends it under its worker, whose fence is void', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    const forced = await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: { force: true } });
    expect([forced.status, forced.body.status]).toEqual([200, 'canceled']);
    expect((await act(runId, 'complete', { fence, output: {} })).body.code).toBe('lease-lost');
  });
});

describe('what a worker may not send is refused whole, and the run lives on', () => {
  test.each([
    ['an event of the server', { events: [{ type: 'end', data: {} }] }],
    ['an unknown event', { events: [{ type: 'shout', data: {} }] }],
    [
      'a batch with one bad event',
      {
        events: [
          { type: 'log', data: { text: 'good' } },
          { type: 'log', data: {} },
        ],
      },
    ],
    ['no events', { events: [] }],
    ['501 events', { events: Array.from({ length: 501 }, () => ({ type: 'custom', data: {} })) }],
    ['an event over 256 KiB', { events: [{ type: 'custom', data: { x: 'x'.repeat(256 * 1024) } }] }],
    ['an unknown key', { events: [{ type: 'custom', data: {} }], extra: 1 }],
  ])('%s', async (_, body) => {
    const { runId } = await task();
    const { fence } = await claim();
    expect((await act(runId, 'events', { fence, ...body })).status).toBe(400);
    expect((await events(runId)).map((event) => event.type)).toEqual(['status', 'status']);
    expect((await act(runId, 'complete', { fence, output: {} })).status).toBe(200);
  });

  test('an output that is no object', async () => {
    const { runId } = await task();
    const { fence } = await claim();
    expect((await act(runId, 'complete', { fence, output: [1] })).status).toBe(400);
  });
});

describe('a worker key', () => {
  test('holds the worker routes and nothing else', async () => {
    const key = await workerKey();
    const { runId } = await task();
    expect((await claim(key)).runId).toBe(runId);
    expect((await server.call('GET', `/api/v1/runs/${runId}`, { as: key })).status).toBe(403);
    expect((await server.call('GET', '/api/v1/tasks', { as: key })).status).toBe(403);
  });

  test('that is revoked loses its lease with the next request', async () => {
    const made = await server.call('POST', '/api/v1/api-keys', { body: { name: 'short-lived', role: 'worker' } });
    const { runId } = await task();
    const { fence } = await claim(made.body.key);
    expect((await act(runId, 'heartbeat', { fence }, made.body.key)).status).toBe(200);
    expect((await server.call('DELETE', `/api/v1/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await act(runId, 'heartbeat', { fence }, made.body.key)).status).toBe(401);
  });

  test('cannot claim an agent of the server’s own, nor one that is not there', async () => {
    for (const slug of ['digest', 'nobody']) {
      const reply = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [slug] } });
      expect([slug, reply.status]).toEqual([slug, 400]);
    }
  });
});
