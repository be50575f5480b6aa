import { watch } from 'node:fs';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { ended, follow, type LogEvent } from '../support/ended.js';
import { cloneDatabase } from '../support/databases.js';
import { childrenOf, isDead } from '../support/processes.js';
import { startProcess } from '../support/server-process.js';
import { BOOTSTRAP_KEY, call, type CallOptions, startServer, type TestServer } from '../support/server.js';

const PROGRAM = join(import.meta.dirname, 'fixtures/commands/program.mjs');
const SECRET = 'a secret of the server';
const QUOTA = 1_000_000_000;

let folder: string;
let server: TestServer;
let work: string;
let serial = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskyard-commands-'));
  const node = { program: process.execPath, args: [PROGRAM, 'one', 'two words; $(rm -rf /)'] };
  const commands = {
    program: { ...node, env: { GREETING: 'hello' }, pass_env: ['PATH', 'NOT_SET_ANYWHERE'] },
    small: { ...node, max_output_bytes: 10_000 },
    short: { ...node, timeout_seconds: 1 },
    gone: { program: join(folder, 'gone') },
    example: { program: process.execPath, args: [join(import.meta.dirname, '../../examples/word-count-agent.mjs')] },
  };
  await writeFile(join(folder, 'gone'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(join(folder, 'agents.json'), JSON.stringify({ commands }));
  process.env['TASKYARD_TEST_SECRET'] = SECRET;
  server = await startServer({
    AGENTS_FILE: join(folder, 'agents.json'),
    DATA_DIR: folder,
    PATH: '/usr/bin:/bin',
    ASSET_QUOTA_BYTES: String(QUOTA),
  });
  work = join(folder, 'work');
  await rm(join(folder, 'gone'));
  for (const command of Object.keys(commands)) {
    const body = { slug: command, kind: 'command', config: { command }, max_attempts: 1, lease_seconds: 5 };
    const made = await server.call('POST', '/api/v1/agents', { body });
    expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  }
});

