import { z } from 'zod';

/** Every kind of event there is. They name SSE events, so they are words of ours and nothing else ever is one. */
export const EVENT_TYPES = [
  'status',
  'message',
  'delta',
  'log',
  'asset',
  'tool_call',
  'tool_result',
  'question',
  'answer',
  'usage',
  'problem',
  'custom',
  'end',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** One event of a run's log, as stored and as sent. The database wrote `seq` and `at`. */
export interface StreamEvent {
  seq: number;
  type: EventType;
  at: string;
  data: Readonly<Record<string, unknown>>;
}

/** Events that were dropped for their age before the reader came to them. */
export interface Gap {
  from: number;
  to: number;
  /** The first event that is still there, or the next one to come. */
  oldest_seq: number;
}

export const gapSchema = z
  .object({ from: z.int(), to: z.int(), oldest_seq: z.int() })
  .meta({ id: 'StreamGap' })
  .describe('Events `from` to `to` were dropped for their age; `oldest_seq` is the first still kept.');

/** How a run ended, from the run itself. */
export interface RunEnd {
  status: string;
  output: unknown;
  error: unknown;
  at: string;
}

/** The last event of a run whose log is no longer kept, made from the run: a reader learns how it ended all the same. */
export function endOf(lastSeq: number, end: RunEnd | null): StreamEvent | null {
  return end === null
    ? null
    : { seq: lastSeq, type: 'end', at: end.at, data: { status: end.status, output: end.output, error: end.error } };
}

/** What is missing between a cursor and the next event there is; null where nothing is. */
export function gapBetween(cursor: number, nextSeq: number): Gap | null {
  return nextSeq > cursor + 1 ? { from: cursor + 1, to: nextSeq - 1, oldest_seq: nextSeq } : null;
}
