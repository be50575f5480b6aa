/** The statements that make runs for schedules: of any number of tasks and organisations at once, with any number of runs a task. */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { cancelSideEffects, QUEUED_EVENT } from '../core/state-change.query.js';

export interface ScheduledRunRow {
  id: string;
  organizationId: string;
  taskId: string;
  scheduleId: string;
  createdBy: string;
  /** Place of its configuration in the list beside. */
  config: number;
}

@Injectable()
export class ScheduledRunsRepository {
  /**
   * Queues the runs, in the order given. What `RunsRepository.create` does for one, and the counts of tasks that have been run besides;
   * answers how many were made. The tasks' rows are locked by the caller.
   */
  async create(tx: Tx, runs: readonly ScheduledRunRow[], configs: readonly string[]): Promise<number> {
    const columns = {
      ids: runs.map((run) => run.id),
      organizations: runs.map((run) => run.organizationId),
      tasks: runs.map((run) => run.taskId),
      schedules: runs.map((run) => run.scheduleId),
      creators: runs.map((run) => run.createdBy),
      configs: runs.map((run) => run.config),
    };
    // What belongs to a run travels with its task through the update: a join of lists that the planner knows no length of could be
    // every one with every other.
    const created = await tx.row<{ created: number }>(sql`
      with given as materialized (
        select g.organization_id, g.task_id, g.schedule_id, g.created_by, g.config, min(g.place) as place, count(*)::int as turns,
          array_agg(g.id order by g.place) as ids
        from unnest(${columns.ids}::uuid[], ${columns.organizations}::uuid[], ${columns.tasks}::uuid[], ${columns.schedules}::uuid[],
          ${columns.creators}::uuid[], ${columns.configs}::int[]) with ordinality
          as g (id, organization_id, task_id, schedule_id, created_by, config, place)
        group by 1, 2, 3, 4, 5
      ), task as (
        update tasks t set run_count = t.run_count + g.turns, latest_run_id = g.ids[g.turns], latest_run_number = t.run_count + g.turns,
          status = 'queued', updated_at = clock_timestamp()
        from given g where t.organization_id = g.organization_id and t.id = g.task_id and t.deleted_at is null
        returning t.organization_id, t.id, t.run_count - g.turns as runs_before, t.agent_id, t.max_attempts, t.priority, t.payload,
          t.tags, t.metadata, t.visibility, t.concurrency_key, g.schedule_id, g.created_by, g.config, g.place, g.ids
      ), slot as (
        insert into run_slots as s (organization_id, agent_id, concurrency_key)
        select distinct t.organization_id, t.agent_id, t.concurrency_key from task t where t.concurrency_key is not null
        order by t.concurrency_key, t.agent_id
        on conflict (organization_id, agent_id, concurrency_key) do update set used_at = clock_timestamp()
        returning s.organization_id, s.agent_id, s.concurrency_key, s.running
      ), created as (
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, priority,
          run_config, payload, tags, metadata, created_by, api_key_id, queued_at, concurrency_key, held_back, root_run_id, schedule_id, last_seq)
        select t.organization_id, run.id, t.id, t.runs_before + run.turn, t.agent_id, 'queued', a.lease_seconds, a.timeout_seconds,
          coalesce(t.max_attempts, a.max_attempts), t.priority, (${configs}::jsonb[])[t.config], t.payload, t.tags, t.metadata, t.created_by,
          (select k.id from api_keys k where k.organization_id = t.organization_id and k.id = t.created_by), clock_timestamp(),
          t.concurrency_key, coalesce((select s.running >= a.concurrency_key_limit from slot s where s.organization_id = t.organization_id
            and s.agent_id = t.agent_id and s.concurrency_key = t.concurrency_key), false), run.id, t.schedule_id, 1
        from task t join agents a on a.organization_id = t.organization_id and a.id = t.agent_id
          cross join lateral unnest(t.ids) with ordinality as run (id, turn)
        order by t.place, run.turn
        returning organization_id, id, last_seq
      ), logged as (
        ${insertServerEvents('created', [QUEUED_EVENT])}
      ), counted as (
        insert into task_counters as c (organization_id, shard, shown, shown_private)
        select t.organization_id, pg_backend_pid() % 16, count(*), count(*) filter (where t.visibility = 'private') from task t
        where t.runs_before = 0 group by t.organization_id order by t.organization_id
        on conflict (organization_id, shard) do update
          set shown = c.shown + excluded.shown, shown_private = c.shown_private + excluded.shown_private
      )
      select count(*)::int as created from created`);
    return created?.created ?? 0;
  }

  /**
   * Ends what has not ended of a schedule's runs: at once what no worker has, the rest by a wish that their workers hear. Answers those
   * that changed. The task's row is locked by the caller.
   */
  async cancelLive(scope: WriteScope, tx: Tx, taskId: string, scheduleId: string): Promise<string[]> {
    const changed = await tx.rows<{ id: string }>(sql`
      with live as materialized (
        select r.organization_id, r.id, r.status from runs r
        where ${tenant(scope, 'r')} and r.task_id = ${taskId} and r.schedule_id = ${scheduleId} and r.finished_at is null order by r.id for no key update
      ), wished as (
        update runs r set cancel_requested_at = clock_timestamp(), updated_at = clock_timestamp() from live l
        where r.organization_id = l.organization_id and r.id = l.id and l.status = 'running' and r.cancel_requested_at is null
        returning r.id
      ), ended as (
        update runs r set status = 'canceled', wait_kind = null, fence = r.fence + 1, finished_at = clock_timestamp(),
          updated_at = clock_timestamp(), cancel_requested_at = coalesce(r.cancel_requested_at, clock_timestamp()), last_seq = r.last_seq + 2
        from live l where r.organization_id = l.organization_id and r.id = l.id and l.status <> 'running'
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), ${cancelSideEffects('ended')}
      select id from ended union all select id from wished`);
    return changed.map(({ id }) => id);
  }
}
