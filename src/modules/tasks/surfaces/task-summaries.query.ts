/**
 * Reads of tasks that have been run, each with its latest root run: what a person would look through to see what came out. One
 * statement each; PostgreSQL builds the JSON, in our words.
 *
 * The total of a page comes with the page, in the same snapshot. For organisation-wide actors it is a sum of counters, at one cost
 * at any size; for narrower ones an index-only count of what they may see. Knowing the total, a page past the middle is read from
 * the far end, so that the last page costs what the first does; and only the ids of rows that are skipped are ever looked at.
 */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { readableTask, shownCallback, tenant } from '../../../database/scope.sql.js';
import { type Sql, all, raw, sql } from '../../../database/sql.js';
import { assertNever } from '../../../kernel/assert-never.js';
import type { RunStatus } from '../../runs/index.js';
import { type BatchContext, type TaskPosition, readTaskBatches } from '../queries/task-batches.query.js';

export interface SummaryAsset {
  id: string;
  name: string;
  type: 'voice' | 'image' | 'sound' | 'video' | '360' | '3d';
  status: 'pending' | 'uploading' | 'processing' | 'ready' | 'failed';
  has_thumbnail: boolean;
}

/** A task with what its latest run said and what all its runs made, plain files left out. */
export interface TaskSummary {
  id: string;
  status: RunStatus;
  created_at: string;
  /** The last lines of the latest run's log, oldest first. */
  log_lines: string[];
  error_message: string | null;
  assets: SummaryAsset[];
}

export interface TaskSummaryPage {
  total: number;
  tasks: TaskSummary[];
}

/** A task as the result of its latest run. */
export interface TaskResult {
  id: string;
  title: string;
  status: RunStatus;
  created_at: string;
  log_lines: string[];
  output: Record<string, unknown> | null;
  agent: { id: string; name: string };
  /** Its creator; null for a key without a user. */
  user: { id: string; email: string } | null;
  /** Where the end of each of its root runs is told. */
  callback: string | null;
}

/** Lines that a page of tasks shows of each, and that a result shows. */
const PAGE_LINES = 50;
const RESULT_LINES = 1000;
/** No page is longer; told to the planner, which cannot see through a computed limit. */
const MAX_PER_PAGE = 100;

const HAS_RUN = sql`t.has_run`;

const SHOWN_TASK = sql`json_build_object('id', t.id, 'status', t.status, 'created_at', iso_utc(t.created_at),
  'log_lines', ${lastLogLines(PAGE_LINES)},
  'error_message', (select r.error ->> 'message' from runs r where r.organization_id = t.organization_id and r.id = t.latest_run_id),
  'assets', coalesce((select json_agg(json_build_object('id', a.id, 'name', a.name, 'type', a.type, 'status', a.status,
        'has_thumbnail', coalesce(a.thumbnail_bytes, 0) > 0)
      order by a.created_at, a.id)
    from assets a where a.organization_id = t.organization_id and a.task_id = t.id and a.type <> 'file'), '[]'::json))`;

const taskResult = (
  scope: ReadScope,
): Sql => sql`json_build_object('id', t.id, 'title', t.title, 'status', t.status, 'created_at', iso_utc(t.created_at),
  'callback', ${shownCallback(scope, 't')},
  'log_lines', ${lastLogLines(RESULT_LINES)},
  'output', (select r.output from runs r where r.organization_id = t.organization_id and r.id = t.latest_run_id),
  'agent', (select json_build_object('id', a.id, 'name', a.name) from agents a
    where a.organization_id = t.organization_id and a.id = t.agent_id),
  'user', (select json_build_object('id', u.id, 'email', u.email) from users u
    where u.organization_id = t.organization_id and u.id = t.created_by))`;

@Injectable()
export class TaskSummariesQuery {
  constructor(private readonly database: Database) {}

