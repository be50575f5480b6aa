import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { withNotAvailable } from '../../http/filters/not-available.js';
import { cursorQuery, idQuery, limitQuery } from '../../http/openapi/schemas.js';
import { runConfigSchema } from '../agents/index.js';
import { messagePartsSchema } from '../messages/index.js';
import { concurrencyKeySchema, delaySchema, TASK_STATUSES, ttlSchema } from '../runs/index.js';
import { secretNameSchema } from '../secrets/index.js';
import { NEW_TASK_EXAMPLE } from './new-task.example.js';
import { schedulePatch, scheduleSettings } from '../schedules/index.js';

const KIB = 1024;

/** Sizes from the API's common rules; of texts in UTF-8, of values as compact JSON. */
export const TASK_LIMITS = {
  titleCharacters: 500,
  defaultTitleCharacters: 80,
  promptBytes: 1024 * KIB,
  payloadBytes: 1024 * KIB,
  metadataBytes: 64 * KIB,
  tags: 10,
  tagCharacters: 64,
} as const;

export const VISIBILITIES = ['private', 'team', 'organization'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

/** Characters as PostgreSQL counts them: code points, so that an emoji is one. */
function characters(text: string): number {
  return Array.from(text).length;
}

/** True where the value, as compact JSON, takes at most so many bytes. */
export function fitsJson(value: unknown, mostBytes: number): boolean {
  return value === undefined || Buffer.byteLength(JSON.stringify(value)) <= mostBytes;
}

const title = z
  .string()
  .min(1)
  .refine((text) => characters(text) <= TASK_LIMITS.titleCharacters, 'must be at most 500 characters');
const prompt = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= TASK_LIMITS.promptBytes, 'must be at most 1 MiB');
const payload = z
  .unknown()
  .refine((value) => fitsJson(value, TASK_LIMITS.payloadBytes), 'must be at most 1 MiB as JSON');
const metadata = z
  .record(z.string(), z.unknown())
  .refine((value) => fitsJson(value, TASK_LIMITS.metadataBytes), 'must be at most 64 KiB as JSON');
const tag = z
  .string()
  .min(1)
  .refine(
    (text) => characters(text) <= TASK_LIMITS.tagCharacters,
    `must be at most ${TASK_LIMITS.tagCharacters} characters`,
  );
/** A tag given twice counts once. */
const tags = z
  .array(tag)
  .max(TASK_LIMITS.tags)
  .transform((given) => [...new Set(given)]);
const model = z.string().min(1).max(200);
const agentSlug = z.string().min(1).max(63);
const priority = z.int().min(-100).max(100);
const maxAttempts = z.int().min(1).max(100);
const secretNames = z
  .array(secretNameSchema)
  .max(100)
  .refine((names) => new Set(names).size === names.length, 'must not name one twice')
  .describe('Secrets that its runs are given, of those that the agent’s `allowed_secret_names` name.');

const callback = z
  .string()
  .min(1)
  .max(2048)
  .describe('A URL that is sent the result of each root run that ends: https, port 443 or 8443, a public host.');

export const newTask = z
  .strictObject({
    agent: agentSlug.optional().describe('The agent by slug; the organisation’s default where neither is given.'),
    agent_id: idQuery.optional().describe('The agent by id.'),
    title: title.optional().describe('The first 80 characters of the prompt where absent, on one line.'),
    prompt,
    payload: payload.optional().describe('What the agent gets beside the prompt; at most 1 MiB.'),
    model: model.optional().describe('Short for `run_config.model`.'),
    run_config: runConfigSchema.optional(),
    project_id: idQuery.nullable().optional(),
    team_id: idQuery.nullable().optional(),
    visibility: z.enum(VISIBILITIES).optional().describe('`team` with a team, else `private`, where absent.'),
    account_id: idQuery.nullable().optional().describe('For whom; the creator’s own account where absent.'),
    artist_account_id: idQuery.nullable().optional(),
    is_isolated: z.boolean().optional(),
    secret_names: secretNames.optional(),
    callback: callback.nullable().optional(),
    tags: tags.optional(),
    metadata: metadata.optional(),
    enabled: z.boolean().optional(),
    start: z.boolean().optional().describe('Whether to run it at once; true, or false with a schedule, where absent.'),
    priority: priority.optional(),
    max_attempts: maxAttempts.optional().describe('The agent’s where absent.'),
    delay: delaySchema.optional(),
    ttl: ttlSchema.optional(),
    concurrency_key: concurrencyKeySchema.optional(),
    schedule: scheduleSettings.optional(),
  })
  .meta({ id: 'NewTask', examples: [NEW_TASK_EXAMPLE] });
