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

async function dataOf({ runId }: Lease, type: string): Promise<unknown[]> {
  const { body } = await server.call('GET', `/api/v1/streams/${runId}/events`);
  return body.data.filter((event: { type: string }) => event.type === type).map(({ data }: { data: unknown }) => data);
}
