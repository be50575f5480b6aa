/** What a worker reports of others is taken as it is: an error or a log line is never refused for its form. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  const body = { slug: 'work', name: 'Work', kind: 'worker', max_attempts: 3 };
  expect((await server.call('POST', '/api/v1/agents', { body })).status).toBe(201);
});
afterAll(() => server.stop());

interface Lease {
  runId: string;
  fence: string;
}

async function lease(): Promise<Lease> {
  await server.call('POST', '/api/v1/tasks', { body: { agent: 'work', prompt: 'Work.' } });
  const body = { agents: ['work'] };
  const claim = await server.call('POST', '/api/v1/worker/claim', { as: yard.workerKey, body });
  const [{ run, lease: given }] = claim.body.runs;
  return { runId: run.id, fence: given.fence };
}

/** `members` is JSON text behind the fence, so that it may say what no JavaScript value can. */
const report = (route: string, { runId, fence }: Lease, members: string): Promise<Reply> =>
  server.call('POST', `/api/v1/worker/runs/${runId}/${route}`, {
    as: yard.workerKey,
    body: `{"fence": ${JSON.stringify(fence)}${members === '' ? '' : `, ${members}`}}`,
    headers: { 'content-type': 'application/json' },
  });

const errorOf = async ({ runId }: Lease): Promise<Record<string, string | null>> =>
  (await server.call('GET', `/api/v1/runs/${runId}`)).body.error;

describe('a failure that its worker does not want to be tried again', () => {
  test.each([
    ['an empty message', '{"message": ""}', 'Error', 'The worker gave no message.'],
    ['no message', '{"name": "TypeError"}', 'TypeError', 'The worker gave no message.'],
    ['a name that is null', '{"name": null, "message": "It broke."}', 'Error', 'It broke.'],
    ['a NUL', '{"message": "a\\u0000b"}', 'Error', 'a\ufffdb'],
    ['half an emoji', '{"message": "a\\ud83d"}', 'Error', 'a\ufffd'],
    ['code and cause beside', '{"message": "m", "code": "E1", "cause": {"message": "n"}}', 'Error', 'm'],
    ['only a text', '"It broke."', 'Error', 'It broke.'],
    ['a message that is no text', '{"message": {"status": 500}}', 'Error', '{"status":500}'],
    ['nothing', 'null', 'Error', 'The worker gave no message.'],
    ['a code past 2^53 beside', '{"message": "m", "code": 12345678901234567890}', 'Error', 'm'],
    ['a number past all doubles beside', '{"message": "m", "code": 1e400}', 'Error', 'm'],
    ['a member named __proto__', '{"message": "m", "cause": {"__proto__": {"message": "n"}}}', 'Error', 'm'],
    ['a name twice', '{"message": "l", "message": "m"}', 'Error', 'm'],
    [
      '300 causes within causes',
      `{"message": "m", "cause": ${'{"cause":'.repeat(300)}1${'}'.repeat(301)}`,
      'Error',
      'm',
    ],
    ['a stack of 1.5 MiB', `{"message": "m", "stack": "${'s'.repeat(1_572_864)}"}`, 'Error', 'm'],
  ])('ends the run although its error has %s', async (_what, error, name, message) => {
    const held = await lease();
    const reply = await report('fail', held, `"error": ${error}, "retry": false`);
    expect([reply.status, reply.body.status]).toEqual([200, 'failed']);
    expect(await errorOf(held)).toMatchObject({ name, message });
  });

  test.each(['{"toString": 1, "valueOf": 1}', '[{"toString": 1, "valueOf": 1}]', '{}', 'null'])(
    'ends the attempt although its retry is %s, which says nothing',
    async (retry) => {
      const held = await lease();
      const reply = await report('fail', held, `"error": {"name": "E", "message": "m"}, "retry": ${retry}`);
      expect([reply.status, reply.body.status]).toEqual([200, 'queued']);
      await server.call('POST', `/api/v1/runs/${held.runId}/cancel`, { body: {} });
    },
  );

  test('has the words that stand beside an error that has none', async () => {
    for (const members of [
      '"message": "top", "name": "E"',
      '"error": {"name": "E"}, "message": "top", "stack": "at x"',
    ]) {
      const held = await lease();
      expect((await report('fail', held, `${members}, "retry": false`)).status).toBe(200);
      expect(await errorOf(held)).toMatchObject({ name: 'E', message: 'top' });
    }
  });

  test('keeps the beginning of long texts, never half of a character', async () => {
    const held = await lease();
    const error = { name: 'N'.repeat(500), message: `x${'😀'.repeat(20_000)}`, stack: 's'.repeat(100_000) };
    const reply = await report('fail', held, `"error": ${JSON.stringify(error)}, "retry": false, "attempt": 1`);
    expect([reply.status, reply.body.status]).toEqual([200, 'failed']);
    const kept = await errorOf(held);
    expect([kept['name']?.length, kept['message']?.length, kept['stack_trace']?.length]).toEqual([200, 8_192, 65_536]);
    expect(kept['message']).toMatch(/^x(😀)+…$/u);
  });

  test.each(['0', '"False"', '" no "'])('is heard where it says so as %s', async (retry) => {
    const reply = await report('fail', await lease(), `"error": {"message": "m"}, "retry": ${retry}`);
    expect([reply.status, reply.body.status]).toEqual([200, 'failed']);
  });

  test('is heard where there is no error at all', async () => {
    const held = await lease();
    const reply = await report('fail', held, '"retry": false');
    expect([reply.status, reply.body.status]).toEqual([200, 'failed']);
  });
});

