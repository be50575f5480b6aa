import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { idQuery, instantQuery } from '../../../http/openapi/schemas.js';
import { runConfigSchema } from '../../agents/index.js';
import { concurrencyKeySchema, delaySchema, ttlSchema } from '../core/run-times.js';
import { openApprovalSchema, openQuestionSchema } from '../interaction/interaction.schema.js';
import { RUN_STATUSES } from '../core/run.state.js';

/** Bytes of a JSON value as it is stored. */
const ONE_MIB = 1024 * 1024;

export const runErrorSchema = z
  .object({ message: z.string(), name: z.string(), stack_trace: z.string().nullable() })
  .meta({ id: 'RunError' });

const attemptSchema = z
  .object({
    number: z.int(),
    status: z.enum(['running', 'completed', 'failed', 'timed_out', 'canceled', 'lost']),
    worker_id: z.string().nullable(),
    started_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    error: runErrorSchema.nullable(),
  })
  .meta({ id: 'RunAttempt' });

const WAIT_REASONS = [
  'delayed',
  'backoff',
  'paused',
  'concurrency_limit',
  'concurrency_key',
  'no_worker',
  'queue',
  'running',
  'cancel_requested',
  'question',
  'approval',
  'children',
] as const;

const waitingForSchema = z
  .object({
    reason: z.enum(WAIT_REASONS),
    since: z.iso.datetime().nullable(),
    detail: z.string().describe('A sentence for people.'),
    next_action_at: z.iso.datetime().nullable().describe('When something happens by itself; null where nothing will.'),
  })
  .meta({ id: 'WaitingFor' });

export const runSchema = z
  .object({
    id: z.uuid(),
    task_id: z.uuid(),
    number: z.int(),
    agent_id: z.uuid(),
    status: z.enum(RUN_STATUSES),
    wait_kind: z.enum(['question', 'approval', 'children']).nullable(),
    attempt: z.int(),
    max_attempts: z.int(),
    priority: z.int(),
    run_config: z.record(z.string(), z.unknown()),
    payload: z.unknown(),
    output: z.record(z.string(), z.unknown()).nullable(),
    error: runErrorSchema.nullable(),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    idempotency_key: z.string().nullable(),
    is_test: z.boolean(),
    cost_in_cents: z.number(),
    base_cost_in_cents: z.number(),
    duration_ms: z.int().nullable(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    queued_at: z.iso.datetime().nullable(),
    available_at: z.iso.datetime(),
    delayed_until: z.iso.datetime().nullable(),
    ttl: z.string().nullable(),
    expired_at: z.iso.datetime().nullable(),
    started_at: z.iso.datetime().nullable(),
    finished_at: z.iso.datetime().nullable(),
    parent_run_id: z.uuid().nullable(),
    root_run_id: z.uuid(),
    depth: z.int(),
    batch_id: z.uuid().nullable(),
    concurrency_key: z.string().nullable(),
    schedule_id: z.uuid().nullable(),
    stream_id: z.uuid(),
    last_seq: z.int(),
    cancel_requested_at: z.iso.datetime().nullable(),
    replay_of_run_id: z.uuid().nullable().describe('The run that this one replays.'),
    question: openQuestionSchema.nullable().describe('What it asks, while it waits for the answer.'),
    approval: openApprovalSchema.nullable().describe('The tool call it waits with.'),
    attempts: z.array(attemptSchema),
    waiting_for: waitingForSchema
      .nullable()
      .optional()
      .describe('Of single runs, not of lists; null once it has ended.'),
  })
  .meta({ id: 'Run' });

export const runPageSchema = pageSchema(runSchema, 'RunPage');

/** What `POST /tasks/{id}/runs` takes; all of it has defaults, so an empty body is fine. */
export const newRunSchema = z
  .strictObject({
    payload: z
      .unknown()
      .optional()
      .describe('What the agent gets; the task’s own where absent. At most 1 MiB.')
      .refine(fits, 'must be at most 1 MiB as JSON'),
    run_config: runConfigSchema.optional(),
    priority: z.int().min(-100).max(100).optional().describe('Higher first.'),
    delay: delaySchema.optional(),
    ttl: ttlSchema.optional(),
    concurrency_key: concurrencyKeySchema.optional(),
  })
  .meta({ id: 'NewRun' });
export type NewRunInput = z.output<typeof newRunSchema>;

export const cancelSchema = z
  .strictObject({ force: z.boolean().default(false).describe('End it at once, even while a worker has it.') })
  .default({ force: false })
  .meta({ id: 'CancelRun' });

export const runListQuerySchema = listQuery.extend({
  status: z.enum(RUN_STATUSES).optional(),
  agent: z.string().max(63).optional().describe('The agent’s slug.'),
  task_id: idQuery.optional(),
  wait_kind: z.enum(['question', 'approval', 'children']).optional(),
  team_id: idQuery.optional().describe('Of tasks of this team.'),
  assignee: z
    .union([z.literal('me'), idQuery], { error: 'must be a UUID, or me' })
    .optional()
    .describe('Runs whose open question was put to this user; `me` is yourself.'),
  due_before: instantQuery.optional().describe('Runs whose open question runs out of time before that.'),
});
export type RunListQuery = z.output<typeof runListQuerySchema>;

export function fits(value: unknown): boolean {
  return value === undefined || Buffer.byteLength(JSON.stringify(value)) <= ONE_MIB;
}
