import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Idempotency } from '../../database/idempotency.js';
import { Log } from '../../kernel/log.js';
import { BackgroundJob } from '../../kernel/concurrency/background-job.js';

const INTERVAL_MS = 300_000;
const MAX_CONCURRENCY = 1_000;

/** Clears away the answers kept for keys of more than a day ago. */
@Injectable()
export class IdempotencySweeper implements OnModuleInit, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: INTERVAL_MS,
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
    while (!this.#rounds.signal.aborted && (await this.idempotency.sweep(MAX_CONCURRENCY)) === MAX_CONCURRENCY);
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }
}
