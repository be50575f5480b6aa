import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';
import { type ServerProcess, startProcess } from '../support/server-process.js';

const KEY = 'k'.repeat(40);

let database: TestDatabase;
let folder: string;
let port: number;
let server: ServerProcess;
let example: ChildProcess | null = null;

beforeAll(async () => {
  database = await cloneDatabase();
  folder = mkdtempSync(join(tmpdir(), 'examples-'));
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  probe.close();
  await once(probe, 'close');
  await start();
});

afterEach(async () => {
  if (example !== null) {
    const ended = once(example, 'exit');
    example.kill('SIGKILL');
    await ended;
    example = null;
  }
});

afterAll(async () => {
  server.child.kill('SIGKILL');
  await server.exit;
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<void> {
  server = startProcess({
    PORT: String(port),
    DATABASE_URL: database.url,
    DATA_DIR: folder,
    ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
    BOOTSTRAP_API_KEY: KEY,
    LOG_LEVEL: 'silent',
  });
  await server.url;
}

async function kill(): Promise<void> {
  server.child.kill('SIGKILL');
  await server.exit;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- replies of every shape
async function call(method: string, path: string, body?: object): Promise<any> {
  const reply = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
    method,
    headers: { 'x-api-key': KEY, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  expect([reply.status < 300, text]).toEqual([true, expect.any(String)]);
  return JSON.parse(text);
}

/** Runs an example; `notices` resolves with the next line in which it says that it tries again. */
function run(name: string): { notices: () => Promise<void> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../examples', name)], {
    env: { PATH: process.env['PATH'], TASKYARD_URL: `http://127.0.0.1:${port}`, TASKYARD_KEY: KEY },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  example = child;
  const lines = createInterface(child.stderr);
  const notices = (): Promise<void> =>
    new Promise((resolve, reject) => {
      lines.on('line', (line) => line.endsWith('trying again') && resolve());
      child.once('exit', (code) => reject(new Error(`the example ended with ${code}`)));
    });
  return { notices };
}

/** The run's events up to the first of `type`, from the live stream. */
async function until(runId: string, type: string): Promise<string[]> {
  const reply = await fetch(`http://127.0.0.1:${port}/api/v1/streams/${runId}?after=0`, {
    headers: { 'x-api-key': KEY, accept: 'text/event-stream' },
  });
  const types: string[] = [];
  let text = '';
  for await (const chunk of reply.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString('latin1');
    const seen = [...text.matchAll(/^event: (\S+)$/gm)].map(([, name]) => name ?? '');
    types.splice(0, types.length, ...seen);
    if (types.includes(type)) {
      return types;
    }
  }
  throw new Error(`the stream ended without ${type}: ${types.join()}`);
}

async function createTask(slug: string, prompt: string): Promise<string> {
  return (await call('POST', '/tasks', { agent: slug, prompt })).stream.streamId;
}

test.each([
  ['worker.mjs', 'shout'],
  ['media-worker.mjs', 'sing'],
])('%s goes on after its server was killed while it waited for work', async (name, slug) => {
  await call('POST', '/agents', { slug, name: slug, kind: 'worker', lease_seconds: 3600 });
  const { notices } = run(name);
  const before = await createTask(slug, 'two words');
  await until(before, 'end');
  const noticed = notices();
  await kill();
  await noticed;
  await start();
  const after = await createTask(slug, 'three more words');
  await until(after, 'end');
  expect([(await call('GET', `/runs/${before}`)).status, (await call('GET', `/runs/${after}`)).status]).toEqual([
    'completed',
    'completed',
  ]);
});

test('worker.mjs goes on with a run in whose middle its server was killed, and says nothing twice', async () => {
  const { notices } = run('worker.mjs');
  const words = Array.from({ length: 400 }, (_, index) => `w${index}`);
  const runId = await createTask('shout', words.join(' '));
  await until(runId, 'delta');
  const noticed = notices();
  await kill();
  await noticed;
  await start();
  const types = await until(runId, 'end');
  const shown = await call('GET', `/runs/${runId}`);
  expect([shown.status, shown.attempt, shown.output.words]).toEqual(['completed', 1, 400]);
  expect(types.filter((type) => type === 'delta')).toHaveLength(400);
});

test('asking-worker.mjs goes on after its server was killed while a person was asked', async () => {
  const config = { default_run_config: { auto_execute: false } };
  await call('POST', '/agents', { slug: 'press', name: 'Press', kind: 'worker', ...config });
  const { notices } = run('asking-worker.mjs');
  const runId = await createTask('press', 'Read all about it');
  await until(runId, 'question');
  const noticed = notices();
  await kill();
  await noticed;
  await start();
  await call('POST', `/runs/${runId}/answer`, { text: 'yes' });
  await until(runId, 'tool_call');
  await call('POST', `/runs/${runId}/approvals/send`, { decision: 'approve' });
  await until(runId, 'end');
  expect((await call('GET', `/runs/${runId}`)).output).toMatchObject({ published: true });
});
