import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { builtPath } from '../support/build.js';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';

const PROJECT = process.cwd();
const ROOT_KEY = Buffer.alloc(32, 7).toString('base64');
const PASSWORD = 'an operator’s long password';

interface Running {
  child: ChildProcess;
  output: () => string;
  /** Resolves with the first match in what it printed, rejects where it ends before. */
  printed: (pattern: RegExp) => Promise<string[]>;
  exit: Promise<number | null>;
}

const children: ChildProcess[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  }
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-process-'));
  // So that the database's user can walk there where this is root.
  await chmod(folder, 0o755);
  folders.push(folder);
  return folder;
}

function run(entry: string, args: readonly string[], environment: Record<string, string>): Running {
  const child = spawn(process.execPath, [builtPath(entry), ...args], {
    cwd: PROJECT,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], PORT: '0', LOG_LEVEL: 'info', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const exit = once(child, 'close').then(() => child.exitCode);
  const printed = (pattern: RegExp): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(text);
        if (match !== null) resolve([...match]);
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      void exit.then(() => reject(new Error(`ended without ${pattern}: ${text}`)));
      look();
    });
  return { child, output: () => text, printed, exit };
}

const start = (environment: Record<string, string>): Running => run('src/main.ts', [], environment);
const url = async (server: Running): Promise<string> => (await server.printed(/answers at (\S+)/))[1] ?? '';
const stop = async (server: Running): Promise<number | null> => {
  server.child.kill('SIGTERM');
  return server.exit;
};

