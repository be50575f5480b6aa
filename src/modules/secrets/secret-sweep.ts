import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Log } from '../../kernel/log.js';
import { SecretsRepository } from './secrets.repository.js';

const EACH_MS = 3_600_000;
const MOST_AT_ONCE = 500;

/** Destroys values that were replaced longer ago than any run lives. */
@Injectable()
export class SecretSweep implements OnModuleInit, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly repository: SecretsRepository,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#timer = setInterval(() => {
      this.#running = this.sweep();
    }, EACH_MS).unref();
  }

  /** One round. Never rejects: the next one tries again. */
  async sweep(): Promise<void> {
    try {
      await this.repository.sweep(MOST_AT_ONCE);
    } catch (error) {
      this.log.debug('the sweep of replaced secrets failed', { error });
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
    }
    await this.#running;
  }
}
