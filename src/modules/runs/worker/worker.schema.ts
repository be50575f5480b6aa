import { z } from 'zod';
import { JSON_LIMITS } from '../../../http/body/json/json-limits.js';
import { messagePartSchema, messageSchema } from '../../messages/index.js';
import { nullsAsAbsent } from './null-members.js';
import { resumeSchema } from '../interaction/interaction.schema.js';
import { fits, runSchema } from '../views/runs.schema.js';
import { keepDeltaHalves } from './delta-halves.js';
import { asFailure, reportOf, workerErrorSchema } from './worker-error.js';
import { asLog, asProblem, LOG_LEVELS } from './worker-log.js';

const KIB = 1024;
/** One event, as JSON. */
export const EVENT_BYTES = 256 * KIB;
export const BATCH_EVENTS = 500;

/** What the parser of bodies holds to (`src/http/body/json/json-limits.ts`). */
const JSON_BOUNDS = `The body may be nested ${JSON_LIMITS.maxDepth} levels deep and hold ${JSON_LIMITS.maxElements.toLocaleString('en')} members and elements, ${JSON_LIMITS.maxObjectMembers.toLocaleString('en')} members in one object; a number that a double would change is refused, send it as text.`;

const fence = z.string().min(1).max(100).describe('As the claim gave it; opaque.');
const object = z.record(z.string(), z.unknown());
const cents = z.number().min(0).max(1_000_000_000);
const tokens = z.int().min(0).max(1_000_000_000_000);

export const claimSchema = nullsAsAbsent(
  z.strictObject({
    agents: z.array(z.string().min(1).max(63)).min(1).max(50).describe('Slugs of the agents this worker runs.'),
    max: z.int().min(1).max(100).default(1),
    wait_seconds: z.int().min(0).max(30).default(0).describe('How long to wait for work before answering with none.'),
    worker_id: z.string().min(1).max(200).optional().describe('Whatever names this worker to people.'),
  }),
).meta({ id: 'Claim' });
export type ClaimInput = z.output<typeof claimSchema>;

const taskForWorker = z
  .looseObject({ id: z.uuid(), title: z.string(), prompt: z.string(), payload: z.unknown() })
  .meta({ id: 'ClaimedTask' });

export const claimReplySchema = z
  .object({
    runs: z.array(
      z.object({
        run: runSchema,
        task: taskForWorker,
        messages: z.array(messageSchema),
        secrets: z.record(z.string(), z.string()),
        resume: resumeSchema.nullable().describe('What the run’s last wait ended with; null where it has not waited.'),
        lease: z.object({ fence: z.string(), expires_in_seconds: z.int() }),
      }),
    ),
  })
  .meta({ id: 'ClaimReply' });

export const heartbeatSchema = z.object({ fence }).meta({ id: 'Heartbeat' });
export const heartbeatReplySchema = z
  .object({ expires_in_seconds: z.int(), cancel_requested: z.boolean() })
  .meta({ id: 'HeartbeatReply' });

const isCutLater = (type: string): boolean => type === 'log' || type === 'problem';

/** Whether a value is small enough for one event. */
export function fitsEvent(value: unknown): boolean {
  return Buffer.byteLength(JSON.stringify(value)) <= EVENT_BYTES;
}

