import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { DispatchRepository } from './dispatch.repository.js';

/** What was told, and how that went, is kept for so long; a round of attempts is over after four days. */
const KEPT_DAYS = 30;
const BATCH = 500;
const IDLE_INTERVAL_MS = 60_000;

/** Deletes what is too old, so that the outbox does not grow for ever. Any replica, at any time. */
@Injectable()
export class DeliverySweeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: IDLE_INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.warn('old deliveries could not be deleted; trying again', { error }),
  });

  constructor(
    private readonly repository: DispatchRepository,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** Deletes all that is due by now; how many rows went. */
  async sweep(): Promise<number> {
    let gone = 0;
    for (let batch = BATCH; batch >= BATCH && !this.#rounds.signal.aborted; gone += batch) {
      batch = await this.repository.sweep(KEPT_DAYS, BATCH);
    }
    return gone;
  }
}
