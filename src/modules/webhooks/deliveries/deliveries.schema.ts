import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../../http/openapi/schemas.js';
import { TEST_EVENT, WEBHOOK_EVENTS } from '../endpoints/webhooks.schema.js';

export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed', 'canceled'] as const;

const messageType = z.enum([...WEBHOOK_EVENTS, TEST_EVENT]);

const attemptSchema = z
  .object({
    number: z.int(),
    at: z.iso.datetime(),
    status_code: z.int().nullable().describe('What the receiver answered; null where it answered nothing.'),
    error: z
      .enum(['barred', 'unreachable', 'timed-out', 'too-large', 'broken', 'refused'])
      .nullable()
      .describe('`refused`: it answered with anything but 2xx. Of what it said nothing is kept.'),
    duration_ms: z.int(),
  })
  .meta({ id: 'DeliveryAttempt' });

export const deliverySchema = z
  .object({
    id: z.uuid(),
    message_id: z.uuid().describe('The `webhook-id` of every attempt, redeliveries included.'),
    kind: z.enum(['event', 'callback', 'test']),
    type: messageType,
    webhook_id: z.uuid().nullable().describe('Null for a callback.'),
    url: z.string().nullable().describe('Where it goes; null where the endpoint is gone.'),
    task_id: z.uuid().nullable(),
    run_id: z.uuid().nullable(),
    order_key: z.int().describe('Of two messages about one run, the later change has the greater one.'),
    payload_version: z.int(),
    status: z.enum(DELIVERY_STATUSES).describe('`canceled`: its endpoint was deleted before it could be delivered.'),
    attempt_count: z.int(),
    attempts: z.array(attemptSchema).describe('The last 20, oldest first.'),
    next_attempt_at: z.iso.datetime().nullable(),
    delivered_at: z.iso.datetime().nullable(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'Delivery' });
export type DeliveryView = z.output<typeof deliverySchema>;

export const deliveryPage = pageSchema(deliverySchema, 'DeliveryPage');

export const deliveryListQuery = listQuery.extend({
  task_id: idQuery.optional(),
  webhook_id: idQuery.optional(),
  status: z.enum(DELIVERY_STATUSES).optional(),
  type: messageType.optional(),
});
export type DeliveryListQuery = z.output<typeof deliveryListQuery>;

const instant = z.iso.datetime({ offset: true, error: 'must be an ISO 8601 instant, such as 2026-01-31T09:00:00Z' });

export const redeliverySchema = z
  .strictObject({
    filter: z
      .strictObject({
        webhook_id: idQuery.optional(),
        task_id: idQuery.optional(),
        type: messageType.optional(),
        status: z.enum(['failed', 'delivered']).optional().describe('`failed` where absent.'),
        created_after: instant.optional().describe('Inclusive.'),
        created_before: instant.optional().describe('Exclusive.'),
      })
      .refine((filter) => Object.values(filter).some((value) => value !== undefined), 'must not be empty')
      .describe('Not empty.'),
  })
  .meta({ id: 'Redelivery', examples: [{ filter: { status: 'failed', created_after: '2030-01-07T00:00:00Z' } }] });
export type Redelivery = z.output<typeof redeliverySchema>;
export type RedeliveryFilter = Redelivery['filter'];

export const redeliveredSchema = z
  .object({
    redelivered: z.int().describe('How many are to be sent again by this request.'),
    remaining: z.boolean().describe('Whether there are more: send the request again.'),
  })
  .meta({ id: 'Redelivered' });
export type Redelivered = z.output<typeof redeliveredSchema>;

export const DELIVERY_EXAMPLE: DeliveryView = {
  id: '019a2f5e-8888-7d2a-9a1f-2f8f6b6f0a08',
  message_id: '019a2f5e-9999-7d2a-9a1f-2f8f6b6f0a09',
  kind: 'event',
  type: 'run.completed',
  webhook_id: '019a2f5e-7777-7d2a-9a1f-2f8f6b6f0a07',
  url: 'https://hooks.example.com/taskyard',
  task_id: '0198f0a0-0000-7000-8000-000000000001',
  run_id: '0198f0a0-0000-7000-8000-000000000002',
  order_key: 1042,
  payload_version: 1,
  status: 'pending',
  attempt_count: 1,
  attempts: [{ number: 1, at: '2030-01-07T09:00:01.000Z', status_code: 503, error: 'refused', duration_ms: 41 }],
  next_attempt_at: '2030-01-07T09:00:06.000Z',
  delivered_at: null,
  created_at: '2030-01-07T09:00:00.500Z',
  updated_at: '2030-01-07T09:00:01.041Z',
};
