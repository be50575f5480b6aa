/** Real processes that are killed, frozen and started again; an exit that nobody asked for is remembered. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

export interface Recipe {
  name: string;
  role: 'api' | 'role-worker' | 'worker';
  /** What is started, anew each time. */
  command: (incarnation: number) => { args: readonly string[]; environment: Readonly<Record<string, string>> };
  /** Asked until it says yes; a process without it is ready at once. */
  isReady?: () => Promise<boolean>;
  log: string;
  onDone?: (count: number) => void;
}

const POLL_INTERVAL_MS = 50;
const START_MS = 60_000;

export class RigProcess {
  readonly surprises: string[] = [];
  /** Starts that ended before they were ready, as they do while there is no database. */
  failedStarts = 0;
  incarnation = 0;
  #child: ChildProcess | null = null;
  #isWanted = false;
  #isReady = false;
  #isFrozen = false;
  #keeping: Promise<void> = Promise.resolve();

  constructor(readonly recipe: Recipe) {}

  get isReady(): boolean {
    return this.#isReady && !this.#isFrozen;
  }

  get workerId(): string {
    return `${this.recipe.name}.${this.incarnation}`;
  }

  /** Starts it and starts it again whenever it ends, until `stop`. */
  async start(): Promise<void> {
    this.#isWanted = true;
    this.#keeping = this.#keep();
    await this.untilReady();
  }

  async untilReady(): Promise<void> {
    for (let waitedMs = 0; !this.#isReady; waitedMs += POLL_INTERVAL_MS) {
      if (waitedMs > START_MS) {
        throw new Error(`${this.recipe.name} does not start; see ${this.recipe.log}`);
      }
      await delay(POLL_INTERVAL_MS);
    }
  }

  /** Ends it as said; it is started again by itself. */
  end(signal: 'SIGKILL' | 'SIGTERM'): void {
    const child = this.#child;
    if (child !== null && this.#isReady) {
      this.#isReady = false;
      expected.set(child, signal);
      child.kill(signal);
    }
  }

  freeze(): void {
    this.#isFrozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.#isWanted = false;
    this.end('SIGTERM');
    await this.#keeping;
  }

  /** For a rig that failed: nothing is to outlive it. */
  destroy(): void {
    this.#isWanted = false;
    const child = this.#child;
    if (child !== null) {
      expected.set(child, 'SIGKILL');
      child.kill('SIGKILL');
    }
  }

  async #keep(): Promise<void> {
    while (this.#isWanted) {
      const child = this.#spawn();
      const exit = once(child, 'exit');
      void this.#watchReady(child);
      const [code, signal] = (await exit) as [number | null, string | null];
      const wasReady = this.#isReady;
      this.#child = null;
      this.#isReady = false;
      this.#judge(child, wasReady, code, signal);
      if (!expected.has(child)) {
        await delay(POLL_INTERVAL_MS * 4);
      }
    }
  }

  #judge(child: ChildProcess, wasReady: boolean, code: number | null, signal: string | null): void {
    const asked = expected.get(child);
    if (asked === undefined && !wasReady) {
      this.failedStarts += 1;
    } else if (asked === undefined || (asked === 'SIGTERM' && code !== 0)) {
      this.surprises.push(`${this.workerId} ended with ${code ?? signal ?? '?'} after ${asked ?? 'nothing'}`);
    }
  }

  #spawn(): ChildProcess {
    this.incarnation += 1;
    const { args, environment } = this.recipe.command(this.incarnation);
    const log = openSync(this.recipe.log, 'a');
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    child.on('message', (message) => {
      const done: unknown = typeof message === 'object' && message !== null && 'done' in message ? message.done : 0;
      this.recipe.onDone?.(typeof done === 'number' ? done : 0);
    });
    this.#child = child;
    return child;
  }

  async #watchReady(child: ChildProcess): Promise<void> {
    const { isReady } = this.recipe;
    while (this.#child === child && !expected.has(child)) {
      if (isReady === undefined || (await isReady())) {
        this.#isReady = this.#child === child;
        return;
      }
      await delay(POLL_INTERVAL_MS);
    }
  }
}

const expected = new WeakMap<ChildProcess, 'SIGKILL' | 'SIGTERM'>();
