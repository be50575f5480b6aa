/**
 * What decides the slots of a schedule, of each kind. Pure.
 *
 * A slot is the moment that the rule names; it is due a little later, by the schedule's own jitter: the same for each slot of a
 * schedule, and different between schedules, so that a thousand of them at nine o'clock do not come in one second.
 */
import { assertNever } from '../../../kernel/assert-never.js';

interface Bounds {
  /** No slot before it; null: none. */
  startsMs: number | null;
  /** No slot at it or after it; null: none. */
  endsMs: number | null;
}

export type Rule = Bounds &
  (
    | { kind: 'cron'; cron: string; timezone: string }
    | { kind: 'every'; everyMs: number; anchorMs: number; timezone: string }
    | { kind: 'at'; atMs: number; timezone: string }
  );

/** The first fire of an expression strictly after an instant; null where there is none. */
export type CronSearch = (cron: string, timezone: string, afterMs: number) => number | null;

/** The first slot strictly after an instant, in milliseconds; null where there is none. */
export function nextSlot(rule: Rule, afterMs: number, search: CronSearch): number | null {
  // A slot may be at the very beginning.
  const fromMs = rule.startsMs === null ? afterMs : Math.max(afterMs, rule.startsMs - 1);
  const next = unbounded(rule, fromMs, search);
  return next === null || (rule.endsMs !== null && next >= rule.endsMs) ? null : next;
}

/** The slots after an instant, at most `count`. */
export function slotsAfter(rule: Rule, afterMs: number, count: number, search: CronSearch): number[] {
  const slots: number[] = [];
  for (let next = nextSlot(rule, afterMs, search); next !== null && slots.length < count;) {
    slots.push(next);
    next = slots.length < count ? nextSlot(rule, next, search) : null;
  }
  return slots;
}

/** How much later than its slots a schedule is due, in milliseconds: from 0 to `jitterSeconds`, by the random part of its id. */
export function jitterMs(scheduleId: string, jitterSeconds: number): number {
  return jitterSeconds === 0 ? 0 : Number.parseInt(scheduleId.slice(-8), 16) % (jitterSeconds * 1000 + 1);
}

function unbounded(rule: Rule, fromMs: number, search: CronSearch): number | null {
  switch (rule.kind) {
    case 'cron':
      return search(rule.cron, rule.timezone, fromMs);
    case 'every': {
      const passed = Math.floor((fromMs - rule.anchorMs) / rule.everyMs);
      return rule.anchorMs + (passed + 1) * rule.everyMs;
    }
    case 'at':
      return rule.atMs > fromMs ? rule.atMs : null;
    default:
      return assertNever(rule);
  }
}
