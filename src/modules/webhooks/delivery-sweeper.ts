import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { Log } from '../../kernel/log.js';
import { DispatchRepository } from './dispatch.repository.js';

/** What was told, and how that went, is kept for so long; a round of attempts is over after four days. */
const KEPT_DAYS = 30;
const BATCH = 500;
const REST_MS = 60_000;

/** Deletes what is too old, so that the outbox does not grow for ever. Any replica, at any time. */
@Injectable()
export class DeliverySweeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(
    private readonly repository: DispatchRepository,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#sweeping = this.#run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#sweeping;
  }

  /** Deletes all that is due by now; how many rows went. */
  async sweep(): Promise<number> {
    let gone = 0;
    for (let batch = BATCH; batch >= BATCH && !this.#stop.signal.aborted; gone += batch) {
      batch = await this.repository.sweep(KEPT_DAYS, BATCH);
    }
    return gone;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Rest first: a start has better things to do.
      await delay(REST_MS, undefined, { signal, ref: false }).catch(() => undefined);
      await this.sweep().catch((error: unknown) => {
        this.log.warn('old deliveries could not be deleted; trying again', { error });
      });
    }
  }
}
