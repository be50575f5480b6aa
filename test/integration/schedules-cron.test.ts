import { describe as group, expect, test } from '@jest/globals';
import { DomainError } from '../../src/kernel/errors.js';
import { assertFires, upcoming } from '../../src/modules/schedules/rules/cron.js';
import { FireTimes } from '../../src/modules/schedules/rules/fire-times.js';
import { jitterMs, type Rule } from '../../src/modules/schedules/rules/rule.js';
import { describe, localTime } from '../../src/modules/schedules/rules/describe-rule.js';

const NOW = new Date('2026-01-01T00:00:00Z');

function refusal(cron: string, timezone = 'UTC'): { path: string | undefined; message: string } {
  try {
    assertFires(cron, timezone, NOW, '/schedule');
  } catch (error) {
    if (error instanceof DomainError && error.code === 'invalid-request') {
      return { path: error.issues[0]?.path, message: error.message };
    }
    throw error;
  }
  throw new Error(`${cron} in ${timezone} was accepted`);
}

group('what is accepted', () => {
  test.each([
    '0 9 * * 1-5',
    '*/5 * * * *',
    '0 0 29 2 *',
    '30 0 9 * * MON',
    '0 0 L * *',
    '0 0 * * FRI#2',
    '0 0 15W * *',
    ' 0  9 * * * ',
    '@daily',
    '@Hourly',
    '0 9 * * FRI-MON',
    '0 22-2 * * *',
    '0 0/6 * * *',
    '5/15 * * * *',
    '0 9 * NOV-FEB 7-2',
  ])('%s', (cron) => {
    expect(() => assertFires(cron, 'Europe/London', NOW)).not.toThrow();
  });

  test.each(['UTC', 'europe/london', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5'])('the zone %s', (timezone) => {
    expect(() => assertFires('0 9 * * *', timezone, NOW)).not.toThrow();
  });
});

group('what is refused', () => {
  test.each([
    '',
    'hourly',
    '@sometimes',
    '* * * *',
    '0 0 0 * * * 2030',
    '60 * * * *',
    '* 24 * * *',
    'a b c d e',
    `0 9 * * ${'1,'.repeat(120)}2`,
    '0 9 * * 1-5; drop table tasks',
    '0 0 13 * +FRI',
    '0 22-24 * * *',
    '0 24-2 * * *',
    '0 22-2/0 * * *',
    '0 0/0 * * *',
    '0 0/25 * * *',
    '0 9 0-3 * *',
    '0 9 * * FRI-XYZ',
  ])('an expression that is none: %s', (cron) => {
    expect(refusal(cron).path).toBe('/schedule/cron');
  });

  test.each(['0 0 31 4 *', '0 0 30 2 *', '0 0 31 2,4,6,9,11 *'])('one that never fires: %s', (cron) => {
    expect(refusal(cron)).toEqual({ path: '/schedule/cron', message: 'This cron expression never fires.' });
  });

  test.each(['* * * * * *', '*/30 * * * * *', '0,30 0 3 1 1 *', '59,0 59 23 * * *'])(
    'one that fires more than once a minute: %s',
    (cron) => {
      expect(refusal(cron).message).toContain('more often than every 60 seconds');
    },
  );

  test.each(['', 'Nope/Zone', '+02:00', 'Europe/London; --', '../etc/passwd', 'x'.repeat(65)])(
    'a zone that is none: %s',
    (timezone) => {
      expect(refusal('0 9 * * *', timezone).path).toBe('/schedule/timezone');
    },
  );
});

