/**
 * Whether and how a run comes in: when it starts, and what becomes of the other runs of its concurrency key.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { contributableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, sql } from '../../../database/sql.js';
import { type Delay, type Duration, later } from '../core/run-times.js';
import { cancelSideEffects } from '../core/state-change.query.js';

/** When a run starts and when its chance is over, by database time; instants as text, null for now and never. */
export interface StartTimes {
  delayedUntil: string | null;
  expiresAt: string | null;
  /** False where the start is too far in the past, or more than a year ahead. */
  isPossible: boolean;
}

/** The runs of a concurrency key that a new run counts and may cancel. */
export interface KeyMembers {
  agentId: string;
  key: string;
  /** Null for what a caller starts. For a schedule, the task that it starts: no caller's rights can be asked. */
  scheduledTaskId: string | null;
}

export interface OldestMembers extends KeyMembers {
  /** How many are over the limit once a new run comes in. */
  over: number;
}

/** An instant that has just gone by means now: clocks differ. */
const LENIENCE = sql`interval '1 minute'`;

@Injectable()
export class RunEnqueuerRepository {
  /** Resolves a delay and a time to live; the latter counts from the start, so that a delayed run gets all of it. */
  async times(scope: WriteScope, tx: Tx, delay: Delay | null, ttl: Duration | null): Promise<StartTimes> {
    const wanted: Sql =
      delay === null
        ? sql`n.now`
        : delay.kind === 'at'
          ? sql`${delay.instant}::timestamptz`
          : later(sql`n.now`, delay.duration);
    const found = await tx.row<StartTimes & Record<string, unknown>>(sql`
      select case when w.start_at > n.now then w.start_at::text end as "delayedUntil",
        ${ttl === null ? sql`null` : sql`(${later(sql`greatest(w.start_at, n.now)`, ttl)})::text`} as "expiresAt",
        w.start_at between n.now - ${LENIENCE} and (n.now at time zone 'UTC' + interval '1 year') at time zone 'UTC' as "isPossible"
      from organizations o cross join (select clock_timestamp() as now) n cross join lateral (select ${wanted} as start_at) w
      where o.id = ${scope.organizationId}`);
    return found ?? { delayedUntil: null, expiresAt: null, isPossible: false };
  }

  /**
   * How many runs of the key there would be over the limit with one more: those that have not ended, but for those that wait for
   * somebody and those that were asked to stop. New runs of the key wait for this transaction, so the number stays true in it.
   */
  async over(scope: WriteScope, tx: Tx, members: KeyMembers, limit: number): Promise<number> {
    const lock = `${scope.organizationId} ${members.agentId} ${members.key}`;
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${lock}, 7))`);
    const found = await tx.row<{ over: number }>(sql`
      select count(*)::int + 1 - ${limit}::int as over from (
        select 1 from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where ${ofKey(scope, members)} limit ${limit}::int + 10000
      ) present`);
    return Math.max(0, found?.over ?? 0);
  }

  /**
   * Cancels the oldest runs of a key: those that no worker has at once; the workers of the others are asked to stop. Returns the ids of
   * those that changed.
   */
  async cancelOldest(scope: WriteScope, tx: Tx, members: OldestMembers): Promise<string[]> {
    const changed = await tx.rows<{ id: string }>(sql`
      with oldest as materialized (
        select r.organization_id, r.id, r.status from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where ${ofKey(scope, members)}
        order by r.created_at, r.id limit ${members.over}::int for no key update of t, r
      ), wished as (
        update runs r set cancel_requested_at = clock_timestamp(), updated_at = clock_timestamp() from oldest o
        where r.organization_id = o.organization_id and r.id = o.id and o.status = 'running'
        returning r.id
      ), ended as (
        update runs r set status = 'canceled', fence = r.fence + 1, finished_at = clock_timestamp(), updated_at = clock_timestamp(),
          cancel_requested_at = clock_timestamp(), last_seq = r.last_seq + 2
        from oldest o where r.organization_id = o.organization_id and r.id = o.id and o.status in ('queued', 'delayed')
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), ${cancelSideEffects('ended')}
      select id from ended union all select id from wished`);
    return changed.map(({ id }) => id);
  }
}

/**
 * The run row `r` of the task row `t` is of this key, would be there beside a new one, and is one that its starter may cancel. A key is
 * a text that anybody may choose, so what it does must not reach runs that its user may not even read.
 */
function ofKey(scope: WriteScope, { agentId, key, scheduledTaskId }: KeyMembers): Sql {
  const mine =
    scheduledTaskId === null
      ? contributableTask(scope, 't')
      : sql`exists (select 1 from tasks s where s.organization_id = t.organization_id and s.id = ${scheduledTaskId}
          and (s.id = t.id or s.created_by = t.created_by or (t.visibility <> 'private' and s.team_id = t.team_id)))`;
  return sql`${tenant(scope, 'r')} and r.agent_id = ${agentId} and r.concurrency_key = ${key} and r.finished_at is null
    and r.status <> 'waiting' and r.cancel_requested_at is null and ${mine}`;
}
