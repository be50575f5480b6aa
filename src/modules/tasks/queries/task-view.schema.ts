/** What a task looks like from outside: the detail of the Neo page, which is the native API's own, and the items of the list. */
import { z } from 'zod';
import { pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { resolvedRunConfigSchema } from '../../agents/index.js';
import { messageSchema } from '../../messages/index.js';
import { TASK_STATUSES } from '../../runs/index.js';
import { NEO_STATUSES } from '../surfaces/neo.vocabulary.js';
import { VISIBILITIES } from '../tasks.schema.js';

const moment = z.iso.datetime();

const executionInfo = z.object({
  execution_id: z.uuid(),
  scheduled_at: moment,
  started_at: moment.nullable(),
  completed_at: moment.nullable(),
});

const scheduleInfo = z
  .object({
    execution_count: z.int(),
    schedule_id: z.uuid(),
    execution_info: executionInfo.nullable().describe('The latest slot that fired.'),
    last_executed_at: moment.nullable(),
    next_execution_at: moment.nullable(),
    schedule_name: z.string(),
    start_time: z.string().nullable().describe('Local HH:MM of the next fire in the schedule’s zone.'),
  })
  .meta({ id: 'ScheduleInfo' });

const taskFields = {
  created_at: moment,
  id: z.uuid(),
  title: z.string(),
  created_by: z.email().nullable().describe('The creator’s e-mail; null for a key without a user.'),
  is_isolated: z.boolean(),
  is_scheduled: z.boolean(),
  model: z.string().nullable(),
  project_id: z.uuid().nullable(),
  schedule_info: scheduleInfo.nullable(),
  secret_names: z.array(z.string()),
  updated_at: moment,
  status: z.enum(TASK_STATUSES).describe('Of its latest root run; `idle` without one.'),
  prompt: z.string(),
  payload: z.unknown(),
  run_config: z
    .record(z.string(), z.unknown())
    .describe('As set on the task; see `stream.run_config` for what a run gets.'),
  agent_id: z.uuid(),
  agent: z.string().describe('The agent’s slug.'),
  team_id: z.uuid().nullable(),
  visibility: z.enum(VISIBILITIES),
  account_id: z.uuid().nullable(),
  artist_account_id: z.uuid().nullable(),
  created_by_id: z.uuid(),
  tags: z.array(z.string()),
  metadata: z.record(z.string(), z.unknown()),
  enabled: z.boolean(),
  priority: z.int(),
  max_attempts: z.int().nullable(),
  callback: z
    .string()
    .nullable()
    .describe(
      'Where the end of each run is posted. Null for those who may not change it, since such URLs often hold a token.',
    ),
  latest_run_id: z.uuid().nullable(),
  run_count: z.int(),
};

const taskSchema = z.object(taskFields).meta({ id: 'Task' });

/** Lists show no more of a prompt. */
export const MAX_LISTED_PROMPT_CHARACTERS = 4_096;

const taskItemSchema = z
  .object({
    ...taskFields,
    prompt: z
      .string()
      .describe(
        `The first ${MAX_LISTED_PROMPT_CHARACTERS} characters; \`GET /api/v1/tasks/{id}\` returns the whole prompt.`,
      ),
    prompt_truncated: z.boolean().describe('True if the prompt is longer than what is shown here.'),
    read_only: z.boolean(),
  })
  .meta({ id: 'TaskItem' });
export const taskPage = pageSchema(taskItemSchema, 'TaskPage');

const streamStatus = z.enum(NEO_STATUSES);

export const taskDetailSchema = z
  .object({
    messages: z.array(messageSchema).describe('The newest 200, oldest first.'),
    task: taskSchema,
    read_only: z.boolean().describe('You may read the task, but not change it.'),
    stream: z
      .object({
        hasStream: z.boolean(),
        last_seq: z.int(),
        run_config: resolvedRunConfigSchema,
        streamId: z.uuid().nullable(),
        streamStatus: streamStatus.nullable(),
      })
      .describe('The latest root run.'),
    streamUrls: z
      .array(z.object({ streamId: z.uuid(), url: z.url(), status: streamStatus, expires_at: moment }))
      .describe('Presigned, 15 minutes; one for each of `streams`.'),
    streams: z
      .array(
        z.object({
          created_at: moment,
          status: streamStatus,
          stream_id: z.uuid(),
          completed_at: moment.nullable(),
          run_config: resolvedRunConfigSchema,
        }),
      )
      .describe('The newest 100 runs, oldest first.'),
    messages_total: z.int(),
    streams_total: z.int(),
  })
  .meta({ id: 'TaskDetail' });

export type TaskShown = z.output<typeof taskSchema>;
export type TaskItem = z.output<typeof taskItemSchema>;
export type TaskDetail = z.output<typeof taskDetailSchema>;
