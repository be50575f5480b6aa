/**
 * Cron expressions and time zones: what is accepted, and when it fires. Pure.
 *
 * Five fields, or six with seconds first; names, `L`, `#`, `W`, and the forms `@hourly` to `@yearly`. No years, and not croner's own `+`
 * (a day that is both), which no other cron knows and which takes it longest to find that it never comes. croner
 * (https://croner.56k.guru) decides what an expression means. `cron-fields.ts` adds ranges that run past the end of a field and starts with a
 * step, and `wall-clock.ts` finds the instants of times of the day, which croner misses where a spring night's gap ends at midnight.
 *
 * Daylight saving. An expression whose seconds, minutes and hours are plain values, lists or ranges stands for times of the day: one that
 * an autumn night repeats fires once, at its first occurrence, and one that a spring night leaves out fires at the first valid moment
 * after the gap (where that is a time of the expression anyway, once). One with a wildcard or a step in those fields stands for an
 * interval: it goes on through a repeated hour, and leaves out what does not exist.
 *
 * An expression is accepted only after its next fires were computed: one that never fires (31 April) and one that fires more
 * often than the floor are refused. The search has a horizon, so that its cost is bounded whatever is asked.
 */
import { Cron } from 'croner';
import { invalid } from '../../../kernel/errors.js';
import { cronFields, isTimesOfDay, ordinaryFields } from './cron-fields.js';
import { instantOf, wallTime } from './wall-clock.js';

/** Longest expression and zone name stored; the longest IANA name has 32 letters. */
export const CRON_LIMITS = { expressionCharacters: 200, timezoneCharacters: 64 } as const;

/** Fires closer together than this are refused, unless the organisation says otherwise. */
export const FLOOR_SECONDS = 60;

/** No one waits longer; and a search that finds little in it has looked at each of its days once. */
const HORIZON_MS = 100 * 366 * 86_400_000;

/** From the first fire on, two days of fires show how close any two are; most have a few, and the closest far too many. */
const LOOKED_AT = { ms: 2 * 86_400_000, atLeast: 3, atMost: 100 } as const;

/** Letters first: engines differ in whether they take offsets such as `+02:00` as zones, and no offset is an IANA name. */
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+\-/]*$/;

const FIELDS = [
  ['second', '0 to 59'],
  ['minute', '0 to 59'],
  ['hour', '0 to 23'],
  ['day of the month', '1 to 31, or L'],
  ['month', '1 to 12, or JAN to DEC'],
  ['day of the week', '0 to 7, or SUN to SAT'],
] as const;

/** The version of the time zone database that fire times are computed with, such as `2025c`. */
export const TZ_VERSION = process.versions['tz'] ?? 'unknown';

/**
 * Refuses what cannot be a schedule, in a few milliseconds.
 *
 * @param pointer JSON Pointer of the object that holds `cron` and `timezone`
 * @throws DomainError `invalid-request`
 */
export function assertFires(
  cron: string,
  timezone: string,
  now: Date,
  pointer = '',
  floorSeconds: number = FLOOR_SECONDS,
): void {
  assertZone(timezone, `${pointer}/timezone`);
  const job = parse(cron, timezone, `${pointer}/cron`);
  const found: number[] = [];
  for (let next = nextFire(job, now.getTime()); next !== null && found.length < LOOKED_AT.atMost;) {
    found.push(next);
    const isEnough = found.length >= LOOKED_AT.atLeast && next > (found[0] ?? next) + LOOKED_AT.ms;
    next = isEnough ? null : nextFire(job, next);
  }
  if (found.length === 0) {
    throw invalid(`${pointer}/cron`, 'This cron expression never fires.');
  }
  if (found.some((fire, index) => index > 0 && fire - (found[index - 1] ?? 0) < floorSeconds * 1000)) {
    throw invalid(`${pointer}/cron`, `This cron expression fires more often than every ${floorSeconds} seconds.`);
  }
}

