import { z } from 'zod';
import { assertNever } from '../../../kernel/assert-never.js';
import type { FeedFrame } from '../sources/feed-source.js';
import type { ReconnectReason, StreamEncoder } from './stream-encoder.js';
import { gapSchema, type StreamEvent } from '../log/stream-event.js';

/** Longest JSON shown of an event; people read the rest elsewhere. */
const MAX_JSON_CHARACTERS = 2_000;

/**
 * All control characters but tab and line feed. A worker's text goes to somebody's terminal here, where an escape sequence could
 * rewrite what they see or type for them.
 */
// eslint-disable-next-line no-control-regex -- these are exactly what must go
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const messageData = z.object({
  id: z.string().optional(),
  role: z.string(),
  parts: z.array(
    z
      .object({ type: z.string(), text: z.string().optional(), data: z.unknown(), name: z.string().optional() })
      .partial({ data: true }),
  ),
});
const statusData = z.object({ status: z.string(), attempt: z.number().optional() });
const deltaData = z.object({ message_id: z.string().optional(), text: z.string() });
const logData = z.object({ level: z.string().optional(), text: z.string() });
const assetData = z.object({ name: z.string(), type: z.string(), status: z.string() });
const problemData = z.object({ name: z.string(), message: z.string() });
const endData = z.object({
  status: z.string(),
  output: z.unknown().optional(),
  error: z.object({ message: z.string() }).nullish(),
});

/**
 * Lines for people, for `curl -N`: a time, a word, a text. Deltas are printed as they come, without a line each; a message whose
 * deltas were just printed is not repeated.
 */
export class PlainTextEncoder implements StreamEncoder {
  readonly follows = true;
  readonly isShared = false;
  #midLine = false;
  #spokenMessageId: string | null = null;
  #heading: string | null = null;

  opening(): string {
    return '';
  }

  frame({ name, body, event, heading }: FeedFrame): string {
    if (event === null && name !== 'gap') {
      return '';
    }
    if (event === null) {
      const gap = gapSchema.safeParse(body);
      return this.#line(
        gap.success
          ? `--  events ${gap.data.from} to ${gap.data.to} are no longer kept`
          : '--  some events are no longer kept',
      );
    }
    if (heading === this.#heading || heading === null) {
      return this.#event(event);
    }
    this.#heading = heading;
    this.#spokenMessageId = null;
    return this.#line(`--  ${heading}`) + this.#event(event);
  }

  #event(event: StreamEvent): string {
    if (event.type === 'delta') {
      const delta = deltaData.safeParse(event.data);
      if (delta.success) {
        this.#spokenMessageId = delta.data.message_id ?? null;
        return this.#inline(delta.data.text);
      }
    }
    if (event.type === 'message') {
      const message = messageData.safeParse(event.data);
      if (message.success && message.data.id !== undefined && message.data.id === this.#spokenMessageId) {
        return this.#line('');
      }
    }
    return this.#line(`${event.at.slice(11, 19)}  ${describe(event)}`);
  }

  heartbeat(): string {
    return '';
  }

  reconnect(after: string | number, reason: ReconnectReason): string {
    return this.#line(`--  disconnected (${reason}); go on with ?after=${after}`);
  }

  #inline(text: string): string {
    const clean = text.replace(CONTROLS, '');
    if (clean !== '') {
      this.#midLine = !clean.endsWith('\n');
    }
    return clean;
  }

  #line(text: string): string {
    const start = this.#midLine ? '\n' : '';
    this.#midLine = false;
    // Further lines of one text are indented, so that none looks like an event of its own.
    return text === ''
      ? start
      : `${start}${text
          .replace(CONTROLS, '')
          .trimEnd()
          .replace(/\n(?!\n)/g, '\n          ')}\n`;
  }
}

function describe(event: StreamEvent): string {
  const { type, data } = event;
  switch (type) {
    case 'status':
      return word(
        statusData,
        data,
        ({ status, attempt }) => `${status}${attempt === undefined || attempt === 0 ? '' : ` (attempt ${attempt})`}`,
      );
    case 'message':
      return word(messageData, data, ({ role, parts }) => `${role}: ${parts.map(partText).join('\n')}`);
    case 'log':
      return word(logData, data, ({ level, text }) =>
        level === undefined || level === 'info' ? text : `${level}: ${text}`,
      );
    case 'asset':
      return word(assetData, data, (asset) => `asset: ${asset.name} (${asset.type}, ${asset.status})`);
    case 'problem':
      return word(problemData, data, (problem) => `problem: ${problem.name}: ${problem.message}`);
    case 'end':
      return word(endData, data, ({ status, output, error }) => {
        const result = error != null ? `\n${error.message}` : output == null ? '' : `\n${json(output)}`;
        return `end: ${status}${result}`;
      });
    case 'delta':
    case 'tool_call':
    case 'tool_result':
    case 'question':
    case 'answer':
    case 'usage':
    case 'custom':
      return `${type}: ${json(data)}`;
    default:
      return assertNever(type);
  }

  /** Data of an unforeseen form is shown as it is rather than not at all. */
  function word<Data>(schema: z.ZodType<Data>, value: unknown, tell: (data: Data) => string): string {
    const parsed = schema.safeParse(value);
    return parsed.success ? tell(parsed.data) : `${type}: ${json(value)}`;
  }
}

function partText(part: {
  type: string;
  text?: string | undefined;
  data?: unknown;
  name?: string | undefined;
}): string {
  return part.text ?? (part.name === undefined ? json(part.data) : `[file ${part.name}]`);
}

function json(value: unknown): string {
  const text = value === undefined ? '' : JSON.stringify(value);
  return text.length > MAX_JSON_CHARACTERS ? `${text.slice(0, MAX_JSON_CHARACTERS)}…` : text;
}