test('a release is taken with whatever reason stands beside it', async () => {
  const held = await lease();
  const reply = await report('release', held, '"reason": "shutting down \\u0000"');
  expect([reply.status, reply.body.status]).toEqual([200, 'queued']);
  await server.call('POST', `/api/v1/runs/${held.runId}/cancel`, { body: {} });
});

test('a log line keeps what can be stored of it, and the beginning of what is too long', async () => {
  const held = await lease();
  const long = 'y'.repeat(70_000);
  const events = `[{"type": "log", "data": {"text": "a\\u0000b\\ud800"}}, {"type": "log", "data": {"text": "${long}"}}]`;
  expect((await report('events', held, `"events": ${events}`)).status).toBe(200);
  const { body } = await server.call('GET', `/api/v1/streams/${held.runId}/events`);
  const texts = body.data
    .filter(({ type }: { type: string }) => type === 'log')
    .map(({ data }: { data: { text: string } }) => data.text);
  expect(texts).toEqual(['a\ufffdb\ufffd', `${long.slice(0, 65_535)}…`]);
  await report('complete', held, '"output": {}');
});

describe('a batch of events is taken', () => {
  test.each([
    ['a level of another name', '{"level": "WARN", "text": "x"}', { level: 'warning', text: 'x' }],
    ['a level that is null', '{"level": null, "text": "x"}', { text: 'x' }],
    ['a level that is not known', '{"level": "loud", "text": "x"}', { text: 'x' }],
    ['members beside its text', '{"text": "x", "logger": "app"}', { text: 'x' }],
    ['an object as its text', '{"text": {"a": 1}}', { text: '{"a":1}' }],
    ['a message instead of a text', '{"message": "x"}', { text: 'x' }],
    ['a text alone as its data', '"x"', { text: 'x' }],
    ['300 KiB of text', `{"text": "${'y'.repeat(307_200)}"}`, { text: `${'y'.repeat(65_535)}…` }],
    [
      'text that escaping makes too large',
      `{"text": "${'\\u0001'.repeat(60_000)}"}`,
      { text: `${'\u0001'.repeat(32_767)}…` },
    ],
  ])('although a log line has %s', async (_what, line, kept) => {
    const held = await lease();
    expect((await report('events', held, `"events": [{"type": "log", "data": ${line}, "at": 1}]`)).status).toBe(200);
    expect(await dataOf(held, 'log')).toEqual([kept]);
    await report('complete', held, '"output": {}');
  });

  test.each([
    ['no name and a code', '{"name": null, "message": "m", "code": 1}', { name: 'Error', message: 'm' }],
    [
      'a long name and message',
      `{"name": "${'n'.repeat(300)}", "message": "${'m'.repeat(300_000)}"}`,
      { name: `${'n'.repeat(199)}…`, message: `${'m'.repeat(65_535)}…` },
    ],
  ])('although a problem has %s', async (_what, problem, kept) => {
    const held = await lease();
    expect((await report('events', held, `"events": [{"type": "problem", "data": ${problem}}]`)).status).toBe(200);
    expect(await dataOf(held, 'problem')).toEqual([kept]);
    await report('complete', held, '"output": {}');
  });
});

