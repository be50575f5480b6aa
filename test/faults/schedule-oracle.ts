/**
 * When a pattern fires, found without any cron library: by walking over every minute of UTC and asking Intl what the clock on the wall
 * says. Slow, and simple enough to be believed.
 */

/** The fields of a cron expression as lists; null is any. `isFixed`: plain values in minutes and hours, so times of the day. */
export interface Pattern {
  text: string;
  isFixed: boolean;
  minutes: readonly number[] | null;
  hours: readonly number[] | null;
  days: readonly number[] | null;
  months: readonly number[] | null;
  weekdays: readonly number[] | null;
}

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;

/** For each minute of UTC from the first on, the minute that the wall clock shows, both counted from 1970. */
export function wallClock(zone: string, fromMs: number, toMs: number): Map<number, number> {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const clock = new Map<number, number>();
  // A day before, so that it is known what was shown already.
  for (let minute = fromMs / MINUTE_MS - DAY_MINUTES; minute <= toMs / MINUTE_MS; minute += 1) {
    const [month = 0, day = 0, year = 0, hour = 0, shown = 0] = (
      format.format(minute * MINUTE_MS).match(/\d+/g) ?? []
    ).map(Number);
    clock.set(minute, Date.UTC(year, month - 1, day, hour, shown) / MINUTE_MS);
  }
  return clock;
}

/** The slots after `fromMs` and up to `toMs`. */
export function slotsOf(pattern: Pattern, clock: ReadonlyMap<number, number>, fromMs: number, toMs: number): number[] {
  const slots: number[] = [];
  let latest = Number.NEGATIVE_INFINITY;
  for (const [minute, wall] of clock) {
    const isNew = wall > latest;
    // Times of the day fire when they are first shown, or, where they never are, with the first minute after.
    let fires = pattern.isFixed ? isNew && matches(pattern, wall) : matches(pattern, wall);
    if (pattern.isFixed && isNew && Number.isFinite(latest)) {
      for (let skipped = latest + 1; skipped < wall; skipped += 1) {
        fires ||= matches(pattern, skipped);
      }
    }
    latest = Math.max(latest, wall);
    const at = minute * MINUTE_MS;
    if (fires && at > fromMs && at <= toMs) {
      slots.push(at);
    }
  }
  return slots;
}

function matches(pattern: Pattern, wall: number): boolean {
  const date = new Date(wall * MINUTE_MS);
  const has = (field: readonly number[] | null, value: number): boolean => field === null || field.includes(value);
  const { days, weekdays } = pattern;
  const isDay =
    days !== null && weekdays !== null
      ? days.includes(date.getUTCDate()) || weekdays.includes(date.getUTCDay())
      : has(days, date.getUTCDate()) && has(weekdays, date.getUTCDay());
  return (
    has(pattern.minutes, date.getUTCMinutes()) &&
    has(pattern.hours, date.getUTCHours()) &&
    has(pattern.months, date.getUTCMonth() + 1) &&
    isDay
  );
}

/** A pattern that the draws decide: most of them in the hours in which clocks are changed. */
export function drawPattern(random: () => number): Pattern {
  const pick = <Item>(items: readonly Item[]): Item => {
    const item = items[Math.floor(random() * items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  const time = pick<Pick<Pattern, 'minutes' | 'hours' | 'isFixed'> & { text: string }>([
    ...[0, 15, 30, 45, 59].flatMap((minute) =>
      [0, 1, 2, 3, 22, 23].map((hour) => ({
        text: `${minute} ${hour}`,
        minutes: [minute],
        hours: [hour],
        isFixed: true,
      })),
    ),
    { text: '30 1,13', minutes: [30], hours: [1, 13], isFixed: true },
    { text: '15,45 0-3', minutes: [15, 45], hours: [0, 1, 2, 3], isFixed: true },
    { text: '0 2,3', minutes: [0], hours: [2, 3], isFixed: true },
    { text: '30 22-1', minutes: [30], hours: [22, 23, 0, 1], isFixed: true },
    { text: '15 0/6', minutes: [15], hours: [0, 6, 12, 18], isFixed: false },
    { text: '0 *', minutes: [0], hours: null, isFixed: false },
    { text: '*/30 1-3', minutes: [0, 30], hours: [1, 2, 3], isFixed: false },
    { text: '*/20 2', minutes: [0, 20, 40], hours: [2], isFixed: false },
    { text: '10 */2', minutes: [10], hours: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22], isFixed: false },
  ]);
  const day = pick<Pick<Pattern, 'days' | 'weekdays'> & { dom: string; dow: string }>([
    { dom: '*', dow: '*', days: null, weekdays: null },
    { dom: '*', dow: '*', days: null, weekdays: null },
    { dom: '*', dow: '0', days: null, weekdays: [0] },
    { dom: '*', dow: 'SAT,SUN', days: null, weekdays: [6, 0] },
    { dom: '*', dow: '1-5', days: null, weekdays: [1, 2, 3, 4, 5] },
    { dom: '*', dow: 'FRI-MON', days: null, weekdays: [5, 6, 0, 1] },
    { dom: '14,28', dow: '*', days: [14, 28], weekdays: null },
    { dom: '1-7', dow: '0', days: [1, 2, 3, 4, 5, 6, 7], weekdays: [0] },
  ]);
  return {
    text: `${time.text} ${day.dom} * ${day.dow}`,
    isFixed: time.isFixed,
    minutes: time.minutes,
    hours: time.hours,
    days: day.days,
    months: null,
    weekdays: day.weekdays,
  };
}
