import { z } from 'zod';
import { timeField } from '../../organizations/index.js';

export const pauseSchema = z
  .strictObject({
    reason: z
      .string()
      .trim()
      .min(1)
      .refine((text) => Array.from(text).length <= 500, 'must be at most 500 characters')
      .optional()
      .describe('For whoever wonders why a run does not start.'),
  })
  .meta({ id: 'PauseAgent', examples: [{ reason: 'The model provider is down.' }] });
export type PauseInput = z.output<typeof pauseSchema>;

const agentWorkerSchema = z
  .object({
    worker_id: z.string().describe('As the worker calls itself; `unnamed` stands for all of a key that do not.'),
    principal: z.object({ id: z.uuid(), kind: z.enum(['user', 'api_key', 'system']) }),
    running: z.int().describe('Runs of this agent that it has now.'),
    last_seen_at: timeField,
    last_claim_at: timeField.nullable().describe('When it last got a run, give or take ten seconds.'),
  })
  .meta({ id: 'AgentWorker' });
export type AgentWorker = z.output<typeof agentWorkerSchema>;

export const agentWorkersSchema = z.object({ data: z.array(agentWorkerSchema) }).meta({ id: 'AgentWorkers' });

export const AGENT_WORKERS_EXAMPLE = {
  data: [
    {
      worker_id: 'host-1',
      principal: { id: '0198c0de-0000-7000-8000-000000000020', kind: 'api_key' },
      running: 2,
      last_seen_at: '2026-01-31T09:00:00.000Z',
      last_claim_at: '2026-01-31T08:59:58.000Z',
    },
  ],
};
