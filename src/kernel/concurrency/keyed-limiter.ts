import { DomainError } from '../errors.js';

export interface KeyedLimits {
  /** What one key may do at once. */
  concurrent: number;
  /** What of one key may wait for that, in order; whatever comes then is refused. */
  waiting: number;
}

interface Line {
  running: number;
  waiting: (() => void)[];
}

/** Lets each key do a few things at once; more of the same key waits its turn, and other keys do not notice. */
export class KeyedLimiter {
  readonly #lines = new Map<string, Line>();

  /** @param refusal what is said to a key that has too much waiting */
  constructor(
    readonly limits: KeyedLimits,
    private readonly refusal: string,
  ) {}

  /** Runs `work` once it is its turn. @throws DomainError `rate-limited` where too much is waiting */
  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const leave = await this.enter(key);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Waits for a place; the function gives it up, once. @throws DomainError `rate-limited` where too much is waiting */
  async enter(key: string): Promise<() => void> {
    const line = this.#lines.get(key) ?? { running: 0, waiting: [] };
    this.#lines.set(key, line);
    if (line.running < this.limits.concurrent) {
      line.running += 1;
    } else if (line.waiting.length < this.limits.waiting) {
      // The place is handed over by the one that leaves, so `running` stays as it is.
      await new Promise<void>((resolve) => line.waiting.push(resolve));
    } else {
      throw new DomainError('rate-limited', this.refusal, { retryAfterSeconds: 1 });
    }
    let isOver = false;
    return () => {
      if (!isOver) {
        isOver = true;
        this.#leave(key, line);
      }
    };
  }

  #leave(key: string, line: Line): void {
    const next = line.waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    line.running -= 1;
    if (line.running === 0) {
      this.#lines.delete(key);
    }
  }
}
