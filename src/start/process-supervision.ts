/**
 * How the process ends.
 *
 * The first SIGINT or SIGTERM stops it in order: not ready any more, no new requests, those under way end (for at most
 * `SHUTDOWN_SECONDS`, then their connections are cut), work in this process stops, the pool closes, and the embedded database goes
 * last. Then exit code 0. A second signal ends it at once; so does a first one that comes before the server is up. A terminal's
 * Ctrl-C arrives twice under npm, once from the terminal and once from npm, so signals within half a second are one.
 *
 * What nobody caught is a bug: it is logged, and the process ends with 1, since nobody knows in what state it is. A lost database is
 * not such a bug; whoever uses the database handles that.
 */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Log } from '../kernel/log.js';

const SAME_KEYPRESS_MS = 500;
/** Beyond what requests are given: for closing the pool and stopping the database, which write everything first. */
const CLOSING_MS = 45_000;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;
type Signal = keyof typeof SIGNALS;

interface Watched {
  app: NestFastifyApplication;
  drain: () => void;
  shutdownMs: number;
}

export class ProcessSupervision {
  #watched: Watched | null = null;
  #firstSignalMs: number | null = null;

  constructor(private readonly log: Log) {
    process.on('SIGINT', () => this.#onSignal('SIGINT'));
    process.on('SIGTERM', () => this.#onSignal('SIGTERM'));
    process.on('uncaughtException', (error) => this.#onBug('uncaught exception', error));
    process.on('unhandledRejection', (error) => this.#onBug('unhandled rejection', error));
  }

  /** From now on a signal stops this application in order; `drain` makes it say that it is not ready. */
  watch(app: NestFastifyApplication, drain: () => void, shutdownMs: number): void {
    this.#watched = { app, drain, shutdownMs };
  }

  #onSignal(signal: Signal): void {
    const now = performance.now();
    if (this.#firstSignalMs !== null) {
      if (now - this.#firstSignalMs > SAME_KEYPRESS_MS) {
        this.log.warn('stopping at once');
        process.exit(128 + SIGNALS[signal]);
      }
      return;
    }
    this.#firstSignalMs = now;
    if (this.#watched === null) {
      process.exit(128 + SIGNALS[signal]);
    }
    void this.#stop(this.#watched, signal);
  }

  async #stop({ app, drain, shutdownMs }: Watched, signal: Signal): Promise<void> {
    this.log.info('stopping', { signal });
    drain();
    const server = app.getHttpAdapter().getInstance().server;
    const cut = setTimeout(() => {
      this.log.warn('requests still under way are cut off', { afterMs: shutdownMs });
      server.closeAllConnections();
    }, shutdownMs);
    const giveUp = setTimeout(() => {
      this.log.error('the stop takes too long and is broken off');
      process.exit(1);
    }, shutdownMs + CLOSING_MS);
    try {
      await app.close();
      this.log.info('stopped');
      process.exit(0);
    } catch (error) {
      this.log.error('the stop failed', { error });
      process.exit(1);
    } finally {
      clearTimeout(cut);
      clearTimeout(giveUp);
    }
  }

  #onBug(what: string, error: unknown): void {
    this.log.error(`${what}: the process ends`, { error });
    process.exit(1);
  }
}
