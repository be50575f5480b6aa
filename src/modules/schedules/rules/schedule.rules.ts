import { assertNever } from '../../../kernel/assert-never.js';
import { invalid } from '../../../kernel/errors.js';
import { assertFires, assertZone, FLOOR_SECONDS } from './cron.js';
import type { Rule } from './rule.js';

export interface RuleContext {
  nowMs: number;
  /** JSON Pointer of the object that holds the rule. */
  pointer: string;
  /** The organisation's own; null: ours. */
  floorSeconds: number | null;
  next: (rule: Rule, afterMs: number) => number | null;
}

/** Refuses a rule that cannot be, saying which field and why. @throws DomainError `invalid-request` */
export function assertRule(rule: Rule, { nowMs, pointer, floorSeconds, next }: RuleContext): void {
  const floor = floorSeconds ?? FLOOR_SECONDS;
  const { startsMs, endsMs } = rule;
  if (startsMs !== null && endsMs !== null && endsMs <= startsMs) {
    throw invalid(`${pointer}/ends_at`, 'A schedule ends after it starts.');
  }
  if (endsMs !== null && endsMs <= nowMs) {
    throw invalid(`${pointer}/ends_at`, 'This end has passed.');
  }
  assertZone(rule.timezone, `${pointer}/timezone`);
  switch (rule.kind) {
    case 'cron':
      assertFires(rule.cron, rule.timezone, new Date(nowMs), pointer, floor);
      break;
    case 'every':
      if (rule.everyMs < floor * 1000) {
        throw invalid(`${pointer}/every_seconds`, `must be ${floor} or more`);
      }
      break;
    case 'at':
      if (rule.atMs <= nowMs) {
        throw invalid(`${pointer}/at`, 'This moment has passed.');
      }
      break;
    default:
      assertNever(rule);
  }
  if (next(rule, nowMs) === null) {
    throw invalid(
      `${pointer}/${endsMs === null ? 'starts_at' : 'ends_at'}`,
      'No slot falls between its start and its end.',
    );
  }
}