describe('a server with a database of its own', () => {
  it('writes the key to a file on the first start only, keeps it out of its output, and gives another by the command line', async () => {
    const environment = {
      DATA_DIR: await dataFolder(),
      BOOTSTRAP_ADMIN_EMAIL: 'op@first.example',
      BOOTSTRAP_ADMIN_PASSWORD: PASSWORD,
    };
    const first = start(environment);
    const base = await url(first);
    const [, keyFile = ''] = await first.printed(/API key\s+in the file (\S+)/);
    const key = (await readFile(keyFile, 'utf8')).trim();
    expect(first.output()).toContain(`${base}/docs`);
    expect(first.output()).toContain('curl');
    const me = await fetch(`${base}/api/v1/me`, { headers: { 'api-key': key } });
    expect(me.status).toBe(200);

    const made = run('src/admin.ts', ['create-key', '--name', 'rescue', '--role', 'viewer'], environment);
    expect(await made.exit).toBe(0);
    const [rescue = ''] = /tyk_\w+/.exec(made.output()) ?? [];
    expect((await fetch(`${base}/api/v1/me`, { headers: { 'x-api-key': rescue } })).status).toBe(200);

    expect(await stop(first)).toBe(0);
    expect(keyFile).toBe(join(environment.DATA_DIR, 'first-api-key'));
    expect(first.output()).toContain('the first API key is in a file');
    expect(first.output()).not.toContain(key);

    const common = ['reset-password', '--email', 'op@first.example', '--password', 'Op@First.example'];
    const refused = run('src/admin.ts', common, environment);
    expect(await refused.exit).toBe(1);
    expect(refused.output()).toContain('The password is too easy to guess');
    const reset = run('src/admin.ts', ['reset-password', '--email', 'OP@first.example'], environment);
    expect(await reset.exit).toBe(0);
    const [, password = ''] = /shown this once: (\S+)/.exec(reset.output()) ?? [];

    const second = start({ ...environment, ROLE: 'all' });
    const again = await url(second);
    expect(second.output()).not.toContain('tyk_');
    expect(second.output()).not.toContain('curl');
    expect(second.output()).toContain('delete the file');
    expect((await fetch(`${again}/api/v1/me`, { headers: { apikey: key } })).status).toBe(200);
    const login = (text: string): Promise<Response> =>
      fetch(`${again}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ email: 'op@first.example', password: text }),
      });
    expect((await login(PASSWORD)).status).toBe(401);
    expect((await login(password)).status).toBe(200);
    expect(await stop(second)).toBe(0);
  }, 120_000);

  it('survives the death of its database and serves again by itself', async () => {
    const folder = await dataFolder();
    const server = start({ DATA_DIR: folder, BOOTSTRAP_API_KEY: 'a_bootstrap_key_of_the_process_test_1234' });
    const base = await url(server);
    const headers = { 'api-key': 'a_bootstrap_key_of_the_process_test_1234' };
    expect((await fetch(`${base}/api/v1/me`, { headers })).status).toBe(200);
    const pid = Number((await readFile(join(folder, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    const seen = new Set<number>();
    for (let answered = 0; answered !== 200 || !server.output().includes('ready again');) {
      answered = (await fetch(`${base}/api/v1/me`, { headers })).status;
      seen.add(answered);
      await delay(50);
    }
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(server.child.exitCode).toBeNull();
    expect(await stop(server)).toBe(0);
  }, 60_000);
});

describe('stopping', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await cloneDatabase();
  });

  afterAll(async () => {
    await database.drop();
  });

  it('lets a request under way end, says that it is not ready, and exits with 0', async () => {
    const server = start({
      DATABASE_URL: database.url,
      ROOT_KEY,
      DATA_DIR: await dataFolder(),
      BOOTSTRAP_API_KEY: 'k'.repeat(40),
    });
    const base = await url(server);
    const body = JSON.stringify({ email: 'nobody@first.example', password: 'x' });
    const sent = request(`${base}/api/v1/auth/login`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        expect: '100-continue',
      },
    });
    const reply = once(sent, 'response');
    sent.flushHeaders();
    await once(sent, 'continue');
    sent.write(body.slice(0, 10));
    server.child.kill('SIGTERM');
    await server.printed(/"stopping"/);
    sent.end(body.slice(10));
    const [response] = await reply;
    response.resume();
    expect(response.statusCode).toBe(401);
    expect(await server.exit).toBe(0);
    expect(server.output()).toContain('"stopped"');
  }, 60_000);

  it('cuts off what does not end in time', async () => {
    const server = start({
      DATABASE_URL: database.url,
      ROOT_KEY,
      DATA_DIR: await dataFolder(),
      BOOTSTRAP_API_KEY: 'k'.repeat(40),
      SHUTDOWN_SECONDS: '1',
    });
    const base = await url(server);
    const stuck = request(`${base}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': 100, expect: '100-continue' },
    });
    const broken = new Promise<void>((resolve) => void stuck.once('close', resolve));
    stuck.on('error', () => undefined);
    stuck.flushHeaders();
    await once(stuck, 'continue');
    expect(await stop(server)).toBe(0);
    await broken;
    expect(server.output()).toContain('cut off');
  }, 60_000);

  it('ends at once on a second signal', async () => {
    const server = start({
      DATABASE_URL: database.url,
      ROOT_KEY,
      DATA_DIR: await dataFolder(),
      BOOTSTRAP_API_KEY: 'k'.repeat(40),
      SHUTDOWN_SECONDS: '300',
    });
    const base = await url(server);
    const stuck = request(`${base}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': 100, expect: '100-continue' },
    });
    stuck.on('error', () => undefined);
    stuck.flushHeaders();
    await once(stuck, 'continue');
    server.child.kill('SIGINT');
    await server.printed(/"stopping"/);
    // Signals close together are one Ctrl-C, passed on by npm as well; only a later one is a second.
    const repeat = setInterval(() => server.child.kill('SIGINT'), 100);
    expect(await server.exit).toBe(130);
    clearInterval(repeat);
    expect(server.output()).toContain('stopping at once');
  }, 60_000);
});

describe('a start that cannot be', () => {
  let database: TestDatabase;
  let taken: Server;
  let port: number;

  beforeAll(async () => {
    database = await cloneDatabase();
    taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  afterAll(async () => {
    taken.close();
    await database.drop();
  });

  async function refusal(environment: Record<string, string>): Promise<string> {
    const server = start({ DATA_DIR: await dataFolder(), LOG_LEVEL: 'warn', ...environment });
    expect(await server.exit).toBe(1);
    const lines = server.output().trim().split('\n');
    expect(lines).toHaveLength(1);
    return lines[0] ?? '';
  }

  it('says in one sentence what to set, and never a password', async () => {
    const usable = { DATABASE_URL: database.url, ROOT_KEY, BOOTSTRAP_API_KEY: 'k'.repeat(40) };
    const cases: readonly [Record<string, string>, string][] = [
      [{ ...usable, PORT: String(port) }, `Port ${port} on 127.0.0.1 is taken`],
      [{ ...usable, ROOT_KEY: 'short' }, 'ROOT_KEY must be 32 bytes'],
      [{ DATABASE_URL: database.url }, 'ROOT_KEY (or ROOT_KEY_FILE) must be set'],
      [{ PORT: 'eighty' }, 'PORT'],
      [{ ...usable, DATABASE_URL: `postgresql://someone:hidden-word@127.0.0.1:${port + 1}/x` }, 'check DATABASE_URL'],
      [{ ...usable, DATABASE_URL: database.url.replace(/\/test_[0-9a-f]+/, '/not_there') }, 'no such database'],
    ];
    const sentences = await Promise.all(cases.map(([environment]) => refusal(environment)));
    expect(sentences).toEqual(cases.map(([, sentence]) => expect.stringContaining(sentence)));
    expect(sentences.join('\n')).not.toContain('hidden-word');
    expect(await refusal({ ...usable, ROOT_KEY: Buffer.alloc(32, 8).toString('base64') })).toContain(
      'ROOT_KEY is not the key',
    );
  }, 120_000);

  it('of the command line says in one sentence what is wrong', async () => {
    const usable = { DATABASE_URL: database.url, ROOT_KEY, DATA_DIR: await dataFolder() };
    const cases: readonly [string[], string][] = [
      [['destroy'], 'There is no command destroy'],
      [['create-key', '--name', 'x'], '--role is missing'],
      [['create-key', '--name', 'x', '--role', 'god'], 'There is no role god'],
      [
        ['create-key', '--name', 'x', '--role', 'admin', '--organization', 'nowhere'],
        'no organisation with the slug nowhere',
      ],
      [['reset-password', '--email', 'nobody@first.example', '--password', 'long enough it is'], 'Nobody signs in'],
      [['reset-password', '--email', 'nobody@first.example', '--password', 'short'], '12 to 256'],
    ];
    const commands = cases.map(([args]) => run('src/admin.ts', args, usable));
    expect(await Promise.all(commands.map((command) => command.exit))).toEqual(cases.map(() => 1));
    expect(commands.map((command) => command.output().trim().split('\n'))).toEqual(
      cases.map(([, sentence]) => [expect.stringContaining(sentence)]),
    );
  }, 120_000);
});
