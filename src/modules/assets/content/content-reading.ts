import { HEAD_BYTES } from './content-types.js';
import { CharsetScan } from './text-charset.js';

/** Looks at bytes that pass: keeps the first ones, and finds out the charset of a text. */
export class ContentReading {
  readonly #charset = new CharsetScan();
  #head = Buffer.alloc(0);
  #length = 0;

  /** The first bytes; the whole where it is shorter than `HEAD_BYTES`. */
  get head(): Uint8Array {
    return this.#head.subarray(0, this.#length);
  }

  get isHeadFull(): boolean {
    return this.#length === HEAD_BYTES;
  }

  add(piece: Uint8Array): void {
    this.#charset.add(piece);
    const first = piece.subarray(0, HEAD_BYTES - this.#length);
    if (first.length > 0) {
      this.#makeRoom(this.#length + first.length);
      this.#head.set(first, this.#length);
      this.#length += first.length;
    }
  }

  /** The charset, once all has passed; null where it is no text. */
  charset(): string | null {
    return this.#charset.end(this.head);
  }

  /** Doubled, so that a body of many small pieces is not copied for each. */
  #makeRoom(bytes: number): void {
    if (bytes > this.#head.length) {
      const larger = Buffer.alloc(Math.min(HEAD_BYTES, Math.max(bytes, 2 * this.#head.length)));
      larger.set(this.#head);
      this.#head = larger;
    }
  }
}
