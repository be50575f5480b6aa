import { z } from 'zod';
import { ROLES, TEAM_ROLES } from '../../../access/index.js';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../../http/openapi/schemas.js';

const MAX_REFERENCES = 100;
/** Thirty days: an overlap is for a rollout, not for two keys for good. */
const LONGEST_OVERLAP_SECONDS = 2_592_000;

const ids = z
  .array(idQuery)
  .min(1, 'must name at least one; leave it out for no limit')
  .max(MAX_REFERENCES)
  .refine((list) => new Set(list).size === list.length, 'must not name one twice');

export const newApiKey = z
  .strictObject({
    name: z.string().trim().min(1).max(200),
    role: z.enum(ROLES).describe('At most your own. `worker` holds the worker routes and nothing else.'),
    user_id: idQuery.optional().describe('The key has at most this user’s rights, as they are at each request.'),
    team_ids: ids
      .optional()
      .describe('The key acts in these teams only: in its `team_role`, or as viewer where its role is `viewer`.'),
    team_role: z
      .enum(TEAM_ROLES)
      .optional()
      .describe(
        'With `team_ids`: the role of the key in these teams, `maintainer` if absent. A `member` creates tasks there and reads those of ' +
          'the team, but changes only its own. With `user_id`, the key has at most the role of the user in each team.',
      ),
    agent_ids: ids.optional().describe('For `worker`: the agents whose runs the key may claim.'),
    expires_at: z.iso
      .datetime({ offset: true, error: 'must be an ISO 8601 instant, such as 2030-01-31T09:00:00Z' })
      .optional(),
  })
  .refine(({ team_role, team_ids }) => team_role === undefined || team_ids !== undefined, {
    path: ['team_role'],
    message: 'is for keys with team_ids',
  })
  .meta({ id: 'NewApiKey' });
export type NewApiKeyInput = z.output<typeof newApiKey>;

export const rotation = z
  .strictObject({
    overlap_seconds: z
      .number()
      .int()
      .min(0)
      .max(LONGEST_OVERLAP_SECONDS)
      .default(0)
      .describe('How long the secrets so far still work; 0 ends them at once.'),
  })
  .prefault({})
  .meta({ id: 'ApiKeyRotation' });
export type Rotation = z.output<typeof rotation>;

const secretSchema = z
  .object({
    prefix: z.string().describe('How the secret begins: safe to show.'),
    last_four: z.string(),
    created_at: z.string(),
    expires_at: z.string().nullable().describe('Set once another secret has taken its place.'),
  })
  .meta({ id: 'ApiKeySecret' });

export const apiKeySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    role: z.enum(ROLES),
    user_id: z.string().nullable(),
    team_ids: z.array(z.string()),
    team_role: z.enum(TEAM_ROLES).nullable().describe('The most that the key is in these teams; null: maintainer.'),
    agent_ids: z.array(z.string()),
    prefix: z.string().describe('Of the newest secret.'),
    last_four: z.string(),
    secrets: z.array(secretSchema).describe('Those that work now, newest first.'),
    created_by: z
      .string()
      .nullable()
      .describe('The user or API key that created it; null for a key of the server itself or of the command line.'),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    last_used_at: z.string().nullable().describe('To the minute or so.'),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.output<typeof apiKeySchema>;

export const apiKeyWithSecret = apiKeySchema
  .extend({
    key: z.string().nullable().describe('The secret, this once; null in a replay of the same Idempotency-Key.'),
    note: z.string(),
  })
  .meta({ id: 'ApiKeyWithSecret' });
export type ApiKeyWithSecret = z.output<typeof apiKeyWithSecret>;

export const apiKeyListQuery = listQuery.extend({
  sort: z.enum(['-created_at', 'created_at']).optional(),
  created_by: idQuery.optional().describe('Only keys that this user or API key created.'),
});
export type ApiKeyListQuery = z.output<typeof apiKeyListQuery>;

export const apiKeyPage = pageSchema(apiKeySchema, 'ApiKeyPage');

export const API_KEY_EXAMPLE: ApiKey = {
  id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b10',
  name: 'nightly import',
  role: 'member',
  user_id: null,
  team_ids: [],
  team_role: null,
  agent_ids: [],
  prefix: 'tyk_4fGq0Zr81LxB',
  last_four: 'k2Qd',
  secrets: [
    { prefix: 'tyk_4fGq0Zr81LxB', last_four: 'k2Qd', created_at: '2030-01-06T09:00:00.000Z', expires_at: null },
  ],
  created_by: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b0f',
  created_at: '2030-01-06T09:00:00.000Z',
  expires_at: null,
  last_used_at: null,
};
