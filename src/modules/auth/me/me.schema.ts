import { z } from 'zod';
import { READ_ACTIONS, ROLES, TEAM_ROLES, WRITE_ACTIONS } from '../../../access/index.js';
import { passwordField } from '../../organizations/index.js';

export const meSchema = z
  .object({
    kind: z.enum(['user', 'api_key']),
    organization: z.object({ id: z.string(), name: z.string(), slug: z.string() }),
    user: z
      .object({ id: z.string(), email: z.string(), display_name: z.string() })
      .nullable()
      .describe('The person behind the request; null for a key of its own.'),
    api_key: z.object({ id: z.string(), name: z.string() }).nullable(),
    role: z.enum(ROLES).describe('As it counts now: capped for a key by its user or its teams.'),
    teams: z.array(z.object({ id: z.string(), name: z.string(), slug: z.string(), role: z.enum(TEAM_ROLES) })),
    permissions: z
      .array(z.enum([...READ_ACTIONS, ...WRITE_ACTIONS]))
      .describe('The actions that the role grants at all.'),
  })
  .meta({ id: 'Me' });
export type Me = z.output<typeof meSchema>;

export const passwordChange = z
  .strictObject({
    current: z.string().min(1).max(1024),
    new: passwordField,
  })
  .meta({ id: 'PasswordChange' });
export type PasswordChange = z.output<typeof passwordChange>;

export const ME_EXAMPLE: Me = {
  kind: 'user',
  organization: { id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b01', name: 'Example', slug: 'example' },
  user: { id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b0f', email: 'ada@example.com', display_name: 'Ada' },
  api_key: null,
  role: 'viewer',
  teams: [{ id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b33', name: 'Research', slug: 'research', role: 'viewer' }],
  permissions: ['self:read', 'self:update', 'task:read'],
};
