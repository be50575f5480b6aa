import { Injectable } from '@nestjs/common';
import { Clock } from '../../kernel/clock.js';
import { upcoming } from './cron.js';

interface Remembered {
  /** Computed as of this moment; good until the first fire has passed. */
  fromMs: number;
  fires: readonly Date[];
  /** How many were asked for; fewer found means there are no more. */
  asked: number;
}

/** More pairs of expression and zone than this are not remembered at once. */
const MOST_REMEMBERED = 5_000;

/**
 * When schedules fire next. Many schedules share an expression and a zone, and the answer stays the same until the first fire has
 * passed, so it is computed once for all of them: a page of a hundred tasks costs as many searches as it has different pairs.
 */
@Injectable()
export class FireTimes {
  readonly #remembered = new Map<string, Remembered>();

  constructor(private readonly clock: Clock) {}

  /** The next fire from now; null where none comes. */
  next(cron: string, timezone: string): Date | null {
    return this.upcoming(cron, timezone, 1)[0] ?? null;
  }

  /** The next fires from now, at most `count`. */
  upcoming(cron: string, timezone: string, count: number): readonly Date[] {
    const nowMs = this.clock.nowMs();
    const key = `${timezone} ${cron}`;
    const known = this.#remembered.get(key);
    if (known !== undefined && known.asked >= count && isGood(known, nowMs)) {
      return known.fires.slice(0, count);
    }
    const fires = upcoming(cron, timezone, new Date(nowMs), count);
    if (this.#remembered.size >= MOST_REMEMBERED && !this.#remembered.has(key)) {
      this.#remembered.clear();
    }
    this.#remembered.set(key, { fromMs: nowMs, fires, asked: count });
    return fires;
  }
}

function isGood(known: Remembered, nowMs: number): boolean {
  const [first] = known.fires;
  return nowMs >= known.fromMs && (first === undefined || nowMs < first.getTime());
}
