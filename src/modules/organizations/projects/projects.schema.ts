import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../../http/openapi/schemas.js';
import { idField, nameField, timeField, times } from '../fields.schema.js';

export const projectSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    team_id: z.uuid().nullable(),
    created_by: z.uuid().describe('A user or a key.'),
    ...times,
  })
  .meta({ id: 'Project' });
export type ProjectView = z.output<typeof projectSchema>;

const teamField = idField.nullable().optional().describe('Its maintainers manage the project too.');

export const newProjectSchema = z.strictObject({ name: nameField, team_id: teamField }).meta({ id: 'NewProject' });
export type NewProjectInput = z.output<typeof newProjectSchema>;

export const projectPatchSchema = z
  .strictObject({ name: nameField.optional(), team_id: teamField })
  .meta({ id: 'ProjectPatch' });
export type ProjectPatch = z.output<typeof projectPatchSchema>;

export const projectListQuery = listQuery.extend({ team_id: idQuery.optional() });
export type ProjectListQuery = z.output<typeof projectListQuery>;
export const projectPage = pageSchema(projectSchema, 'ProjectPage');

const accessField = z.enum(['read', 'write']);

export const projectShareSchema = z
  .object({ project_id: z.uuid(), team_id: z.uuid(), access: accessField, created_at: timeField })
  .meta({ id: 'ProjectShare' });
export type ProjectShareView = z.output<typeof projectShareSchema>;

export const shareAccessSchema = z.strictObject({ access: accessField }).meta({ id: 'ProjectShareAccess' });
export type ShareAccessInput = z.output<typeof shareAccessSchema>;

export const shareListQuery = listQuery
  .omit({ sort: true })
  .extend({ sort: z.enum(['-created_at', 'created_at']).optional() });
export const projectSharePage = pageSchema(projectShareSchema, 'ProjectSharePage');

const MOMENT = '2026-01-31T09:00:00.000Z';

export const PROJECT_EXAMPLE: ProjectView = {
  id: '0198c0de-0000-7000-8000-000000000004',
  name: 'Launch',
  team_id: '0198c0de-0000-7000-8000-000000000003',
  created_by: '0198c0de-0000-7000-8000-000000000002',
  created_at: MOMENT,
  updated_at: MOMENT,
};

export const PROJECT_SHARE_EXAMPLE: ProjectShareView = {
  project_id: PROJECT_EXAMPLE.id,
  team_id: '0198c0de-0000-7000-8000-000000000005',
  access: 'read',
  created_at: MOMENT,
};
