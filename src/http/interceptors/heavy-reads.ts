import { Injectable } from '@nestjs/common';
import type { Actor } from '../../access/index.js';
import { KeyedLimiter } from '../../kernel/concurrency/keyed-limiter.js';

/**
 * Reads that cost far more than a page: a search through texts, a whole list in one reply. One principal has a few at once, some wait,
 * and more are refused (429), so that they leave the database and the memory to others.
 */
@Injectable()
export class HeavyReads {
  readonly #limiter = new KeyedLimiter(
    { concurrent: 2, waiting: 8 },
    'Too many searches and whole lists of yours are under way; wait for some of them, or ask for pages.',
  );

  /** @throws DomainError `rate-limited` */
  run<Result>(actor: Actor, read: () => Promise<Result>): Promise<Result> {
    return this.#limiter.run(actor.principalId, read);
  }

  /** A place for a read that outlives its handler; the function gives it up. @throws DomainError `rate-limited` */
  enter(actor: Actor): Promise<() => void> {
    return this.#limiter.enter(actor.principalId);
  }
}
