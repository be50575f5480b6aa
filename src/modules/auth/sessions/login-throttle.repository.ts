import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

const WINDOW_MINUTES = 15;
const FIRST_BLOCK_SECONDS = 30;
const LONGEST_BLOCK_SECONDS = 900;

export interface ThrottleSubject {
  subject: Buffer;
  /** Failures in a window before attempts are refused for a while. */
  limit: number;
}

/** Counts of failed sign-ins. They belong to the instance: nobody is signed in yet, so there is no organisation to scope by. */
@Injectable()
export class LoginThrottleRepository {
  constructor(private readonly database: Database) {}

  /**
   * Counts an attempt on each subject before it is known to fail, so that a burst of guesses at once is counted whole. Returns the
   * seconds to wait where one of them is blocked, else null. Past its limit, each further attempt blocks the subject for twice as
   * long as the one before.
   */
  async count(account: ThrottleSubject, address: ThrottleSubject): Promise<number | null> {
    const row = await this.database.row<{ counted: number; wait_seconds: number | null }>(sql`
      with asked (subject, most) as (values (${account.subject}::bytea, ${account.limit}::integer), (${address.subject}::bytea, ${address.limit}::integer)),
      counted as (
        insert into login_throttles as t (subject, failures) select subject, 1 from asked order by subject
        on conflict (subject) do update set
          failures = case when t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES}) then 1 else t.failures + 1 end,
          window_started_at = case when t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
            then clock_timestamp() else t.window_started_at end,
          blocked_until = case when t.window_started_at >= clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
            and t.failures + 1 >= (select a.most from asked a where a.subject = t.subject)
            then clock_timestamp() + make_interval(secs => least(${LONGEST_BLOCK_SECONDS}::float8, ${FIRST_BLOCK_SECONDS}::float8
              * power(2, least(10, t.failures + 1 - (select a.most from asked a where a.subject = t.subject))))) end
        where t.blocked_until is null or t.blocked_until <= clock_timestamp()
        returning 1)
      select (select count(*) from counted)::integer as counted,
        (select ceil(max(extract(epoch from t.blocked_until - clock_timestamp()))) from login_throttles t
          where t.subject in (select subject from asked) and t.blocked_until > clock_timestamp())::integer as wait_seconds`);
    if (row === null || row.counted === 2) {
      return null;
    }
    return Math.max(1, row.wait_seconds ?? FIRST_BLOCK_SECONDS);
  }

  /** A good sign-in: the account begins anew, the address takes back this one attempt. */
  async forgive(account: Buffer, address: Buffer): Promise<void> {
    await this.database.execute(sql`
      with account as (delete from login_throttles where subject = ${account})
      update login_throttles set failures = greatest(0, failures - 1), blocked_until = null where subject = ${address}`);
  }

  /** Lets an account try again at once. */
  async forget(account: Buffer): Promise<void> {
    await this.database.execute(sql`delete from login_throttles where subject = ${account}`);
  }

  /** Deletes some rows that no longer matter. */
  async sweep(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from login_throttles where subject = any(array(
        select subject from login_throttles where window_started_at < clock_timestamp() - interval '1 day' order by window_started_at limit ${most}))`);
  }
}
