import { DomainError } from '../../../kernel/errors.js';
import type { StoredBlob } from '../../../infrastructure/blob-store/blob-store.js';
import { settleType } from './content-agreement.js';
import { ContentReading } from './content-reading.js';
import { isTextType } from './content-types.js';

/** What was said of bytes before they came; null where nothing was. */
export interface DeclaredAsset {
  name: string;
  contentType: string | null;
  sizeBytes: number | null;
  sha256: string | null;
}

/** The bytes are whole and have another digest than was announced. */
export class ChecksumMismatch extends DomainError {
  constructor(message: string) {
    super('content-mismatch', message);
  }
}

/**
 * Holds bytes on their way to what was announced of them: their kind as soon as enough are there to tell, so that a large wrong file
 * is not read to its end, their size and digest at the end, before any of it is shown.
 */
export class ContentCheck {
  #contentType: string | null = null;
  #charset: string | null = null;

  constructor(private readonly announced: DeclaredAsset) {}

  /** The type to keep; known once `accept` was called. */
  get contentType(): string {
    if (this.#contentType === null) {
      throw new Error('the content was not checked yet');
    }
    return this.#contentType;
  }

  /** The charset of a text, once all of it has passed; null where there is none to tell. */
  get charset(): string | null {
    return this.#charset;
  }

  /** The bytes as they come. @throws DomainError `content-mismatch` where they are of another kind or more than announced */
  async *of(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { name, contentType, sizeBytes } = this.announced;
    const reading = new ContentReading();
    let seen = 0;
    for await (const piece of body) {
      seen += piece.byteLength;
      if (sizeBytes !== null && seen > sizeBytes) {
        throw new DomainError('content-mismatch', `More than the ${sizeBytes} bytes announced arrived.`);
      }
      reading.add(piece);
      if (this.#contentType === null && reading.isHeadFull) {
        this.#contentType = await settleType(reading.head, contentType, name);
      }
      yield piece;
    }
    this.#contentType ??= await settleType(reading.head, contentType, name);
    this.#charset = isTextType(this.#contentType) ? reading.charset() : null;
  }

  /** For the blob store, which calls it before it shows anything. @throws DomainError `content-mismatch` */
  readonly accept = (arrived: StoredBlob): void => {
    const { sizeBytes, sha256 } = this.announced;
    if (sizeBytes !== null && arrived.sizeBytes !== sizeBytes) {
      throw new DomainError('content-mismatch', `${arrived.sizeBytes} bytes arrived, and ${sizeBytes} were announced.`);
    }
    if (sha256 !== null && arrived.sha256 !== sha256) {
      throw new ChecksumMismatch(`The SHA-256 of the bytes is ${arrived.sha256}, and ${sha256} was announced.`);
    }
  };
}
