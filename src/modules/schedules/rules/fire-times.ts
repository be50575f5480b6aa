import { Injectable } from '@nestjs/common';
import { type CronTimes, nextFire, parsed } from './cron.js';
import { type Rule, nextSlot, slotsAfter } from './rule.js';

/** Of one expression and zone: between `fromMs` and `nextMs` there is no fire. */
interface Interval {
  fromMs: number;
  nextMs: number | null;
}

interface Remembered {
  times: CronTimes;
  intervals: Interval[];
}

/** More pairs of expression and zone than this are not remembered at once. */
const MAX_ENTRIES = 5_000;
/** Intervals a pair: what is due, what comes after it, and a few that somebody looked at. */
const MAX_INTERVALS = 8;

/**
 * When schedules fire next. Many schedules share an expression and a zone, and from one fire to the next the answer is the same for all
 * of them, whenever it is asked for: so it is searched once. A minute in which a hundred thousand schedules are due costs as
 * many searches as they have different pairs.
 */
@Injectable()
export class FireTimes {
  readonly #remembered = new Map<string, Remembered>();

  /** The first slot of a rule strictly after an instant. */
  readonly next = (rule: Rule, afterMs: number): number | null => nextSlot(rule, afterMs, this.search);

  /** The slots of a rule after an instant, at most `count`. */
  readonly slots = (rule: Rule, afterMs: number, count: number): number[] =>
    slotsAfter(rule, afterMs, count, this.search);

  /** The first fire of an expression strictly after an instant. */
  readonly search = (cron: string, timezone: string, afterMs: number): number | null => {
    const known = this.#known(cron, timezone);
    const interval = known.intervals.find(
      ({ fromMs, nextMs }) => fromMs <= afterMs && (nextMs === null || afterMs < nextMs),
    );
    if (interval !== undefined) {
      return interval.nextMs;
    }
    const nextMs = nextFire(known.times, afterMs);
    // One that begins earlier and ends at the same fire is the same gap, known from further back.
    const same = known.intervals.find((one) => one.nextMs === nextMs);
    if (same !== undefined) {
      same.fromMs = Math.min(same.fromMs, afterMs);
      return nextMs;
    }
    known.intervals.unshift({ fromMs: afterMs, nextMs });
    known.intervals.length = Math.min(known.intervals.length, MAX_INTERVALS);
    return nextMs;
  };

  #known(cron: string, timezone: string): Remembered {
    const key = `${timezone} ${cron}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) {
      return known;
    }
    if (this.#remembered.size >= MAX_ENTRIES) {
      this.#remembered.clear();
    }
    const made = { times: parsed(cron, timezone), intervals: [] };
    this.#remembered.set(key, made);
    return made;
  }
}
