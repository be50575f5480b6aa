/**
 * Cron expressions and time zones: what is accepted, when it fires, and how to say it to people. Pure.
 *
 * Five fields, or six with seconds first; no nicknames, no years, and not croner's own `+` (a day that is both), which no other cron
 * knows and which takes it longest to find that it never comes. croner (https://croner.56k.guru) decides what an expression
 * means, daylight saving included: a fixed time inside a spring gap fires at the first valid moment after it, a fixed time that
 * an autumn night repeats fires once. Nothing else in the product computes a fire time.
 *
 * An expression is accepted only after its next fires were computed: one that never fires (31 April) and one that fires more
 * often than the floor are refused. The search has a horizon, so that its cost is bounded whatever is asked.
 */
import { Cron } from 'croner';
import cronstrue from 'cronstrue';
import { invalid } from '../../kernel/errors.js';

/** Longest expression and zone name stored; the longest IANA name has 32 letters. */
export const CRON_LIMITS = { expressionCharacters: 200, timezoneCharacters: 64 } as const;

/** Fires closer together than this are refused. */
export const FLOOR_SECONDS = 60;

/** No one waits longer; and a search that finds little in it has looked at each of its days once. */
const HORIZON_YEARS = 100;

/** Letters first: engines differ in whether they take offsets such as `+02:00` as zones, and no offset is an IANA name. */
const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+\-/]*$/;

/**
 * Refuses what cannot be a schedule, in a few milliseconds.
 *
 * @param pointer JSON Pointer of the object that holds `cron` and `timezone`
 * @throws DomainError `invalid-request`
 */
export function assertFires(cron: string, timezone: string, now: Date, pointer = ''): void {
  assertZone(timezone, `${pointer}/timezone`);
  const job = parse(cron, timezone, `${pointer}/cron`);
  // Of three fires, two share a minute whenever any two do, wherever in the minute the search starts.
  const [first, second, third] = fires(job, now, 3);
  if (first === undefined) {
    throw invalid(`${pointer}/cron`, 'This cron expression never fires.');
  }
  if (isTooSoon(first, second) || isTooSoon(second, third)) {
    throw invalid(`${pointer}/cron`, `This cron expression fires more often than every ${FLOOR_SECONDS} seconds.`);
  }
}

/** The next fires strictly after `from`, at most `count`, none further than the horizon. Takes only what `assertFires` took. */
export function upcoming(cron: string, timezone: string, from: Date, count: number): Date[] {
  return fires(new Cron(cron, { timezone, mode: '5-or-6-parts', paused: true }), from, count);
}

/** The schedule as a sentence, such as `At 09:00, Monday through Friday, in Europe/London`. */
export function describe(cron: string, timezone: string): string {
  return `${inWords(cron)}, in ${timezone}`;
}

/** The wall-clock time of an instant in a zone, `HH:MM`. */
export function localTime(instant: Date, timezone: string): string {
  return new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(instant);
}

function inWords(cron: string): string {
  try {
    // `?` means the same as `*` to croner, and nothing to cronstrue.
    return cronstrue.toString(cron.replaceAll('?', '*'), { use24HourTimeFormat: true });
  } catch {
    // croner knows a few forms (`1W,15`) that cronstrue has no words for.
    return `On the cron expression ${cron}`;
  }
}

function parse(cron: string, timezone: string, pointer: string): Cron {
  const fields = cron.trim().split(/\s+/);
  if (cron.length > CRON_LIMITS.expressionCharacters || fields.length < 5 || fields.length > 6 || cron.includes('+')) {
    throw invalid(pointer, 'A cron expression has five fields, or six with seconds first, such as 0 9 * * 1-5.');
  }
  try {
    return new Cron(cron, { timezone, mode: '5-or-6-parts', paused: true });
  } catch {
    throw invalid(pointer, 'This is not a cron expression that can be understood.');
  }
}

function assertZone(timezone: string, pointer: string): void {
  const isName = timezone.length <= CRON_LIMITS.timezoneCharacters && ZONE_NAME.test(timezone);
  if (!isName || !isKnown(timezone)) {
    throw invalid(pointer, 'There is no time zone of this name; give an IANA name such as Europe/London.');
  }
}

function isKnown(timezone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: timezone }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

function fires(job: Cron, from: Date, count: number): Date[] {
  const horizon = new Date(from);
  horizon.setUTCFullYear(horizon.getUTCFullYear() + HORIZON_YEARS);
  const found: Date[] = [];
  for (
    let next = job.nextRun(from);
    next !== null && next <= horizon && found.length < count;
    next = job.nextRun(next)
  ) {
    found.push(next);
  }
  return found;
}

function isTooSoon(earlier: Date | undefined, later: Date | undefined): boolean {
  return earlier !== undefined && later !== undefined && later.getTime() - earlier.getTime() < FLOOR_SECONDS * 1000;
}
