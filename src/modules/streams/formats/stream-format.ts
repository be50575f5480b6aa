import { DomainError } from '../../../kernel/errors.js';

/** What a stream can be read as. `sse` and `text` follow the run while it lives; `ndjson` is a download of what is there. */
export const STREAM_FORMATS = ['sse', 'ndjson', 'text'] as const;
export type StreamFormat = (typeof STREAM_FORMATS)[number];

export const MEDIA_TYPES: Readonly<Record<StreamFormat, string>> = {
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
  text: 'text/plain',
};

/**
 * The format a client asked for by `Accept` (RFC 9110, section 12.5.1); server-sent events where it does not mind.
 * @throws DomainError `not-acceptable` where it takes none of ours
 */
export function acceptedFormat(accept: string | undefined): StreamFormat {
  if (accept === undefined || accept.trim() === '') {
    return 'sse';
  }
  const ranges = accept.split(',').map(parseRange);
  let best: { format: StreamFormat; quality: number } | null = null;
  for (const format of STREAM_FORMATS) {
    const quality = qualityOf(MEDIA_TYPES[format], ranges);
    if (quality > 0 && (best === null || quality > best.quality)) {
      best = { format, quality };
    }
  }
  if (best === null) {
    throw new DomainError('not-acceptable', `A stream is sent as ${Object.values(MEDIA_TYPES).join(', ')}.`);
  }
  return best.format;
}

interface MediaRange {
  type: string;
  quality: number;
}

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
  // A q that is no number cannot mean "not this one".
  const value = quality === undefined ? 1 : Number(quality);
  return { type, quality: Number.isFinite(value) ? value : 1 };
}

/** The quality of the most specific range that covers the type; 0 where none does. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const candidate of [type, family, '*/*']) {
    const range = ranges.find((one) => one.type === candidate);
    if (range !== undefined) {
      return range.quality;
    }
  }
  return 0;
}
