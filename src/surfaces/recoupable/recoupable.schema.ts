/** What Recoupable's `/api/tasks` takes and answers; runs are in `recoupable-run.schema.ts`. COVERAGE.md says what of it is ours. */
import { z } from 'zod';
import { cursorQuery, idQuery } from '../../http/openapi/schemas.js';
import { cronText, timezoneText } from '../../modules/schedules/index.js';
import { newTask } from '../../modules/tasks/index.js';
import { RECOUPABLE_RUN_EXAMPLE, recoupableRunSchema } from './recoupable-run.schema.js';

const title = newTask.shape.title.unwrap();
const model = newTask.shape.model.unwrap();
const prompt = newTask.shape.prompt;

export const recoupableListQuery = z.strictObject({
  id: idQuery.optional().meta({ description: 'Only this task; an unknown one gives an empty list.' }),
  account_id: idQuery.optional().meta({ description: 'Only tasks for this account.' }),
  artist_account_id: idQuery.optional().meta({ description: 'Only tasks for this artist account.' }),
  enabled: z
    .enum(['true', 'false'], { error: 'must be true or false' })
    .transform((text) => text === 'true')
    .optional(),
  limit: z
    .string({ error: 'must be given once' })
    .regex(/^(?:[1-9]\d?|100)$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .optional()
    .meta({ description: 'Tasks a page, 1 to 100; absent: all there are.' }),
  cursor: cursorQuery,
});
export type RecoupableListQuery = z.output<typeof recoupableListQuery>;

export const recoupableRunsQuery = z.strictObject({ runId: idQuery });
export type RecoupableRunsQuery = z.output<typeof recoupableRunsQuery>;

export const recoupableNewTask = z
  .strictObject({
    title,
    prompt,
    schedule: cronText,
    artist_account_id: idQuery,
    account_id: idQuery.optional().describe('The creator’s own account where absent.'),
    model: model.optional(),
    timezone: timezoneText.default('UTC'),
  })
  .meta({ id: 'RecoupableNewTask' });
export type RecoupableNewTask = z.output<typeof recoupableNewTask>;

export const recoupableTaskPatch = z
  .strictObject({
    id: idQuery,
    title: title.optional(),
    prompt: prompt.optional(),
    schedule: cronText.nullable().optional().describe('null takes the schedule away.'),
    timezone: timezoneText.optional(),
    artist_account_id: idQuery.nullable().optional(),
    account_id: idQuery.nullable().optional(),
    model: model.nullable().optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'RecoupableTaskPatch' });
export type RecoupableTaskPatch = z.output<typeof recoupableTaskPatch>;

/** The id is in the body or, since proxies drop bodies of DELETE, in the query. */
export const recoupableDeleteQuery = z.strictObject({ id: idQuery.optional() });
export type RecoupableDeleteQuery = z.output<typeof recoupableDeleteQuery>;
export const recoupableDeleteBody = z.strictObject({ id: idQuery }).optional().meta({ id: 'RecoupableDelete' });
export type RecoupableDeleteBody = z.output<typeof recoupableDeleteBody>;

const recoupableTaskSchema = z
  .object({
    id: z.uuid(),
    title: z.string(),
    prompt: z.string(),
    schedule: z.string().describe('A cron expression; "" where there is none.'),
    timezone: z.string().nullable(),
    account_id: z.uuid().nullable(),
    artist_account_id: z.uuid().nullable(),
    enabled: z.boolean(),
    trigger_schedule_id: z.uuid().nullable(),
    recent_runs: z.array(recoupableRunSchema).describe('The last 5, newest first.'),
    upcoming: z.array(z.iso.datetime()).describe('The next 5 fire times.'),
    owner_email: z.string().nullable(),
    model: z.string().nullable(),
  })
  .meta({ id: 'RecoupableTask' });
export type RecoupableTask = z.output<typeof recoupableTaskSchema>;

const success = z.literal('success');
export const recoupableTasksSchema = z
  .object({ status: success, tasks: z.array(recoupableTaskSchema) })
  .meta({ id: 'RecoupableTasks' });
export type RecoupableTasks = z.output<typeof recoupableTasksSchema>;
export const recoupableRunsSchema = z
  .object({ status: success, runs: z.array(recoupableRunSchema) })
  .meta({ id: 'RecoupableRuns' });
export type RecoupableRuns = z.output<typeof recoupableRunsSchema>;
export const recoupableDoneSchema = z.object({ status: success }).meta({ id: 'RecoupableDone' });
export type RecoupableDone = z.output<typeof recoupableDoneSchema>;

const refusal = {
  status: z.literal('error'),
  error: z.string(),
  missing_fields: z.array(z.string()).optional().describe('The fields that are missing or not valid.'),
};
export const recoupableErrorSchema = z
  .object({ ...refusal, tasks: z.array(z.never()) })
  .meta({ id: 'RecoupableError' });
export const recoupableRunsErrorSchema = z
  .object({ ...refusal, runs: z.array(z.never()) })
  .meta({ id: 'RecoupableRunsError' });
export type RecoupableError = z.output<typeof recoupableErrorSchema> | z.output<typeof recoupableRunsErrorSchema>;

const EXAMPLE: RecoupableTask = {
  id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5061',
  title: 'Weekly digest',
  prompt: 'Sum up what happened this week.',
  schedule: '0 9 * * 1',
  timezone: 'Europe/London',
  account_id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5010',
  artist_account_id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5011',
  enabled: true,
  trigger_schedule_id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5012',
  recent_runs: [RECOUPABLE_RUN_EXAMPLE],
  upcoming: ['2030-01-14T09:00:00.000Z', '2030-01-21T09:00:00.000Z'],
  owner_email: 'ada@example.org',
  model: null,
};

export const RECOUPABLE_EXAMPLES = {
  tasks: { status: 'success', tasks: [EXAMPLE] },
  runs: { status: 'success', runs: [RECOUPABLE_RUN_EXAMPLE] },
  done: { status: 'success' },
} as const;
