/** Reads of the ledger: what became of the slots of a schedule. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import type { KeysetPage, KeysetRow } from '../../../database/keyset.sql.js';
import { readableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, all, sql } from '../../../database/sql.js';
import type { Slot, SlotListQuery, Stats } from './schedules.schema.js';

export type StoredSlot = Omit<Slot, 'detail'>;

const OF_SCHEDULE = sql`schedules s join tasks t on t.organization_id = s.organization_id and t.id = s.task_id`;

@Injectable()
export class ScheduleLedgerQuery {
  constructor(private readonly database: Database) {}

  /** A page of slots, newest first; null where the schedule is not there for this actor. */
  async slots(
    scope: ReadScope,
    id: string,
    query: SlotListQuery,
    page: KeysetPage,
  ): Promise<KeysetRow<StoredSlot>[] | null> {
    const where = all([
      sql`l.organization_id = s.organization_id and l.schedule_id = s.id`,
      ...(query.status === undefined ? [] : [sql`l.status = ${query.status}`]),
      ...(query.from === undefined ? [] : [sql`l.scheduled_at >= ${query.from}::timestamptz`]),
      ...(query.to === undefined ? [] : [sql`l.scheduled_at < ${query.to}::timestamptz`]),
      ...(page.after === null ? [] : [sql`l.scheduled_at < ${page.after.at}::timestamptz`]),
    ]);
    return this.database.json<KeysetRow<StoredSlot>[]>(
      scope,
      sql`select (select coalesce(json_agg(json_build_object('at', l.position, 'id', s.id, 'item', json_build_object(
            'scheduled_at', iso_utc(l.scheduled_at), 'due_at', iso_utc(l.due_at), 'status', l.status, 'reason', l.reason, 'run_id', l.run_id,
            'decided_at', iso_utc(l.decided_at), 'started_at', iso_utc(r.started_at), 'completed_at', iso_utc(r.finished_at)))
            order by l.scheduled_at desc), '[]'::json)
          from (select l.*, to_char(l.scheduled_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as position
            from schedule_slots l where ${where} order by l.scheduled_at desc limit ${page.limit + 1}) l
          left join runs r on r.organization_id = l.organization_id and r.id = l.run_id)
        from ${OF_SCHEDULE} where ${this.#readable(scope, id)}`,
    );
  }

  /** What became of the slots of the last `days`; null where the schedule is not there for this actor. */
  async stats(scope: ReadScope, id: string, days: number): Promise<Stats | null> {
    const count = (status: string): Sql => sql`count(*) filter (where l.status = ${status})`;
    const percentile = (share: number): Sql =>
      sql`round(percentile_cont(${share}::float8) within group (order by extract(epoch from l.decided_at - l.due_at) * 1000)
        filter (where l.status in ('fired', 'late') and l.run_id is not null)::numeric, 3)`;
    return this.database.json<Stats>(
      scope,
      sql`select json_build_object('since', iso_utc(d.since), 'consecutive_failures', s.failures_in_a_row,
          'slots', json_build_object('fired', l.fired, 'late', l.late, 'skipped', l.skipped, 'missed', l.missed,
            'coalesced', l.coalesced, 'backfilled', l.backfilled),
          'lag_ms', case when l.p50 is not null then json_build_object('p50', l.p50, 'p99', l.p99, 'max', l.most) end,
          'runs', json_build_object('completed', l.completed, 'failed', l.failed, 'canceled', l.canceled, 'live', l.live))
        from ${OF_SCHEDULE} cross join (select now() - make_interval(days => ${days}::int) as since) d cross join lateral (
          select ${count('fired')} as fired, ${count('late')} as late, ${count('skipped')} as skipped, ${count('missed')} as missed,
            ${count('coalesced')} as coalesced, ${count('backfilled')} as backfilled, ${percentile(0.5)} as p50, ${percentile(0.99)} as p99,
            ${percentile(1)} as most, count(*) filter (where r.status = 'completed') as completed,
            count(*) filter (where r.status in ('failed', 'timed_out', 'expired')) as failed,
            count(*) filter (where r.status = 'canceled') as canceled, count(*) filter (where r.finished_at is null and r.id is not null) as live
          from schedule_slots l left join runs r on r.organization_id = l.organization_id and r.id = l.run_id and l.status <> 'coalesced'
          where l.organization_id = s.organization_id and l.schedule_id = s.id and l.scheduled_at >= d.since) l
        where ${this.#readable(scope, id)}`,
    );
  }

  /** Of these slots, those that have a run, or wait for one. */
  async fired(scope: WriteScope, tx: Tx, id: string, slotsMs: readonly number[]): Promise<Set<number>> {
    const rows = await tx.rows<{ ms: number }>(sql`
      select (extract(epoch from l.scheduled_at) * 1000)::float8 as ms from schedule_slots l
      where ${tenant(scope, 'l')} and l.schedule_id = ${id} and l.status in ('fired', 'late', 'backfilled')
        and l.scheduled_at between to_timestamp(${slotsMs[0] ?? 0}::float8 / 1000.0) and to_timestamp(${slotsMs.at(-1) ?? 0}::float8 / 1000.0)`);
    return new Set(rows.map(({ ms }) => Math.round(ms)));
  }

  #readable(scope: ReadScope, id: string): Sql {
    return sql`s.id = ${id} and ${tenant(scope, 's')} and ${readableTask(scope, 't')}`;
  }
}
