import type { Rule } from './rule.js';

/** What decides the slots, as it is stored; instants in milliseconds. Exactly one of `cron`, `everySeconds` and `atMs` is set. */
export interface RuleColumns {
  cron: string | null;
  everySeconds: number | null;
  atMs: number | null;
  timezone: string;
  startsMs: number | null;
  endsMs: number | null;
  /** What an interval counts from where there is no beginning. */
  anchorMs: number;
}

export function ruleOf(columns: RuleColumns): Rule {
  const { cron, everySeconds, atMs, timezone, startsMs, endsMs } = columns;
  const bounds = { startsMs, endsMs, timezone };
  if (cron !== null) {
    return { kind: 'cron', cron, ...bounds };
  }
  if (everySeconds !== null) {
    return { kind: 'every', everyMs: everySeconds * 1000, anchorMs: startsMs ?? columns.anchorMs, ...bounds };
  }
  if (atMs !== null) {
    return { kind: 'at', atMs, ...bounds };
  }
  throw new Error('a schedule without a rule is stored');
}
