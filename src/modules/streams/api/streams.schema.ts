import { z } from 'zod';
import { linkQuery } from '../../../http/decorators/link-query.js';
import { limitQuery } from '../../../http/openapi/schemas.js';
import { invalid } from '../../../kernel/errors.js';
import { STREAM_FORMATS } from '../formats/stream-format.js';
import { gapSchema } from '../log/stream-event.js';
import { streamEventSchema } from '../log/stream-event.schema.js';

/** Clients that have seen nothing yet send an empty id, or the number before the first. */
const BEFORE_THE_FIRST: ReadonlySet<string> = new Set(['', '-1']);

/** A position in a stream: the number of the last event the client has; 0 is the beginning, and so are `-1` and nothing. */
const position = z
  .string()
  .trim()
  .regex(/^(0|[1-9]\d{0,15}|-1|)$/, 'must be the number of an event')
  .transform((text) => (BEFORE_THE_FIRST.has(text) ? 0 : Number(text)))
  .refine(Number.isSafeInteger, 'must be the number of an event')
  .meta({ type: 'integer', minimum: 0 });

export const followQuerySchema = z
  .strictObject({
    after: position.optional().describe('Send what comes after this event. The header Last-Event-ID wins.'),
    last_seq: position.optional().describe('The same as `after`.'),
    format: z.enum(STREAM_FORMATS).optional().describe('Overrides the Accept header.'),
    ...linkQuery,
  })
  .refine((query) => query.after === undefined || query.last_seq === undefined || query.after === query.last_seq, {
    path: ['last_seq'],
    message: 'is the same as after; send one of them',
  });
export type FollowQuery = z.output<typeof followQuerySchema>;

/** Names of `followQuerySchema` that are the route's own and no part of a link. */
export const FOLLOW_PARAMETERS = ['after', 'last_seq', 'format'] as const;

/** The query of a feed over many runs, whose cursors are opaque. */
export const feedQuerySchema = z.strictObject({
  after: z
    .string()
    .max(1024)
    .optional()
    .describe(
      'The `id` of a frame: send what comes after it; `0` for all that is kept. The header Last-Event-ID wins.',
    ),
  format: z.enum(STREAM_FORMATS).optional().describe('Overrides the Accept header.'),
});
/** The cursor of a feed over many runs that stands for all that is kept. */
export const OLDEST = '0';
export type FeedQuery = z.output<typeof feedQuerySchema>;

export const eventsQuerySchema = z.strictObject({
  after: position.optional().describe('Events after this one; 0, the beginning, where absent.'),
  limit: limitQuery,
});
export type EventsQuery = z.output<typeof eventsQuerySchema>;

export const streamEventsSchema = z
  .object({
    data: z.array(streamEventSchema),
    next_after: z.int().describe('`after` of the next page.'),
    last_seq: z.int().describe('The number of the latest event.'),
    ended: z.boolean().describe('True once the run is over and the event `last_seq` is its `end`.'),
    gap: gapSchema.nullable(),
  })
  .meta({ id: 'StreamEvents' });
export type StreamEvents = z.output<typeof streamEventsSchema>;

export const streamUrlSchema = z
  .object({ url: z.url().describe('Reads this one stream, without another credential.'), expires_at: z.iso.datetime() })
  .meta({ id: 'StreamUrl' });

/** Where the client left off: its `Last-Event-ID`, else the query, else the beginning. @throws DomainError `invalid-request` */
export function cursorOf(lastEventId: string | readonly string[] | undefined, query: FollowQuery): number {
  const given = onlyOne(lastEventId);
  if (given === null) {
    return query.after ?? query.last_seq ?? 0;
  }
  const parsed = position.safeParse(given);
  if (!parsed.success) {
    throw invalid('Last-Event-ID', 'Last-Event-ID must be the id of an event of this stream.');
  }
  return parsed.data;
}

/** The client's cursor in a feed over many runs; null where it has none. @throws DomainError `invalid-request` */
export function feedCursorOf(lastEventId: string | readonly string[] | undefined, query: FeedQuery): string | null {
  const given = onlyOne(lastEventId) ?? query.after ?? '';
  if (given.length > 1024) {
    throw invalid('Last-Event-ID', 'Last-Event-ID must be the id of a frame of this feed.');
  }
  return given === '' ? null : given === '-1' ? OLDEST : given;
}

/**
 * The header's value, or null where it says nothing: some clients and proxies send it empty, and some send it twice, which Node joins with
 * commas.
 */
function onlyOne(lastEventId: string | readonly string[] | undefined): string | null {
  const values = new Set([lastEventId ?? ''].flat().flatMap((value) => value.split(',').map((one) => one.trim())));
  values.delete('');
  return values.size === 0 ? null : [...values].join(',');
}
