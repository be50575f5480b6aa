import { jsonLine } from './json-line.js';
import type { StreamEncoder } from './stream-encoder.js';

/** One JSON object a line, https://github.com/ndjson/ndjson-spec. What is cut short is broken off, never a well-formed short file. */
export const ndjsonEncoder: StreamEncoder = {
  follows: false,
  isShared: false,
  opening: () => '',
  frame: ({ name, body, event }) => `${jsonLine(event === null ? { type: name, data: body } : body)}\n`,
  heartbeat: () => '',
  reconnect: () => null,
};
