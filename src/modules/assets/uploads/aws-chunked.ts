/**
 * The transfer coding `aws-chunked` of S3 clients: a body in chunks that each carry their length and perhaps a signature, then trailers
 * with a checksum of the whole. Its signatures are made with a secret key that this server does not have, and are passed over: the
 * presigned link is the credential.
 *
 *     <hex length>[;chunk-signature=…]\r\n<bytes>\r\n … 0[;chunk-signature=…]\r\n[<name>:<value>\r\n]…\r\n
 *
 * Source: "Authenticating Requests: Sending content in multiple chunks", Amazon S3 API Reference.
 */
import { DomainError } from '../../../kernel/errors.js';

const MAX_LINE_BYTES = 1024;
const MAX_TRAILERS = 16;
const CHUNK = /^([0-9a-f]{1,12})(?:;[!-~]*)?$/i;
const TRAILER = /^([a-z0-9-]{1,128})[ \t]*:[ \t]*(.*)$/i;

/**
 * The bytes inside. `onTrailers` is called at the end with the trailers, by lower-case name, and may throw.
 * @throws DomainError `invalid-request` where the coding is malformed or cut short
 */
export async function* decodeAwsChunked(
  body: AsyncIterable<Uint8Array>,
  onTrailers: (trailers: ReadonlyMap<string, string>) => void,
): AsyncGenerator<Uint8Array> {
  const source = new Source(body[Symbol.asyncIterator]());
  try {
    for (let isFirst = true; ; isFirst = false) {
      // Each chunk's bytes end with a line break of their own.
      if (!isFirst && (await source.line()) !== '') {
        throw malformed();
      }
      const [, digits] = CHUNK.exec(await source.line()) ?? [];
      if (digits === undefined) {
        throw malformed();
      }
      const lengthBytes = Number.parseInt(digits, 16);
      if (lengthBytes === 0) {
        break;
      }
      yield* source.take(lengthBytes);
    }
    const trailers = new Map<string, string>();
    for (let line = await source.line(true); line !== ''; line = await source.line(true)) {
      const [, name = '', value = ''] = TRAILER.exec(line) ?? [];
      if (name === '' || trailers.size === MAX_TRAILERS) {
        throw malformed();
      }
      trailers.set(name.toLowerCase(), value.trim());
    }
    onTrailers(trailers);
    if (!(await source.isAtEnd())) {
      throw malformed();
    }
  } finally {
    await source.end();
  }
}

/** A body, read by lines and by lengths. */
class Source {
  #rest: Uint8Array = new Uint8Array(0);

  constructor(private readonly pieces: AsyncIterator<Uint8Array>) {}

  /** Up to the next line break, which is dropped. @param mayEnd an end in place of the line is an empty one */
  async line(mayEnd = false): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(0x0a);
      if ((end === -1 ? this.#rest.length : end) > MAX_LINE_BYTES) {
        throw malformed();
      }
      if (end !== -1) {
        const line = Buffer.from(this.#rest.subarray(0, end)).toString('latin1');
        this.#rest = this.#rest.subarray(end + 1);
        return line.endsWith('\r') ? line.slice(0, -1) : line;
      }
      const next = await this.pieces.next();
      if (next.done === true) {
        if (mayEnd && this.#rest.length === 0) {
          return '';
        }
        throw malformed();
      }
      this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    }
  }

  async *take(lengthBytes: number): AsyncGenerator<Uint8Array> {
    let missing = lengthBytes;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.pieces.next();
        if (next.done === true) {
          throw malformed();
        }
        this.#rest = next.value;
      }
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && (await this.pieces.next()).done === true;
  }

  async end(): Promise<void> {
    await this.pieces.return?.();
  }
}

function malformed(): DomainError {
  return new DomainError('invalid-request', 'The aws-chunked body is malformed or cut short; nothing of it is kept.');
}
