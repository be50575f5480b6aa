import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { blobTooLarge } from '../blob-errors.js';
import type { StoredBlob } from '../blob-store.js';

/**
 * Writes a body to a file, counting and hashing what passes. Hears the signal also while it waits for the next piece, since a
 * sender may stall for ever.
 *
 * @throws DomainError `payload-too-large` at the first piece past `maxBytes`, which is not written; the signal's reason; or
 * whatever the body throws. In each case the body is told to stop.
 */
export async function receiveBody(
  file: FileHandle,
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<StoredBlob> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const pieces = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const piece = await nextPiece(pieces, signal);
      if (piece.done === true) return { sizeBytes, sha256: hash.digest('hex') };
      sizeBytes += piece.value.byteLength;
      if (sizeBytes > maxBytes) throw blobTooLarge(maxBytes);
      hash.update(piece.value);
      await file.writeFile(piece.value);
    }
  } catch (error) {
    // Not awaited: a generator that hangs in its own await would never come back to hear it.
    pieces.return?.().catch(() => undefined);
    throw error;
  }
}

/**
 * The next piece, or a rejection with the signal's reason. One listener per piece on purpose: racing every piece against one
 * long-lived promise would keep each piece reachable from it, and so the whole body in memory.
 */
async function nextPiece<T>(pieces: AsyncIterator<T>, signal: AbortSignal | undefined): Promise<IteratorResult<T>> {
  if (signal === undefined) return pieces.next();
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      try {
        signal.throwIfAborted();
      } catch (reason) {
        reject(reason instanceof Error ? reason : new Error('aborted', { cause: reason }));
      }
    };
    signal.addEventListener('abort', abort, { once: true });
    pieces
      .next()
      .then(resolve, reject)
      .finally(() => {
        signal.removeEventListener('abort', abort);
      });
  });
}
