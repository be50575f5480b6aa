import { type BeforeApplicationShutdown, Injectable, type OnModuleInit } from '@nestjs/common';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { LoginThrottleRepository } from './login-throttle.repository.js';
import { SessionsRepository } from './sessions.repository.js';

const INTERVAL_MS = 60_000;
const BUSY_INTERVAL_MS = 1_000;
const MAX_AT_ONCE = 500;

/** Clears away what signing in leaves behind: old counts of attempts, sessions long over. */
@Injectable()
export class SignInSweeper implements OnModuleInit, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.sweep(),
    restMs: INTERVAL_MS,
    breathMs: BUSY_INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.debug('the sign-in sweep failed', { error }),
  });

  constructor(
    private readonly throttle: LoginThrottleRepository,
    private readonly sessions: SessionsRepository,
    private readonly log: Log,
  ) {}

  onModuleInit(): void {
    this.#rounds.start();
  }

  /** True where there may be more to clear away. */
  async sweep(): Promise<boolean> {
    const more = await this.throttle.sweep();
    return (await this.sessions.sweep(MAX_AT_ONCE)) >= MAX_AT_ONCE || more;
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }
}