  /** A page by number, newest first, with the number of all there are; empty past the end. */
  async page(scope: ReadScope, page: { skip: number; limit: number }): Promise<TaskSummaryPage> {
    const shown = sql`${readableTask(scope, 't')} and ${HAS_RUN}`;
    const { skip, limit } = page;
    const found = await this.database.json<TaskSummaryPage>(
      scope,
      sql`with counted as materialized (
          select ${total(scope)} as n
        ), picked as (
          select ends.* from (
            (select t.created_at, t.id from tasks t where ${shown} order by t.created_at desc, t.id desc
              offset ${skip}::bigint
              limit (select case when ${skip}::bigint <= c.n / 2 then ${limit}::bigint else 0 end from counted c))
            union all
            (select t.created_at, t.id from tasks t where ${shown} order by t.created_at, t.id
              offset (select greatest(c.n - ${skip}::bigint - ${limit}::bigint, 0) from counted c)
              limit (select case when ${skip}::bigint <= c.n / 2 then 0 else greatest(least(${limit}::bigint, c.n - ${skip}::bigint), 0) end
                from counted c))
          ) ends limit ${raw(String(MAX_PER_PAGE))}
        )
        select json_build_object('total', (select c.n from counted c), 'tasks', coalesce(
          (select json_agg((select ${SHOWN_TASK} from tasks t where ${tenant(scope, 't')} and t.id = p.id) order by p.created_at desc, p.id desc)
            from picked p), '[]'::json))`,
    );
    return found ?? { total: 0, tasks: [] };
  }

  /** One task, or null where it is not readable or was never run. */
  async find(scope: ReadScope, id: string): Promise<TaskSummary | null> {
    return this.database.json<TaskSummary>(
      scope,
      sql`select ${SHOWN_TASK} from tasks t where t.id = ${id} and ${readableTask(scope, 't')} and ${HAS_RUN}`,
    );
  }

  /** The result of one task, or null where it is not readable or was never run. */
  async findResult(scope: ReadScope, id: string, tx?: Tx): Promise<TaskResult | null> {
    return (tx ?? this.database).json<TaskResult>(
      scope,
      sql`select ${taskResult(scope)} from tasks t where t.id = ${id} and ${readableTask(scope, 't')} and ${HAS_RUN}`,
    );
  }

  /** Results, newest first: of tasks that `createdBy` made, or of every readable one. */
  async results(
    scope: ReadScope,
    list: { createdBy: string | null; after: TaskPosition | null; limit: number | null },
  ): Promise<BatchContext<TaskResult>> {
    const conditions = [readableTask(scope, 't'), HAS_RUN];
    if (list.createdBy !== null) {
      conditions.push(sql`t.created_by = ${list.createdBy}`);
    }
    return readTaskBatches(this.database, scope, {
      item: taskResult(scope),
      where: all(conditions),
      after: list.after,
      limit: list.limit,
    });
  }
}

/** How many tasks that have been run the scope may read. */
function total(scope: ReadScope): Sql {
  const { reach } = scope;
  switch (reach) {
    case 'all':
      return sql`(select coalesce(sum(c.shown), 0)::bigint from task_counters c where ${tenant(scope, 'c')})`;
    case 'open':
      return sql`(select coalesce(sum(c.shown - c.shown_private), 0)::bigint from task_counters c where ${tenant(scope, 'c')})
        + (select count(*) from tasks t where ${tenant(scope, 't')} and t.deleted_at is null and ${HAS_RUN}
            and t.visibility = 'private' and t.created_by = ${scope.actor.creatorId})`;
    case 'teams':
      return sql`(select count(*) from tasks t where ${readableTask(scope, 't')} and ${HAS_RUN})`;
    default:
      return assertNever(reach);
  }
}

/** The last lines that the latest run of task `t` logged, oldest first. A row holds at least one line, so as many rows are enough. */
function lastLogLines(most: number): Sql {
  const count = raw(String(most));
  return sql`coalesce((select json_agg(l.line order by l.first_seq, l.place) from (
      select b.first_seq, u.place, u.line from (
        select g.first_seq, g.lines from run_log_lines g where g.organization_id = t.organization_id and g.run_id = t.latest_run_id
        order by g.first_seq desc limit ${count}) b
      cross join lateral unnest(b.lines[greatest(1, cardinality(b.lines) - ${count} + 1):]) with ordinality as u (line, place)
      order by b.first_seq desc, u.place desc limit ${count}) l), '[]'::json)`;
}
