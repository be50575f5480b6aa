import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';

/** What an endpoint can ask to be told of. The triggers of the migrations write these words. */
export const WEBHOOK_EVENTS = [
  'task.created',
  'task.deleted',
  'run.started',
  'run.waiting',
  'run.completed',
  'run.failed',
  'run.timed_out',
  'run.expired',
  'run.canceled',
  'asset.ready',
  'schedule.missed',
  'schedule.paused',
] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** The type of what `POST /webhooks/{id}/test` sends; nobody subscribes to it. */
export const TEST_EVENT = 'webhook.test';

const url = z
  .string()
  .min(1)
  .max(2048)
  .describe('An https URL, port 443 or 8443, of a public host; the operator can allow networks of their own.');
const description = z.string().trim().max(500);
const events = z
  .array(z.enum(WEBHOOK_EVENTS))
  .min(1)
  .max(WEBHOOK_EVENTS.length)
  .refine((named) => new Set(named).size === named.length, 'must name each event once')
  .describe('What to be told of.');
const enabled = z.boolean().describe('One that is not enabled is sent nothing, and nothing is kept for it.');

export const newWebhookSchema = z
  .strictObject({ url, description: description.default(''), events, enabled: enabled.default(true) })
  .meta({
    id: 'NewWebhook',
    examples: [{ url: 'https://hooks.example.com/taskyard', events: ['run.completed', 'run.failed'] }],
  });
export type NewWebhook = z.output<typeof newWebhookSchema>;

export const webhookPatchSchema = z
  .strictObject({
    url: url.optional(),
    description: description.optional(),
    events: events.optional(),
    enabled: enabled.optional(),
  })
  .meta({ id: 'WebhookPatch', examples: [{ enabled: false }] });
export type WebhookPatch = z.output<typeof webhookPatchSchema>;

const webhookFields = {
  id: z.uuid(),
  url: z.string(),
  description: z.string(),
  events: z.array(z.enum(WEBHOOK_EVENTS)),
  enabled: z.boolean(),
  disabled_reason: z
    .enum(['failing', 'gone'])
    .nullable()
    .describe('Why the server turned it off: it failed for five days, or answered 410. Enabling it again clears it.'),
  failing_since: z.iso.datetime().nullable().describe('Since when every attempt has failed.'),
  secret_last_four: z.string().describe('Of the present secret.'),
  secret_rotated_at: z.iso.datetime().describe('Since when it is the present one.'),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
};

export const webhookSchema = z.object(webhookFields).meta({ id: 'Webhook' });
export type WebhookView = z.output<typeof webhookSchema>;

const secret = z
  .string()
  .nullable()
  .describe('`whsec_…`, as libraries for Standard Webhooks take it; null in a replay.');
const note = z.string().describe('What to do with the secret, in a sentence.');

export const webhookWithSecretSchema = z.object({ ...webhookFields, secret, note }).meta({ id: 'WebhookWithSecret' });
export type WebhookWithSecret = z.output<typeof webhookWithSecretSchema>;

export const webhookChangedSchema = z
  .object({ ...webhookFields, secret: secret.optional(), note: note.optional() })
  .meta({ id: 'WebhookChanged' });
export type WebhookChanged = z.output<typeof webhookChangedSchema>;

export const webhookPage = pageSchema(webhookSchema, 'WebhookPage');
export const webhookListQuery = listQuery;
export type WebhookListQuery = z.output<typeof webhookListQuery>;

/** Actions that need no body: an empty one, or {}. */
export const nothingSchema = z
  .strictObject({})
  .default({})
  .meta({ id: 'Nothing', examples: [{}] });
export type Nothing = z.output<typeof nothingSchema>;

export const callbackSecretSchema = z
  .object({
    created_at: z.iso
      .datetime()
      .nullable()
      .describe('Null until it is first needed: a callback is sent, or it is rotated.'),
    last_four: z.string().nullable(),
  })
  .meta({ id: 'CallbackSecret' });
export type CallbackSecretView = z.output<typeof callbackSecretSchema>;

export const rotatedCallbackSecretSchema = z
  .object({ secret, created_at: z.iso.datetime(), last_four: z.string(), note })
  .meta({ id: 'RotatedCallbackSecret' });
export type RotatedCallbackSecret = z.output<typeof rotatedCallbackSecretSchema>;

export const WEBHOOK_EXAMPLE: WebhookView = {
  id: '019a2f5e-7777-7d2a-9a1f-2f8f6b6f0a07',
  url: 'https://hooks.example.com/taskyard',
  description: '',
  events: ['run.completed', 'run.failed'],
  enabled: true,
  disabled_reason: null,
  failing_since: null,
  secret_last_four: 'kQ8=',
  secret_rotated_at: '2030-01-07T09:00:00.000Z',
  created_at: '2030-01-07T09:00:00.000Z',
  updated_at: '2030-01-07T09:00:00.000Z',
};
