import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { emailField, idField, nameField, passwordField, slugField, times } from '../fields.schema.js';

/** Most bytes of an organisation's settings, as JSON. */
export const SETTINGS_BYTES = 64 * 1024;

export const organizationSchema = z
  .object({
    id: z.uuid(),
    slug: z.string(),
    name: z.string(),
    default_agent_id: z.uuid().nullable().describe('Runs tasks that name no agent.'),
    settings: z
      .record(z.string(), z.unknown())
      .describe(
        'Whatever the organisation’s own tools keep here; and `schedule_floor_seconds`: schedules fire no more often (60 where absent).',
      ),
    ...times,
  })
  .meta({ id: 'Organization' });
export type OrganizationView = z.output<typeof organizationSchema>;

export const organizationPatchSchema = z
  .strictObject({
    name: nameField.optional(),
    default_agent_id: idField.nullable().optional(),
    settings: z
      .record(z.string(), z.unknown())
      .nullable()
      .optional()
      .describe('Merged into what is there (RFC 7396); at most 64 KiB.'),
  })
  .meta({ id: 'OrganizationPatch' });
export type OrganizationPatch = z.output<typeof organizationPatchSchema>;

export const newOrganizationSchema = z
  .strictObject({
    name: nameField,
    slug: slugField,
    owner: z.strictObject({ email: emailField, password: passwordField, display_name: nameField.optional() }),
  })
  .meta({ id: 'NewOrganization' });
export type NewOrganizationInput = z.output<typeof newOrganizationSchema>;

export const organizationListQuery = listQuery;
export const organizationPage = pageSchema(organizationSchema, 'OrganizationPage');

export const ORGANIZATION_EXAMPLE: OrganizationView = {
  id: '0198c0de-0000-7000-8000-000000000001',
  slug: 'acme',
  name: 'Acme',
  default_agent_id: '0198c0de-0000-7000-8000-000000000010',
  settings: {},
  created_at: '2026-01-31T09:00:00.000Z',
  updated_at: '2026-01-31T09:00:00.000Z',
};
