import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Idempotency } from '../database/idempotency.js';
import { Log } from '../kernel/log.js';
import { Rounds } from '../kernel/rounds.js';

const EACH_MS = 300_000;
const MOST_AT_ONCE = 1_000;

/** Clears away the answers kept for keys of more than a day ago. */
@Injectable()
export class IdempotencySweep implements OnModuleInit, BeforeApplicationShutdown {
  readonly #rounds = new Rounds({
    round: () => this.sweep(),
    restMs: EACH_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.debug('the sweep of idempotency records failed', { error }),
  });

  constructor(
    private readonly idempotency: Idempotency,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#rounds.start();
  }

  /** All that is past its time, in short statements. */
  async sweep(): Promise<void> {
    while (!this.#rounds.signal.aborted && (await this.idempotency.sweep(MOST_AT_ONCE)) === MOST_AT_ONCE);
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }
}
