import { DomainError } from '../../../kernel/errors.js';
import { blobConflict } from '../blob-errors.js';

/** What an S3 server's refusal says of itself; status 0 where there was no reply. */
function factsOf(error: unknown): { name: string; status: number } | null {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return null;
  const { $metadata } = error;
  const status =
    typeof $metadata === 'object' && $metadata !== null && 'httpStatusCode' in $metadata ? $metadata.httpStatusCode : 0;
  return {
    name: 'name' in error && typeof error.name === 'string' ? error.name : '',
    status: typeof status === 'number' ? status : 0,
  };
}

/** There is no such object. */
export function isAbsent(error: unknown): boolean {
  const facts = factsOf(error);
  return facts !== null && (facts.name === 'NoSuchKey' || facts.name === 'NotFound');
}

/** The range asked for begins past the object. */
export function isPastTheEnd(error: unknown): boolean {
  return factsOf(error)?.status === 416;
}

/** The upload is gone: finished, given up, or swept. */
export function isNoUpload(error: unknown): boolean {
  return factsOf(error)?.name === 'NoSuchUpload';
}

/** What the storage said, in our words. What was thrown by a body, a signal or by us passes as it is. */
export function storageError(error: unknown): unknown {
  if (error instanceof DomainError) return error;
  const facts = factsOf(error);
  if (facts === null && !isNetworkError(error)) return error;
  // A conditional write that lost: 412 after the other's end, 409 while both ended at once.
  if (facts !== null && (facts.status === 412 || facts.name === 'ConditionalRequestConflict')) return blobConflict();
  return new DomainError('unavailable', 'Files cannot be read or written at the moment; try again later.', {
    internal: `the object storage refused: ${facts === null ? 'no connection' : `${facts.status} ${facts.name}`}`,
    cause: error,
  });
}

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return error.name === 'TimeoutError' || /^(ECONN|ENOTFOUND|EPIPE|EHOST|ENET|ETIMEDOUT|EAI_)/.test(code);
}
