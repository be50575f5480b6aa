import { assertNever } from '../../../kernel/assert-never.js';
import { ndjsonEncoder } from './ndjson-encoder.js';
import { sseEncoder } from './sse-encoder.js';
import type { StreamEncoder } from './stream-encoder.js';
import type { StreamFormat } from './stream-format.js';
import { PlainTextEncoder } from './text-encoder.js';

/** An encoder for one reader. */
export function encoderOf(format: StreamFormat): StreamEncoder {
  switch (format) {
    case 'sse':
      return sseEncoder;
    case 'ndjson':
      return ndjsonEncoder;
    case 'text':
      return new PlainTextEncoder();
    default:
      return assertNever(format);
  }
}
