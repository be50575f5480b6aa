import { Injectable } from '@nestjs/common';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';

interface Spent {
  ms: number;
  atMs: number;
}

/**
 * Time that one principal's bodies may take of the only thread: a second at once, and a quarter of each second in the long run, which is
 * tens of MiB a second of ordinary JSON. It is asked before a body is read, and again before it is parsed, since many may have been read at
 * once; it is charged with what parsing took.
 */
@Injectable()
export class ParsingBudget {
  readonly limits = { burstMs: 1_000, msPerSecond: 250 };
  /** In the order of their last charge, so that those to forget come first. */
  readonly #spent = new Map<string, Spent>();

  constructor(private readonly clock: Clock) {}

  /** @throws DomainError `rate-limited` where the principal has nothing left */
  assertLeft(principalId: string): void {
    const beyond = this.#spentBy(principalId) - this.limits.burstMs;
    if (beyond >= 0) {
      throw new DomainError(
        'rate-limited',
        'Parsing your request bodies takes too much time; send fewer or smaller ones.',
        {
          retryAfterSeconds: Math.ceil((beyond + 1) / this.limits.msPerSecond),
        },
      );
    }
  }

  /**
   * Runs `parse` and charges what it took, whether or not it succeeds. Bodies of routes that need no credential are short and cost nothing here.
   * @throws DomainError `rate-limited` where the principal has nothing left
   */
  charge<Value>(principalId: string | null, parse: () => Value): Value {
    if (principalId !== null) {
      this.assertLeft(principalId);
    }
    const begun = performance.now();
    try {
      return parse();
    } finally {
      if (principalId !== null) {
        this.#add(principalId, performance.now() - begun);
      }
    }
  }

  #add(principalId: string, ms: number): void {
    const total = this.#spentBy(principalId) + ms;
    this.#spent.delete(principalId);
    this.#spent.set(principalId, { ms: total, atMs: this.clock.nowMs() });
    for (const [other] of this.#spent) {
      if (this.#spentBy(other) > 0) {
        break;
      }
      this.#spent.delete(other);
    }
  }

  #spentBy(principalId: string): number {
    const spent = this.#spent.get(principalId);
    if (spent === undefined) {
      return 0;
    }
    const elapsedMs = Math.max(0, this.clock.nowMs() - spent.atMs);
    return Math.max(0, spent.ms - (elapsedMs * this.limits.msPerSecond) / 1000);
  }
}
