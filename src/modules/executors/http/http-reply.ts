/**
 * What the server of an http agent answers, as events and a result. A JSON object is the output. A stream of lines (NDJSON) or of
 * server-sent events is read as it comes; its last word is `complete` or `fail`, and a stream that ends without one was cut off.
 */
import type { EgressReply } from '../../../infrastructure/egress/egress.js';
import { parseJsonBody } from '../../../http/body/json/parse-json-body.js';
import { DomainError } from '../../../kernel/errors.js';
import { workerEventSchema } from '../../runs/index.js';
import { asOutput, eventsOfText, type Line, readLines, understand, withoutByteOrderMark } from '../agent-lines.js';
import { type LeasedRun, RunFailure, type RunResult } from '../executor.js';
import { resultOf } from '../result-line.js';
import { sentEvents } from './sse-lines.js';

const JSON_BYTES = 2 * 1024 * 1024;
/** Of one reply: a stream that never ends must end. */
const MAX_EVENTS = 100_000;
/** Refusals that are about the moment, not about the request. */
const PASSING_REFUSALS: readonly number[] = [408, 425, 429];

/** @throws RunFailure; EgressError and the signal's reason, from reading */
export async function readReply(reply: EgressReply, run: LeasedRun): Promise<RunResult> {
  assertSuccess(reply);
  if (reply.status === 204) {
    reply.discard();
    return { output: {} };
  }
  if (reply.unsupportedEncoding !== null) {
    reply.discard();
    throw new RunFailure(
      'UnsupportedReply',
      'The agent’s server answered with a Content-Encoding other than gzip, deflate and br.',
      false,
    );
  }
  const type = (reply.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === 'application/json' || type.endsWith('+json')) {
    return { output: asOutput(await json(reply), 'The reply') };
  }
  if (type === 'text/event-stream') {
    return readStream(sseLines(reply), run);
  }
  if (['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/json-lines'].includes(type)) {
    return readStream(ndjsonLines(reply), run);
  }
  reply.discard();
  throw new RunFailure(
    'UnsupportedReply',
    'The agent’s server answered neither JSON, nor NDJSON, nor server-sent events; its Content-Type says which it is.',
    false,
  );
}

// The body is left unread: what an address answers is not for whoever only chose the address.
function assertSuccess(reply: EgressReply): void {
  const { status } = reply;
  if (status >= 200 && status < 300) {
    return;
  }
  reply.discard();
  const mayRetry = status >= 500 || PASSING_REFUSALS.includes(status);
  const why = status >= 300 && status < 400 ? ' Redirects are not followed.' : '';
  throw new RunFailure('HttpStatus', `The agent’s server answered with status ${status}.${why}`, mayRetry);
}

async function json(reply: EgressReply): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of reply.body) {
    size += chunk.length;
    if (size > JSON_BYTES) {
      throw new RunFailure('OutputTooLarge', `The reply is longer than ${JSON_BYTES} bytes.`, false);
    }
    chunks.push(chunk);
  }
  try {
    return parseJsonBody(withoutByteOrderMark(Buffer.concat(chunks)), { repairsText: true });
  } catch (error) {
    throw new RunFailure(
      'InvalidOutput',
      `The reply cannot be taken: ${error instanceof DomainError ? error.message : 'it is no JSON.'}`,
      false,
    );
  }
}

async function* ndjsonLines(reply: EgressReply): AsyncGenerator<Line> {
  for await (const line of readLines(reply.body)) {
    yield understand(line);
  }
}

async function* sseLines(reply: EgressReply): AsyncGenerator<Line> {
  for await (const { name, data } of sentEvents(readLines(reply.body))) {
    yield understand(data, name);
  }
}

async function readStream(lines: AsyncIterable<Line>, run: LeasedRun): Promise<RunResult> {
  let count = 0;
  for await (const line of lines) {
    count += 1;
    if (count > MAX_EVENTS) {
      throw new RunFailure('OutputTooLarge', `The reply has more than ${MAX_EVENTS} events.`, false);
    }
    const result = take(line, run);
    if (result !== null) {
      return result;
    }
    await run.room();
  }
  throw new RunFailure(
    'IncompleteReply',
    'The reply ended without a word on how the run ended: complete or fail.',
    true,
  );
}

function take(line: Line, run: LeasedRun): RunResult | null {
  const result = resultOf(line);
  if (result !== null) {
    return result;
  }
  switch (line.kind) {
    case 'event':
      run.emit(line.event);
      return null;
    case 'text':
      for (const event of eventsOfText(line)) {
        run.emit(event);
      }
      return null;
    case 'object':
      return custom(line.value, run);
  }
}

function custom(value: Record<string, unknown>, run: LeasedRun): null {
  const event = workerEventSchema.safeParse({ type: 'custom', data: value });
  if (event.success) {
    run.emit(event.data);
  } else {
    run.emit({ type: 'log', data: { level: 'warning', text: 'Not taken as an event: it is larger than one may be.' } });
  }
  return null;
}
