import { z } from 'zod';
import { pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { idQuery, instantQuery } from '../../../http/openapi/schemas.js';
import { RUN_STATUSES } from '../core/run.state.js';

const BULK_ACTIONS = ['cancel', 'replay'] as const;
export type BulkAction = (typeof BULK_ACTIONS)[number];

/** Of one operation, which keeps a row for each run until it is done. */
export const MAX_MATCHED = 100_000;

const bulkFilter = z
  .strictObject({
    status: z.enum(RUN_STATUSES).optional(),
    agent: z.string().min(1).max(63).optional().describe('The agent’s slug.'),
    task_id: idQuery.optional(),
    team_id: idQuery.optional().describe('Of tasks of this team.'),
    tag: z.string().min(1).max(256).optional().describe('Runs that have this tag.'),
    created_after: instantQuery.optional().describe('Inclusive.'),
    created_before: instantQuery.optional().describe('Exclusive.'),
  })
  .refine(
    (filter) => Object.keys(filter).length > 0,
    'must name at least one thing, since an empty filter matches every run',
  )
  .meta({ id: 'BulkFilter', minProperties: 1 });
export type BulkFilter = z.output<typeof bulkFilter>;

export const newBulkOperation = z
  .strictObject({
    action: z.enum(BULK_ACTIONS).describe('`cancel` is for runs that have not ended, `replay` for those that have.'),
    filter: bulkFilter.describe('All that is named must be true of a run.'),
    dry_run: z.boolean().optional().describe('Only counts; false where absent.'),
  })
  .meta({ id: 'NewBulkOperation', examples: [{ action: 'cancel', filter: { agent: 'summarise', status: 'queued' } }] });
export type NewBulkOperation = z.output<typeof newBulkOperation>;

export const bulkOperationSchema = z
  .object({
    id: z.uuid(),
    action: z.enum(BULK_ACTIONS),
    filter: bulkFilter,
    dry_run: z.boolean(),
    status: z
      .enum(['running', 'completed', 'stopped'])
      .describe('`stopped`: whoever started it may no longer do this; what was left is left.'),
    matched: z.int().describe('Runs that matched when it was started.'),
    done: z.int(),
    failed: z.int(),
    failures: z.record(z.string(), z.int()).describe('How many failed, by the code of the error.'),
    created_by: z.uuid(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'BulkOperation' });
export type BulkOperation = z.output<typeof bulkOperationSchema>;

export const bulkOperationPage = pageSchema(bulkOperationSchema, 'BulkOperationPage');

export const BULK_OPERATION_EXAMPLE: BulkOperation = {
  id: '019a2f63-2a10-7c1e-9a55-6b1f0c2d3e44',
  action: 'cancel',
  filter: { agent: 'summarise', status: 'queued' },
  dry_run: false,
  status: 'running',
  matched: 1200,
  done: 450,
  failed: 2,
  failures: { 'run-ended': 2 },
  created_by: '0198c0de-0000-7000-8000-000000000002',
  created_at: '2030-01-04T12:00:00.000Z',
  updated_at: '2030-01-04T12:00:02.104Z',
  finished_at: null,
};
