/**
 * Leases and fences: what lets a worker be anywhere, die at any time, or wake up late, without a run being lost or ended twice.
 *
 * A claim gives a worker a lease: a deadline by database time, and a fence: an opaque text of a counter and a nonce. The counter
 * rises with every claim, so there is never more than one valid fence; the nonce keeps it from being guessed; the principal that
 * claimed is recorded, so a stolen fence is no use to another key. Every write of a worker is one conditional statement on all of
 * it (`holds`): id, running, counter, nonce, principal, and the deadline not passed. Hence
 *
 * - a worker that was frozen past its deadline and wakes finds none of its writes accepted, whether or not somebody else has
 *   the run by then;
 * - a worker that never got the answer to its last request sends it again and gets the same answer: the run keeps its last
 *   release (fence, kind, result), and the same fence and kind again is answered from it;
 * - everything else (lost, ended by another, deleted, of another tenant, never there) is one answer, 409 `lease-lost`: the worker
 *   must stop, and learns nothing more.
 *
 * A lease that runs out is found by the reaper (`lease-rescuer.ts`), which ends or requeues the run in one statement that repeats the
 * state and deadline it saw. Heartbeats push the deadline; a worker does well to send one each third of the lease.
 */
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { type Sql, sql } from '../../../database/sql.js';
import { DomainError } from '../../../kernel/errors.js';

/** A fence taken apart. */
export interface Fence {
  /** The counter, as text: it is a bigint. */
  counter: string;
  /** Ends in {@link SECRETS_MARK} where the run may have been given secrets. */
  nonce: string;
}

/**
 * Ends the nonce of a lease whose run may have been given secrets, so that nobody has to look whether some were. It is part of the nonce
 * that the run keeps: a worker that leaves it away holds no lease.
 */
export const SECRETS_MARK = '.s';

const FORM = /^(\d{1,18})\.([0-9a-f-]{36}(?:\.s)?)$/;

/** The fence as its worker is told it. */
export function fenceForWorker({ counter, nonce }: Fence): string {
  return `${counter}.${nonce}`;
}

/** The fence as a release keeps it. */
export function formatFence(fence: Fence): string {
  return plainFence(fenceForWorker(fence));
}

/** The fence as a release keeps it, from its text. */
export function plainFence(text: string): string {
  return text.endsWith(SECRETS_MARK) ? text.slice(0, -SECRETS_MARK.length) : text;
}

/** True where what is said under this fence has to be looked through for secrets. */
export function mayHoldSecrets({ nonce }: Fence): boolean {
  return nonce.endsWith(SECRETS_MARK);
}

/** @throws DomainError `lease-lost` for what is no fence: whoever sends it holds nothing */
export function parseFence(text: string): Fence {
  const [, counter, nonce] = FORM.exec(text) ?? [];
  if (counter === undefined || nonce === undefined) {
    throw leaseLost();
  }
  return { counter, nonce };
}

/**
 * True where the scope's principal holds the lease of the run row `r` under this fence, now. That it is running goes without saying:
 * only then has a row a nonce and a deadline (CHECKs of the table). Said all the same, it would let the planner take an index of
 * running runs, which it believes to be tiny, and read its dead entries with every request of every worker.
 */
export function holds(scope: WriteScope, runId: string, fence: Fence): Sql {
  return sql`(r.organization_id = ${scope.organizationId} and r.id = ${runId}
    and r.fence = ${fence.counter}::bigint and r.fence_nonce = ${fence.nonce} and ${leaseIsValid(scope)})`;
}

/** The part of {@link holds} that is not the run's: for statements that compare the fences of several. */
export function leaseIsValid(scope: WriteScope): Sql {
  return sql`(r.claimed_by = ${scope.actor.principalId} and r.lease_expires_at > clock_timestamp())`;
}

/**
 * What a lease of the run row `r` has used up of its attempt's time so far, in ms: for `leased_ms`, by whatever gives a run back with its
 * attempt open (a release, a wait). The next claim's deadline is that much nearer; time without a lease does not count.
 */
export const LEASED_MS = sql`greatest(0, least(r.timeout_seconds * 1000.0,
  r.timeout_seconds * 1000.0 - extract(epoch from r.deadline_at - clock_timestamp()) * 1000.0))::bigint`;

/** The id of the run's task. A subselect: of a join the planner may make a product while it knows nothing of the tables. */
export function taskOf(scope: ReadScope, runId: string): Sql {
  return sql`(select r.task_id from runs r where r.organization_id = ${scope.organizationId} and r.id = ${runId})`;
}

/** The one answer to whoever does not hold the lease. */
export function leaseLost(): DomainError {
  return new DomainError('lease-lost', 'This worker does not hold the lease of this run; stop working on it.');
}
