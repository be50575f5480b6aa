import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Binaries } from './binaries.js';
import type { Cluster } from './cluster.js';
import type { ClusterHome } from './cluster-home.js';
import { asUser, DATABASE_ENVIRONMENT } from './database-user.js';
import { readPostmasterFile } from './postmaster-file.js';
import type { ServerLog } from './server-log.js';
import { StartRefused } from './start-refused.js';

/** How a database server ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Launch {
  readonly binaries: Binaries;
  readonly cluster: Cluster;
  readonly home: ClusterHome;
  readonly socketFolder: string;
  readonly serverLog: ServerLog;
  /** Server settings by name. */
  readonly settings: Readonly<Record<string, string>>;
}

const READY_POLL_MS = 20;
const FAST_STOP_MS = 30_000;
const IMMEDIATE_STOP_MS = 10_000;

/** The server ended before it was ready. `transient` is true where waiting a moment can help. */
export class LaunchFailed extends StartRefused {
  constructor(
    message: string,
    readonly transient: boolean,
  ) {
    super(message);
  }
}

/** One life of the database server, from spawn to exit. */
export class ServerProcess {
  readonly pid: number;
  /** Settles when the process has ended; never rejects. */
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  #ended = false;

  private constructor(child: ChildProcess, pid: number, exited: Promise<ServerExit>) {
    this.#child = child;
    this.pid = pid;
    this.exited = exited.then((exit) => {
      this.#ended = true;
      return exit;
    });
  }

  /**
   * Starts the server in a session of its own, so that a terminal's Ctrl-C reaches us and not it, and returns when the process
   * exists; `untilReady` waits for the rest.
   */
  static async spawn(launch: Launch): Promise<{ server: ServerProcess; logStartByte: number }> {
    const { file, startByte } = await launch.serverLog.openForServer();
    try {
      const settings = Object.entries(launch.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
      const child = spawn(launch.binaries.postgres, ['-D', launch.cluster.path, ...settings], {
        ...asUser(launch.home.user),
        cwd: launch.home.path,
        env: DATABASE_ENVIRONMENT,
        detached: true,
        stdio: ['ignore', file.fd, file.fd],
      });
      const exited = new Promise<ServerExit>((resolve) => {
        child.once('exit', (code, signal) => resolve({ code, signal }));
      });
      const pid = await new Promise<number>((resolve, reject) => {
        child.on('error', (error) =>
          reject(new LaunchFailed(`The embedded database did not start: ${error.message}`, false)),
        );
        child.once('spawn', () => resolve(child.pid ?? 0));
      });
      // The database never keeps this process alive; whoever waits for it does.
      child.unref();
      return { server: new ServerProcess(child, pid, exited), logStartByte: startByte };
    } finally {
      await file.close();
    }
  }

  /**
   * Waits until the server takes connections, however long recovery lasts.
   * @throws LaunchFailed when it ends instead; the signal's reason when aborted.
   */
  async untilReady(launch: Launch, logStartByte: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#ended) {
        const complaint = await launch.serverLog.lastComplaint(logStartByte);
        throw new LaunchFailed(
          `The embedded database did not start: ${complaint ?? 'it ended at once'} (see ${launch.serverLog.path}).`,
          // Children of a killed server take a moment to notice that it is gone.
          /shared memory block|lock file/.test(complaint ?? ''),
        );
      }
      const file = await readPostmasterFile(launch.cluster.path);
      if (file?.pid === this.pid && file.status === 'ready') {
        return;
      }
      await delay(READY_POLL_MS);
    }
  }

  /** Asks for a fast shutdown without waiting; for the very last moment of this process. */
  requestStop(): void {
    if (!this.#ended) {
      this.#child.kill('SIGINT');
    }
  }

  /** Stops the server: connections are closed, everything is written, and only a server that hangs is treated harshly. */
  async stop(): Promise<ServerExit> {
    this.#child.ref();
    const attempts: readonly [NodeJS.Signals, number][] = [
      ['SIGINT', FAST_STOP_MS],
      ['SIGQUIT', IMMEDIATE_STOP_MS],
    ];
    for (const [signal, patienceMs] of attempts) {
      if (this.#ended) {
        break;
      }
      this.#child.kill(signal);
      const patience = new AbortController();
      await Promise.race([this.exited, delay(patienceMs, null, { signal: patience.signal }).catch(() => null)]);
      patience.abort();
    }
    if (!this.#ended) {
      this.#child.kill('SIGKILL');
    }
    return this.exited;
  }
}