group('when it fires', () => {
  const times = (cron: string, timezone: string, from: string, count: number): string[] =>
    upcoming(cron, timezone, new Date(from), count).map((fire) => fire.toISOString());

  test('follows the wall clock of its zone through daylight saving', () => {
    expect(times('0 9 * * *', 'Europe/London', '2026-03-28T00:00:00Z', 3)).toEqual([
      '2026-03-28T09:00:00.000Z',
      '2026-03-29T08:00:00.000Z',
      '2026-03-30T08:00:00.000Z',
    ]);
  });

  test('a time that the spring night leaves out fires at the first moment after it', () => {
    expect(times('30 2 14 3 *', 'America/New_York', '2027-01-01T00:00:00Z', 1)).toEqual(['2027-03-14T07:00:00.000Z']);
  });

  test.each([
    ['30 23 * * *', 'America/Nuuk', '2027-03-27T12:00:00Z', '2027-03-28T01:00:00.000Z'],
    ['0 23 27 3 *', 'America/Nuuk', '2027-03-01T00:00:00Z', '2027-03-28T01:00:00.000Z'],
    ['30 23 * * *', 'America/Scoresbysund', '2027-03-27T12:00:00Z', '2027-03-28T01:00:00.000Z'],
    ['15,45 23 27 3 *', 'America/Scoresbysund', '2027-03-01T00:00:00Z', '2027-03-28T01:00:00.000Z'],
  ])('so does one of a gap that ends at midnight: %s in %s', (cron, timezone, from, first) => {
    expect(times(cron, timezone, from, 2)[0]).toBe(first);
    expect(new FireTimes().search(cron, timezone, Date.parse(from))).toBe(Date.parse(first));
  });

  test('a range that runs past the end of its field goes on at the beginning, and a start with a step runs to the end', () => {
    const alike = (one: string, other: string): void => {
      for (const timezone of ['UTC', 'America/New_York', 'Europe/London']) {
        for (const from of ['2026-10-24T00:00:00Z', '2027-03-12T00:00:00Z']) {
          expect([one, times(one, timezone, from, 60)]).toEqual([one, times(other, timezone, from, 60)]);
        }
      }
    };
    alike('0 9 * * FRI-MON', '0 9 * * 5,6,0,1');
    alike('0 9 * * fri-sun', '0 9 * * 5,6,0');
    alike('0 9 * * 7-2', '0 9 * * 0,1,2');
    alike('0 9 * * SUN-SUN', '0 9 * * 0');
    alike('0 9 * * 0-7', '0 9 * * 0,1,2,3,4,5,6');
    alike('0 9 * * SAT-TUE/2', '0 9 * * 6,1');
    alike('0 22-2 * * *', '0 22,23,0,1,2 * * *');
    alike('0 22-2,12 * * *', '0 22,23,0,1,2,12 * * *');
    alike('50-10 4 * * *', '50-59,0-10 4 * * *');
    alike('0 9 30-2 * *', '0 9 30,31,1,2 * *');
    alike('0 9 1 NOV-FEB *', '0 9 1 11,12,1,2 *');
    alike('0 9 1 JAN/3 *', '0 9 1 1,4,7,10 *');
    alike('0 9 * * MON/2', '0 9 * * 1,3,5');
    alike('0 9 1/10 * *', '0 9 1,11,21,31 * *');
    alike('0 0/6 * * *', '0 */6 * * *');
    alike('5/15 * * * *', '5-59/15 * * * *');
    alike('0 21-3/3 * * *', '0 21-23/3,0-3/3 * * *');
    alike('0 22-3/3 * * *', '0 22-23/3,1-3/3 * * *');
  });

  test('a time that the autumn night repeats fires once', () => {
    expect(times('30 1 * * *', 'America/New_York', '2026-11-01T00:00:00Z', 2)).toEqual([
      '2026-11-01T05:30:00.000Z',
      '2026-11-02T06:30:00.000Z',
    ]);
  });

  test('a fire at the very moment asked from is past', () => {
    expect(times('0 9 * * *', 'UTC', '2026-01-01T09:00:00Z', 1)).toEqual(['2026-01-02T09:00:00.000Z']);
  });

  test('a rare one ends its list at the horizon instead of searching on', () => {
    const leapDays = upcoming('0 0 29 2 *', 'UTC', NOW, 100);
    expect(leapDays).toHaveLength(24);
  });

  test('times of a list are times of the day, an autumn night and a spring night through', () => {
    expect(times('30 1,13 * * *', 'America/New_York', '2026-11-01T00:00:00Z', 3)).toEqual([
      '2026-11-01T05:30:00.000Z',
      '2026-11-01T18:30:00.000Z',
      '2026-11-02T06:30:00.000Z',
    ]);
    expect(times('30 2,14 * * *', 'America/New_York', '2027-03-14T00:00:00Z', 2)).toEqual([
      '2027-03-14T07:00:00.000Z',
      '2027-03-14T18:30:00.000Z',
    ]);
  });

  test('an interval goes on through a repeated hour, and leaves out one that does not exist', () => {
    expect(times('*/30 * * * *', 'America/New_York', '2026-11-01T05:00:00Z', 4)).toEqual([
      '2026-11-01T05:30:00.000Z',
      '2026-11-01T06:00:00.000Z',
      '2026-11-01T06:30:00.000Z',
      '2026-11-01T07:00:00.000Z',
    ]);
    expect(times('*/30 2 * * *', 'America/New_York', '2027-03-14T05:00:00Z', 1)).toEqual(['2027-03-15T06:00:00.000Z']);
  });

  test('what is remembered of an expression answers as a search from any moment does, in whatever order it is asked', () => {
    const fireTimes = new FireTimes();
    const begin = Date.parse('2026-10-30T00:00:00Z');
    for (let step = 0; step < 2_000; step += 1) {
      const from = begin + ((step * 7_919_113) % (6 * 86_400_000));
      const [expected] = upcoming('*/20 0-3 * * *', 'America/New_York', new Date(from), 1);
      expect(fireTimes.search('*/20 0-3 * * *', 'America/New_York', from)).toBe(expected?.getTime());
    }
  });

  test('an interval counts from its anchor, a beginning is itself a slot, an end is none', () => {
    const { slots } = new FireTimes();
    const at = (text: string): number => Date.parse(text);
    const every = { kind: 'every', everyMs: 90_000, timezone: 'UTC' } as const;
    const anchored: Rule = { ...every, anchorMs: at('2026-01-01T00:00:30Z'), startsMs: null, endsMs: null };
    expect(slots(anchored, at('2026-01-01T00:10:00Z'), 2)).toEqual([
      at('2026-01-01T00:11:00Z'),
      at('2026-01-01T00:12:30Z'),
    ]);
    const startsMs = at('2027-01-01T00:00:00Z');
    const bounded: Rule = { ...every, anchorMs: startsMs, startsMs, endsMs: startsMs + 180_000 };
    expect(slots(bounded, at('2026-01-01T00:00:00Z'), 9)).toEqual([startsMs, startsMs + 90_000]);
    const once: Rule = { kind: 'at', atMs: startsMs, timezone: 'UTC', startsMs: null, endsMs: null };
    expect([slots(once, startsMs - 1, 9), slots(once, startsMs, 9)]).toEqual([[startsMs], []]);
    const cron: Rule = { kind: 'cron', cron: '0 0 * * *', timezone: 'UTC', startsMs, endsMs: startsMs + 86_400_000 };
    expect(slots(cron, 0, 9)).toEqual([startsMs]);
  });

  test('jitter is the same for a schedule each time, within its bound, and spread over schedules', () => {
    const ids = Array.from(
      { length: 1_000 },
      (_, index) => `00000000-0000-7000-8000-0000${((index * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')}`,
    );
    const offsets = ids.map((id) => jitterMs(id, 60));
    expect(offsets).toEqual(ids.map((id) => jitterMs(id, 60)));
    expect([Math.min(...offsets) >= 0, Math.max(...offsets) <= 60_000, new Set(offsets).size > 900]).toEqual([
      true,
      true,
      true,
    ]);
    expect(jitterMs(ids[0] ?? '', 0)).toBe(0);
  });
});

