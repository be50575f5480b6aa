import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Log } from '../../kernel/log.js';
import { BackgroundJob } from '../../kernel/concurrency/background-job.js';
import { SecretsRepository } from './secrets.repository.js';

const INTERVAL_MS = 3_600_000;
const MAX_AT_ONCE = 500;
const BUSY_INTERVAL_MS = 100;

/** Destroys values that were replaced or deleted, once no run is left that was given them. */
@Injectable()
export class SecretSweeper implements OnModuleInit, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: async () => (await this.repository.sweep(MAX_AT_ONCE)) === MAX_AT_ONCE,
    restMs: INTERVAL_MS,
    breathMs: BUSY_INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.debug('the sweep of replaced secrets failed', { error }),
  });

  constructor(
    private readonly repository: SecretsRepository,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }
}
