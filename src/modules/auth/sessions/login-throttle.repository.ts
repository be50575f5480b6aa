import { Injectable } from '@nestjs/common';
import { PublicDatabase } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';

const WINDOW_MINUTES = 15;
const FIRST_BLOCK_SECONDS = 30;
const MAX_BLOCK_SECONDS = 900;
/** An address from which the account signed in this recently is known to it. */
const KNOWN_DAYS = 30;
/** Ten guesses a quarter of an hour are enough for a person and useless for a machine. */
const MAX_PAIR_FAILURES = 10;
/** An office behind one address has many people who mistype. */
const MAX_ADDRESS_FAILURES = 100;
/** From this many on, an address that the account does not know has one attempt in a window, and not ten. */
const MAX_ACCOUNT_FAILURES = 50;
/** Rows kept at most, about 30 MB. What failed longest ago goes first. */
const MAX_ROWS = 200_000;
const MAX_DELETED_AT_ONCE = 5_000;

/** What an attempt to sign in is counted under: keyed digests, so that the table names nobody. */
export interface ThrottleSubjects {
  /** The account and the address together. */
  pair: Buffer;
  /** Null, and the address too, where somebody signed in says their password once more: that is counted by itself. */
  account: Buffer | null;
  address: Buffer | null;
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
 * A right sign-in writes one row, that of its own account and address; a wrong one writes up to three, which are locked in the order of
 * their subjects. So no two of these statements can wait for each other.
 */
@Injectable()
export class LoginThrottleRepository {
  constructor(private readonly database: PublicDatabase) {}

  /** Whether an attempt is looked at now; writes nothing. */
  async standing({ pair, account, address }: ThrottleSubjects): Promise<Standing> {
    const row = await this.database.row<{ wait_seconds: number | null; is_known: boolean }>(sql`
      with counts as materialized (
        select t.*, t.window_started_at + make_interval(mins => ${WINDOW_MINUTES}) as window_ends_at,
          coalesce(t.succeeded_at > clock_timestamp() - make_interval(days => ${KNOWN_DAYS}), false) as is_known
        from login_throttles t where t.subject in (${pair}, ${account}, ${address})),
      known as (select exists (select 1 from counts where subject = ${pair} and is_known) as is_known),
      waits as (
        select blocked_until as until from counts where subject = ${pair}
        union all
        select c.blocked_until from counts c, known k where c.subject = ${address} and not k.is_known
        union all
        select p.window_ends_at from counts p, counts a, known k where p.subject = ${pair} and p.failures > 0
          and a.subject = ${account} and a.failures >= ${MAX_ACCOUNT_FAILURES} and a.window_ends_at > clock_timestamp() and not k.is_known)
      select k.is_known, (select ceil(extract(epoch from max(w.until) - clock_timestamp())) from waits w
        where w.until > clock_timestamp())::integer as wait_seconds from known k`);
    return { waitSeconds: row?.wait_seconds ?? null, isKnown: row?.is_known ?? false };
  }

  /**
   * Counts a failed attempt. Past a limit, each further one blocks its subject for twice as long as the one before; an account is never
   * blocked as such. An attempt from an address that its account knows is not counted against the address.
   */
  async countFailure({ pair, account, address }: ThrottleSubjects, isKnown: boolean): Promise<void> {
    const limits: [subject: Buffer, account: Buffer | null, most: number | null][] = [
      [pair, account, MAX_PAIR_FAILURES],
    ];
    if (account !== null) {
      limits.push([account, null, null]);
    }
    if (address !== null && !isKnown) {
      limits.push([address, null, MAX_ADDRESS_FAILURES]);
    }
    await this.database.execute(sql`
      with failed as (
        select f.subject, f.account, f.most from unnest(${limits.map(([subject]) => subject)}::bytea[],
          ${limits.map(([, of]) => of)}::bytea[], ${limits.map(([, , most]) => most)}::integer[]) f (subject, account, most))
      insert into login_throttles as t (subject, account, failures) select f.subject, f.account, 1 from failed f order by f.subject
      on conflict (subject) do update set
        failures = case when t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES}) then 1 else t.failures + 1 end,
        window_started_at = case when t.window_started_at < clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
          then clock_timestamp() else t.window_started_at end,
        blocked_until = case when t.window_started_at >= clock_timestamp() - make_interval(mins => ${WINDOW_MINUTES})
          and t.failures + 1 >= (select f.most from failed f where f.subject = t.subject)
          then clock_timestamp() + make_interval(secs => least(${MAX_BLOCK_SECONDS}::float8, ${FIRST_BLOCK_SECONDS}::float8
            * power(2, least(10, t.failures + 1 - (select f.most from failed f where f.subject = t.subject))))) end`);
  }

  /** A right password: the account knows the address from now on, and its failures from there are forgotten. */
  async noteSuccess({ pair, account }: ThrottleSubjects): Promise<void> {
    await this.database.execute(sql`
      insert into login_throttles (subject, account, succeeded_at) values (${pair}, ${account}, clock_timestamp())
      on conflict (subject) do update set failures = 0, blocked_until = null, succeeded_at = clock_timestamp()`);
  }

  /** Lets an account try again at once, from everywhere. */
  async forget(account: Buffer): Promise<void> {
    await this.database.execute(sql`delete from login_throttles where subject = ${account} or account = ${account}`);
  }

  /** Deletes rows that no longer matter, and the oldest beyond `maxRows`. True where there may be more. */
  async sweep(maxRows = MAX_ROWS): Promise<boolean> {
    const expired = await this.database.execute(sql`
      delete from login_throttles where subject = any(array(
        (select subject from login_throttles where succeeded_at is null and window_started_at < clock_timestamp() - interval '1 hour'
          order by window_started_at limit ${MAX_DELETED_AT_ONCE})
        union all
        (select subject from login_throttles where succeeded_at < clock_timestamp() - make_interval(days => ${KNOWN_DAYS})
          order by succeeded_at limit ${MAX_DELETED_AT_ONCE})))`);
    const excess = await this.database.execute(sql`
      delete from login_throttles where subject = any(array(
        select subject from login_throttles order by succeeded_at nulls first, window_started_at
        limit (select greatest(0, least(${MAX_DELETED_AT_ONCE}, count(*) - ${maxRows}))
          from (select 1 from login_throttles limit ${maxRows + MAX_DELETED_AT_ONCE}) counted)))`);
    return expired >= MAX_DELETED_AT_ONCE || excess >= MAX_DELETED_AT_ONCE;
  }
}
