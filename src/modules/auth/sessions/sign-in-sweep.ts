import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Log } from '../../../kernel/log.js';
import { LoginThrottleRepository } from './login-throttle.repository.js';
import { SessionsRepository } from './sessions.repository.js';

const EACH_MS = 600_000;
const MOST_AT_ONCE = 500;

/** Clears away what signing in leaves behind: old counts of attempts, sessions long over. */
@Injectable()
export class SignInSweep implements OnModuleInit, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly throttle: LoginThrottleRepository,
    private readonly sessions: SessionsRepository,
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
      await this.throttle.sweep(MOST_AT_ONCE);
      await this.sessions.sweep(MOST_AT_ONCE);
    } catch (error) {
      this.log.debug('the sign-in sweep failed', { error });
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
    }
    await this.#running;
  }
}
