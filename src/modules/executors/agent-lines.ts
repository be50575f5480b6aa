/**
 * What an agent of other people's says line by line, over HTTP or on its standard output, as events of the log. A line that is a JSON
 * object with the type and the data of an event is that event; what any other line means is the reader's to say. Nothing that a
 * line holds can break the log: JSON goes through the parser of request bodies, text loses what cannot be stored.
 */
import { parseJsonBody } from '../../http/body/json/parse-json-body.js';
import { hasHalves, withoutHalves } from '../../http/json-body/surrogate-halves.js';
import { DomainError } from '../../kernel/errors.js';
import { keepEventHalves, type WorkerEvent, workerEventSchema } from '../runs/index.js';
import { RunFailure } from './executor.js';
import { typeOfObject } from './object-type.js';

const LF = 10;
const CR = 13;
/** Of one line: an output of 1 MiB, with room for how it may be escaped. */
const LINE_BYTES = 2 * 1024 * 1024;
/** Of one log event; a longer line becomes several. Small enough that escaping cannot make it too large an event. */
const LOG_CHARACTERS = 16_384;
const OUTPUT_BYTES = 1024 * 1024;

/** Lines as they become complete, without their ends (CR, LF or both), the last one too. @throws RunFailure for one that is too long */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = [];
  let size = 0;
  let isAfterCr = false;
  for await (const chunk of chunks) {
    let start = 0;
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index];
      if (byte === LF && isAfterCr) {
        start = index + 1;
      } else if (byte === LF || byte === CR) {
        parts.push(chunk.subarray(start, index));
        yield Buffer.concat(parts);
        parts = [];
        size = 0;
        start = index + 1;
      }
      isAfterCr = byte === CR;
    }
    parts.push(Buffer.from(chunk.subarray(start)));
    size += chunk.length - start;
    if (size > LINE_BYTES) {
      throw new RunFailure('OutputTooLarge', `A line is longer than ${LINE_BYTES} bytes.`, false);
    }
  }
  if (size > 0) {
    yield Buffer.concat(parts);
  }
}

export type Line =
  | { kind: 'event'; event: WorkerEvent }
  | { kind: 'object'; type: string | null; value: Record<string, unknown> }
  /** Not JSON, or JSON that cannot be taken: then `wrong` says why, and `type` is what its object says or null. */
  | { kind: 'text'; text: string; wrong: string | null; type: string | null };

/** @param namedType the type that the line was sent under, where its object has none: the event name of SSE */
export function understand(sent: Uint8Array, namedType: string | null = null): Line {
  const line = withoutByteOrderMark(sent);
  const text = textOf(line);
  if (!/^\s*\{/.test(text)) {
    return { kind: 'text', text, wrong: null, type: null };
  }
  let asSent: unknown;
  try {
    asSent = parseJsonBody(line, { keepsHalves: true });
  } catch (error) {
    return reportedFailure(line, namedType) ?? refused(line, text, namedType, error);
  }
  const isSplit = hasHalves(asSent);
  const value = isSplit ? withoutHalves(asSent) : asSent;
  if (!isObject(asSent) || !isObject(value)) {
    return { kind: 'text', text, wrong: null, type: null };
  }
  const type = typeof value['type'] === 'string' ? value['type'] : null;
  const said = type === null && namedType !== null ? { type: namedType, data: asSent } : { type, data: asSent['data'] };
  if (said.type === null || !EVENT_TYPES.has(said.type)) {
    return { kind: 'object', type: said.type, value };
  }
  const parsed = workerEventSchema.safeParse(isSplit ? keepEventHalves(said) : said);
  if (parsed.success) {
    return { kind: 'event', event: parsed.data };
  }
  const [issue] = parsed.error.issues;
  const wrong = `${said.type}: ${['', ...(issue?.path ?? [])].join('/')} ${issue?.message ?? ''}`;
  return { kind: 'text', text, wrong, type: said.type };
}

/** A failure is heard whatever stands beside its error; null for any other line. */
function reportedFailure(line: Uint8Array, namedType: string | null): Line | null {
  try {
    const value = parseJsonBody(line, { isReport: true });
    const isFailure = isObject(value) && (value['type'] ?? namedType) === 'fail';
    return isFailure ? { kind: 'object', type: 'fail', value } : null;
  } catch {
    return null;
  }
}

/**
 * A line that the parser refuses. What is no JSON at all is a line of text; but one that says how the run ended is not, since its
 * output would be lost without a word: Python writes NaN, which is no JSON.
 */
function refused(line: Uint8Array, text: string, namedType: string | null, error: unknown): Line {
  const type = typeOfObject(line) ?? namedType;
  const isMalformed = !(error instanceof DomainError) || error.code === 'malformed-json';
  return isMalformed && !RESULT_TYPES.has(type)
    ? { kind: 'text', text, wrong: null, type: null }
    : { kind: 'text', text, wrong: error instanceof Error ? error.message : 'The line cannot be read.', type };
}

const RESULT_TYPES: ReadonlySet<string | null> = new Set(['complete', 'fail', 'output']);

const EVENT_TYPES: ReadonlySet<string> = new Set([
  'message',
  'delta',
  'log',
  'tool_call',
  'tool_result',
  'usage',
  'problem',
  'custom',
] satisfies WorkerEvent['type'][]);

/** Text as log events; a blank line is none. */
export function logEvents(text: string, level: 'info' | 'warning'): WorkerEvent[] {
  const events: WorkerEvent[] = [];
  for (let start = 0; start < text.length;) {
    const end = endOfPiece(text, start);
    events.push({ type: 'log', data: { level, text: text.slice(start, end) } });
    start = end;
  }
  return text.trim() === '' ? [] : events;
}

/** What a line of text becomes; one that meant to be an event and is none says so, in the log, where its author looks. */
export function eventsOfText(line: Extract<Line, { kind: 'text' }>): WorkerEvent[] {
  return line.wrong === null
    ? logEvents(line.text, 'info')
    : logEvents(`Not taken as an event (${line.wrong}): ${line.text}`, 'warning');
}

/** @throws RunFailure for what is no JSON object, or one too large to keep */
export function asOutput(value: unknown, where: string): Record<string, unknown> {
  if (!isObject(value)) {
    throw new RunFailure('InvalidOutput', `${where} is not a JSON object.`, false);
  }
  if (Buffer.byteLength(JSON.stringify(value)) > OUTPUT_BYTES) {
    throw new RunFailure('OutputTooLarge', `${where} is larger than ${OUTPUT_BYTES} bytes.`, false);
  }
  return value;
}

/** UTF-8 as text that can be stored: what is no UTF-8, and U+0000, becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8').decode(bytes).replaceAll('\0', '\uFFFD');
}

/** Windows programs begin their output with one, and RFC 8259 lets a reader pass over it. */
export function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function endOfPiece(text: string, start: number): number {
  const end = start + LOG_CHARACTERS;
  const last = text.charCodeAt(end - 1);
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}
