/**
 * What the clock on the wall of a time zone shows, and when it shows something. A wall time is told as the milliseconds since 1970 that it
 * would be in UTC. Pure.
 */

const DAY_MS = 86_400_000;
/** As many as there are zones; a formatter takes long to make. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

/** The wall time of an instant, whole seconds. */
export function wallTime(timezone: string, instantMs: number): number {
  let format = FORMATS.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    FORMATS.set(timezone, format);
  }
  const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = (
    format.format(instantMs).match(/\d+/g) ?? []
  ).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/**
 * When a wall time comes: at its first occurrence where an autumn night repeats it, and at the first moment after the gap where a spring
 * night leaves it out, wherever that gap ends.
 */
export function instantOf(timezone: string, wallMs: number): number {
  const offset = (instantMs: number): number => wallTime(timezone, instantMs) - Math.floor(instantMs / 1000) * 1000;
  // No zone changes its clocks twice within two days.
  const before = offset(wallMs - DAY_MS);
  const after = offset(wallMs + DAY_MS);
  if (before === after) {
    return wallMs - before;
  }
  const found = [wallMs - before, wallMs - after]
    .filter((instantMs) => wallTime(timezone, instantMs) === wallMs)
    .toSorted((one, other) => one - other);
  return found[0] ?? changeBetween(wallMs - after, wallMs - before, (instantMs) => offset(instantMs) === before);
}

/** The first second at which the old offset holds no more, between one at which it does and one at which it does not. */
function changeBetween(fromMs: number, toMs: number, isBefore: (instantMs: number) => boolean): number {
  let [low, high] = [fromMs, toMs];
  while (high - low > 1000) {
    const middle = low + Math.floor((high - low) / 2000) * 1000;
    if (isBefore(middle)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high;
}
