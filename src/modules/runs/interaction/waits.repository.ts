/**
 * The statements by which a run comes to wait, and stops waiting.
 *
 * A wait is begun by the worker that holds the lease and ended by somebody else: a person, a child's end, the clock. Whoever ends
 * one races with all others who might, so each way is a transaction of two steps: lock the task, then look at the run and change
 * it. The second statement begins after the lock was got, so what it sees is what is; of sixteen answers, a cancel and a timeout at
 * once, one finds the run waiting and the others find what that one made of it. A single statement would not do: it waits for the
 * lock with the eyes it opened before.
 *
 * The lease ends with the wait, its attempt stays open: whoever claims the run next goes on with the same attempt, and is told in
 * `resume` what the wait ended with, as often as it takes, until the run waits again.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { contributableTask, live, readableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, jsonb, sql } from '../../../database/sql.js';
import { insertServerEvents, type ServerEvent } from '../../streams/index.js';
import { formatFence, holds, LEASED_MS, plainFence, taskOf, type Fence } from '../core/leases.js';
import type { RunStatus } from '../core/run.state.js';
import { FAILED_END_EVENT, syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

export type WaitKind = 'question' | 'approval' | 'children';

/** A run under its worker's lease, locked, its task before it. */
export interface LockedRun {
  taskId: string;
  rootRunId: string;
  depth: number;
  askQuestion: boolean;
  autoExecute: boolean;
  cancelRequested: boolean;
}

export interface Wait {
  kind: WaitKind;
  /** Kept on the run while it waits. */
  value: Readonly<Record<string, unknown>>;
  /** From now, by database time; null is for ever. */
  dueInSeconds: number | null;
  assigneeId: string | null;
  /** Events before the `status` one, over the parked row `s`. */
  events: readonly ServerEvent[];
  /** The kind and answer of the request, for when it is sent again; `due_at` is added. */
  release: { kind: string; result: Readonly<Record<string, unknown>> };
}

/** A run as somebody who wants to end its wait finds it; its task is locked. */
export interface WaitingRun {
  taskId: string;
  status: RunStatus;
  waitKind: WaitKind | null;
  value: Record<string, unknown> | null;
  isOverdue: boolean;
  assigneeId: string | null;
}

/** How a wait ended: what the next claim is told, and the event that says so. */
export interface WaitEnd {
  /** Over the waiting row `r`. */
  resume: Sql;
  events: readonly ServerEvent[];
}

/** What a run no longer has once it stops waiting. */
const WAIT_OVER = sql`wait_kind = null, wait = null, wait_since = null, wait_due_at = null, wait_assignee_id = null`;

@Injectable()
export class WaitsRepository {
  constructor(private readonly database: Database) {}

  /** Locks the task and then the run that the caller has on lease; null where it does not. */
  async lockHeld(scope: WriteScope, tx: Tx, runId: string, fence: Fence): Promise<LockedRun | null> {
    await tx.execute(
      sql`select 1 from tasks t where ${tenant(scope, 't')} and t.id = ${taskOf(scope, runId)} for no key update`,
    );
    return tx.row<LockedRun & Record<string, unknown>>(sql`
      select r.task_id as "taskId", r.root_run_id as "rootRunId", r.depth, r.cancel_requested_at is not null as "cancelRequested",
        coalesce((r.run_config ->> 'ask_question')::boolean, true) as "askQuestion",
        coalesce((r.run_config ->> 'auto_execute')::boolean, true) as "autoExecute"
      from runs r where ${holds(scope, runId, fence)} and ${live(scope)} for no key update of r`);
  }

  /** Ends the lease of a run locked by `lockHeld` and lets it wait; its due time, where it has one. */
  async park(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    fence: Fence,
    wait: Wait,
  ): Promise<{ dueAt: string | null } | null> {
    const events = [...wait.events, STATUS_EVENT];
    return tx.row<{ dueAt: string | null }>(sql`
      with moment as materialized (
        select clock_timestamp() as since, clock_timestamp() + make_interval(secs => ${wait.dueInSeconds}::float8) as due_at
      ), parked as (
        update runs r set status = 'waiting', wait_kind = ${wait.kind}::text, wait = ${jsonb(wait.value)}, wait_since = moment.since,
          wait_due_at = moment.due_at, wait_assignee_id = ${wait.assigneeId}::uuid,
          resume = null, leased_ms = ${LEASED_MS}, lease_expires_at = null, deadline_at = null, fence_nonce = null, updated_at = clock_timestamp(),
          release = ${jsonb({ fence: formatFence(fence), kind: wait.release.kind })}
            || jsonb_build_object('result', ${jsonb(wait.release.result)} || jsonb_build_object('due_at', iso_utc(moment.due_at))),
          last_seq = r.last_seq + ${events.length}::int
        from moment where ${holds(scope, runId, fence)} and r.cancel_requested_at is null
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq, r.wait, r.wait_due_at
      ), mirror as (${syncTaskStatus('parked')}
      ), logged as (${insertServerEvents('parked', events)})
      select iso_utc(wait_due_at) as "dueAt" from parked`);
  }

