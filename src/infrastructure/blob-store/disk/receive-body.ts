import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { blobTooLarge } from '../blob-errors.js';
import type { StoredBlob } from '../blob-store.js';
import { nextPiece } from '../next-piece.js';

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
