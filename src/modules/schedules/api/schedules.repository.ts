import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../../database/keyset.sql.js';
import { contributableTask, readableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, all, raw, sql } from '../../../database/sql.js';
import type { CatchUp, Overlap } from '../firing/due-slots.js';
import type { ScheduleFilter, ScheduleListQuery } from './schedules.schema.js';
import type { RuleColumns } from '../rules/stored-rule.js';

const FLOOR = raw(`case when jsonb_typeof(o.settings -> 'schedule_floor_seconds') = 'number'
  then (o.settings ->> 'schedule_floor_seconds')::float8 end`);

/** A schedule as it is stored; what needs the calendar is added by the service. */
export interface StoredSchedule {
  id: string;
  task_id: string;
  name: string;
  rule: RuleColumns;
  at: string | null;
  starts_at: string | null;
  ends_at: string | null;
  enabled: boolean;
  overlap: Overlap;
  catch_up: CatchUp;
  catch_up_window_seconds: number;
  jitter_seconds: number;
  pause_after_failures: number | null;
  consecutive_failures: number;
  paused_at: string | null;
  pause_reason: string | null;
  next_ms: number | null;
  next_execution_at: string | null;
  last_executed_at: string | null;
  execution_count: number;
  created_at: string;
  updated_at: string;
}

/** What a schedule is set to. A null `name` stands for the task's title. */
export interface ScheduleValues extends Omit<RuleColumns, 'anchorMs'> {
  name: string | null;
  enabled: boolean;
  overlap: Overlap;
  catchUp: CatchUp;
  windowSeconds: number;
  jitterSeconds: number;
  pauseAfterFailures: number | null;
}

/** The schedule of a task, as the task shows it. */
export interface StoredScheduleInfo {
  schedule_id: string;
  schedule_name: string;
  rule: RuleColumns;
  jitter_seconds: number;
  next_ms: number | null;
  next_execution_at: string | null;
  execution_count: number;
  last_executed_at: string | null;
  execution_info: {
    execution_id: string;
    scheduled_at: string;
    started_at: string | null;
    completed_at: string | null;
  } | null;
}

const ms = (column: string): Sql => raw(`(extract(epoch from ${column}) * 1000)`);
const moment = (instantMs: number | null): Sql => sql`to_timestamp(${instantMs}::float8 / 1000.0)`;

const RULE = sql`json_build_object('cron', s.cron, 'everySeconds', s.every_seconds, 'atMs', ${ms('s.at')}, 'timezone', s.timezone,
  'startsMs', ${ms('s.starts_at')}, 'endsMs', ${ms('s.ends_at')}, 'anchorMs', ${ms('s.anchor_at')})`;

/** A {@link StoredScheduleInfo} of the task row `task`, or null: an expression for statements of other modules. */
export function scheduleInfoJson(task: string): Sql {
  const t = raw(task);
  return sql`(select json_build_object('schedule_id', s.id, 'schedule_name', s.name, 'rule', ${RULE}, 'jitter_seconds', s.jitter_seconds,
      'next_ms', case when ${t}.enabled then ${ms('s.next_at')} end, 'next_execution_at', case when ${t}.enabled then iso_utc(s.due_at) end,
      'execution_count', s.execution_count, 'last_executed_at', iso_utc(s.last_executed_at),
      'execution_info', case when s.last_run_id is not null then json_build_object('execution_id', s.last_run_id,
        'scheduled_at', iso_utc(s.last_slot_at), 'started_at', iso_utc(l.started_at), 'completed_at', iso_utc(l.finished_at)) end)
    from schedules s left join runs l on l.organization_id = s.organization_id and l.id = s.last_run_id
    where s.organization_id = ${t}.organization_id and s.task_id = ${t}.id)`;
}

const STORED = sql`json_build_object('id', s.id, 'task_id', s.task_id, 'name', s.name, 'rule', ${RULE}, 'at', iso_utc(s.at),
  'starts_at', iso_utc(s.starts_at), 'ends_at', iso_utc(s.ends_at), 'enabled', s.enabled, 'overlap', s.overlap, 'catch_up', s.catch_up,
  'catch_up_window_seconds', s.catch_up_window_seconds, 'jitter_seconds', s.jitter_seconds,
  'pause_after_failures', s.pause_after_failures, 'consecutive_failures', s.failures_in_a_row, 'paused_at', iso_utc(s.paused_at),
  'pause_reason', s.pause_reason, 'next_ms', ${ms('s.next_at')}, 'next_execution_at', iso_utc(s.due_at),
  'last_executed_at', iso_utc(s.last_executed_at), 'execution_count', s.execution_count, 'created_at', iso_utc(s.created_at),
  'updated_at', iso_utc(s.updated_at))`;
const WITH_TASK = sql`schedules s join tasks t on t.organization_id = s.organization_id and t.id = s.task_id`;

