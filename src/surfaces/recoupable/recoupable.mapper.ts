/** Between our words and Recoupable's; the only file that knows both. Pure. */
import { v5 } from 'uuid';
import type { Failure } from '../../http/filters/failure.js';
import { invalid } from '../../kernel/errors.js';
import type { RunOverview, TaskOverview, NewTask, TaskPatch } from '../../modules/tasks/index.js';
import type { RecoupableRun, RecoupableRunStatus } from './recoupable-run.schema.js';
import type {
  RecoupableDeleteBody,
  RecoupableDeleteQuery,
  RecoupableDone,
  RecoupableError,
  RecoupableListQuery,
  RecoupableNewTask,
  RecoupableRuns,
  RecoupableTask,
  RecoupableTaskPatch,
  RecoupableTasks,
} from './recoupable.schema.js';

const RUN_STATUS = {
  delayed: 'DELAYED',
  queued: 'QUEUED',
  running: 'EXECUTING',
  waiting: 'WAITING',
  completed: 'COMPLETED',
  failed: 'FAILED',
  timed_out: 'TIMED_OUT',
  expired: 'EXPIRED',
  canceled: 'CANCELED',
} as const satisfies Record<RunOverview['status'], RecoupableRunStatus>;

type Attempt = RunOverview['attempts'][number];
type ShownAttempt = RecoupableRun['attempts'][number];

const ATTEMPT_STATUS = {
  running: 'EXECUTING',
  completed: 'COMPLETED',
  failed: 'FAILED',
  timed_out: 'TIMED_OUT',
  canceled: 'CANCELED',
  // Its worker went silent; the page has no word for that.
  lost: 'FAILED',
} as const satisfies Record<Attempt['status'], ShownAttempt['status']>;

export function toTasks(tasks: RecoupableTask[]): RecoupableTasks {
  return { status: 'success', tasks };
}

export function toRuns(run: RunOverview | null, organizationId: string): RecoupableRuns {
  return { status: 'success', runs: run === null ? [] : [toRun(run, organizationId)] };
}

export const DONE: RecoupableDone = { status: 'success' };

/** How a task of this organisation is shown. */
export function taskOf(organizationId: string): (task: TaskOverview) => RecoupableTask {
  return ({
    id,
    title,
    prompt,
    schedule,
    account_id,
    artist_account_id,
    enabled,
    recent_runs,
    upcoming,
    owner_email,
    model,
  }) => ({
    id,
    title,
    prompt,
    schedule: schedule?.rule.cron ?? '',
    timezone: schedule?.rule.timezone ?? null,
    account_id,
    artist_account_id,
    enabled,
    trigger_schedule_id: schedule?.schedule_id ?? null,
    recent_runs: recent_runs.map((run) => toRun(run, organizationId)),
    upcoming,
    owner_email,
    model,
  });
}

function toRun(run: RunOverview, organizationId: string): RecoupableRun {
  return {
    id: run.id,
    status: RUN_STATUS[run.status],
    taskIdentifier: run.agent.slug,
    createdAt: run.created_at,
    updatedAt: run.updated_at,
    idempotencyKey: run.idempotency_key,
    version: run.agent.version,
    isTest: run.is_test,
    startedAt: run.started_at,
    finishedAt: run.finished_at,
    delayedUntil: run.delayed_until,
    ttl: run.ttl,
    expiredAt: run.expired_at,
    tags: run.tags,
    metadata: run.metadata,
    costInCents: run.cost_in_cents,
    baseCostInCents: run.base_cost_in_cents,
    durationMs: run.duration_ms,
    env: { id: organizationId, name: 'production', user: null },
    depth: run.depth,
    batchId: run.batch_id,
    payload: run.payload,
    output: run.output,
    error: toError(run.error),
    attempts: run.attempts.map((attempt) => toAttempt(run.id, attempt)),
    schedule: run.schedule_id === null ? {} : { id: run.schedule_id },
    relatedRuns: {
      ...(run.parent_run_id === null ? {} : { root: { id: run.root_run_id }, parent: { id: run.parent_run_id } }),
      ...(run.child_run_ids.length === 0 ? {} : { children: run.child_run_ids.map((id) => ({ id })) }),
    },
  };
}

/** Attempts are numbered within their run; the page wants an id, so one is derived that is always the same. */
function toAttempt(runId: string, { number, status, started_at, finished_at, error }: Attempt): ShownAttempt {
  return {
    id: v5(String(number), runId),
    status: ATTEMPT_STATUS[status],
    createdAt: started_at,
    updatedAt: finished_at ?? started_at,
    startedAt: started_at,
    completedAt: finished_at,
    error: toError(error),
  };
}

function toError(error: RunOverview['error']): RecoupableRun['error'] {
  return error === null ? null : { message: error.message, name: error.name, stackTrace: error.stack_trace ?? null };
}

/** The filter and the page of a list's query. */
export function fromListQuery({ limit, cursor, ...filter }: RecoupableListQuery) {
  return { filter, page: { limit, cursor } };
}

/** For the organisation's default agent, with a schedule and no run. */
export function fromNewTask({ schedule, timezone, ...task }: RecoupableNewTask): NewTask {
  return { ...task, schedule: { cron: schedule, timezone }, start: false };
}

export function fromTaskPatch({ id: _id, schedule, timezone, ...patch }: RecoupableTaskPatch): TaskPatch {
  if (schedule === null) {
    return { ...patch, schedule: null };
  }
  return schedule === undefined && timezone === undefined
    ? patch
    : { ...patch, schedule: { cron: schedule, timezone } };
}

/** @throws DomainError `invalid-request` where no id is given, or two that differ */
export function fromDelete(query: RecoupableDeleteQuery, body: RecoupableDeleteBody): string {
  const id = body?.id ?? query.id;
  if (id === undefined) {
    throw invalid('/id', 'Give the id of the task to delete, in the body or as ?id=.');
  }
  if (query.id !== undefined && query.id !== id) {
    throw invalid('/id', 'The ids in the body and the query differ.');
  }
  return id;
}

export function toRecoupableError({ detail, issues }: Failure, isAboutRuns: boolean): RecoupableError {
  const fields = [...new Set(issues.flatMap(({ path }) => fieldOf(path)))];
  const refusal = {
    status: 'error',
    error: detail,
    ...(fields.length === 0 ? {} : { missing_fields: fields }),
  } as const;
  return isAboutRuns ? { ...refusal, runs: [] } : { ...refusal, tasks: [] };
}

/** The page's name of the field a pointer is about; pointers are into our input, where the schedule is an object. */
function fieldOf(pointer: string): string[] {
  const [field, within] = pointer.startsWith('?') ? [pointer.slice(1)] : pointer.split('/').slice(1);
  if (field === undefined || field === '') {
    return [];
  }
  return [field === 'schedule' && within === 'timezone' ? 'timezone' : field];
}
