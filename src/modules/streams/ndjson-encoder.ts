import type { StreamEncoder } from './stream-encoder.js';

/** One JSON object a line, https://github.com/ndjson/ndjson-spec. What is cut short is broken off, never a well-formed short file. */
export const ndjsonEncoder: StreamEncoder = {
  follows: false,
  opening: () => '',
  event: ({ seq, type, at, data }) => `${JSON.stringify({ seq, type, at, data })}\n`,
  gap: (gap) => `${JSON.stringify({ type: 'gap', data: gap })}\n`,
  heartbeat: () => '',
  reconnect: () => null,
};
