import { z } from 'zod';
import { TEAM_ROLES } from '../../../access/index.js';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { nameField, slugField, times } from '../fields.schema.js';

export const teamSchema = z.object({ id: z.uuid(), name: z.string(), slug: z.string(), ...times }).meta({ id: 'Team' });
export type TeamView = z.output<typeof teamSchema>;

export const newTeamSchema = z.strictObject({ name: nameField, slug: slugField }).meta({ id: 'NewTeam' });
export type NewTeamInput = z.output<typeof newTeamSchema>;

export const teamPatchSchema = z
  .strictObject({ name: nameField.optional(), slug: slugField.optional() })
  .meta({ id: 'TeamPatch' });
export type TeamPatch = z.output<typeof teamPatchSchema>;

export const teamDeletionQuery = z.strictObject({
  keys: z
    .enum(['revoke'])
    .optional()
    .describe(
      '`revoke` revokes the API keys that are limited to this team only. Without it, such keys that still work keep the team from being deleted (409).',
    ),
});
export type TeamDeletion = z.output<typeof teamDeletionQuery>;

export const teamListQuery = listQuery;
export const teamPage = pageSchema(teamSchema, 'TeamPage');

const teamRole = z.enum(TEAM_ROLES);

export const teamMemberSchema = z
  .object({ user_id: z.uuid(), email: z.string(), display_name: z.string(), role: teamRole, ...times })
  .meta({ id: 'TeamMember' });
export type TeamMemberView = z.output<typeof teamMemberSchema>;

export const memberRoleSchema = z.strictObject({ role: teamRole }).meta({ id: 'TeamMemberRole' });
export type MemberRoleInput = z.output<typeof memberRoleSchema>;

export const teamMemberPage = pageSchema(teamMemberSchema, 'TeamMemberPage');

const MOMENT = '2026-01-31T09:00:00.000Z';

export const TEAM_EXAMPLE: TeamView = {
  id: '0198c0de-0000-7000-8000-000000000003',
  name: 'Research',
  slug: 'research',
  created_at: MOMENT,
  updated_at: MOMENT,
};

export const TEAM_MEMBER_EXAMPLE: TeamMemberView = {
  user_id: '0198c0de-0000-7000-8000-000000000002',
  email: 'ada@example.com',
  display_name: 'Ada',
  role: 'maintainer',
  created_at: MOMENT,
  updated_at: MOMENT,
};
