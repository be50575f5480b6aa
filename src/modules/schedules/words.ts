/** A schedule in words, and instants by the clock on the wall. Pure. */
import cronstrue from 'cronstrue';
import { cronFields } from './cron.js';
import type { Rule } from './rule.js';

const DAYS: ReadonlyMap<string, string> = new Map([
  ['*', 'day'],
  ['1-5', 'weekday'],
  ['mon-fri', 'weekday'],
  ['0,6', 'Saturday and Sunday'],
  ['6,0', 'Saturday and Sunday'],
  ['sat,sun', 'Saturday and Sunday'],
  ['6-7', 'Saturday and Sunday'],
  ...['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'].flatMap(
    (name, index): [string, string][] => [
      [String(index), name],
      [name.slice(0, 3).toLowerCase(), name],
    ],
  ),
  ['7', 'Sunday'],
]);

const UNITS: readonly [seconds: number, one: string, many: string][] = [
  [604_800, 'week', 'weeks'],
  [86_400, 'day', 'days'],
  [3_600, 'hour', 'hours'],
  [60, 'minute', 'minutes'],
  [1, 'second', 'seconds'],
];

/** The rule as a sentence, such as `Every weekday at 09:00 in Europe/London`. */
export function describe(rule: Rule): string {
  switch (rule.kind) {
    case 'cron':
      return ofCron(rule.cron, rule.timezone);
    case 'every':
      return `Every ${duration(rule.everyMs / 1000)}`;
    case 'at':
      return `Once, on ${localDate(rule.atMs, rule.timezone)} at ${localTime(new Date(rule.atMs), rule.timezone)} in ${rule.timezone}`;
  }
}

/** The wall-clock time of an instant in a zone, `HH:MM`. */
export function localTime(instant: Date, timezone: string): string {
  let format = CLOCKS.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: timezone,
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    // As many as there are zones; a formatter takes longer to make than a page of tasks.
    CLOCKS.set(timezone, format);
  }
  return format.format(instant);
}

const CLOCKS = new Map<string, Intl.DateTimeFormat>();

function localDate(instantMs: number, timezone: string): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: timezone, dateStyle: 'short' }).format(instantMs);
}

function ofCron(cron: string, timezone: string): string {
  const [minute = '', hour = '', day, month, weekday = '', ...more] = cronFields(cron).split(/\s+/);
  const name = DAYS.get(weekday.toLowerCase());
  if (
    more.length === 0 &&
    day === '*' &&
    month === '*' &&
    name !== undefined &&
    /^\d+$/.test(minute) &&
    /^\d+$/.test(hour)
  ) {
    return `Every ${name} at ${hour.padStart(2, '0')}:${minute.padStart(2, '0')} in ${timezone}`;
  }
  return `${inWords(cronFields(cron))}, in ${timezone}`;
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

function duration(seconds: number): string {
  const [size, one, many] = UNITS.find(([unit]) => seconds % unit === 0) ?? [1, 'second', 'seconds'];
  const count = seconds / size;
  return count === 1 ? one : `${count} ${many}`;
}
