/** When a delivery is tried again. Pure. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;

/** Seconds before each attempt of a round: ten over some 75 hours. */
export const ATTEMPT_DELAYS: readonly number[] = [
  0,
  5,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

/** Either way, so that what failed together does not come back together. */
const JITTER = 0.2;
/** Longer than this nobody is waited for on their word. */
const LONGEST_RETRY_AFTER_SECONDS = 24 * HOUR;

/**
 * Seconds from the failed attempt (1 is the first) to the next; null where it was the last. What the receiver asked for makes it longer,
 * never shorter. @param random from 0 to 1
 */
export function secondsToNextAttempt(attempt: number, retryAfterSeconds: number | null, random: number): number | null {
  const delay = ATTEMPT_DELAYS[attempt];
  if (delay === undefined) {
    return null;
  }
  const jittered = delay * (1 - JITTER + 2 * JITTER * random);
  return Math.max(jittered, retryAfterSeconds ?? 0);
}

/** What a `Retry-After` asks for, in seconds: a number, or a date. Null where it says nothing that can be understood. RFC 9110, 10.2.3. */
export function retryAfterSeconds(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) {
    return null;
  }
  const seconds = /^\s*\d{1,9}\s*$/.test(header) ? Number(header) : (Date.parse(header) - nowMs) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), LONGEST_RETRY_AFTER_SECONDS) : null;
}

/** Failures in a row that a receiver is given before it is left alone for a while, and for how long at first and at most. */
const PATIENCE = 5;
const FIRST_PAUSE_SECONDS = 5;
const LONGEST_PAUSE_SECONDS = 300;

/** Seconds to leave a receiver alone after so many failures in a row; 0 while it has not failed often enough. */
export function pauseSeconds(failures: number): number {
  return failures < PATIENCE ? 0 : Math.min(FIRST_PAUSE_SECONDS * 2 ** (failures - PATIENCE), LONGEST_PAUSE_SECONDS);
}
