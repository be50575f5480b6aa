/** The words of the NLA page (“About task”, `/api/v1/task`); COVERAGE.md says what of it holds and what is ours. */
import { z } from 'zod';
import { cursorQuery } from '../../http/openapi/schemas.js';

/** Not strict: the page's clients may send what they like beside these. Without them, the whole list. */
export const nlaListQuery = z.object({
  limit: z
    .string({ error: 'must be given once' })
    .regex(/^(?:[1-9]\d?|100)$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .optional()
    .meta({ description: 'Tasks a page, 1 to 100; absent: all there are.' }),
  cursor: cursorQuery,
});
export type NlaListQuery = z.output<typeof nlaListQuery>;

const NLA_STATUSES = ['running', 'complete', 'error'] as const;
export type NlaStatus = (typeof NLA_STATUSES)[number];

export const nlaTaskSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    agentId: z.uuid(),
    userId: z.uuid().nullable().describe('Null where a key without a user made the task.'),
    createdAt: z.iso.datetime(),
    logs: z.array(z.string()).describe('The last 1,000 lines of the latest run, oldest first.'),
    output: z.record(z.string(), z.unknown()).describe('What the agent returned; {} before.'),
    status: z.enum(NLA_STATUSES),
    callback: z.string().nullable(),
    agent: z.object({ id: z.uuid(), name: z.string() }),
    user: z.object({ id: z.uuid(), email: z.string() }).nullable(),
  })
  .meta({ id: 'NlaTask' });
export type NlaTask = z.output<typeof nlaTaskSchema>;

export const nlaListSchema = z.array(nlaTaskSchema);

export const nlaErrorSchema = z.object({ error: z.string() }).meta({ id: 'NlaError' });

export const NLA_EXAMPLE: NlaTask = {
  id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5061',
  name: 'Digest the README',
  agentId: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5001',
  userId: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5002',
  createdAt: '2030-01-07T09:00:00.000Z',
  logs: ['Reading 4 sections', 'Drew the chart'],
  output: { reading_minutes: 3 },
  status: 'complete',
  callback: null,
  agent: { id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5001', name: 'Digest' },
  user: { id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5002', email: 'ada@example.org' },
};