export type NewTask = z.output<typeof newTask>;

export const taskPatch = withNotAvailable(
  z
    .strictObject({
      agent: agentSlug.optional(),
      agent_id: idQuery.optional(),
      title: title.optional(),
      prompt: prompt.optional(),
      payload: payload.optional(),
      model: model.nullable().optional(),
      run_config: z.record(z.string(), z.unknown()).nullable().optional().describe('Merged into the one it has.'),
      project_id: idQuery.nullable().optional(),
      team_id: idQuery.nullable().optional(),
      visibility: z.enum(VISIBILITIES).optional(),
      account_id: idQuery.nullable().optional(),
      artist_account_id: idQuery.nullable().optional(),
      is_isolated: z.boolean().optional(),
      secret_names: secretNames.optional(),
      callback: callback.nullable().optional().describe('Null: no more callbacks. Takes the right to manage the task.'),
      tags: tags.nullable().optional(),
      metadata: z.record(z.string(), z.unknown()).nullable().optional().describe('Merged into the one it has.'),
      enabled: z.boolean().optional(),
      priority: priority.nullable().optional(),
      max_attempts: maxAttempts.nullable().optional(),
      schedule: schedulePatch.nullable().optional().describe('Makes or changes its schedule; null takes it away.'),
    })
    .meta({ id: 'TaskPatch', examples: [{ title: 'A better title', tags: null }] }),
  { concurrency_key: 'Changing the concurrency key' },
);
export type TaskPatch = z.output<typeof taskPatch>;

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

export const taskListQuery = listQuery.extend({
  status: z.enum(TASK_STATUSES).optional(),
  agent: agentSlug.optional().describe('The agent’s slug.'),
  team_id: idQuery.optional(),
  project_id: idQuery.optional(),
  account_id: idQuery.optional(),
  artist_account_id: idQuery.optional(),
  created_by: z
    .union([idQuery, z.email().max(320).toLowerCase()], { error: 'must be the id of a user or key, or an e-mail' })
    .optional()
    .describe('The id of a user or key, or a user’s e-mail.'),
  tag: z
    .union([tag.transform((one) => [one]), tags])
    .optional()
    .describe('A tag that the task has. Repeat the parameter for tasks that have all of the tags: `tag=a&tag=b`.'),
  q: z.string().min(1).max(200).optional().describe('Text somewhere in the title or the prompt, whatever its case.'),
  scope: z
    .enum(['mine', 'team', 'shared', 'all'])
    .optional()
    .describe(
      '`mine`: you made it; `team`: of a team of yours; `shared`: shared with one; `all`, or absent: all you may read.',
    ),
  read_only: flag.optional().describe('Whether you may only read it.'),
});
export type TaskListQuery = z.output<typeof taskListQuery>;

export const newTaskMessage = z
  .strictObject({ text: z.string().min(1).optional(), parts: messagePartsSchema.optional() })
  .refine(({ text, parts }) => (text === undefined) !== (parts === undefined), 'give either text or parts')
  .meta({ id: 'NewTaskMessage', examples: [{ text: 'Shorter, please.' }] });
export type NewTaskMessage = z.output<typeof newTaskMessage>;

export const sharePut = z
  .strictObject({ access: z.enum(['read', 'write']) })
  .meta({ id: 'TaskSharePut', examples: [{ access: 'read' }] });
export type SharePut = z.output<typeof sharePut>;

export const shareSchema = z
  .object({ task_id: z.uuid(), team_id: z.uuid(), access: z.enum(['read', 'write']), created_at: z.iso.datetime() })
  .meta({ id: 'TaskShare' });
export type TaskShare = z.output<typeof shareSchema>;

export const sharePage = pageSchema(shareSchema, 'TaskSharePage');

export const shareListQuery = z.strictObject({ limit: limitQuery, cursor: cursorQuery });
export type ShareListQuery = z.output<typeof shareListQuery>;
