/** Pieces that many requests share. */
import { z } from 'zod';
import { PAGE_LIMIT } from '../../kernel/page.js';

/** An id in the path; what does not look like one names nothing, so it is 404. */
export const idParam = z.uuid().toLowerCase();

/** An id in a query or body; what does not look like one is 400. */
export const idQuery = z.uuid({ error: 'must be a UUID' }).toLowerCase();

export const limitQuery = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, 'must be a whole number from 1 to 100')
  .transform(Number)
  .refine((limit) => limit <= PAGE_LIMIT.most, 'must be a whole number from 1 to 100')
  .optional()
  .transform((limit) => limit ?? PAGE_LIMIT.default)
  .meta({
    type: 'integer',
    minimum: 1,
    maximum: PAGE_LIMIT.most,
    description: `Items per page; ${PAGE_LIMIT.default} where absent.`,
  });

export const cursorQuery = z
  .string()
  .min(1)
  .max(1024)
  .optional()
  .meta({ description: '`next_cursor` of the page before; only with the same filter and order.' });

/** An instant in a query, any offset; the database compares instants. */
export const instantQuery = z.iso.datetime({
  offset: true,
  error: 'must be an ISO 8601 instant, such as 2026-01-31T09:00:00Z',
});