afterAll(async () => {
  delete process.env['TASKYARD_TEST_SECRET'];
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(() => {
  serial += 1;
});

type Caller = Pick<TestServer, 'call'>;
type Step = { do: string } & Record<string, unknown>;

async function start(
  steps: Step[],
  more: object = {},
  on: Caller = server,
): Promise<{ taskId: string; runId: string }> {
  const body = { agent: 'program', prompt: `Task ${serial}`, payload: { steps }, ...more };
  const reply = await on.call('POST', '/api/v1/tasks', { body });
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return { taskId: reply.body.task.id, runId: reply.body.stream.streamId };
}

async function run(steps: Step[], more: object = {}) {
  const { runId, taskId } = await start(steps, more);
  return { runId, taskId, ...(await ended(server, runId)) };
}

const said = (events: LogEvent[], type: string) =>
  events.filter((event) => event.type === type).map(({ data }) => data);

/** Resolves when a lock is gone: all of its program is over then. */
async function freed(lock: string | undefined): Promise<void> {
  const watcher = watch(join(work, 'tasks'));
  while ((await readdir(join(work, 'tasks'))).includes(lock ?? '')) await once(watcher, 'change');
  watcher.close();
}

/** Starts steps and answers the process numbers that they say, once there are as many as asked for. */
async function startWithPids(steps: Step[], count: number, more: object = {}, on: Caller = server) {
  const { runId } = await start([...steps, { do: 'stay' }], more, on);
  const events = await follow(on, runId, ({ seq, type }) => type === 'custom' && seq >= count + 2);
  const pids = said(events, 'custom').map(({ pid }: { pid: number }) => pid);
  expect(pids).toHaveLength(count);
  return { runId, pids };
}

describe('a command agent', () => {
  test('is told the run by its input and by files, and finds nothing else of the server’s', async () => {
    const { events, run: done, taskId, runId } = await run([{ do: 'tell' }]);
    expect(done).toMatchObject({ status: 'completed', output: {} });
    const [told] = said(events, 'custom');
    expect(JSON.parse(told.stdin)).toMatchObject({
      run: { id: runId, attempt: 1, status: 'running' },
      task: { id: taskId, prompt: `Task ${serial}` },
      messages: [{ role: 'user', parts: [{ type: 'text', text: `Task ${serial}` }] }],
    });
    // What is secret is never in a file.
    expect(JSON.parse(told.stdin)).toEqual({ ...JSON.parse(told.input), secrets: {} });
    expect([told.prompt, told.files]).toEqual([`Task ${serial}`, ['input.json', 'out', 'prompt.txt']]);
    expect(told.argv).toEqual(['one', 'two words; $(rm -rf /)']);
    expect(told.env).toEqual({
      GREETING: 'hello',
      PATH: '/usr/bin:/bin',
      TASKYARD_RUN_ID: runId,
      TASKYARD_TASK_ID: taskId,
      TASKYARD_ATTEMPT: '1',
      TASKYARD_FOLDER: told.folder,
      TASKYARD_PROCESS_TOKEN: expect.any(String),
    });
    expect(JSON.stringify(events)).not.toContain(SECRET);
  });

  test('says events as JSON lines, and log lines as anything else', async () => {
    const { events, run: done } = await run([
      { do: 'say', text: '{"type":"message","data":{"role":"assistant","parts":[{"type":"text","text":"Hello"}]}}' },
      { do: 'say', text: '{"type":"delta","data":{"text":"He"}}' },
      { do: 'say', text: 'plain words' },
      { do: 'say', text: '{"not":"an event"}' },
      { do: 'say', text: '{"type":"delta","data":{"words":1}}' },
      { do: 'say', text: '{"type":"delta","data":{"text":"\\u0000"}}' },
      { do: 'hex', hex: Buffer.from('with a \0 in it\n').toString('hex') },
      { do: 'hex', hex: 'fffe0a' },
      { do: 'say', text: '   ' },
      { do: 'say', text: `${'x'.repeat(16_383)}😀` },
      { do: 'say', text: '{"type":"output","data":{"first":true}}' },
      { do: 'say', text: '{"type":"output","data":{"answer":42}}' },
    ]);
    expect(done).toMatchObject({ status: 'completed', output: { answer: 42 } });
    expect(events.map(({ type }) => type).filter((type) => type !== 'status')).toEqual([
      ...['message', 'delta', 'log', 'log', 'log', 'delta', 'log', 'log', 'log', 'log', 'end'],
    ]);
    expect(said(events, 'delta')).toEqual([{ text: 'He' }, { text: '\uFFFD' }]);
    expect(said(events, 'log').map(({ level, text }) => [level, text])).toEqual([
      ['info', 'plain words'],
      ['info', '{"not":"an event"}'],
      ['warning', expect.stringMatching(/^Not taken as an event \(delta: .*\{"type":"delta"/)],
      ['info', 'with a \uFFFD in it'],
      ['info', '\uFFFD\uFFFD'],
      ['info', 'x'.repeat(16_383)],
      ['info', '😀'],
    ]);
  });

  test.each([
    ['a number that a double would change', '{"a":12345678901234567890}'],
    ['more than 64 levels', `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
    ['too many members', `{${Array.from({ length: 3_000 }, (_, index) => `"m${index}":1`).join()}}`],
    ['NaN', '{"a":NaN}'],
  ])('fails, once, where its output has %s', async (_what, output) => {
    for (const text of [`{"type":"output","data":${output}}`, `{"type":"complete","data":{"output":${output}}}`]) {
      const { run: done } = await run([{ do: 'say', text }], { max_attempts: 3 });
      expect([done.status, done.error?.name, done.attempt]).toEqual(['failed', 'InvalidOutput', 1]);
    }
  });

  test('may begin its output, and its output file, with a byte order mark', async () => {
    const line = await run([{ do: 'say', text: '\uFEFF{"type":"output","data":{"answer":42}}' }]);
    expect(line.run).toMatchObject({ status: 'completed', output: { answer: 42 } });
    const file = await run([{ do: 'write', path: './output.json', text: '\uFEFF{"answer":42}' }]);
    expect(file.run).toMatchObject({ status: 'completed', output: { answer: 42 } });
  });

  test('may end in the words of the HTTP protocol: complete', async () => {
    const text = '{"type":"complete","data":{"output":{"answer":42},"cost_in_cents":1.5}}';
    expect((await run([{ do: 'say', text }])).run).toMatchObject({
      status: 'completed',
      output: { answer: 42 },
      cost_in_cents: 1.5,
    });
    const empty = '{"type":"complete","data":{"output":null,"cost_in_cents":null}}';
    expect((await run([{ do: 'say', text: empty }])).run).toMatchObject({ status: 'completed', output: {} });
  });

  test('may end in the words of the HTTP protocol: fail, whatever its exit code, and its files are kept', async () => {
    for (const code of [0, 3]) {
      const { run: done, events } = await run(
        [
          { do: 'say', text: '{"type":"fail","data":{"error":{"name":"NoFuel","message":"Empty."},"retry":false}}' },
          { do: 'say', text: 'goodbye' },
          { do: 'write', path: './out/notes.txt', text: 'words' },
          { do: 'exit', code },
        ],
        { max_attempts: 3 },
      );
      expect([done.status, done.error, done.attempt]).toEqual([
        'failed',
        { name: 'NoFuel', message: 'Empty.', stack_trace: null },
        1,
      ]);
      expect([said(events, 'log').map(({ text }) => text), said(events, 'asset')]).toEqual([
        ['goodbye'],
        [expect.objectContaining({ name: 'notes.txt' })],
      ]);
    }
  });

  test('may be as short as the example', async () => {
    const { events, run: done, runId } = await run([], { agent: 'example', prompt: 'to be or not to be' });
    expect(done).toMatchObject({
      status: 'completed',
      output: { different_words: 4, top: { to: 2, be: 2, or: 1, not: 1 } },
    });
    expect(said(events, 'log')).toEqual([{ level: 'info', text: '4 different words' }]);
    const { data } = (await server.call('GET', `/api/v1/assets?run_id=${runId}`)).body;
    expect(data.map(({ name }: { name: string }) => name)).toEqual(['words.csv']);
  });

  test('warns on its standard error', async () => {
    const { events } = await run([{ do: 'warn', text: 'careful' }]);
    expect(said(events, 'log')).toEqual([{ level: 'warning', text: 'careful' }]);
  });

  test('fails by its exit code, with its last words', async () => {
    const { run: done } = await run([
      { do: 'warn', text: 'no such file' },
      { do: 'exit', code: 3 },
    ]);
    const message = 'The program ended with exit code 3. Its last words: no such file';
    expect([done.status, done.error]).toEqual(['failed', { name: 'ExitCode', message, stack_trace: null }]);
  });

  test('fails by the signal that ended it', async () => {
    const { run: done } = await run([{ do: 'raise', signal: 'SIGKILL' }]);
    expect([done.status, done.error?.name, done.error?.message]).toEqual([
      'failed',
      'ExitCode',
      'The program was ended by SIGKILL.',
    ]);
  });

  test('that cannot be started says so', async () => {
    const { run: done } = await run([], { agent: 'gone' });
    expect([done.status, done.error?.name, done.error?.message]).toEqual([
      'failed',
      'CannotStart',
      expect.stringContaining('ENOENT'),
    ]);
  });

  test('may leave its output in a file, unless it is none', async () => {
    const good = await run([{ do: 'write', path: './output.json', text: '{"by":"file"}' }]);
    expect(good.run).toMatchObject({ status: 'completed', output: { by: 'file' } });
    const bad = await run([{ do: 'write', path: './output.json', text: '[1' }]);
    expect([bad.run.status, bad.run.error?.name]).toEqual(['failed', 'InvalidOutput']);
    const link = await run([{ do: 'link', path: './output.json', to: join(folder, 'agents.json') }]);
    expect(link.run).toMatchObject({ status: 'completed', output: {} });
  });

  test('leaves files as assets: regular ones, by safe names, no link followed', async () => {
    const {
      events,
      run: done,
      runId,
    } = await run([
      { do: 'write', path: './out/chart.PNG', text: 'not really' },
      { do: 'write', path: './out/sub/notes.txt', text: 'words' },
      { do: 'write', path: './out/odd\nname', text: '' },
      { do: 'link', path: './out/link.txt', to: join(folder, 'agents.json') },
      { do: 'link', path: './out/folder', to: '/etc' },
      { do: 'write', path: './elsewhere.txt', text: 'not left' },
    ]);
    expect(done.status).toBe('completed');
    const { data } = (await server.call('GET', `/api/v1/assets?run_id=${runId}&sort=created_at`)).body;
    expect(
      data.map((asset: Record<string, unknown>) => [asset.name, asset.type, asset.content_type, asset.size]),
    ).toEqual([
      ['chart.PNG', 'image', 'image/png', 10],
      ['odd_name', 'file', 'application/octet-stream', 0],
      ['sub_notes.txt', 'file', 'text/plain; charset=utf-8', 5],
    ]);
    expect(await (await fetch(data[2].url)).text()).toBe('words');
    expect(said(events, 'asset')).toHaveLength(3);
    expect(said(events, 'log').map(({ text }) => text)).toEqual([
      'Left out of the assets: folder, since it is no regular file.',
      'Left out of the assets: link.txt, since it is no regular file.',
    ]);
  });

  test('fails for want of room for its files in words that say so', async () => {
    const fill = (bytes: number): Promise<number> =>
      server.database.execute(sql`update asset_totals set bytes = bytes + ${bytes}`);
    await run([{ do: 'write', path: './out/first.txt', text: 'words' }]);
    await fill(QUOTA);
    const { run: done } = await run([{ do: 'write', path: './out/last.txt', text: 'words' }]);
    await fill(-QUOTA);
    expect([done.status, done.error?.name, done.error?.message]).toEqual([
      'failed',
      'LimitReached',
      expect.stringContaining('delete some'),
    ]);
  });

  test('that writes too much is ended, and fails', async () => {
    for (const text of ['x', 'line\n']) {
      const { run: done } = await run([{ do: 'flood', bytes: 1_000_000, text }, { do: 'stay' }], { agent: 'small' });
      expect([done.status, done.error?.name]).toEqual(['failed', 'OutputTooLarge']);
    }
  });

  test('may write a great deal where it is allowed to, and all of it arrives in order', async () => {
    const { run: done, runId } = await run([{ do: 'flood', bytes: 500_000, text: 'a line of words\n' }]);
    expect(done.status).toBe('completed');
    const text = await (
      await fetch(`${server.url}/api/v1/streams/${runId}?format=ndjson`, {
        headers: { 'x-api-key': 'test_bootstrap_key_0123456789_0123456789' },
      })
    ).text();
    expect(text.split('a line of words').length - 1).toBe(31_250);
  });

  test('of the operator’s limit is ended when it is over', async () => {
    const { run: done } = await run([{ do: 'stay' }], { agent: 'short' });
    expect([done.status, done.error?.name]).toEqual(['failed', 'TimedOut']);
  });
});

describe('the folder of a command agent', () => {
  const mark: Step[] = [{ do: 'write', path: './mark.txt', text: 'was here' }, { do: 'tell' }];

  test('stays between the runs of a task, but for what is of one run', async () => {
    const { taskId, events } = await run([
      ...mark,
      { do: 'write', path: './output.json', text: '{"old":1}' },
      { do: 'write', path: './out/old', text: 'x' },
    ]);
    const again = await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
    await server.call('PATCH', `/api/v1/tasks/${taskId}`, { body: { title: 'unchanged otherwise' } });
    const second = await ended(server, again.body.id);
    const [told] = said(second.events, 'custom');
    expect(told.folder).toBe(said(events, 'custom')[0].folder);
    expect(told.files).toEqual(['input.json', 'mark.txt', 'out', 'prompt.txt']);
  });

  test('is one’s own for each attempt of an isolated task, and gone after', async () => {
    const { taskId, events } = await run(mark, { is_isolated: true });
    const again = await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
    const second = await ended(server, again.body.id);
    const folders = [...said(events, 'custom'), ...said(second.events, 'custom')].map((told) => told.folder);
    expect(new Set(folders).size).toBe(2);
    expect(await readdir(join(work, 'attempts'))).toEqual([]);
  });

  test('is never two runs’ at once', async () => {
    const { runId, taskId } = await start([{ do: 'tell' }, { do: 'stay' }]);
    const [first] = said(await follow(server, runId, ({ type }) => type === 'custom'), 'custom');
    const beside = await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
    const [second] = said(await follow(server, beside.body.id, ({ type }) => type === 'custom'), 'custom');
    expect([second.folder === first.folder, second.folder.startsWith(join(work, 'attempts'))]).toEqual([false, true]);
    for (const id of [runId, beside.body.id]) {
      await server.call('POST', `/api/v1/runs/${id}/cancel`, { body: {} });
      expect((await ended(server, id)).run.status).toBe('canceled');
    }
    expect((await readdir(join(work, 'tasks'))).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });
});

/** A program and its children: one that will not go and, where such can be found, one that left the group. */
const family: Step[] = [
  { do: 'pid' },
  { do: 'child' },
  { do: 'child', ignore: true },
  { do: 'child', detached: process.platform === 'linux' },
];

describe('whatever a command agent started', () => {
  test('is ended when it ends by itself', async () => {
    const { events, run: done } = await run(family);
    expect(done.status).toBe('completed');
    const pids = said(events, 'custom').map(({ pid }) => pid);
    expect(await Promise.all(pids.map(isDead))).toEqual([true, true, true, true]);
  });

  test('is ended when the run is canceled, even where it will not', async () => {
    const { runId, pids } = await startWithPids([{ do: 'ignore' }, ...family], 4);
    await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: {} });
    expect((await ended(server, runId)).run.status).toBe('canceled');
    expect(await Promise.all(pids.map(isDead))).toEqual([true, true, true, true]);
  });

  test('is ended when the run is taken away', async () => {
    const { runId, pids } = await startWithPids([{ do: 'pid' }, { do: 'child' }], 2);
    const [lock] = (await readdir(join(work, 'tasks'))).filter((name) => name.endsWith('.lock'));
    await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: { force: true } });
    expect((await ended(server, runId)).run.status).toBe('canceled');
    await freed(lock);
    expect(await Promise.all(pids.map(isDead))).toEqual([true, true]);
  });

  test('is ended when the server stops, and the run goes back to the queue with its attempt', async () => {
    const own = await mkdtemp(join(tmpdir(), 'taskyard-commands-'));
    await writeFile(
      join(folder, 'stopping.json'),
      JSON.stringify({ commands: { program: { program: process.execPath, args: [PROGRAM] } } }),
    );
    const other = await startServer({ AGENTS_FILE: join(folder, 'stopping.json'), DATA_DIR: own });
    await other.call('POST', '/api/v1/agents', {
      body: { slug: 'program', kind: 'command', config: { command: 'program' } },
    });
    const { runId, pids } = await startWithPids(family, 4, {}, other);
    await other.app.close();
    expect(await Promise.all(pids.map(isDead))).toEqual([true, true, true, true]);
    const client = new Client({ connectionString: other.databaseUrl });
    await client.connect();
    const { rows } = await client.query('select status, attempt, finished_at from runs where id = $1', [runId]);
    await client.end();
    expect(rows).toEqual([{ status: 'queued', attempt: 1, finished_at: null }]);
    await other.stop();
    await rm(own, { recursive: true, force: true });
  });
});

describe('a server that is killed outright', () => {
  /** Kills a server in the middle of a run, with the process that watches over it or without. */
  async function killed(andItsWatchdog: boolean) {
    const own = await mkdtemp(join(tmpdir(), 'taskyard-killed-'));
    const database = await cloneDatabase();
    const commands = { program: { program: process.execPath, args: [PROGRAM] } };
    await writeFile(join(own, 'agents.json'), JSON.stringify({ commands }));
    const environment = {
      DATABASE_URL: database.url,
      DATA_DIR: own,
      ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
      BOOTSTRAP_API_KEY: BOOTSTRAP_KEY,
      AGENTS_FILE: join(own, 'agents.json'),
      LOG_LEVEL: 'silent',
    };
    const victim = startProcess(environment);
    const url = await victim.url;
    const other = { call: (method: string, path: string, options?: CallOptions) => call(url, method, path, options) };
    const body = { slug: 'program', kind: 'command', config: { command: 'program' }, lease_seconds: 600 };
    expect((await other.call('POST', '/api/v1/agents', { body })).status).toBe(201);
    const { pids } = await startWithPids(family, 4, {}, other);
    if (andItsWatchdog) {
      for (const pid of await childrenOf(victim.child.pid ?? 0)) {
        if (!pids.includes(pid)) process.kill(pid, 'SIGKILL');
      }
    }
    victim.child.kill('SIGKILL');
    await victim.exit;
    return {
      own,
      pids,
      environment,
      forget: async () => {
        await database.drop();
        await rm(own, { recursive: true, force: true });
      },
    };
  }

  test('leaves nothing running: its watchdog ends what it had started', async () => {
    const { pids, forget } = await killed(false);
    // Nobody’s children any more, so nobody is told: looked for until they are gone, or the test has taken too long.
    while ((await Promise.all(pids.map(isDead))).includes(false)) await delay(20);
    await forget();
  });

  (process.platform === 'linux' ? test : test.skip)(
    'together with its watchdog leaves nothing running past the next start',
    async () => {
      const { own, pids, environment, forget } = await killed(true);
      expect(await Promise.all(pids.map(isDead))).toEqual([false, false, false, false]);
      const locks = async () =>
        (await readdir(join(own, 'work/tasks'))).filter((name) => name.endsWith('.lock')).length;
      expect(await locks()).toBe(1);
      const next = startProcess(environment);
      await next.url;
      expect([await Promise.all(pids.map(isDead)), await locks()]).toEqual([[true, true, true, true], 0]);
      next.child.kill('SIGTERM');
      expect(await next.exit).toBe(0);
      await forget();
    },
  );
});
