import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Idempotency } from '../database/idempotency.js';
import { Log } from '../kernel/log.js';

const EACH_MS = 300_000;
const MOST_AT_ONCE = 1_000;

/** Clears away the answers kept for keys of more than a day ago. */
@Injectable()
export class IdempotencySweep implements OnModuleInit, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly idempotency: Idempotency,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#timer = setInterval(() => {
      this.#running = this.sweep();
    }, EACH_MS).unref();
  }

  /** All that is past its time, in short statements. Never rejects: the next round tries again. */
  async sweep(): Promise<void> {
    try {
      while (!this.#stopped && (await this.idempotency.sweep(MOST_AT_ONCE)) === MOST_AT_ONCE);
    } catch (error) {
      this.log.debug('the sweep of idempotency records failed', { error });
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) {
      clearInterval(this.#timer);
    }
    await this.#running;
  }
}