@Injectable()
export class SchedulesRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** The schedule, or null where it, or its task, is not there for this actor. */
  async find(scope: ReadScope, id: string, tx: Tx | null = null): Promise<StoredSchedule | null> {
    return (tx ?? this.database).json<StoredSchedule>(
      scope,
      sql`select ${STORED} from ${WITH_TASK} where s.id = ${id} and ${tenant(scope, 's')} and ${readableTask(scope, 't')}`,
    );
  }

  async list(scope: ReadScope, query: ScheduleListQuery, page: KeysetPage): Promise<KeysetRow<StoredSchedule>[]> {
    const where = all([
      tenant(scope, 's'),
      readableTask(scope, 't'),
      createdBetween('s', query),
      ...(query.task_id === undefined ? [] : [sql`s.task_id = ${query.task_id}`]),
      ...(query.enabled === undefined ? [] : [sql`s.enabled = ${query.enabled}::boolean`]),
    ]);
    const rows = await this.database.json<KeysetRow<StoredSchedule>[]>(
      scope,
      keysetRows('s', page, { item: STORED, from: WITH_TASK, where }),
    );
    return rows ?? [];
  }

  /** The schedule of a task, locked; null where it has none. */
  async lockOfTask(scope: WriteScope, tx: Tx, taskId: string): Promise<(ScheduleValues & { id: string }) | null> {
    return tx.row<ScheduleValues & { id: string } & Record<string, unknown>>(sql`
      select s.id, s.name, s.cron, s.every_seconds as "everySeconds", ${ms('s.at')}::float8 as "atMs", s.timezone,
        ${ms('s.starts_at')}::float8 as "startsMs", ${ms('s.ends_at')}::float8 as "endsMs", s.enabled, s.overlap, s.catch_up as "catchUp",
        s.catch_up_window_seconds as "windowSeconds", s.jitter_seconds as "jitterSeconds", s.pause_after_failures as "pauseAfterFailures"
      from schedules s where s.task_id = ${taskId} and ${tenant(scope, 's')} for update`);
  }

  /** The organisation's floor in seconds, where its settings have one; the database's clock; the zone of the task's last schedule. */
  async ruleContext(
    scope: WriteScope,
    tx: Tx,
    taskId: string,
  ): Promise<{ nowMs: number; floorSeconds: number | null; timezone: string | null }> {
    const found = await tx.row<{ nowMs: number; floorSeconds: number | null; timezone: string | null }>(sql`
      select ${ms('clock_timestamp()')}::float8 as "nowMs", ${FLOOR} as "floorSeconds",
        (select z.timezone from task_timezones z where z.organization_id = o.id and z.task_id = ${taskId}) as timezone
      from organizations o where o.id = ${scope.organizationId}`);
    return found ?? { nowMs: 0, floorSeconds: null, timezone: null };
  }

  /** The organisation's floor in seconds, where its settings have one. */
  async floor(scope: ReadScope): Promise<number | null> {
    const found = await this.database.row<{ floorSeconds: number | null }>(sql`
      select ${FLOOR} as "floorSeconds" from organizations o where o.id = ${scope.organizationId}`);
    return found?.floorSeconds ?? null;
  }

  /** Adds a schedule to a task, without its next slot; false where the task is not this actor's to change. */
  async insert(scope: WriteScope, tx: Tx, id: string, taskId: string, values: ScheduleValues): Promise<boolean> {
    await this.rowLimits.assertRoom(scope, tx, 'schedules');
    const inserted = await tx.execute(sql`
      insert into schedules (organization_id, id, task_id, name, cron, every_seconds, at, timezone, starts_at, ends_at, enabled, overlap,
        catch_up, catch_up_window_seconds, jitter_seconds, pause_after_failures, task_enabled, created_by)
      select t.organization_id, ${id}, t.id, coalesce(${values.name}, nullif(left(t.title, 200), ''), 'Schedule'), ${values.cron}::text,
        ${values.everySeconds}::int, ${moment(values.atMs)}, ${values.timezone}, ${moment(values.startsMs)}, ${moment(values.endsMs)},
        ${values.enabled}::boolean, ${values.overlap}, ${values.catchUp}, ${values.windowSeconds}::int, ${values.jitterSeconds}::int,
        ${values.pauseAfterFailures}::int, t.enabled, ${scope.isSystem ? sql`t.created_by` : sql`${scope.actor.creatorId}::uuid`}
      from tasks t where t.id = ${taskId} and ${contributableTask(scope, 't')}`);
    return inserted > 0;
  }

  /**
   * Sets a schedule; false where its task is not this actor's to change. With `restarts`, nothing before now is its business any more:
   * whoever says so has settled it.
   */
  async update(scope: WriteScope, tx: Tx, id: string, values: ScheduleValues, restarts: boolean): Promise<boolean> {
    const changed = await tx.execute(sql`
      update schedules s set name = coalesce(${values.name}, s.name), cron = ${values.cron}::text, every_seconds = ${values.everySeconds}::int,
        at = ${moment(values.atMs)}, timezone = ${values.timezone}, starts_at = ${moment(values.startsMs)}, ends_at = ${moment(values.endsMs)},
        overlap = ${values.overlap}, catch_up = ${values.catchUp}, catch_up_window_seconds = ${values.windowSeconds}::int,
        jitter_seconds = ${values.jitterSeconds}::int, pause_after_failures = ${values.pauseAfterFailures}::int,
        ${switched(values.enabled, restarts, null)}
      from tasks t where t.organization_id = s.organization_id and t.id = s.task_id
        and s.id = ${id} and ${tenant(scope, 's')} and ${contributableTask(scope, 't')}`);
    return changed > 0;
  }

  /** Switches a schedule on or off. Its task is locked, and the actor's to change. */
  async switch(scope: WriteScope, tx: Tx, id: string, enabled: boolean, reason: string | null): Promise<void> {
    await tx.execute(sql`
      update schedules s set ${switched(enabled, true, reason)} where s.id = ${id} and ${tenant(scope, 's')}`);
  }

  /** Says that the task was switched on or off. */
  async taskSwitched(scope: WriteScope, tx: Tx, id: string, enabled: boolean): Promise<void> {
    await tx.execute(sql`
      update schedules s set task_enabled = ${enabled}::boolean, cursor_at = greatest(s.cursor_at, date_trunc('milliseconds', clock_timestamp()))
      where s.id = ${id} and ${tenant(scope, 's')}`);
  }

  /** Deletes a schedule with its ledger; false where its task is not this actor's to change. Its zone is remembered. */
  async delete(scope: WriteScope, tx: Tx, id: string): Promise<boolean> {
    const deleted = await tx.execute(sql`
      with deleted as (
        delete from schedules s using tasks t where t.organization_id = s.organization_id and t.id = s.task_id
          and s.id = ${id} and ${tenant(scope, 's')} and ${contributableTask(scope, 't')}
        returning s.organization_id, s.task_id, s.timezone
      )
      insert into task_timezones (organization_id, task_id, timezone) select d.organization_id, d.task_id, d.timezone from deleted d
      on conflict (organization_id, task_id) do update set timezone = excluded.timezone`);
    return deleted > 0;
  }

  /** Which of a task's rights the actor has; null where the task is not there for them. Locks it, so that two creations queue. */
  async lockTask(scope: WriteScope, tx: Tx, taskId: string): Promise<{ may_contribute: boolean } | null> {
    return tx.row<{ may_contribute: boolean }>(sql`
      select ${contributableTask(scope, 't')} as may_contribute from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')} for update of t`);
  }

  /** Up to `most` schedules that fit a filter, are the actor's to change and stand otherwise, after one in the order of ids; their tasks locked. */
  async lockMany(
    scope: WriteScope,
    tx: Tx,
    filter: ScheduleFilter,
    { enabled, after, most }: { enabled: boolean; after: string; most: number },
  ): Promise<string[]> {
    const where = all([
      tenant(scope, 's'),
      contributableTask(scope, 't'),
      sql`s.enabled = ${!enabled}::boolean`,
      sql`s.id > ${after}::uuid`,
      ...(filter.task_id === undefined ? [] : [sql`t.id = ${filter.task_id}`]),
      ...(filter.team_id === undefined ? [] : [sql`t.team_id = ${filter.team_id}`]),
      ...(filter.project_id === undefined ? [] : [sql`t.project_id = ${filter.project_id}`]),
      ...(filter.tag === undefined ? [] : [sql`t.tags @> array[${filter.tag}]::text[]`]),
      ...(filter.agent === undefined
        ? []
        : [
            sql`t.agent_id = any(array(select a.id from agents a where ${tenant(scope, 'a')} and a.slug = ${filter.agent}))`,
          ]),
    ]);
    const rows = await tx.rows<{ id: string }>(
      sql`select s.id from ${WITH_TASK} where ${where} order by s.id limit ${most}::int for no key update of t`,
    );
    return rows.map(({ id }) => id);
  }
}

/** The columns that go with the switch. Switched on again, it begins anew: no slot of the meantime, no failure of before. */
function switched(enabled: boolean, restarts: boolean, reason: string | null): Sql {
  return sql`enabled = ${enabled}::boolean, updated_at = clock_timestamp(),
    paused_at = case when ${enabled}::boolean then null else coalesce(s.paused_at, clock_timestamp()) end,
    pause_reason = case when ${enabled}::boolean then null else coalesce(${reason}::text, s.pause_reason) end,
    failures_in_a_row = case when ${enabled}::boolean and not s.enabled then 0 else s.failures_in_a_row end,
    is_pause_untold = s.is_pause_untold and not ${enabled}::boolean,
    cursor_at = case when ${restarts}::boolean then greatest(s.cursor_at, date_trunc('milliseconds', clock_timestamp())) else s.cursor_at end`;
}
