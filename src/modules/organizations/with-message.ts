import { isRetryable, toDomainError } from '../../database/sql-errors.js';
import { DomainError, type ErrorCode } from '../../kernel/errors.js';

/** The same failure, with a sentence that fits what was tried where it is of this code. To be thrown. */
export function withMessage(error: unknown, code: ErrorCode, sentence: string): unknown {
  // A lost deadlock keeps its own form: the transaction is tried again by it.
  const failure = isRetryable(error) ? error : toDomainError(error);
  return failure instanceof DomainError && failure.code === code
    ? new DomainError(code, sentence, { cause: error })
    : failure;
}
