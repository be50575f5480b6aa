import type { Readable } from 'node:stream';
import type { BlobKey, BlobPrefix } from './blob-key.js';

/**
 * Bytes that are too large for a row: one immutable blob per key.
 *
 * Guarantees of every driver (`test/contracts/blob-store.contract.ts` holds them):
 *
 * - **All or nothing.** A key shows the whole blob or none of it, to every reader, at every moment, also after the process or
 *   the machine dies in the middle of a `put`. What such a death can leave are temporaries, which no key shows and
 *   `sweepTemporaries` removes.
 * - **Durable before it is told.** When `put` resolves, the blob survives a crash of the machine.
 * - **The first writer wins.** A blob is never overwritten. Of several writers of one key exactly one succeeds; the others get
 *   `conflict` and change nothing. After `remove` the key is free again.
 * - **Bounded.** Bytes are streamed; memory does not grow with the blob. A body past `maxBytes` is refused before it is shown.
 * - **Keys are ours.** A key is made of ids alone, so no input chooses a place. A driver does not follow links out of its store.
 *
 * What is not promised: `put` and a row in the database are not one transaction. Write the blob first, then the row that names
 * it; a crash between the two leaves a blob without a row, which a sweep finds by `list` and `stat().storedAt`.
 *
 * Errors: `payload-too-large`, `conflict`, `invalid-request` (a range outside the blob), `unavailable` (the storage is full,
 * read-only or away). An aborted `put` rejects with the signal's reason, a failing body with its own error; both keep nothing.
 */
export abstract class BlobStore {
  /**
   * Stores `body` under `key` and tells what arrived. `sha256` is lower-case hex. The signal is heard while the body is awaited,
   * so a sender that stalls can be given up. On any failure nothing is kept under the key; the body may be left unread.
   */
  abstract put(key: BlobKey, body: AsyncIterable<Uint8Array>, limits: PutLimits): Promise<StoredBlob>;

  /**
   * Opens a blob for reading, or null when there is none. `range` counts bytes from 0 with both ends included, as HTTP does; an
   * end past the blob is cut. `sizeBytes` is the size of the whole blob, also for a range. The caller reads the stream to its
   * end or destroys it; a blob removed meanwhile is still read to its end.
   *
   * @throws DomainError `invalid-request` when the range begins past the blob, is empty or is not made of whole numbers.
   */
  abstract open(key: BlobKey, range?: ByteRange): Promise<OpenBlob | null>;

  /** The blob's size and when it was stored, or null. */
  abstract stat(key: BlobKey): Promise<BlobStat | null>;

  /** Removes the blob if there is one. */
  abstract remove(key: BlobKey): Promise<void>;

  /**
   * Removes what unfinished puts left behind and nobody wrote to for `olderThanMs`; answers how many. A put that is still
   * running counts as left behind only if it stalled that long, and then fails with `unavailable`.
   */
  abstract sweepTemporaries(olderThanMs: number): Promise<number>;

  /** Every key under the prefix, in no order. Blobs stored or removed meanwhile may or may not be seen. */
  abstract list(prefix: BlobPrefix): AsyncIterable<BlobKey>;
}

export interface PutLimits {
  maxBytes: number;
  signal?: AbortSignal;
  /** Called with all that arrived, before any of it is shown; where it throws, nothing is kept and the put rejects with what it threw. */
  accept?: (arrived: StoredBlob) => void;
}

export interface StoredBlob {
  sizeBytes: number;
  sha256: string;
}

export interface ByteRange {
  /** First byte, from 0. */
  start: number;
  /** Last byte, included. */
  end: number;
}

export interface OpenBlob {
  stream: Readable;
  sizeBytes: number;
}

export interface BlobStat {
  sizeBytes: number;
  storedAt: Date;
}
