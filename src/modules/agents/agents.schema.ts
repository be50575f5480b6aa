import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { nameField, slugField, timeField } from '../organizations/index.js';
import { QUEUE_DEFAULTS, queueFields, RETRY_DEFAULTS, retrySchema, STRATEGIES } from './queue/queue-settings.js';
import { runConfigSchema } from './run-config.schema.js';

/** Builtin agents, by the name that `config.builtin` gives: code of ours, found by it where it is run. */
export const BUILTIN_NAMES = ['digest'] as const;

export const AGENT_KINDS = ['worker', 'http', 'command', 'builtin'] as const;
export type AgentKind = (typeof AGENT_KINDS)[number];

/** Most bytes of an agent's `config`, as JSON. */
export const CONFIG_BYTES = 64 * 1024;

/** What an agent is without being told. */
export const AGENT_DEFAULTS = {
  version: '1',
  description: '',
  max_attempts: 3,
  timeout_seconds: 3600,
  lease_seconds: 60,
};

const object = z.record(z.string(), z.unknown());

export const agentSchema = z
  .object({
    id: z.uuid(),
    slug: z.string(),
    name: z.string(),
    kind: z.enum(AGENT_KINDS),
    version: z.string(),
    description: z.string(),
    config: object,
    max_attempts: z.int(),
    timeout_seconds: z.int().describe('Leased time of one attempt.'),
    lease_seconds: z.int().describe('A worker that is not heard of for so long has lost the run.'),
    retry: retrySchema,
    concurrency_limit: z.int().nullable(),
    concurrency_key_limit: z.int(),
    concurrency_strategy: z.enum(STRATEGIES),
    paused_at: timeField.nullable().describe('Its runs are not claimed since then; null where they are.'),
    pause_reason: z.string().nullable(),
    default_run_config: runConfigSchema,
    allowed_secret_names: z.array(z.string()).describe('The secrets that its tasks may name.'),
    created_at: timeField,
    updated_at: timeField,
  })
  .meta({ id: 'Agent' });
export type AgentView = z.output<typeof agentSchema>;

/** What can be said of an agent whenever. Null stands for the default. */
const settings = {
  version: z.string().trim().min(1).max(64).nullable().optional(),
  description: z.string().max(4000).nullable().optional(),
  max_attempts: z.int().min(1).max(100).nullable().optional(),
  timeout_seconds: z.int().min(1).max(604_800).nullable().optional(),
  lease_seconds: z.int().min(5).max(3600).nullable().optional(),
  ...queueFields,
  allowed_secret_names: z
    .array(
      z
        .string()
        .max(128)
        .regex(/^[A-Z][A-Z0-9_]*$/, 'must be capital letters, digits and _, beginning with a letter'),
    )
    .max(100)
    .refine((names) => new Set(names).size === names.length, 'must not name one twice')
    .optional()
    .describe('The secrets that its tasks may name. Emptied when where the agent runs changes, unless given again.'),
};

export const newAgentSchema = z
  .strictObject({
    slug: slugField,
    name: nameField.optional().describe('The slug where absent.'),
    kind: z.enum(AGENT_KINDS),
    config: object
      .optional()
      .describe(
        `For kind builtin: {"builtin": one of ${BUILTIN_NAMES.join(', ')}}; for http: {"url", "headers"?}; for command: {"command": a name in the operator's AGENTS_FILE}. At most 64 KiB.`,
      ),
    default_run_config: runConfigSchema.optional(),
    ...settings,
  })
  .meta({ id: 'NewAgent' });
export type NewAgentInput = z.output<typeof newAgentSchema>;

export const agentPatchSchema = z
  .strictObject({
    slug: slugField.optional(),
    name: nameField.optional(),
    config: object.nullable().optional().describe('Merged into what is there.'),
    default_run_config: object.nullable().optional().describe('Merged into what is there.'),
    ...settings,
  })
  .meta({ id: 'AgentPatch' });
export type AgentPatch = z.output<typeof agentPatchSchema>;

export const agentSigningSecretSchema = z
  .object({
    secret: z.string().describe('As libraries for Standard Webhooks take it.'),
    origin: z.string().describe('Whom it is for; an agent that is moved to another origin has another secret.'),
  })
  .meta({ id: 'AgentSigningSecret' });
export type AgentSigningSecret = z.output<typeof agentSigningSecretSchema>;

export const agentListQuery = listQuery.extend({ slug: z.string().max(63).optional() });
export type AgentListQuery = z.output<typeof agentListQuery>;
export const agentPage = pageSchema(agentSchema, 'AgentPage');

export const AGENT_EXAMPLE: AgentView = {
  id: '0198c0de-0000-7000-8000-000000000010',
  slug: 'digest',
  name: 'Digest',
  kind: 'builtin',
  version: '1',
  description: 'Reads a text and says what matters in it.',
  config: { builtin: 'digest' },
  max_attempts: 3,
  timeout_seconds: 3600,
  lease_seconds: 60,
  retry: RETRY_DEFAULTS,
  ...QUEUE_DEFAULTS,
  paused_at: null,
  pause_reason: null,
  default_run_config: {},
  allowed_secret_names: [],
  created_at: '2026-01-31T09:00:00.000Z',
  updated_at: '2026-01-31T09:00:00.000Z',
};
