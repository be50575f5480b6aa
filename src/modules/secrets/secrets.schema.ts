import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { timeField } from '../organizations/index.js';

/** Most bytes of a value, in UTF-8: a key file with its chain fits. */
export const SECRET_BYTES = 32 * 1024;

export const secretNameSchema = z
  .string()
  .max(128)
  .regex(/^[A-Z][A-Z0-9_]*$/, 'must be capital letters, digits and _, beginning with a letter');

/** As it stands in a path: what is no name is told so by the service, which a parameter's schema cannot. */
export const secretNameParam = z
  .string()
  .describe('Capital letters, digits and _, beginning with a letter; at most 128.');

export const secretPut = z
  .strictObject({
    value: z
      .string()
      .min(1)
      .refine((text) => Buffer.byteLength(text) <= SECRET_BYTES, 'must be at most 32 KiB')
      .describe('At most 32 KiB. It is never shown again.'),
  })
  .meta({ id: 'SecretPut', examples: [{ value: 'sk-live-4f9a…' }] });
export type SecretPut = z.output<typeof secretPut>;

export const secretSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    version: z.int().describe('Raised with every new value.'),
    fingerprint: z
      .string()
      .describe('The end of a keyed digest of the value: tells two values apart, and nothing else.'),
    created_at: timeField,
    updated_at: timeField,
  })
  .meta({ id: 'Secret' });
export type SecretView = z.output<typeof secretSchema>;

export const secretListQuery = listQuery;
export const secretPage = pageSchema(secretSchema, 'SecretPage');

export const SECRET_EXAMPLE: SecretView = {
  id: '0198c0de-0000-7000-8000-000000000040',
  name: 'OPENAI_API_KEY',
  version: 2,
  fingerprint: '7Qe0',
  created_at: '2026-01-31T09:00:00.000Z',
  updated_at: '2026-01-31T09:00:00.000Z',
};
