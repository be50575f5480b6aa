import { Injectable } from '@nestjs/common';
import { PublicDatabase } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

const WINDOW_MINUTES = 15;
const FIRST_BLOCK_SECONDS = 30;
const MAX_BLOCK_SECONDS = 900;
/** An address from which the account signed in this recently is known to it. */
const KNOWN_DAYS = 30;
/** An office behind one address has many people who mistype. */
const MAX_ADDRESS_FAILURES = 100;
/** From this many on, an address that the account does not know has one attempt in a window, and not ten. */
const MAX_ACCOUNT_FAILURES = 50;
/** Rows kept at most, about 30 MB. What failed longest ago goes first. */
const MAX_ROWS = 200_000;
const MAX_DELETED_AT_ONCE = 5_000;

interface Row {
  subject: Buffer;
  account: Buffer | null;
  max: number | null;
  isRight: boolean;
}

/** What an attempt is counted under: keyed digests, so that the table names nobody. */
export interface ThrottleSubjects {
  /** The account and the address together. */
  pair: Buffer;
  /** Null where attempts for the account from all addresses are not counted. */
  account: Buffer | null;
  /** Null where attempts from the address for all accounts are not counted. */
  address: Buffer | null;
  /** Failures of the pair in a window from which on it is blocked. */
  maxFailures: number;
}

/** What came of an attempt. */
export interface Outcome {
  subjects: ThrottleSubjects;
  isRight: boolean;
}

export interface Standing {
  /** Seconds until the next attempt is looked at; null where it is now. */
  waitSeconds: number | null;
  /** The account has signed in from this address lately. */
  isKnown: boolean;
}

/**
 * Counts of failed sign-ins. They belong to the instance: nobody is signed in yet, so there is no organization to scope by.
 *
 * Statements that write several rows lock them in the order of their subjects, and the sweep passes over rows that are locked. So no two of
 * them can wait for each other.
 */
@Injectable()
export class LoginThrottleRepository {
  constructor(private readonly database: PublicDatabase) {}

  /** Whether attempts are looked at now, in the order of the subjects; writes nothing. */
  async standings(subjects: readonly ThrottleSubjects[]): Promise<Standing[]> {
    const rows = await this.database.rows<{ wait_seconds: number | null; is_known: boolean }>(sql`
      select k.is_known, case when w.until > clock_timestamp() then ceil(extract(epoch from w.until - clock_timestamp()))::integer end as wait_seconds
      from unnest(${subjects.map(({ pair }) => pair)}::bytea[], ${subjects.map(({ account }) => account)}::bytea[],
        ${subjects.map(({ address }) => address)}::bytea[]) with ordinality s (pair, account, address, position)
      left join login_throttles p on p.subject = s.pair
      left join login_throttles c on c.subject = s.account
      left join login_throttles a on a.subject = s.address
      cross join lateral (select coalesce(p.succeeded_at > clock_timestamp() - make_interval(days => ${KNOWN_DAYS}), false) as is_known) k
      cross join lateral (select greatest(p.blocked_until, case when not k.is_known then a.blocked_until end,
        case when not k.is_known and p.failures > 0 and c.failures >= ${MAX_ACCOUNT_FAILURES}
          and c.window_started_at > clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
          then p.window_started_at + make_interval(mins => ${WINDOW_MINUTES}) end) as until) w
      order by s.position`);
    return rows.map(({ wait_seconds: waitSeconds, is_known: isKnown }) => ({ waitSeconds, isKnown }));
  }

  /**
   * Counts an attempt, in one statement whatever its outcomes, so that the time it takes does not tell them.
   *
   * A failure past a limit blocks its subject, each further one for twice as long as the one before; an account is never blocked as such. After
   * a right password the account knows the address, and its failures from there are forgotten.
   */
  async count(outcomes: readonly Outcome[]): Promise<void> {
    const rows = outcomes.flatMap(({ subjects: { pair, account, address, maxFailures }, isRight }): Row[] => [
      { subject: pair, account, max: maxFailures, isRight },
      ...(account === null || isRight ? [] : [{ subject: account, account: null, max: null, isRight }]),
      ...(address === null || isRight ? [] : [{ subject: address, account: null, max: MAX_ADDRESS_FAILURES, isRight }]),
    ]);
    await this.database.execute(sql`
      with counted as (
        select c.subject, c.account, c.max, c.is_right from unnest(${rows.map(({ subject }) => subject)}::bytea[],
          ${rows.map(({ account }) => account)}::bytea[], ${rows.map(({ max }) => max)}::integer[],
          ${rows.map(({ isRight }) => isRight)}::boolean[]) c (subject, account, max, is_right))
      insert into login_throttles as t (subject, account, failures, succeeded_at)
        select c.subject, c.account, case when c.is_right then 0 else 1 end, case when c.is_right then clock_timestamp() end
        from counted c order by c.subject
      on conflict (subject) do update set
        failures = case when excluded.failures = 0 then 0
          when t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES}) then 1 else t.failures + 1 end,
        window_started_at = case when excluded.failures = 1 and t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
          then clock_timestamp() else t.window_started_at end,
        blocked_until = case when excluded.failures = 1 and t.window_started_at >= clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
          and t.failures + 1 >= (select c.max from counted c where c.subject = t.subject)
          then clock_timestamp() + make_interval(secs => least(${MAX_BLOCK_SECONDS}::float8, ${FIRST_BLOCK_SECONDS}::float8
            * power(2, least(10, t.failures + 1 - (select c.max from counted c where c.subject = t.subject))))) end,
        succeeded_at = coalesce(excluded.succeeded_at, t.succeeded_at)`);
  }

  /** Lets accounts try again at once, from everywhere. */
  async forget(accounts: readonly Buffer[]): Promise<void> {
    await this.database.execute(sql`
      with forgotten as materialized (
        select t.subject from login_throttles t where t.subject = any(${accounts}::bytea[]) or t.account = any(${accounts}::bytea[])
        order by t.subject for update)
      delete from login_throttles where subject in (select subject from forgotten)`);
  }

  /** Deletes rows that no longer matter, and the oldest beyond `maxRows`. True where there may be more. */
  async sweep(maxRows = MAX_ROWS): Promise<boolean> {
    const expired = await this.database.execute(sql`
      with failed as materialized (
        select t.subject from login_throttles t where t.succeeded_at is null and t.window_started_at < clock_timestamp() - interval '1 hour'
        order by t.window_started_at limit ${MAX_DELETED_AT_ONCE} for update skip locked),
      known as materialized (
        select t.subject from login_throttles t where t.succeeded_at < clock_timestamp() - make_interval(days => ${KNOWN_DAYS})
        order by t.succeeded_at limit ${MAX_DELETED_AT_ONCE} for update skip locked)
      delete from login_throttles where subject in (select subject from failed union all select subject from known)`);
    const excess = await this.database.execute(sql`
      with oldest as materialized (
        select t.subject from login_throttles t order by t.succeeded_at nulls first, t.window_started_at
        limit (select greatest(0, least(${MAX_DELETED_AT_ONCE}, count(*) - ${maxRows}))
          from (select 1 from login_throttles limit ${maxRows + MAX_DELETED_AT_ONCE}) counted) for update skip locked)
      delete from login_throttles where subject in (select subject from oldest)`);
    return expired >= MAX_DELETED_AT_ONCE || excess >= MAX_DELETED_AT_ONCE;
  }
}
