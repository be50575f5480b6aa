import { z } from 'zod';
import { problemSchema } from '../../../http/openapi/problem-response.js';
import { NEW_TASK_EXAMPLE } from '../new-task.example.js';

const MAX_BATCHED = 1000;

/** Each task is held against `NewTask` on its own, so that a bad one is refused alone. */
export const newTaskBatch = z
  .strictObject({
    tasks: z
      .array(z.unknown().meta({ $ref: '#/components/schemas/NewTask' }))
      .min(1)
      .max(MAX_BATCHED),
  })
  .meta({ id: 'NewTaskBatch', examples: [{ tasks: [NEW_TASK_EXAMPLE, { agent: 'digest', prompt: 'And this.' }] }] });
export type NewTaskBatch = z.output<typeof newTaskBatch>;

const itemProblem = problemSchema.omit({ instance: true, request_id: true }).meta({ id: 'TaskBatchProblem' });

export const taskBatchSchema = z
  .object({
    results: z
      .array(
        z.object({
          status: z.int().describe('What `POST /tasks` would have answered: 201, or the status of `error`.'),
          task_id: z.uuid().optional().describe('Of the task that was made.'),
          error: itemProblem.optional().describe('Why there is none. Paths are of the whole body.'),
        }),
      )
      .describe('One of each task, in their order.'),
  })
  .meta({ id: 'TaskBatch' });
export type TaskBatch = z.output<typeof taskBatchSchema>;
export type TaskBatchResult = TaskBatch['results'][number];

export const TASK_BATCH_EXAMPLE: TaskBatch = {
  results: [
    { status: 201, task_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33' },
    {
      status: 404,
      error: {
        type: 'urn:taskyard:problem:not-found',
        title: 'Not found',
        status: 404,
        detail: 'There is no such agent.',
        code: 'not-found',
        errors: [{ path: '/tasks/1/agent', message: 'There is no such agent.' }],
      },
    },
  ],
};