/** What a worker may append; the other types of the log are the server's own. */
export const workerEventSchema = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('message'),
      data: nullsAsAbsent(
        z.strictObject({
          id: z.string().min(1).max(200).optional(),
          role: z.enum(['user', 'assistant', 'system', 'tool']),
          parts: z.array(messagePartSchema).min(1).max(100),
        }),
      ),
    }),
    z.strictObject({
      type: z.literal('delta'),
      data: nullsAsAbsent(
        z.strictObject({
          message_id: z.string().max(200).optional(),
          text: z.string().describe('A character may be cut in two between two deltas of a message: they are joined.'),
        }),
      ),
    }),
    z.object({
      type: z.literal('log'),
      data: z.preprocess(
        asLog,
        z.object({
          level: z.enum(LOG_LEVELS).optional().describe('Other common names are read too; an unknown one is left out.'),
          text: z.string().describe('Cut after 65,536 characters.'),
        }),
      ),
    }),
    z.strictObject({
      type: z.literal('tool_call'),
      data: nullsAsAbsent(
        z.object({
          id: z.string().min(1).max(200),
          name: z.string().min(1).max(200),
          input: z.unknown().optional(),
          requires_approval: z
            .boolean()
            .optional()
            .describe(
              'Where the run’s `auto_execute` is false, the run waits until somebody approves or declines the call.',
            ),
        }),
      ),
    }),
    z.strictObject({
      type: z.literal('tool_result'),
      data: nullsAsAbsent(
        z.object({
          id: z.string().min(1).max(200),
          output: z.unknown().optional(),
          is_error: z.boolean().optional(),
        }),
      ),
    }),
    z.strictObject({
      type: z.literal('usage'),
      data: nullsAsAbsent(
        z.object({
          model: z.string().max(200).optional(),
          input_tokens: tokens.optional(),
          output_tokens: tokens.optional(),
          cost_in_cents: cents.optional(),
        }),
      ),
    }),
    z.object({
      type: z.literal('problem'),
      data: z.preprocess(
        asProblem,
        z.object({
          name: z.string().describe('Cut after 200 characters.'),
          message: z.string().describe('Cut after 65,536 characters.'),
        }),
      ),
    }),
    z.strictObject({ type: z.literal('custom'), data: object }),
  ])
  .refine((event) => isCutLater(event.type) || fitsEvent(event), 'must be at most 256 KiB as JSON')
  .meta({ id: 'WorkerEvent' });
export type WorkerEvent = z.output<typeof workerEventSchema>;

export const eventsSchema = z
  .preprocess(
    keepDeltaHalves,
    nullsAsAbsent(
      z.strictObject({
        fence,
        events: z
          .array(workerEventSchema)
          .min(1)
          .max(BATCH_EVENTS)
          .describe(
            `All are appended, or none. Each is at most 256 KiB as JSON; longer texts of \`log\` and \`problem\` are cut. ${JSON_BOUNDS}`,
          ),
        batch_id: z
          .string()
          .min(1)
          .max(200)
          .optional()
          .describe('Send it again with the same events after a lost reply: appended once.'),
      }),
    ),
  )
  .meta({ id: 'AppendEvents' });
export type EventsInput = z.output<typeof eventsSchema>;

export const eventsReplySchema = z
  .object({
    last_seq: z.int(),
    cancel_requested: z.boolean(),
    waiting: z
      .literal(true)
      .optional()
      .describe('There where the run waits for an approval now: the lease has ended, stop working on it.'),
  })
  .meta({ id: 'AppendEventsReply' });
export type EventsReply = z.output<typeof eventsReplySchema>;

export const completeSchema = nullsAsAbsent(
  z.strictObject({
    fence,
    output: object
      .refine(fits, 'must be at most 1 MiB as JSON')
      .default({})
      .describe(`A JSON object of at most 1 MiB. ${JSON_BOUNDS}`),
    cost_in_cents: cents.optional(),
  }),
).meta({ id: 'CompleteRun' });
export type CompleteInput = z.output<typeof completeSchema>;

export const failSchema = z.preprocess(
  (body) => ({ ...reportOf(body), ...asFailure(body) }),
  z
    .object({
      fence,
      error: workerErrorSchema,
      retry: z.boolean().optional().describe('False where trying again would be no use: the run ends at once.'),
    })
    .meta({ id: 'FailRun' }),
);
export type FailInput = z.output<typeof failSchema>;

/** Further members, such as a reason, are passed over: giving a run back must not fail for them. */
export const fenceOnlySchema = z.object({ fence }).meta({ id: 'FenceOnly' });

export const endReplySchema = z
  .object({ id: z.uuid(), status: z.enum(['completed', 'failed', 'canceled', 'queued']) })
  .meta({ id: 'LeaseEnded' });
