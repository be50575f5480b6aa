/**
 * The statements of the worker protocol; `leases.ts` says what they promise. Each is one round trip and its own transaction.
 */
import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { live } from '../../../database/scope.sql.js';
import { type Sql, jsonb, sql } from '../../../database/sql.js';
import {
  insertLogLines,
  insertServerEvents,
  insertWorkerBatch,
  priorBatch,
  type WorkerBatch,
} from '../../streams/index.js';
import { backOffSeconds } from '../core/back-off.js';
import { type ClaimRequest, claimStatement } from './claim.query.js';
import type { SplitCharacters } from './split-characters.js';
import { formatFence, holds, leaseIsValid, LEASED_MS, taskOf, type Fence } from '../core/leases.js';
import type { RunStatus } from '../core/run.state.js';
import { END_EVENT, syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

export interface ClaimedRun {
  id: string;
  fence: string;
  nonce: string;
  expiresInSeconds: number;
  /** Whose it is, as an index of the request's claimers. */
  claimer: number;
}

type ClaimRow = ClaimedRun | { [Key in keyof ClaimedRun]: null };

export interface Heartbeat {
  expiresInSeconds: number;
  cancelRequested: boolean;
}

export interface Appended {
  lastSeq: number;
  cancelRequested: boolean;
  taskId: string;
}

/** What the `usage` events of a batch add up to. */
export interface BatchUsage {
  costInCents: number;
  inputTokens: number;
  outputTokens: number;
}

export interface Ending {
  status: Extract<RunStatus, 'completed' | 'failed' | 'canceled'>;
  kind: string;
  output: unknown;
  error: unknown;
  costInCents: number;
}

/** An ending asked for under a lease. */
export interface LeasedEnding extends Ending {
  runId: string;
  fence: Fence;
}

export interface EndedRun {
  id: string;
  parentRunId: string | null;
}

/** How a lease was given back, kept on the run so that the same request again gets the same answer. */
export interface StoredRelease {
  fence: string;
  kind: string;
  result?: { status?: 'completed' | 'failed' | 'canceled' | 'queued' };
}

@Injectable()
export class WorkerRepository {
  constructor(private readonly database: Database) {}

  /**
   * Leases due runs of these agents to the claimers, best priority first, oldest first within it. Locks nothing that somebody else
   * has locked. A first claim, and one after a failure or a lost lease, opens an attempt; one after a release goes on with it.
   * `heldBack` where it found runs whose concurrency key is full and put them aside: another claim may find others behind them.
   */
  async claim(scope: WriteScope, input: ClaimRequest): Promise<{ runs: ClaimedRun[]; heldBack: boolean }> {
    const rows = await this.database.rows<ClaimRow & Record<string, unknown>>(claimStatement(scope, input));
    return {
      runs: rows.flatMap(({ id, fence, nonce, expiresInSeconds, claimer }) =>
        id === null ? [] : [{ id, fence, nonce, expiresInSeconds, claimer }],
      ),
      heldBack: rows.some((row) => row.id === null),
    };
  }

  /** Pushes the deadline; null where the lease is not held. */
  async heartbeat(scope: WriteScope, runId: string, fence: Fence): Promise<Heartbeat | null> {
    return this.database.row<Heartbeat & Record<string, unknown>>(sql`
      update runs r set lease_expires_at = clock_timestamp() + make_interval(secs => r.lease_seconds)
      where ${holds(scope, runId, fence)} and ${live(scope)}
      returning r.lease_seconds as "expiresInSeconds", r.cancel_requested_at is not null as "cancelRequested"`);
  }

  /** The answer a batch got when it was first sent, or null. */
  async prior(
    scope: WriteScope,
    runId: string,
    fence: Fence,
    batchId: string,
  ): Promise<{ lastSeq: number; digest: Buffer; cancelRequested: boolean; autoExecute: boolean } | null> {
    return this.database.row<{ lastSeq: number; digest: Buffer; cancelRequested: boolean; autoExecute: boolean }>(sql`
      select p.last_seq::float8 as "lastSeq", p.batch_digest as digest, r.cancel_requested_at is not null as "cancelRequested",
        coalesce((r.run_config ->> 'auto_execute')::boolean, true) as "autoExecute"
      from (${priorBatch(scope.organizationId, runId, fence.counter, batchId)}) p
        join runs r on r.organization_id = ${scope.organizationId} and r.id = ${runId} and r.claimed_by = ${scope.actor.principalId}
      where ${live(scope)}`);
  }

  /** Appends a worker's batch under its lease; null where the lease is not held. */
  async append(
    scope: WriteScope,
    runId: string,
    fence: Fence,
    batch: WorkerBatch & { logLines: readonly string[]; usage: BatchUsage },
    tx: Tx | null,
  ): Promise<Appended | null> {
    return (tx ?? this.database).row<Appended & Record<string, unknown>>(sql`
      with raised as (
        update runs r set last_seq = r.last_seq + ${batch.count}::int, cost_in_cents = r.cost_in_cents + ${batch.usage.costInCents}::numeric,
          input_tokens = r.input_tokens + ${batch.usage.inputTokens}::bigint, output_tokens = r.output_tokens + ${batch.usage.outputTokens}::bigint,
          updated_at = clock_timestamp()
        where ${holds(scope, runId, fence)} and ${live(scope)}
        returning r.organization_id, r.id, r.task_id, r.last_seq, r.cancel_requested_at
      ), logged as (${insertWorkerBatch('raised', batch)}
      ), lines as (${insertLogLines('raised', batch.count, batch.logLines)})
      select last_seq::float8 as "lastSeq", cancel_requested_at is not null as "cancelRequested", task_id as "taskId" from raised`);
  }

  /** First halves of characters that wait for their second, and locks the run; null where the lease is not held. */
  async lockSplitCharacters(scope: WriteScope, runId: string, fence: Fence, tx: Tx): Promise<SplitCharacters | null> {
    const stored = await tx.row<{ fence: string; halves: SplitCharacters | null }>(sql`
      select r.fence::text as fence, case when (r.split_characters ->> 'fence')::bigint = r.fence then r.split_characters -> 'halves' end as halves
      from runs r where ${holds(scope, runId, fence)} and ${live(scope)} for no key update`);
    return stored === null ? null : (stored.halves ?? {});
  }

  async putSplitCharacters(
    scope: WriteScope,
    runId: string,
    fence: Fence,
    halves: SplitCharacters,
    tx: Tx,
  ): Promise<void> {
    const kept = Object.keys(halves).length === 0 ? null : JSON.stringify({ fence: fence.counter, halves });
    await tx.execute(sql`update runs r set split_characters = ${kept}::jsonb where ${holds(scope, runId, fence)}`);
  }

  /** Appends the event of an asset that is inserted in the same transaction; false where the lease is not held. */
  async appendAsset(
    scope: WriteScope,
    runId: string,
    fence: Fence,
    asset: { id: string; name: string; type: string; status: string },
    tx: Tx,
  ): Promise<boolean> {
    const appended = await tx.row(sql`
      with raised as (
        update runs r set last_seq = r.last_seq + 1, updated_at = clock_timestamp()
        where ${holds(scope, runId, fence)} and ${live(scope)}
        returning r.organization_id, r.id, r.last_seq
      ), logged as (${insertServerEvents('raised', [
        {
          type: 'asset',
          data: sql`jsonb_build_object('asset_id', ${asset.id}::text, 'name', ${asset.name}::text, 'type', ${asset.type}::text, 'status', ${asset.status}::text)`,
        },
      ])})
      select 1 from raised`);
    return appended !== null;
  }

  /**
   * Ends runs under their leases: state, output, attempt, mirror and the last two events of each, all in one commit. Answers in the
   * order asked; null where the lease is not held. A `canceled` needs the wish; a `completed` that comes after one wins.
   *
   * Several at once lock what they need in the one order there is (tasks by id, then slot rows as a claim does, then runs), so that
   * batches never end in a deadlock. Everything is looked up by lists of ids, which are index look-ups whatever the planner believes
   * of the tables' sizes.
   */
  async end(scope: WriteScope, endings: readonly LeasedEnding[]): Promise<(EndedRun | null)[]> {
    const asked = endings.map(({ runId, fence, ...ending }, place) => ({
      place,
      id: runId,
      fence: fence.counter,
      nonce: fence.nonce,
      status: ending.status,
      output: ending.output,
      error: ending.error,
      cost: ending.costInCents,
      release: {
        fence: formatFence(fence),
        kind: ending.kind,
        result: { status: ending.status },
      } satisfies StoredRelease,
    }));
    const organization = scope.organizationId;
    const rows = await this.database.rows<EndedRun & { place: number }>(sql`
      with asked as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) as x (place int, id uuid, fence bigint, nonce text,
          status text, output jsonb, error jsonb, cost numeric, release jsonb)
      ), found as materialized (
        select r.id, r.task_id, r.agent_id, r.concurrency_key, r.agent_slot from runs r
        where r.organization_id = ${organization} and r.id = any(array(select id from asked))
      ), task as materialized (
        select t.id from tasks t where t.organization_id = ${organization} and t.id = any(array(select task_id from found))
        order by t.id for no key update of t
      ), slots as materialized (
        select s.agent_id from (
          select distinct k.key, f.agent_id from found f
            cross join lateral (values (case when f.agent_slot then '' end), (f.concurrency_key)) as k (key)
          where k.key is not null and f.task_id = any(array(select id from task)) order by k.key, f.agent_id
        ) l cross join lateral (
          select s.agent_id from run_slots s where s.organization_id = ${organization} and s.agent_id = l.agent_id
            and s.concurrency_key = l.key for no key update
        ) s
      ), ended as (
        update runs r set status = a.status, output = a.output, error = a.error, cost_in_cents = r.cost_in_cents + a.cost,
          finished_at = clock_timestamp(), updated_at = clock_timestamp(), lease_expires_at = null, deadline_at = null,
          fence_nonce = null, release = a.release, last_seq = r.last_seq + 2
        from asked a where r.organization_id = ${organization} and r.id = any(array(select id from asked)) and r.id = a.id
          and r.fence = a.fence and r.fence_nonce = a.nonce and ${leaseIsValid(scope)} and ${live(scope)}
          and (a.status <> 'canceled' or r.cancel_requested_at is not null)
          and r.task_id = any(array(select id from task)) and (select count(*) from slots) >= 0
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.output, r.error, r.last_seq, r.parent_run_id, a.place
      ), attempts as (
        update run_attempts a set status = e.status, error = e.error, finished_at = clock_timestamp() from ended e
        where a.organization_id = e.organization_id and a.run_id = e.id and a.number = e.attempt and a.finished_at is null
      ), mirror as (
        ${syncTaskStatus('ended')}
      ), logged as (
        ${insertServerEvents('ended', [STATUS_EVENT, END_EVENT])}
      )
      select place, id, parent_run_id as "parentRunId" from ended`);
    const byPlace = new Map(rows.map(({ place, id, parentRunId }) => [place, { id, parentRunId }]));
    return endings.map((_, place) => byPlace.get(place) ?? null);
  }

  /**
   * Closes the attempt as failed and, where there are attempts left and nobody asked for a cancel, puts the run back into the queue,
   * to be claimed after its back-off. Null where the lease is not held, or where nothing is left but to end the run.
   */
  async retry(scope: WriteScope, runId: string, fence: Fence, error: unknown): Promise<{ id: string } | null> {
    const release = {
      fence: formatFence(fence),
      kind: 'fail',
      result: { status: 'queued' },
    } satisfies StoredRelease;
    return this.database.row<{ id: string }>(sql`
      with ${this.#lockedTask(scope, runId)}, retried as (
        update runs r set status = 'queued', queued_at = clock_timestamp(), updated_at = clock_timestamp(), leased_ms = null,
          available_at = clock_timestamp() + make_interval(secs => ${backOffSeconds('a', 'r')}),
          lease_expires_at = null, deadline_at = null, fence_nonce = null, release = ${jsonb(release)}, last_seq = r.last_seq + 1
        from task, agents a where r.task_id = task.id and a.organization_id = r.organization_id and a.id = r.agent_id
          and ${holds(scope, runId, fence)} and ${live(scope)} and r.attempt < r.max_attempts and r.cancel_requested_at is null
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), attempts as (
        update run_attempts a set status = 'failed', error = ${jsonb(error)}, finished_at = clock_timestamp() from retried e
        where a.organization_id = e.organization_id and a.run_id = e.id and a.finished_at is null
      ), mirror as (
        ${syncTaskStatus('retried')}
      ), logged as (
        ${insertServerEvents('retried', [STATUS_EVENT])}
      )
      select id from retried`);
  }

  /** Hands a run back to the queue, its attempt still open; null where the lease is not held, or its cancel is wished for. */
  async release(scope: WriteScope, runId: string, fence: Fence): Promise<{ id: string } | null> {
    const release = {
      fence: formatFence(fence),
      kind: 'release',
      result: { status: 'queued' },
    } satisfies StoredRelease;
    return this.database.row<{ id: string }>(sql`
      with ${this.#lockedTask(scope, runId)}, released as (
        update runs r set status = 'queued', available_at = clock_timestamp(), queued_at = clock_timestamp(), updated_at = clock_timestamp(),
          leased_ms = ${LEASED_MS}, lease_expires_at = null, deadline_at = null, fence_nonce = null, release = ${jsonb(release)}, last_seq = r.last_seq + 1
        from task where r.task_id = task.id and ${holds(scope, runId, fence)} and r.cancel_requested_at is null and ${live(scope)}
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), mirror as (
        ${syncTaskStatus('released')}
      ), logged as (
        ${insertServerEvents('released', [STATUS_EVENT])}
      )
      select id from released`);
  }

  /** How the run's last lease ended, where this principal had it; null for every other run, absent ones included. */
  async lastRelease(scope: WriteScope, runId: string): Promise<StoredRelease | null> {
    const found = await this.database.row<{ release: StoredRelease | null }>(sql`
      select r.release from runs r where r.organization_id = ${scope.organizationId} and r.id = ${runId}
        and r.claimed_by = ${scope.actor.principalId} and ${live(scope)}`);
    return found?.release ?? null;
  }

  #lockedTask(scope: WriteScope, runId: string): Sql {
    return sql`task as materialized (
      select t.id from tasks t where t.organization_id = ${scope.organizationId} and t.id = ${taskOf(scope, runId)} for no key update)`;
  }
}

/** A name for a worker that gave none. */
export function anonymousWorker(): string {
  return `worker-${randomUUID().slice(0, 8)}`;
}
