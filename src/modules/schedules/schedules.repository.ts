import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { contributableTask, readableTask, tenant } from '../../database/scope.sql.js';
import { type Sql, all, raw, sql } from '../../database/sql.js';
import type { ScheduleListQuery } from './schedules.schema.js';

/** A schedule as it is stored; what needs the calendar is added by the service. */
export interface StoredSchedule {
  id: string;
  task_id: string;
  name: string;
  cron: string;
  timezone: string;
  enabled: boolean;
  task_enabled: boolean;
  created_at: string;
  updated_at: string;
}

/** What a schedule is set to. A null `name` stands for the task's title. */
export interface ScheduleValues {
  name: string | null;
  cron: string;
  timezone: string;
  enabled: boolean;
}

/** The schedule of a task, as the task shows it. */
export interface StoredScheduleInfo {
  schedule_id: string;
  schedule_name: string;
  cron: string;
  timezone: string;
  enabled: boolean;
}

/** A {@link StoredScheduleInfo} of the task row `task`, or null: an expression for statements of other modules. */
export function scheduleInfoJson(task: string): Sql {
  const t = raw(task);
  return sql`(select json_build_object('schedule_id', s.id, 'schedule_name', s.name, 'cron', s.cron, 'timezone', s.timezone,
      'enabled', s.enabled and ${t}.enabled)
    from schedules s where s.organization_id = ${t}.organization_id and s.task_id = ${t}.id)`;
}

const STORED = sql`json_build_object('id', s.id, 'task_id', s.task_id, 'name', s.name, 'cron', s.cron, 'timezone', s.timezone,
  'enabled', s.enabled, 'task_enabled', t.enabled, 'created_at', iso_utc(s.created_at), 'updated_at', iso_utc(s.updated_at))`;
const WITH_TASK = sql`schedules s join tasks t on t.organization_id = s.organization_id and t.id = s.task_id`;

@Injectable()
export class SchedulesRepository {
  constructor(private readonly database: Database) {}

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
    ]);
    const rows = await this.database.json<KeysetRow<StoredSchedule>[]>(
      scope,
      keysetRows('s', page, { item: STORED, from: WITH_TASK, where }),
    );
    return rows ?? [];
  }

  /** The schedule of a task, locked; null where it has none. */
  async lockOfTask(scope: WriteScope, tx: Tx, taskId: string): Promise<(ScheduleValues & { id: string }) | null> {
    return tx.row<ScheduleValues & { id: string }>(sql`
      select s.id, s.name, s.cron, s.timezone, s.enabled from schedules s
      where s.task_id = ${taskId} and ${tenant(scope, 's')} for update`);
  }

  /** Adds a schedule to a task; false where the task is not this actor's to change. */
  async insert(scope: WriteScope, tx: Tx, id: string, taskId: string, values: ScheduleValues): Promise<boolean> {
    const inserted = await tx.execute(sql`
      insert into schedules (organization_id, id, task_id, name, cron, timezone, enabled, created_by)
      select t.organization_id, ${id}, t.id, coalesce(${values.name}, nullif(left(t.title, 200), ''), 'Schedule'), ${values.cron}, ${values.timezone},
        ${values.enabled}, ${scope.isSystem ? sql`t.created_by` : sql`${scope.actor.creatorId}::uuid`}
      from tasks t where t.id = ${taskId} and ${contributableTask(scope, 't')}`);
    return inserted > 0;
  }

  /** Sets a schedule; false where its task is not this actor's to change. */
  async update(scope: WriteScope, tx: Tx, id: string, values: ScheduleValues): Promise<boolean> {
    const changed = await tx.execute(sql`
      update schedules s set name = coalesce(${values.name}, s.name), cron = ${values.cron}, timezone = ${values.timezone},
        enabled = ${values.enabled}, updated_at = clock_timestamp()
      from tasks t where t.organization_id = s.organization_id and t.id = s.task_id
        and s.id = ${id} and ${tenant(scope, 's')} and ${contributableTask(scope, 't')}`);
    return changed > 0;
  }

  /** Deletes a schedule; false where its task is not this actor's to change. */
  async delete(scope: WriteScope, tx: Tx, id: string): Promise<boolean> {
    const deleted = await tx.execute(sql`
      delete from schedules s using tasks t where t.organization_id = s.organization_id and t.id = s.task_id
        and s.id = ${id} and ${tenant(scope, 's')} and ${contributableTask(scope, 't')}`);
    return deleted > 0;
  }

  /** Which of a task's rights the actor has; null where the task is not there for them. Locks it, so that two creations queue. */
  async lockTask(scope: WriteScope, tx: Tx, taskId: string): Promise<{ may_contribute: boolean } | null> {
    return tx.row<{ may_contribute: boolean }>(sql`
      select ${contributableTask(scope, 't')} as may_contribute from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')} for update of t`);
  }
}
