/** A run as Recoupable's page shows it, which is trigger.dev's shape. */
import { z } from 'zod';

const RECOUPABLE_RUN_STATUSES = [
  'DELAYED',
  'QUEUED',
  'EXECUTING',
  'WAITING',
  'COMPLETED',
  'FAILED',
  'TIMED_OUT',
  'EXPIRED',
  'CANCELED',
] as const;
export type RecoupableRunStatus = (typeof RECOUPABLE_RUN_STATUSES)[number];

const moment = z.iso.datetime();
const runError = z.object({ message: z.string(), name: z.string(), stackTrace: z.string().nullable() });
const related = z.object({ id: z.uuid() });

export const recoupableRunSchema = z
  .object({
    id: z.uuid(),
    status: z.enum(RECOUPABLE_RUN_STATUSES),
    taskIdentifier: z.string().describe('The agent’s slug.'),
    createdAt: moment,
    updatedAt: moment,
    idempotencyKey: z.string().nullable(),
    version: z.string().describe('The agent’s.'),
    isTest: z.boolean(),
    startedAt: moment.nullable(),
    finishedAt: moment.nullable(),
    delayedUntil: moment.nullable(),
    ttl: z.string().nullable(),
    expiredAt: moment.nullable(),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    costInCents: z.number(),
    baseCostInCents: z.number(),
    durationMs: z.number().nullable(),
    env: z.object({ id: z.uuid(), name: z.string(), user: z.null() }).describe('`id` is the organisation.'),
    depth: z.int(),
    batchId: z.uuid().nullable(),
    payload: z.unknown(),
    output: z.record(z.string(), z.unknown()).nullable().describe('What the agent returned; null before completion.'),
    error: runError.nullable(),
    attempts: z.array(
      z.object({
        id: z.uuid(),
        status: z.enum(['EXECUTING', 'COMPLETED', 'FAILED', 'TIMED_OUT', 'CANCELED']),
        createdAt: moment,
        updatedAt: moment,
        startedAt: moment,
        completedAt: moment.nullable(),
        error: runError.nullable(),
      }),
    ),
    schedule: z.object({ id: z.uuid().optional() }).describe('What fired the run; {} where nobody’s schedule did.'),
    relatedRuns: z
      .object({ root: related.optional(), parent: related.optional(), children: z.array(related).optional() })
      .describe('{} for a run of its own; of children, the first hundred.'),
  })
  .meta({ id: 'RecoupableRun' });
export type RecoupableRun = z.output<typeof recoupableRunSchema>;

export const RECOUPABLE_RUN_EXAMPLE: RecoupableRun = {
  id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5063',
  status: 'COMPLETED',
  taskIdentifier: 'digest',
  createdAt: '2030-01-07T09:00:00.000Z',
  updatedAt: '2030-01-07T09:00:01.500Z',
  idempotencyKey: null,
  version: '1',
  isTest: false,
  startedAt: '2030-01-07T09:00:00.250Z',
  finishedAt: '2030-01-07T09:00:01.500Z',
  delayedUntil: null,
  ttl: null,
  expiredAt: null,
  tags: [],
  metadata: {},
  costInCents: 0,
  baseCostInCents: 0,
  durationMs: 1250,
  env: { id: '0198a2b4-5c6d-7e8f-9a0b-1c2d3e4f5000', name: 'production', user: null },
  depth: 0,
  batchId: null,
  payload: null,
  output: { reading_minutes: 3 },
  error: null,
  attempts: [
    {
      id: 'f5b7a3de-6b0c-5c7e-9a51-0a2f1d3c4b5e',
      status: 'COMPLETED',
      createdAt: '2030-01-07T09:00:00.250Z',
      updatedAt: '2030-01-07T09:00:01.500Z',
      startedAt: '2030-01-07T09:00:00.250Z',
      completedAt: '2030-01-07T09:00:01.500Z',
      error: null,
    },
  ],
  schedule: {},
  relatedRuns: {},
};
