import { randomInt } from 'node:crypto';
import { jsonLine } from './json-line.js';
import type { StreamEncoder } from './stream-encoder.js';

/** Clients come back after 2 to 5 s, each at its own moment, so that a restart is not met by all of them at once. */
const RETRY_MS = { least: 2_000, most: 5_000 } as const;

/**
 * Server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html
 *
 * A frame cannot be forged from data: `id` is a number or a cursor of ours, `event` one of our words, and `data` one line of JSON, in
 * which line ends are always escaped, those of Unicode too. JSON.stringify also escapes lone surrogates, and NUL as every control character.
 */
export const sseEncoder: StreamEncoder = {
  follows: true,
  isShared: true,
  opening: () => `retry: ${randomInt(RETRY_MS.least, RETRY_MS.most)}\n\n`,
  frame: ({ id, name, body }) => `id: ${id}\nevent: ${name}\ndata: ${jsonLine(body)}\n\n`,
  heartbeat: () => ': heartbeat\n\n',
  // Without an id, so that the client's cursor stays where it is.
  reconnect: (after, reason) => `event: reconnect\ndata: ${jsonLine({ after, reason })}\n\n`,
};