describe('optional members that are null count as absent', () => {
  test.each([
    ['message', '{"id": null, "role": "assistant", "parts": [{"type": "text", "text": "x"}]}', { role: 'assistant' }],
    ['delta', '{"message_id": null, "text": "x"}', { text: 'x' }],
    ['tool_call', '{"id": "c", "name": "n", "input": null, "requires_approval": null}', { id: 'c', input: null }],
    ['tool_result', '{"id": "c", "output": null, "is_error": null}', { id: 'c', output: null }],
    ['usage', '{"model": null, "input_tokens": 1, "output_tokens": null, "cost_in_cents": null}', { input_tokens: 1 }],
  ])('in the data of %s', async (type, data, kept) => {
    const held = await lease();
    const reply = await report('events', held, `"events": [{"type": "${type}", "data": ${data}}], "batch_id": null`);
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
    const [found] = await dataOf(held, type);
    expect(found).toMatchObject(kept);
    expect(Object.entries(found ?? {}).filter(([name, value]) => value === null && !(name in kept))).toEqual([]);
    await report('complete', held, '');
  });

  test('in a claim, a question and children', async () => {
    const held = await lease();
    const asked = await report('ask', held, '"question": "Go on?", "options": null, "timeout_seconds": null');
    expect([asked.status, asked.body.status]).toEqual([200, 'waiting']);
    await server.call('POST', `/api/v1/runs/${held.runId}/answer`, { body: { text: 'yes' } });
    const claim = { agents: ['work'], max: null, wait_seconds: null, worker_id: null };
    const { body } = await server.call('POST', '/api/v1/worker/claim', { as: yard.workerKey, body: claim });
    const again = { runId: held.runId, fence: body.runs[0].lease.fence };
    const children = await report('children', again, '"runs": [{"agent": "work"}], "wait": null, "batch_id": null');
    expect([children.status, children.text]).toEqual([200, expect.any(String)]);
    await report('complete', again, '');
    await server.call('POST', `/api/v1/runs/${children.body.runs[0].id}/cancel`, { body: {} });
  });

  test.each(['', '"output": null', '"output": {}, "cost_in_cents": null'])('in a completion: {%s}', async (members) => {
    const held = await lease();
    const reply = await report('complete', held, members);
    expect([reply.status, reply.body.status]).toEqual([200, 'completed']);
    expect((await server.call('GET', `/api/v1/runs/${held.runId}`)).body.output).toEqual({});
  });
});

test('members that model providers add to usage and tool calls are left out, not refused', async () => {
  const held = await lease();
  const events = [
    { type: 'usage', data: { input_tokens: 3, total_tokens: 4, details: { cached: 1 } } },
    { type: 'tool_call', data: { id: 'c', name: 'n', index: 0, type: 'function' } },
    { type: 'tool_result', data: { id: 'c', output: 1, tool_name: 'n' } },
  ];
  expect((await report('events', held, `"events": ${JSON.stringify(events)}`)).status).toBe(200);
  expect(await dataOf(held, 'usage')).toEqual([{ input_tokens: 3 }]);
  expect(await dataOf(held, 'tool_call')).toEqual([{ id: 'c', name: 'n' }]);
  expect(await dataOf(held, 'tool_result')).toEqual([{ id: 'c', output: 1 }]);
  expect((await report('heartbeat', held, '"sent_at": 1')).status).toBe(200);
  await report('complete', held, '');
});

test('a batch with one bad event is refused whole, by the place of the event and what is wrong with it', async () => {
  const held = await lease();
  const events = '[{"type": "delta", "data": {"text": "x"}}, {"type": "delta", "data": {"words": "y"}}]';
  const reply = await report('events', held, `"events": ${events}`);
  expect([reply.status, reply.body.errors[0]]).toEqual([
    400,
    { path: '/events/1/data/text', message: expect.stringContaining('expected string') },
  ]);
  expect(await dataOf(held, 'delta')).toEqual([]);
  await report('complete', held, '');
});

test('a batch sent again is the same whatever the order of its members and the spelling of its numbers', async () => {
  const held = await lease();
  const first = '"batch_id": "b", "events": [{"type": "custom", "data": {"a": 1.0, "b": {"c": [1e2], "d": null}}}]';
  const again = '"events": [{"data": {"b": {"d": null, "c": [100]}, "a": 1}, "type": "custom"}], "batch_id": "b"';
  const other = '"batch_id": "b", "events": [{"type": "custom", "data": {"a": 1, "b": {"c": [101], "d": null}}}]';
  const sent = await report('events', held, first);
  const repeated = await report('events', held, again);
  expect([repeated.status, repeated.body]).toEqual([200, sent.body]);
  expect((await report('events', held, other)).body.code).toBe('batch-mismatch');
  expect(await dataOf(held, 'custom')).toHaveLength(1);
  await report('complete', held, '');
});

test('a worker that hands back a run whose cancel was asked for may say so in either word, and again', async () => {
  for (const [first, second] of [
    ['release', 'canceled'],
    ['canceled', 'release'],
  ] as const) {
    const held = await lease();
    await server.call('POST', `/api/v1/runs/${held.runId}/cancel`, { body: {} });
    for (const route of [first, second, first]) {
      const reply = await report(route, held, '');
      expect([route, reply.status, reply.body.status]).toEqual([route, 200, 'canceled']);
    }
    expect((await report('complete', held, '')).body.code).toBe('lease-lost');
  }
});

async function dataOf({ runId }: Lease, type: string): Promise<unknown[]> {
  const { body } = await server.call('GET', `/api/v1/streams/${runId}/events`);
  return body.data.filter((event: { type: string }) => event.type === type).map(({ data }: { data: unknown }) => data);
}