/** @throws DomainError `invalid-request` at `pointer` */
export function assertZone(timezone: string, pointer: string): void {
  const isName = timezone.length <= CRON_LIMITS.timezoneCharacters && ZONE_NAME.test(timezone);
  if (!isName || !isKnown(timezone)) {
    throw invalid(pointer, 'There is no time zone of this name; give an IANA name such as Europe/London.');
  }
}

/** A parsed expression in a time zone. */
export interface CronTimes {
  readonly timezone: string;
  /** Over wall times, as if they were UTC, where `isTimesOfDay`; else over instants. */
  readonly job: Cron;
  readonly isTimesOfDay: boolean;
}

/** A parsed expression. Takes only what `assertFires` took. */
export function parsed(cron: string, timezone: string): CronTimes {
  const ofDay = isTimesOfDay(cron);
  const job = new Cron(ordinaryFields(cron), {
    timezone: ofDay ? 'UTC' : timezone,
    mode: '5-or-6-parts',
    fixedTimeRule: 'no-wildcard',
    paused: true,
  });
  return { timezone, job, isTimesOfDay: ofDay };
}

/** The first fire strictly after an instant, in milliseconds; null where none comes within the horizon. */
export function nextFire(times: CronTimes, afterMs: number): number | null {
  const next = times.isTimesOfDay ? nextTimeOfDay(times, afterMs) : nextRun(times.job, afterMs);
  return next === null || next > afterMs + HORIZON_MS ? null : next;
}

function nextRun(job: Cron, afterMs: number): number | null {
  return job.nextRun(new Date(afterMs))?.getTime() ?? null;
}

/**
 * Wall times come in their order, but for those that an autumn night shows again, which are past: so the first of them whose instant lies
 * ahead is the next fire.
 */
function nextTimeOfDay({ timezone, job }: CronTimes, afterMs: number): number | null {
  let wall = nextRun(job, wallTime(timezone, afterMs));
  while (wall !== null) {
    const instant = instantOf(timezone, wall);
    if (instant > afterMs) {
      return instant;
    }
    wall = nextRun(job, wall);
  }
  return null;
}

/** The next fires strictly after `from`, at most `count`, none further than the horizon. Takes only what `assertFires` took. */
export function upcoming(cron: string, timezone: string, from: Date, count: number): Date[] {
  return fires(parsed(cron, timezone), from.getTime(), count).map((fire) => new Date(fire));
}

function parse(cron: string, timezone: string, pointer: string): CronTimes {
  const fields = cronFields(cron).split(/\s+/);
  if (cron.length > CRON_LIMITS.expressionCharacters || fields.length < 5 || fields.length > 6 || cron.includes('+')) {
    throw invalid(pointer, 'A cron expression has five fields, or six with seconds first, such as 0 9 * * 1-5.');
  }
  try {
    return parsed(cron, timezone);
  } catch {
    throw invalid(pointer, whyNot(fields, timezone));
  }
}

/** Which field croner does not take, found by trying each alone: its own messages count days and months from 0. */
function whyNot(fields: string[], timezone: string): string {
  const names = FIELDS.slice(FIELDS.length - fields.length);
  for (const [index, [name, range]] of names.entries()) {
    const alone = fields.map((field, at) => (at === index ? field : '*')).join(' ');
    try {
      parsed(alone, timezone);
    } catch {
      return `The ${name} of this cron expression, ${fields[index] ?? ''}, is not understood; it is ${range}.`;
    }
  }
  return 'This is not a cron expression that can be understood.';
}

function isKnown(timezone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: timezone }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

function fires(times: CronTimes, fromMs: number, count: number): number[] {
  const horizonMs = fromMs + HORIZON_MS;
  const found: number[] = [];
  for (let next = nextFire(times, fromMs); next !== null && next <= horizonMs && found.length < count;) {
    found.push(next);
    next = nextFire(times, next);
  }
  return found;
}
