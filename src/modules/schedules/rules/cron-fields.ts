/**
 * The fields of a cron expression: what nicknames stand for, and forms that many crons take and croner does not, put into ones that it takes.
 * Pure.
 *
 * - A range that runs past the end of its field goes on at the beginning: `22-2` is 22, 23, 0, 1, 2; `FRI-MON` is Friday to Monday.
 * - A start with a step runs to the end of its field: `0/6` is `0-23/6`; `JAN/3` is January, April, July, October.
 *
 * Everything else is left as it is, for croner to take or refuse.
 */

const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
  ['@monthly', '0 0 1 * *'],
  ['@weekly', '0 0 * * 0'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@hourly', '0 * * * *'],
]);

interface Field {
  min: number;
  max: number;
  /** Three letters each, the first for `min`. */
  names: readonly string[];
  /** Sunday is 7 as well as 0. */
  isWeek: boolean;
}

const plain = (min: number, max: number): Field => ({ min, max, names: [], isWeek: false });
/** From the first of six: seconds, minutes, hours, days of the month, months, days of the week. */
const FIELDS: readonly Field[] = [
  plain(0, 59),
  plain(0, 59),
  plain(0, 23),
  plain(1, 31),
  { ...plain(1, 12), names: 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ') },
  { ...plain(0, 6), names: 'sun mon tue wed thu fri sat'.split(' '), isWeek: true },
];

const RANGE = /^(\d{1,2}|[a-z]{3})-(\d{1,2}|[a-z]{3})(?:\/(\d{1,2}))?$/i;
const START = /^(\d{1,2}|[a-z]{3})\/(\d{1,2})$/i;

/** The fields that a nickname stands for; anything else as it is, spaces at its ends aside. */
export function cronFields(cron: string): string {
  return NICKNAMES.get(cron.trim().toLowerCase()) ?? cron.trim();
}

/** The same fields in forms that croner takes. */
export function ordinaryFields(cron: string): string {
  const fields = cronFields(cron).split(/\s+/);
  return fields
    .map((text, index) => {
      const field = FIELDS[FIELDS.length - fields.length + index];
      return field === undefined
        ? text
        : text
            .split(',')
            .map((item) => ordinary(item, field))
            .join(',');
    })
    .join(' ');
}

/** True where the seconds, minutes and hours are plain values, lists or ranges: times of the day, not an interval. */
export function isTimesOfDay(cron: string): boolean {
  return ordinaryFields(cron)
    .split(/\s+/)
    .slice(0, -3)
    .every((field) => !/[*/?]/.test(field));
}

function ordinary(item: string, field: Field): string {
  const [, from = '', step = ''] = START.exec(item) ?? [];
  const start = valueOf(from, field);
  if (start !== null) {
    return `${start}-${field.max}/${step}`;
  }
  const [, first = '', last = '', every] = RANGE.exec(item) ?? [];
  const [begin, end] = [valueOf(first, field), valueOf(last, field)];
  return begin === null || end === null ? item : range(item, begin, end, every, field);
}

function range(item: string, begin: number, end: number, every: string | undefined, field: Field): string {
  if (begin < end || (begin === end && !field.isWeek)) {
    // Only a week's first day by its other number (7-2) is none that croner takes.
    return field.isWeek && item.startsWith('7') ? `${begin}-${end}${every === undefined ? '' : `/${every}`}` : item;
  }
  if (begin === end) {
    // 0-7 and SUN-7 are the whole week, SUN-SUN is a day.
    return /^(0|sun)-7/i.test(item) ? item : String(begin);
  }
  const step = Number(every ?? 1);
  if (step === 0) {
    return item;
  }
  const suffix = every === undefined ? '' : `/${every}`;
  const size = field.max - field.min + 1;
  // Where the steps come to once they are past the end.
  const again = begin + Math.ceil((field.max + 1 - begin) / step) * step - size;
  const head = `${begin}-${field.max}${suffix}`;
  return again > end ? head : `${head},${again}-${end}${suffix}`;
}

/** Null for what is no value of the field. */
function valueOf(text: string, { min, max, names, isWeek }: Field): number | null {
  const named = names.indexOf(text.toLowerCase());
  if (named !== -1) {
    return min + named;
  }
  if (!/^\d+$/.test(text)) {
    return null;
  }
  const value = isWeek && text === '7' ? 0 : Number(text);
  return value < min || value > max ? null : value;
}
