import { z } from 'zod';

/** Longest text of one part; a message's body has its own limit. */
const MAX_TEXT_CHARACTERS = 1024 * 1024;

export const MESSAGE_ROLES = ['user', 'assistant', 'system', 'tool'] as const;
export type MessageRole = (typeof MESSAGE_ROLES)[number];

/** One part of a message: words, any JSON, or a file of the same task. */
export const messagePartSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('text'), text: z.string().max(MAX_TEXT_CHARACTERS) }),
    z.strictObject({ type: z.literal('data'), data: z.json() }),
    z.strictObject({
      type: z.literal('file'),
      asset_id: z.uuid().describe('An asset of the same task.'),
      name: z.string().min(1).max(255),
      media_type: z.string().min(3).max(255),
    }),
  ])
  .meta({ id: 'MessagePart' });
export type MessagePart = z.output<typeof messagePartSchema>;

export const messagePartsSchema = z.array(messagePartSchema).min(1).max(100);

export const messageSchema = z
  .object({
    id: z.uuid(),
    role: z.enum(MESSAGE_ROLES),
    parts: messagePartsSchema,
    created_at: z.iso.datetime(),
    run_id: z.uuid().nullable().describe('The run that said it, or that it was said to.'),
  })
  .meta({ id: 'Message' });
export type Message = z.output<typeof messageSchema>;