group('in words', () => {
  test.each([
    ['0 9 * * 1-5', 'Europe/London', 'Every weekday at 09:00 in Europe/London'],
    ['30 18 * * *', 'Asia/Tokyo', 'Every day at 18:30 in Asia/Tokyo'],
    ['0 7 * * SUN', 'UTC', 'Every Sunday at 07:00 in UTC'],
    ['@daily', 'UTC', 'Every day at 00:00 in UTC'],
    ['*/5 * * * *', 'UTC', 'Every 5 minutes, in UTC'],
    ['? * * * *', 'UTC', 'Every minute, in UTC'],
    ['0 0 13 * FRI', 'UTC', 'At 00:00, on day 13 of the month or on Friday, in UTC'],
    [
      '0 0 29 2 MON#1',
      'UTC',
      'At 00:00, on day 29 of the month or on the first Monday of the month, only in February, in UTC',
    ],
    [
      '*/5 9 1,15 * 1-5',
      'UTC',
      'Every 5 minutes, between 09:00 and 09:59, on day 1 and 15 of the month or Monday through Friday, in UTC',
    ],
    ['0 9 * * FRI-MON', 'UTC', 'At 09:00, Friday through Monday, in UTC'],
    ['0 22-2 * * *', 'UTC', 'Every hour, between 22:00 and 02:00, in UTC'],
    ['0 0/6 * * *', 'UTC', 'On the hour, every 6 hours, in UTC'],
    ['0 0 1W,15 * *', 'UTC', 'On the cron expression 0 0 1W,15 * *, in UTC'],
  ])('%s in %s is: %s', (cron, timezone, sentence) => {
    expect(describe({ kind: 'cron', cron, timezone, startsMs: null, endsMs: null })).toBe(sentence);
  });

  test('intervals and single moments have their sentences', () => {
    const bounds = { timezone: 'Europe/London', startsMs: null, endsMs: null };
    expect(describe({ kind: 'every', everyMs: 7_200_000, anchorMs: 0, ...bounds })).toBe('Every 2 hours');
    expect(describe({ kind: 'every', everyMs: 60_000, anchorMs: 0, ...bounds })).toBe('Every minute');
    expect(describe({ kind: 'every', everyMs: 90_000, anchorMs: 0, ...bounds })).toBe('Every 90 seconds');
    expect(describe({ kind: 'at', atMs: Date.parse('2030-07-01T08:00:00Z'), ...bounds })).toBe(
      'Once, on 2030-07-01 at 09:00 in Europe/London',
    );
  });

  test('an instant is told by the clock on the wall', () => {
    expect(localTime(new Date('2026-07-01T23:30:00Z'), 'Europe/London')).toBe('00:30');
  });
});
