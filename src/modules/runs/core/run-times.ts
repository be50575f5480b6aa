/**
 * Delays and times to live, as bodies say them: whole seconds, an ISO 8601 duration, or (a delay) an instant. Pure: what they come to
 * is for the database's clock to say, since processes' clocks differ. Years and months are those of the calendar, in UTC.
 */
import { z } from 'zod';
import { type Sql, sql } from '../../../database/sql.js';

/** 365 days; the database holds durations and instants to a calendar year from its own now. */
const MAX_SECONDS = 31_536_000;
const MAX_MONTHS = 12;

export interface Duration {
  months: number;
  seconds: number;
}

/** When a run starts: so long after now, or at an instant (ISO 8601, with its offset). */
export type Delay = { kind: 'after'; duration: Duration } | { kind: 'at'; instant: string };

const DURATION =
  /^P(?!$)(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(?!$)(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,8}(?:\.\d{1,6})?)S)?)?$/;
const SECONDS_PER = { week: 604_800, day: 86_400, hour: 3_600, minute: 60 };

/** What an ISO 8601 duration such as `PT90S` or `P1DT12H` comes to, or null where it is none or longer than a year. */
export function parseDuration(text: string): Duration | null {
  const match = DURATION.exec(text);
  if (match === null) {
    return null;
  }
  // Parts that are left out are undefined, whatever the type of a match says.
  const parts: readonly (string | undefined)[] = match.slice(1);
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = parts.map((part) =>
    Number(part ?? 0),
  );
  const duration = {
    months: years * 12 + months,
    seconds:
      weeks * SECONDS_PER.week +
      days * SECONDS_PER.day +
      hours * SECONDS_PER.hour +
      minutes * SECONDS_PER.minute +
      seconds,
  };
  const isTooLong =
    duration.months > MAX_MONTHS ||
    duration.seconds > MAX_SECONDS ||
    (duration.months === MAX_MONTHS && duration.seconds > 0);
  return isTooLong ? null : duration;
}

const instantSchema = z.iso.datetime({ offset: true });

/** Null where it is none that a run could have. */
export function parseDelay(value: number | string): Delay | null {
  if (typeof value === 'number') {
    return inRange(value, 0) ? { kind: 'after', duration: { months: 0, seconds: value } } : null;
  }
  const duration = parseDuration(value);
  if (duration !== null) {
    return { kind: 'after', duration };
  }
  return instantSchema.safeParse(value).success ? { kind: 'at', instant: value } : null;
}

/** Null where it is none that a run could have: one of no length at all neither. */
export function parseTtl(value: number | string): Duration | null {
  if (typeof value === 'number') {
    return inRange(value, 1) ? { months: 0, seconds: value } : null;
  }
  const duration = parseDuration(value);
  return duration === null || (duration.months === 0 && duration.seconds < 1) ? null : duration;
}

/** A time to live as it is stored and shown: an ISO 8601 duration. */
export function ttlText(value: number | string): string {
  return typeof value === 'number' ? `PT${value}S` : value;
}

export const DELAY_RANGE = `must be whole seconds from 0 to ${MAX_SECONDS}, an ISO 8601 duration up to P1Y, or an instant with its offset, from now to a year ahead`;
export const TTL_RANGE = `must be whole seconds from 1 to ${MAX_SECONDS}, or an ISO 8601 duration from PT1S to P1Y`;

export const delaySchema = z
  .union([z.number(), z.string().max(64)], { error: DELAY_RANGE })
  .refine((value) => parseDelay(value) !== null, DELAY_RANGE)
  .describe('When it starts: seconds, an ISO 8601 duration, or an instant; at most a year ahead.');

export const ttlSchema = z
  .union([z.number(), z.string().max(64)], { error: TTL_RANGE })
  .refine((value) => parseTtl(value) !== null, TTL_RANGE)
  .describe('Expires where no worker has begun it so long after it could have been: seconds or an ISO 8601 duration.');

export const concurrencyKeySchema = z
  .string()
  .min(1)
  .refine((text) => Array.from(text).length <= 200, 'must be at most 200 characters')
  .describe('Runs of the agent with the same key share the agent’s `concurrency_key_limit`.');

/** `from + duration`, as an SQL expression over a timestamptz one. */
export function later(from: Sql, duration: Duration): Sql {
  return sql`((${from}) at time zone 'UTC' + make_interval(months => ${duration.months}::int, secs => ${duration.seconds}::float8)) at time zone 'UTC'`;
}

function inRange(value: number, least: number): boolean {
  return Number.isInteger(value) && value >= least && value <= MAX_SECONDS;
}
