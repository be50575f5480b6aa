/**
 * The states of a run, drawn once; nobody else compares status strings.
 *
 * ```
 *   delayed ──▶ queued ──▶ running ──▶ completed
 *      │          │ ▲         │ ├────▶ failed
 *      │          │ └─────────┤ ├────▶ timed_out
 *      │          │  (retry,  │ └────▶ canceled
 *      │          │ lost lease,▼
 *      │          │ release) waiting ─▶ queued (answered), failed, canceled
 *      └──────────┴──▶ canceled, expired
 * ```
 * Back-off is `queued` with `available_at` ahead. Every claim raises the fence; the attempt rises only on the first claim and after
 * a failure or a lost lease. An end is final: no transition leaves it, and the log's unique end event backs that.
 */
export const RUN_STATUSES = [
  'delayed',
  'queued',
  'running',
  'waiting',
  'completed',
  'failed',
  'timed_out',
  'canceled',
  'expired',
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/** Where each state may go. */
const TRANSITIONS: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  delayed: ['queued', 'canceled', 'expired'],
  queued: ['running', 'canceled', 'expired'],
  running: ['queued', 'waiting', 'completed', 'failed', 'timed_out', 'canceled'],
  waiting: ['queued', 'failed', 'canceled'],
  completed: [],
  failed: [],
  timed_out: [],
  canceled: [],
  expired: [],
};

/** A task without a run is `idle`; otherwise its status is its latest root run's. */
export const TASK_STATUSES = ['idle', ...RUN_STATUSES] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

/** The states no transition leaves. */
export const ENDED_STATUSES: readonly RunStatus[] = RUN_STATUSES.filter((status) => TRANSITIONS[status].length === 0);

/** True for a state no transition leaves. */
export function isEnded(status: RunStatus): boolean {
  return TRANSITIONS[status].length === 0;
}

/** States from which `to` can be reached in one step: what a guarded update puts in its WHERE. */
export function statesBefore(to: RunStatus): RunStatus[] {
  return RUN_STATUSES.filter((from) => TRANSITIONS[from].includes(to));
}

/** States in which a cancel takes effect at once, since no worker has the run. */
export function cancelableAtOnce(): RunStatus[] {
  return statesBefore('canceled').filter((status) => status !== 'running');
}

/** What becomes of a run whose lease ran out: the attempt is spent, and a worker that always dies must not loop for ever. */
export function afterLostLease(run: { attempt: number; maxAttempts: number; cancelRequested: boolean }): RunStatus {
  if (run.cancelRequested) {
    return 'canceled';
  }
  return run.attempt < run.maxAttempts ? 'queued' : 'failed';
}

/** How each end is told in the attempt's own row. */
export type AttemptStatus = 'running' | 'completed' | 'failed' | 'timed_out' | 'canceled' | 'lost';
