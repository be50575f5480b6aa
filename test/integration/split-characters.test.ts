/** Text that is streamed in UTF-16 code units: a character that is cut in two between deltas arrives whole. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

const FIRST = '\\ud83d';
const SECOND = '\\ude00';

let server: TestServer;
let replica: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  replica = await startServer({ ROLE: 'api', DATABASE_URL: server.databaseUrl });
  yard = await makeYard(server);
  const body = { slug: 'work', name: 'Work', kind: 'worker', max_attempts: 3 };
  expect((await server.call('POST', '/api/v1/agents', { body })).status).toBe(201);
});
afterAll(async () => {
  await replica.stop();
  await server.stop();
});

interface Lease {
  runId: string;
  fence: string;
}

async function lease(): Promise<Lease> {
  const made = await server.call('POST', '/api/v1/tasks', { body: { agent: 'work', prompt: 'Work.' } });
  expect(made.status).toBe(201);
  return claim();
}

async function claim(): Promise<Lease> {
  const { body } = await server.call('POST', '/api/v1/worker/claim', {
    as: yard.workerKey,
    body: { agents: ['work'] },
  });
  const [{ run, lease: given }] = body.runs;
  return { runId: run.id, fence: given.fence };
}

/** @param events JSON text, since no JavaScript value keeps half a character through UTF-8 */
async function append({ runId, fence }: Lease, events: string, { on = server, batchId = '' } = {}): Promise<Reply> {
  const batch = batchId === '' ? '' : `, "batch_id": "${batchId}"`;
  const reply = await on.call('POST', `/api/v1/worker/runs/${runId}/events`, {
    as: yard.workerKey,
    body: `{"fence": "${fence}", "events": [${events}]${batch}}`,
    headers: { 'content-type': 'application/json' },
  });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply;
}

const delta = (text: string, id?: string): string =>
  `{"type": "delta", "data": {"text": "${text}"${id === undefined ? '' : `, "message_id": "${id}"`}}}`;

async function deltasOf({ runId }: Lease): Promise<string[]> {
  const { body } = await server.call('GET', `/api/v1/streams/${runId}/events`);
  return body.data
    .filter(({ type }: { type: string }) => type === 'delta')
    .map(({ data }: { data: { text: string } }) => data.text);
}

async function complete({ runId, fence }: Lease): Promise<void> {
  const body = { fence, output: {} };
  const reply = await server.call('POST', `/api/v1/worker/runs/${runId}/complete`, { as: yard.workerKey, body });
  expect(reply.status).toBe(200);
}

test('is joined within a batch and between batches, each delta an event of its own', async () => {
  const held = await lease();
  const first = await append(held, `${delta(`a${FIRST}`)}, ${delta(`${SECOND}b${FIRST}`)}`);
  const second = await append(held, delta(SECOND));
  expect(second.body.last_seq - first.body.last_seq).toBe(1);
  expect(await deltasOf(held)).toEqual(['a', '😀b', '😀']);
  await complete(held);
});

test('is joined where another replica takes the second half, and other messages come in between', async () => {
  const held = await lease();
  await append(held, `${delta(`one${FIRST}`, 'm1')}, ${delta(`two${FIRST}`, 'm2')}`);
  await append(held, `{"type": "log", "data": {"text": "between"}}, ${delta('x', 'm3')}`, { on: replica });
  await append(held, `${delta(`${SECOND}!`, 'm2')}, ${delta(`${SECOND}?`, 'm1')}`, { on: replica });
  expect(await deltasOf(held)).toEqual(['one', 'two', 'x', '😀!', '😀?']);
  await complete(held);
});

test('is joined once where a batch is sent again after a lost reply', async () => {
  const held = await lease();
  await append(held, delta(`a${FIRST}`), { batchId: 'a' });
  const sent = await append(held, delta(`${SECOND}${FIRST}`), { batchId: 'b' });
  const again = await append(held, delta(`${SECOND}${FIRST}`), { batchId: 'b', on: replica });
  expect(again.body).toEqual(sent.body);
  await append(held, delta(`${SECOND}c`), { batchId: 'c' });
  expect(await deltasOf(held)).toEqual(['a', '😀', '😀c']);
  await complete(held);
});

test('whose other half never comes is left out or replaced, also in the next attempt, and so is half of one anywhere else', async () => {
  const held = await lease();
  await append(held, `${delta(`${SECOND}a`)}, ${delta(`b${FIRST}`)}`);
  const released = { fence: held.fence };
  await server.call('POST', `/api/v1/worker/runs/${held.runId}/release`, { as: yard.workerKey, body: released });
  const again = await claim();
  await append(again, `${delta(`${SECOND}c`)}, ${delta(`d${FIRST}e`)}`);
  await append(again, `{"type": "custom", "data": {"text": "x${FIRST}", "y${SECOND}": 1}}, ${delta(`f${FIRST}`)}`);
  expect(await deltasOf(held)).toEqual(['\ufffda', 'b', '\ufffdc', 'd\ufffde', 'f']);
  const { body } = await server.call('GET', `/api/v1/streams/${held.runId}/events`);
  const custom = body.data.find(({ type }: { type: string }) => type === 'custom');
  expect(custom.data).toEqual({ text: 'x\ufffd', 'y\ufffd': 1 });
  await complete(again);
});