  /** What the request of this kind, fence and caller that ended the run's last lease was answered; null where another did. */
  async answerGiven<Result>(scope: WriteScope, runId: string, fenceText: string, kind: string): Promise<Result | null> {
    const found = await this.database.row<{ result: Result | null }>(sql`
      select r.release -> 'result' as result from runs r where ${tenant(scope, 'r')} and r.id = ${runId}
        and r.claimed_by = ${scope.actor.principalId} and r.release ->> 'fence' = ${plainFence(fenceText)} and r.release ->> 'kind' = ${kind}
        and ${live(scope)}`);
    return found?.result ?? null;
  }

  /** Locks the task of a run that the caller may read, and says whether they may contribute to it; null where they may not read. */
  async lockReadable(scope: WriteScope, tx: Tx, runId: string): Promise<{ mayContribute: boolean } | null> {
    return tx.row<{ mayContribute: boolean }>(sql`
      select ${contributableTask(scope, 't')} as "mayContribute"
      from tasks t where t.id = ${taskOf(scope, runId)} and ${readableTask(scope, 't')} for no key update`);
  }

  /** A run whose task the transaction has locked. */
  async find(scope: WriteScope, tx: Tx, runId: string): Promise<WaitingRun | null> {
    return tx.row<WaitingRun & Record<string, unknown>>(sql`
      select r.task_id as "taskId", r.status, r.wait_kind as "waitKind", r.wait as value, r.wait_assignee_id as "assigneeId",
        coalesce(r.wait_due_at <= clock_timestamp(), false) as "isOverdue"
      from runs r where ${tenant(scope, 'r')} and r.id = ${runId}`);
  }

  /** The run of a locked task that asked last and has no answer yet; of those of one assignee where `assigneeId` is given. */
  async lastAsked(scope: WriteScope, tx: Tx, taskId: string, assigneeId: string | null): Promise<string | null> {
    const whose = assigneeId === null ? sql`true` : sql`r.wait_assignee_id = ${assigneeId}::uuid`;
    const found = await tx.row<{ id: string }>(sql`
      select r.id from runs r where ${tenant(scope, 'r')} and r.task_id = ${taskId} and r.status = 'waiting' and r.wait_kind = 'question'
        and coalesce(r.wait_due_at > clock_timestamp(), true) and ${whose}
      order by r.wait_since desc, r.number desc limit 1`);
    return found?.id ?? null;
  }

  /**
   * Puts a waiting run, its task locked, back into the queue; false where it does not wait for this. One that waits for children goes
   * by itself when the last of them ends (the trigger `runs_announce_end`), and by this where none was left when it began to wait.
   */
  async resume(scope: WriteScope, tx: Tx, runId: string, kind: WaitKind, end: WaitEnd): Promise<boolean> {
    const events = [...end.events, STATUS_EVENT];
    const resumed = await tx.row(sql`
      with resumed as (
        update runs r set status = 'queued', resume = ${end.resume}, ${WAIT_OVER}, queued_at = clock_timestamp(),
          available_at = clock_timestamp(), updated_at = clock_timestamp(), last_seq = r.last_seq + ${events.length}::int
        where ${tenant(scope, 'r')} and r.id = ${runId} and r.status = 'waiting' and r.wait_kind = ${kind}
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq, r.resume
      ), mirror as (${syncTaskStatus('resumed')}
      ), logged as (${insertServerEvents('resumed', events)})
      select 1 from resumed`);
    return resumed !== null;
  }

  /** Ends a waiting run, its task locked, as failed; false where it does not wait for this. */
  async fail(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    kind: WaitKind,
    error: { name: string; message: string; stack_trace: null },
  ): Promise<boolean> {
    const failed = await tx.row(sql`
      with failed as (
        update runs r set status = 'failed', error = ${jsonb(error)}, ${WAIT_OVER}, finished_at = clock_timestamp(),
          updated_at = clock_timestamp(), last_seq = r.last_seq + 2
        where ${tenant(scope, 'r')} and r.id = ${runId} and r.status = 'waiting' and r.wait_kind = ${kind}
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq, r.error
      ), attempts as (
        update run_attempts a set status = 'failed', error = f.error, finished_at = clock_timestamp() from failed f
        where a.organization_id = f.organization_id and a.run_id = f.id and a.finished_at is null
      ), mirror as (${syncTaskStatus('failed')}
      ), logged as (${insertServerEvents('failed', [STATUS_EVENT, FAILED_END_EVENT])})
      select 1 from failed`);
    return failed !== null;
  }

  /** True where there is such a person in the organisation. */
  async isUser(scope: WriteScope, tx: Tx, userId: string): Promise<boolean> {
    const found = await tx.row(
      sql`select 1 from users u where ${tenant(scope, 'u')} and u.id = ${userId} and u.deleted_at is null`,
    );
    return found !== null;
  }

  /** Locks the task of a run for a sweep; false where somebody else has it, who is then about to do the same. */
  async lockUnlessBusy(scope: WriteScope, tx: Tx, runId: string): Promise<boolean> {
    const locked = await tx.row(sql`select 1 from tasks t
        where ${tenant(scope, 't')} and t.id = ${taskOf(scope, runId)} for no key update skip locked`);
    return locked !== null;
  }

  /** Runs whose question has run out of time, over every organisation. */
  async overdue(most: number): Promise<{ organizationId: string; id: string }[]> {
    return this.database.rows(sql`
      select r.organization_id as "organizationId", r.id from runs r
      where r.status = 'waiting' and r.wait_due_at <= clock_timestamp() order by r.wait_due_at limit ${most}::int`);
  }
}
