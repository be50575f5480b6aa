/**
 * How long a run waits after an attempt that failed. The wait is drawn evenly from the whole of a range ("full jitter"), so that runs
 * that failed together do not come back together. The range begins at the agent's `min_seconds`; its end grows with each attempt:
 * `min_seconds × factor ^ attempt`, at most `max_seconds`. Without jitter the wait is `min_seconds × factor ^ (attempt - 1)`, capped alike.
 */
import { raw, type Sql, sql } from '../../../database/sql.js';

export interface RetryPolicy {
  min_seconds: number;
  max_seconds: number;
  factor: number;
  jitter: boolean;
}

/** The range of the wait after the attempt of this number (from 1), in seconds. */
export function backOffRange(policy: RetryPolicy, attempt: number): { least: number; most: number } {
  const capped = (exponent: number): number =>
    Math.min(policy.max_seconds, policy.min_seconds * policy.factor ** exponent);
  return policy.jitter
    ? { least: policy.min_seconds, most: capped(attempt) }
    : { least: capped(attempt - 1), most: capped(attempt - 1) };
}

/** The same in SQL: seconds, by the policy of the agent row `agent` after the present attempt of the run row `run`. */
export function backOffSeconds(agent: string, run: string): Sql {
  const [a, r] = [raw(agent), raw(run)];
  const capped = (exponent: Sql): Sql =>
    sql`least(${a}.retry_max_seconds, ${a}.retry_min_seconds * power(${a}.retry_factor, ${exponent}))`;
  return sql`(case when ${a}.retry_jitter
    then ${a}.retry_min_seconds + random() * (${capped(sql`${r}.attempt`)} - ${a}.retry_min_seconds)
    else ${capped(sql`greatest(${r}.attempt - 1, 0)`)} end)`;
}
