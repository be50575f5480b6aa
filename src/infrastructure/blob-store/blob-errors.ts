import { DomainError } from '../../kernel/errors.js';
import type { ByteRange } from './blob-store.js';

/** Somebody stored a blob under this key first. */
export function blobConflict(): DomainError {
  return new DomainError('conflict', 'A file is already stored here; it is never overwritten.');
}

/** The body went past what the caller allowed. */
export function blobTooLarge(maxBytes: number): DomainError {
  return new DomainError('payload-too-large', `The file is larger than the ${String(maxBytes)} bytes allowed.`);
}

/** The bytes to read, cut to the blob, or `invalid-request`. @param sizeBytes the whole blob's size */
export function rangeWithin(range: ByteRange, sizeBytes: number): ByteRange {
  const { start, end } = range;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start || start >= sizeBytes) {
    throw new DomainError('invalid-request', `The range lies outside the ${String(sizeBytes)} bytes of this file.`);
  }
  return { start, end: Math.min(end, sizeBytes - 1) };
}
