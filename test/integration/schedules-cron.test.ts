import { describe as group, expect, test } from '@jest/globals';
import { DomainError } from '../../src/kernel/errors.js';
import { assertFires, describe, localTime, upcoming } from '../../src/modules/schedules/cron.js';
import { FireTimes } from '../../src/modules/schedules/fire-times.js';
import { TestClock } from '../support/test-clock.js';

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
    '@daily',
    '* * * *',
    '0 0 0 * * * 2030',
    '60 * * * *',
    '* 24 * * *',
    'a b c d e',
    `0 9 * * ${'1,'.repeat(120)}2`,
    '0 9 * * 1-5; drop table tasks',
    '0 0 13 * +FRI',
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

  test('the answer is remembered until the first fire has passed, and only then computed anew', () => {
    const clock = new TestClock();
    const times = new FireTimes(clock);
    const first = times.next('* * * * *', 'UTC');
    expect(times.upcoming('* * * * *', 'UTC', 3)).toHaveLength(3);
    expect(times.next('* * * * *', 'UTC')).toEqual(first);
    clock.advance(60_000);
    expect(times.next('* * * * *', 'UTC')?.getTime()).toBe((first?.getTime() ?? 0) + 60_000);
  });
});

group('in words', () => {
  test.each([
    ['0 9 * * 1-5', 'Europe/London', 'At 09:00, Monday through Friday, in Europe/London'],
    ['*/5 * * * *', 'UTC', 'Every 5 minutes, in UTC'],
    ['? * * * *', 'UTC', 'Every minute, in UTC'],
    ['0 0 1W,15 * *', 'UTC', 'On the cron expression 0 0 1W,15 * *, in UTC'],
  ])('%s in %s is: %s', (cron, timezone, sentence) => {
    expect(describe(cron, timezone)).toBe(sentence);
  });

  test('an instant is told by the clock on the wall', () => {
    expect(localTime(new Date('2026-07-01T23:30:00Z'), 'Europe/London')).toBe('00:30');
  });
});
