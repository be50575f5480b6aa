/** A schedule in words, and instants by the clock on the wall. Pure. */
import cronstrue from 'cronstrue';
import { cronFields } from './cron-fields.js';
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
  return `${inWords(cronFields(cron)) ?? `On the cron expression ${cronFields(cron)}`}, in ${timezone}`;
}

/** Null where croner knows a form (`1W,15`) that cronstrue has no words for. */
function inWords(cron: string): string | null {
  try {
    // `?` means the same as `*` to croner, and nothing to cronstrue.
    const fields = cron.replaceAll('?', '*').split(/\s+/);
    const [weekday = '*', month = '*', day = '*'] = fields.toReversed();
    return day === '*' || weekday === '*' ? worded(fields) : eitherDay(fields.slice(0, -3), day, month, weekday);
  } catch {
    return null;
  }
}

/** A day of the month and one of the week: either will do, and cronstrue says "and" or nothing between the two. */
function eitherDay(time: readonly string[], day: string, month: string, weekday: string): string | null {
  const start = worded([...time, '*', '*', '*']);
  const days = [worded([...time, day, '*', '*']), worded([...time, '*', '*', weekday])];
  const months = worded([...time, '*', month, '*']);
  if (![...days, months].every((sentence) => sentence.startsWith(start))) {
    return null;
  }
  const either = days.map((sentence) => sentence.slice(start.length).replace(/^, (only )?/, '')).join(' or ');
  return `${start}, ${either}${months.slice(start.length)}`;
}

function worded(fields: readonly string[]): string {
  return cronstrue.toString(fields.join(' '), { use24HourTimeFormat: true });
}

function duration(seconds: number): string {
  const [size, one, many] = UNITS.find(([unit]) => seconds % unit === 0) ?? [1, 'second', 'seconds'];
  const count = seconds / size;
  return count === 1 ? one : `${count} ${many}`;
}
