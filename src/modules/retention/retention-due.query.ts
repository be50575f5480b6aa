/**
 * What is due, as the sweeps and the dry run find it: one definition for both.
 *
 * Runs are swept in the order they finished in, and each class of each organisation has a mark up to which all is done. Looking for
 * what is due is then one probe of `runs_finished` behind the mark: nothing that is too young, and nothing that is done with, is ever
 * looked at again. Ages are database time, as of the transaction, which an index can be asked for.
 */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { type Sql, sql } from '../../database/sql.js';
import { DEFAULT_RETENTION, type RetentionClass } from './retention.schema.js';

/** Classes that go by the end of their run. */
export type RunClass = Exclude<RetentionClass, 'assets'>;

export interface DueClass {
  organizationId: string;
  class: RetentionClass;
  days: number;
}

export interface DueRun {
  id: string;
  taskId: string;
  number: number;
  rootRunId: string;
  finishedAt: string;
}

export interface DueAssets {
  ids: string[];
  bytes: number;
}

const NO_RUN = '00000000-0000-0000-0000-000000000000';

@Injectable()
export class RetentionDueQuery {
  constructor(private readonly database: Database) {}

  /** Classes with something due, of organisations after `after` in the order of ids. Over every organisation. */
  async classes(after: string, most: number): Promise<DueClass[]> {
    return this.database.rows<DueClass & Record<string, unknown>>(sql`
      select o.id as "organizationId", c.class, c.days from organizations o
        left join retention_policies p on p.organization_id = o.id
        cross join lateral (values
          ('events', case when p.organization_id is null then ${DEFAULT_RETENTION.events_days}::int else p.events_days end),
          ('logs', case when p.organization_id is null then ${DEFAULT_RETENTION.logs_days}::int else p.logs_days end),
          ('payloads', case when p.organization_id is null then ${DEFAULT_RETENTION.payloads_days}::int else p.payloads_days end),
          ('runs', case when p.organization_id is null then ${DEFAULT_RETENTION.runs_days}::int else p.runs_days end),
          ('assets', case when p.organization_id is null then ${DEFAULT_RETENTION.assets_days}::int else p.assets_days end)) c (class, days)
      where o.id > ${after}::uuid and c.days is not null and case c.class
        when 'assets' then exists (select 1 from assets a where a.organization_id = o.id
          and a.created_at < now() - make_interval(days => c.days) and ${idleTask()})
        else exists (select 1 from runs r left join retention_marks m on m.organization_id = o.id and m.class = c.class
          where r.organization_id = o.id and r.finished_at < now() - make_interval(days => c.days)
            and (r.finished_at, r.id) > (coalesce(m.finished_at, '-infinity'), coalesce(m.run_id, ${NO_RUN}::uuid))) end
      order by o.id limit ${most}`);
  }

  /** Finished runs behind the mark of the class and older than `days`, first finished first. */
  async runs(scope: ReadScope, kind: RunClass, days: number, most: number, tx?: Tx): Promise<DueRun[]> {
    return (tx ?? this.database).rows<DueRun & Record<string, unknown>>(sql`
      with mark as (select m.finished_at, m.run_id from retention_marks m where m.organization_id = ${scope.organizationId} and m.class = ${kind})
      select r.id, r.task_id as "taskId", r.number, r.root_run_id as "rootRunId", r.finished_at::text as "finishedAt" from runs r
      where r.organization_id = ${scope.organizationId} and r.finished_at < now() - make_interval(days => ${days}::int)
        and (r.finished_at, r.id) > (coalesce((select finished_at from mark), '-infinity'), coalesce((select run_id from mark), ${NO_RUN}::uuid))
      order by r.finished_at, r.id limit ${most}`);
  }

  /**
   * Which runs may go, now that those of `due` have come of age: whole trees of runs, of which each is finished and old enough and
   * none is the latest of its task. A tree is found by its root, or by any later run of the root's task, so that the run that was its
   * task's latest when it came of age goes when a later one does.
   */
  async doomed(scope: ReadScope, due: readonly DueRun[], days: number, tx?: Tx): Promise<string[]> {
    const rows = await (tx ?? this.database).rows<{ id: string }>(sql`
      with recursive aged as materialized (
        select a.task_id, max(a.number) as number from unnest(${due.map((run) => run.taskId)}::uuid[], ${due.map((run) => run.number)}::int[])
          as a (task_id, number) group by a.task_id
      ), roots as materialized (
        select r.id from aged join runs r on r.organization_id = ${scope.organizationId} and r.task_id = aged.task_id and r.number <= aged.number
          where r.parent_run_id is null
        union select unnest(${due.map((run) => run.rootRunId)}::uuid[])
      ), tree as (
        select r.id as root, r.id, r.task_id, r.finished_at from roots join runs r on r.organization_id = ${scope.organizationId} and r.id = roots.id
        union all
        select tree.root, r.id, r.task_id, r.finished_at from tree join runs r
          on r.organization_id = ${scope.organizationId} and r.parent_run_id = tree.id
      )
      select tree.id from tree join tasks t on t.organization_id = ${scope.organizationId} and t.id = tree.task_id
      where tree.root not in (
        select kept.root from tree kept join tasks k on k.organization_id = ${scope.organizationId} and k.id = kept.task_id
        where kept.finished_at is null or kept.finished_at >= now() - make_interval(days => ${days}::int) or k.latest_run_id = kept.id)`);
    return rows.map((row) => row.id);
  }

  /** Files older than `days` of tasks without a run under way, oldest first. */
  async assets(scope: ReadScope, days: number, most: number): Promise<DueAssets> {
    const rows = await this.database.rows<{ id: string; bytes: number }>(sql`
      select a.id, coalesce(a.size_bytes, 0)::float8 as bytes from assets a
      where a.organization_id = ${scope.organizationId} and a.created_at < now() - make_interval(days => ${days}::int) and ${idleTask()}
      order by a.created_at, a.id limit ${most}`);
    return { ids: rows.map((row) => row.id), bytes: rows.reduce((sum, row) => sum + row.bytes, 0) };
  }

  /** How much of a class hangs on these runs. */
  async weigh(scope: ReadScope, kind: Exclude<RunClass, 'runs'>, ids: readonly string[]): Promise<number> {
    const counted = await this.database.row<{ count: number }>(
      sql`select coalesce(${AMOUNTS[kind]}, 0)::float8 as count from ${TABLES[kind]} where x.organization_id = ${scope.organizationId}
        and ${KEYS[kind]} = any(${ids}::uuid[])`,
    );
    return counted?.count ?? 0;
  }
}

/** The task of the asset `a` has no run under way, so that none can need the file. */
function idleTask(): Sql {
  return sql`not exists (select 1 from runs l where l.organization_id = a.organization_id and l.task_id = a.task_id and l.finished_at is null)`;
}

const TABLES = { events: sql`run_events x`, logs: sql`run_log_lines x`, payloads: sql`runs x` };
const KEYS = { events: sql`x.run_id`, logs: sql`x.run_id`, payloads: sql`x.id` };
const AMOUNTS = {
  events: sql`sum(x.last_seq - x.first_seq + 1)`,
  logs: sql`sum(cardinality(x.lines))`,
  payloads: sql`count(*) filter (where x.payload is not null or x.output is not null)`,
};
