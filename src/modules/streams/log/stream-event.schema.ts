/**
 * The events of a run's log as clients read them, by type: `type` says what `data` holds. Used for the OpenAPI document only; events are
 * checked when they are appended (`modules/runs/worker.schema.ts`) and stored as they are.
 */
import { z } from 'zod';
import { MESSAGE_ROLES, messagePartSchema, messagePartsSchema } from '../../messages/index.js';
import { EVENT_TYPES, type EventType } from './stream-event.js';

const status = z
  .enum(['delayed', 'queued', 'running', 'waiting', 'completed', 'failed', 'timed_out', 'canceled', 'expired'])
  .describe('The status of the run.');
const errorSchema = z.looseObject({ name: z.string(), message: z.string(), stack_trace: z.string().nullish() });
const parts = z.array(messagePartSchema).describe('Empty for a decision on a tool call.');

/** What `data` holds, by type. */
const DATA: Readonly<Record<EventType, z.ZodObject>> = {
  status: z.object({ status, attempt: z.int().optional().describe('The number of the attempt; 0 before the first.') }),
  message: z.object({ id: z.string().optional(), role: z.enum(MESSAGE_ROLES), parts: messagePartsSchema }),
  delta: z.object({
    message_id: z.string().optional().describe('The message that the text is a piece of.'),
    text: z.string(),
  }),
  log: z.object({ level: z.enum(['debug', 'info', 'warning', 'error']).optional(), text: z.string() }),
  asset: z.object({ asset_id: z.uuid(), name: z.string(), type: z.string(), status: z.string() }),
  tool_call: z.object({
    id: z.string(),
    name: z.string(),
    input: z.unknown().optional(),
    requires_approval: z.boolean().optional(),
  }),
  tool_result: z.object({ id: z.string(), output: z.unknown().optional(), is_error: z.boolean().optional() }),
  question: z.object({
    id: z.uuid(),
    question: z.string(),
    options: z.array(z.string()).nullable().optional(),
    default: z.string().nullable().optional(),
    due_at: z.iso.datetime().nullable(),
  }),
  answer: z.object({
    question_id: z.string().describe('The question, or the tool call that was decided on.'),
    parts,
    by: z.uuid().nullable().describe('Who answered; null if the default did.'),
    call_id: z.string().optional(),
    decision: z.enum(['approve', 'decline']).optional(),
    reason: z.string().nullable().optional(),
  }),
  usage: z.object({
    model: z.string().optional(),
    input_tokens: z.int().optional(),
    output_tokens: z.int().optional(),
    cost_in_cents: z.number().optional(),
  }),
  problem: z.object({ name: z.string(), message: z.string() }),
  custom: z.looseObject({}).describe('Whatever the worker sent.'),
  end: z.object({
    status,
    output: z.record(z.string(), z.unknown()).nullable(),
    error: errorSchema.nullable(),
  }),
};

/** `Stream` + the type + `Event`, such as `StreamToolCallEvent`. */
function componentName(type: EventType): string {
  const words = type.split('_').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return `Stream${words.join('')}Event`;
}

function eventOf(type: EventType): z.ZodObject<{ type: z.ZodLiteral<EventType> }> {
  return z
    .object({
      seq: z.int().min(1).describe('Position in the stream: 1, 2, 3, and so on, without gaps.'),
      type: z.literal(type),
      at: z.iso.datetime(),
      data: DATA[type],
    })
    .meta({ id: componentName(type) });
}

const [firstType, ...otherTypes] = EVENT_TYPES;

export const streamEventSchema = z
  .discriminatedUnion('type', [eventOf(firstType), ...otherTypes.map(eventOf)])
  .describe('One event of a run. `type` says what `data` holds.')
  .meta({ id: 'StreamEvent' });
