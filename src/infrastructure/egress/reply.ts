/**
 * Replies as callers get them. The status decides whether a request succeeded; nothing in the rest of a reply may hide it. So a body is
 * decoded only for a caller that reads it, and a reply whose head Node's parser refuses (a header list that is too long, two values of
 * Content-Length, a bare line feed) still has the status and the headers that can be told from its first bytes.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { EgressError, type EgressReply } from './egress.js';

/** Of a head that cannot be parsed, so much is looked at. */
const MAX_HEAD_BYTES = 16 * 1024;
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
};

/** What turns any error of a reply into the one to throw. */
export type Explained = (error: unknown) => unknown;

/** The reply of a response whose head was parsed. */
export function replyOf(response: IncomingMessage, limitBytes: number, explained: Explained): EgressReply {
  const encodings = encodingsOf(response);
  return {
    status: response.statusCode ?? 0,
    // Most ask for none of them.
    get headers() {
      return firstOfEach(response.headers);
    },
    unsupportedEncoding: encodings.find((name) => DECODERS[name] === undefined) ?? null,
    body: read(response, encodings, limitBytes, explained),
    drain: (withinMs) => drain(response, limitBytes, withinMs, explained),
    discard: () => response.destroy(),
  };
}

/** The reply of a head that could not be parsed; its body cannot be read. */
export function replyOfBrokenHead({ status, headers }: BrokenHead, cause: unknown): EgressReply {
  const fail = (): never => {
    throw new EgressError('broken', 'The head of the reply is not valid HTTP, so its body cannot be read.', cause);
  };
  return {
    status,
    headers,
    unsupportedEncoding: null,
    body: { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve().then(fail) }) },
    drain: () => Promise.resolve().then(fail),
    discard: () => undefined,
  };
}

export interface BrokenHead {
  status: number;
  headers: ReadonlyMap<string, string>;
}

/** Thrown where the head of a reply could not be parsed, but says its status. */
export class BrokenHeadError extends Error {
  constructor(
    readonly head: BrokenHead,
    cause: Error,
  ) {
    super('the head of the reply cannot be parsed', { cause });
  }
}

/**
 * Keeps the first bytes that come back on a request's socket. The answer tells what of the head they show; null where it is no final
 * status of HTTP.
 */
export function watchHead(request: ClientRequest, socket: Socket): () => BrokenHead | null {
  const chunks: Buffer[] = [];
  let size = 0;
  const keep = (bytes: Buffer): void => {
    chunks.push(bytes.subarray(0, MAX_HEAD_BYTES - size));
    size += bytes.length;
    if (size >= MAX_HEAD_BYTES) {
      stop();
    }
  };
  const stop = (): void => {
    socket.removeListener('data', keep);
  };
  // Before the parser's own listener: it reports a parse error before listeners that were added later get the bytes.
  socket.prependListener('data', keep);
  request.once('response', stop);
  request.once('close', stop);
  return () => headOf(Buffer.concat(chunks).toString('latin1'));
}

function headOf(text: string): BrokenHead | null {
  const [first = '', ...lines] = (text.split(/\r?\n\r?\n/)[0] ?? '').split(/\r?\n/);
  const status = /^HTTP\/1\.[01] ([2-5]\d\d)(?: |$)/.exec(first)?.[1];
  if (status === undefined) {
    return null;
  }
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]{1,200}):[ \t]*(.{0,1000}?)[ \t]*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && !headers.has(name.toLowerCase())) {
      headers.set(name.toLowerCase(), value);
    }
  }
  return { status: Number(status), headers };
}

/** The codings of the body in the order in which they were applied. RFC 9110, section 8.4. */
function encodingsOf(response: IncomingMessage): string[] {
  return (response.headers['content-encoding'] ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity');
}

async function* read(
  response: IncomingMessage,
  encodings: readonly string[],
  limitBytes: number,
  explained: Explained,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    const chunks: AsyncIterable<unknown> = decoded(response, encodings);
    for await (const bytes of chunks) {
      if (!(bytes instanceof Uint8Array)) {
        throw new TypeError('a reply is read as bytes');
      }
      total += bytes.length;
      if (total > limitBytes) {
        throw new EgressError('too-large', `The reply is longer than ${limitBytes} bytes.`);
      }
      yield bytes;
    }
  } catch (error) {
    throw explained(error);
  } finally {
    response.destroy();
  }
}

/** The last coding that was applied is the first to undo. */
function decoded(response: IncomingMessage, encodings: readonly string[]): Readable {
  return [...encodings].reverse().reduce<Readable>((stream, name) => {
    const make = DECODERS[name];
    if (make === undefined) {
      throw new EgressError('broken', 'The reply has a Content-Encoding that cannot be decoded.');
    }
    // Errors reach the reader of the last stream.
    return pipeline(stream, make(), () => undefined);
  }, response);
}

async function drain(
  response: IncomingMessage,
  limitBytes: number,
  withinMs: number,
  explained: Explained,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    const broken = (): void => {
      if (response.readableEnded) {
        resolve();
      } else {
        reject(new EgressError('broken', 'The connection broke off before the whole reply was there.'));
      }
    };
    if (response.destroyed) {
      broken();
      return;
    }
    let total = 0;
    response.on('data', (bytes: Buffer) => {
      total += bytes.length;
      if (total > limitBytes) {
        response.destroy(new EgressError('too-large', `The reply is longer than ${limitBytes} bytes.`));
      }
    });
    response.once('end', resolve);
    response.once('error', reject);
    response.once('close', broken);
    timer = setTimeout(() => {
      response.destroy(new EgressError('timed-out', 'The reply did not end in time.'));
    }, withinMs);
  });
  try {
    await ended;
  } catch (error) {
    throw explained(error);
  } finally {
    clearTimeout(timer);
  }
}

function firstOfEach(headers: IncomingMessage['headers']): Map<string, string> {
  return new Map(
    Object.entries(headers).flatMap(([name, value]): [string, string][] => {
      const first = Array.isArray(value) ? value[0] : value;
      return first === undefined ? [] : [[name, first]];
    }),
  );
}
