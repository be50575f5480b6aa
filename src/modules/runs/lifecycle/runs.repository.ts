/**
 * The statements that change runs. Each is one transaction's worth: the state, the attempt, the mirror on the task and the events
 * change together or not at all. Lock order is task, then run, everywhere; claims and sweeps skip what is locked, so they never wait.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { contributableTask, live, tenant } from '../../../database/scope.sql.js';
import { type Sql, jsonb, sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { taskOf } from '../core/leases.js';
import { cancelableAtOnce, ENDED_STATUSES, type RunStatus } from '../core/run.state.js';
import { cancelSideEffects } from '../core/state-change.query.js';

export interface NewRun {
  id: string;
  taskId: string;
  payload: unknown;
  runConfig: unknown;
  priority: number | null;
  idempotencyKey: string | null;
  isTest: boolean;
  scheduleId: string | null;
  /** Instants as the database told them; null is now, and never. */
  delayedUntil: string | null;
  expiresAt: string | null;
  ttl: string | null;
  concurrencyKey: string | null;
}

export interface CreatedRun {
  id: string;
  number: number;
  isFirst: boolean;
  isPrivate: boolean;
}

export interface RunSettings {
  agentId: string;
  agentDefault: unknown;
  taskConfig: unknown;
  taskModel: string | null;
  /** Gone agents are not claimed, so nothing may be queued for them. */
  agentDeleted: boolean;
  /** The task's own key. */
  concurrencyKey: string | null;
  concurrencyKeyLimit: number;
  concurrencyStrategy: 'queue' | 'cancel_oldest' | 'drop_newest';
}

export interface CancelOutcome {
  status: RunStatus;
  /** True where the run was ended by this very statement. */
  changed: boolean;
}

@Injectable()
export class RunsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** What decides a new run's configuration; null where the task is not there for this actor to run. */
  async settings(scope: WriteScope, tx: Tx, taskId: string): Promise<RunSettings | null> {
    return tx.row<RunSettings & Record<string, unknown>>(sql`
      select a.id as "agentId", a.default_run_config as "agentDefault", t.run_config as "taskConfig", t.model as "taskModel",
        a.deleted_at is not null as "agentDeleted", t.concurrency_key as "concurrencyKey",
        a.concurrency_key_limit as "concurrencyKeyLimit", a.concurrency_strategy as "concurrencyStrategy"
      from tasks t join agents a on a.organization_id = t.organization_id and a.id = t.agent_id
      where t.id = ${taskId} and ${contributableTask(scope, 't')} and ${live(scope)}`);
  }

  /**
   * Numbers and queues a run of the task; null where the task is gone or not this actor's to run. The row of its key, where it has one,
   * is made and locked before the run is: a run whose key is full begins in the key's line, and none can leave the line unseen.
   */
  async create(scope: WriteScope, tx: Tx, run: NewRun): Promise<CreatedRun | null> {
    const status = run.delayedUntil === null ? 'queued' : 'delayed';
    await this.rowLimits.assertRoom(scope, tx, 'openRuns');
    const apiKeyId = scope.actor.kind === 'api_key' ? scope.actor.principalId : null;
    return tx.row<CreatedRun & Record<string, unknown>>(sql`
      with task as (
        update tasks t set run_count = t.run_count + 1, latest_run_id = ${run.id}, latest_run_number = t.run_count + 1,
          status = ${status}, updated_at = clock_timestamp()
        where t.id = ${run.taskId} and ${contributableTask(scope, 't')} and ${live(scope)}
        returning t.*
      ), slot as (
        insert into run_slots as s (organization_id, agent_id, concurrency_key)
        select t.organization_id, t.agent_id, ${run.concurrencyKey}::text from task t where ${run.concurrencyKey}::text is not null
        on conflict (organization_id, agent_id, concurrency_key) do update set used_at = clock_timestamp()
        returning s.running
      ), created as (
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts,
          priority, run_config, payload, tags, metadata, idempotency_key, is_test, created_by, api_key_id, queued_at, available_at,
          delayed_until, ttl, expires_at, concurrency_key, held_back, root_run_id, schedule_id, last_seq)
        select t.organization_id, ${run.id}::uuid, t.id, t.run_count, t.agent_id, ${status}, a.lease_seconds, a.timeout_seconds,
          coalesce(t.max_attempts, a.max_attempts), coalesce(${run.priority}::smallint, t.priority), ${jsonb(run.runConfig)},
          coalesce(${jsonb(run.payload)}, t.payload), t.tags, t.metadata, ${run.idempotencyKey}::text, ${run.isTest}::boolean,
          ${scope.isSystem ? null : scope.actor.creatorId}::uuid, ${apiKeyId}::uuid,
          case when ${run.delayedUntil}::timestamptz is null then clock_timestamp() end,
          coalesce(${run.delayedUntil}::timestamptz, clock_timestamp()), ${run.delayedUntil}::timestamptz, ${run.ttl}::text,
          ${run.expiresAt}::timestamptz, ${run.concurrencyKey}::text,
          coalesce((select s.running >= a.concurrency_key_limit from slot s), false) and ${run.delayedUntil}::timestamptz is null,
          ${run.id}::uuid, ${run.scheduleId}::uuid, 1
        from task t join agents a on a.organization_id = t.organization_id and a.id = t.agent_id
        returning organization_id, id, number, status, last_seq
      ), logged as (
        ${insertServerEvents('created', [{ type: 'status', data: sql`jsonb_build_object('status', s.status, 'attempt', 0)` }])}
      )
      select c.id, c.number, t.run_count = 1 as "isFirst", t.visibility = 'private' as "isPrivate"
      from created c cross join task t`);
  }

  /** Moves the exact counts of tasks that have been run; one of sixteen rows, so that inserts do not queue on one. */
  async incrementTaskCounters(
    scope: WriteScope,
    tx: Tx,
    delta: { shown: number; shownPrivate: number },
  ): Promise<void> {
    await tx.execute(sql`
      insert into task_counters as c (organization_id, shard, shown, shown_private)
      values (${scope.organizationId}, pg_backend_pid() % 16, ${delta.shown}, ${delta.shownPrivate})
      on conflict (organization_id, shard) do update
        set shown = c.shown + excluded.shown, shown_private = c.shown_private + excluded.shown_private`);
  }

  /**
   * Asks for the end of a run. One that no worker has is ended at once; a running one gets the wish, or with `force` is ended under
   * its worker, whose fence is void from then on. Null where the run is not this actor's to cancel.
   */
  async cancel(scope: WriteScope, runId: string, force: boolean): Promise<CancelOutcome | null> {
    const atOnce = force ? [...cancelableAtOnce(), 'running'] : cancelableAtOnce();
    const may = sql`${contributableTask(scope, 't')} and ${live(scope)}`;
    // The lock first: a statement that waited for it would look for the run in the state it had before, and find it in none.
    const cancel = async (tx: Tx): Promise<CancelOutcome | null> => {
      const locked = await tx.row(sql`
        select 1 from tasks t where t.id = ${taskOf(scope, runId)} and ${may} for no key update`);
      const outcome =
        locked === null
          ? null
          : await tx.row<CancelOutcome & Record<string, unknown>>(sql`
      with task as materialized (
        select t.organization_id, t.id from tasks t where t.id = ${taskOf(scope, runId)} and ${may}
      ), ended as (${this.#end(sql`r.id = ${runId} and r.status = any(${atOnce})`)}
      ), wished as (
        update runs r set cancel_requested_at = coalesce(r.cancel_requested_at, clock_timestamp()),
          cancel_requested_by = coalesce(r.cancel_requested_by, ${scope.isSystem ? null : scope.actor.principalId}::uuid), updated_at = clock_timestamp()
        from task where r.organization_id = task.organization_id and r.task_id = task.id
          and r.id = ${runId} and r.status = 'running' and not ${force}::boolean
        returning r.status
      ), ${cancelSideEffects('ended')}
      select status, true as changed from ended union all select status, false from wished`);
      return outcome ?? this.#standing(scope, tx, runId);
    };
    return this.database.write(scope, cancel, (outcome) => outcome?.changed === true || outcome?.status === 'running');
  }

  /**
   * Cancels up to `most` of the descendants of a canceled run that have neither ended nor been asked to: at once those that no worker
   * has, and with `force` all; the others by a wish. Those it changed.
   */
  async cancelDescendants(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    options: { force: boolean; most: number },
  ): Promise<string[]> {
    const atOnce = options.force ? [...cancelableAtOnce(), 'running'] : cancelableAtOnce();
    await tx.execute(
      sql`select 1 from tasks t where ${tenant(scope, 't')} and t.id = ${taskOf(scope, runId)} for no key update`,
    );
    const changed = await tx.rows<{ id: string }>(sql`
      with recursive task as materialized (
        select r.organization_id, r.task_id as id from runs r where ${tenant(scope, 'r')} and r.id = ${runId} and r.status = 'canceled'
      ), descendants as (
        select c.id, c.depth, c.status, c.finished_at, c.cancel_requested_at from runs c join task on c.organization_id = task.organization_id
        where c.parent_run_id = ${runId}
        union all
        select c.id, c.depth, c.status, c.finished_at, c.cancel_requested_at from runs c join descendants d on c.parent_run_id = d.id
        where ${tenant(scope, 'c')}
      ), chosen as materialized (
        select d.id from descendants d
        where d.finished_at is null and (d.status = any(${atOnce}) or d.cancel_requested_at is null)
        order by d.depth, d.id limit ${options.most}::int
      ), ended as (${this.#end(sql`r.id in (select c.id from chosen c) and r.status = any(${atOnce})`)}
      ), wished as (
        update runs r set cancel_requested_at = clock_timestamp(), updated_at = clock_timestamp() from chosen c
        where ${tenant(scope, 'r')} and r.id = c.id and r.status <> all(${atOnce})
        returning r.id
      ), ${cancelSideEffects('ended')}
      select id from ended union all select id from wished`);
    return changed.map(({ id }) => id);
  }

  /** Ends whatever of the task still lives, fences raised: for deletion, where late writes must find nothing to hold. */
  async endAllOfTask(scope: WriteScope, tx: Tx, taskId: string): Promise<string[]> {
    const ended = await tx.rows<{ id: string }>(sql`
      with task as materialized (
        select t.organization_id, t.id from tasks t where ${tenant(scope, 't')} and t.id = ${taskId} for no key update
      ), ended as (${this.#end(sql`r.status <> all(${ENDED_STATUSES})`)}
      ), ${cancelSideEffects('ended')}
      select id from ended`);
    return ended.map((run) => run.id);
  }

  /** The update that cancels runs of the CTE `task`, at once. */
  #end(which: Sql): Sql {
    return sql`
      update runs r set status = 'canceled', wait_kind = null, fence = r.fence + 1, fence_nonce = null, lease_expires_at = null,
        deadline_at = null, finished_at = clock_timestamp(), updated_at = clock_timestamp(), last_seq = r.last_seq + 2,
        cancel_requested_at = coalesce(r.cancel_requested_at, clock_timestamp())
      from task where r.organization_id = task.organization_id and r.task_id = task.id and ${which}
      returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq`;
  }

  async #standing(scope: WriteScope, tx: Tx, runId: string): Promise<CancelOutcome | null> {
    return tx.row<CancelOutcome & Record<string, unknown>>(sql`
      select r.status, false as changed from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
      where r.id = ${runId} and ${contributableTask(scope, 't')} and ${live(scope)}`);
  }
}
