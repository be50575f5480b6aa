/**
 * What PostgreSQL and its driver say, in our codes. Done here, once, so that nothing above this folder ever sees a SQLSTATE.
 * Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import { types } from 'node:util';
import { DatabaseError } from 'pg-protocol';
import { QueryFailedError } from 'typeorm';
import { DomainError } from '../kernel/errors.js';

const LOST = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOENT',
  'EAI_AGAIN',
]);
const LOST_TEXT =
  /timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error|not queryable|pool after calling end|Query read timeout/;

/** Raised by the triggers that hold runs to their budgets: the message is public, the detail is the seconds left of the period. */
const BUDGET_EXCEEDED = 'TYB01';
/** Raised by the trigger that lets no run be made for a deleted agent: the message is public. */
const AGENT_DELETED = 'TYA01';
/** When to look again at a budget whose period does not end. */
const SECONDS_PER_DAY = 86_400;

/** What the driver said, without TypeORM's wrapping. */
function said(error: unknown): unknown {
  return error instanceof QueryFailedError ? error.driverError : error;
}

/** True where the same transaction may simply be tried again: serialisation failure, deadlock. */
export function isRetryable(failure: unknown): boolean {
  const error = said(failure);
  return error instanceof DatabaseError && (error.code === '40001' || error.code === '40P01');
}

/** True where the database, or the way to it, is gone: the statement may or may not have happened. */
export function isLost(failure: unknown): boolean {
  const error = said(failure);
  if (error instanceof DatabaseError) {
    const code = error.code ?? '';
    return code.startsWith('08') || code.startsWith('57P') || code.startsWith('53') || code === '25006';
  }
  // A socket's errors are the runtime's own, which need not be the `Error` of the context that this code runs in.
  if (!types.isNativeError(error)) {
    return false;
  }
  return ('code' in error && typeof error.code === 'string' && LOST.has(error.code)) || LOST_TEXT.test(error.message);
}

/** The name of the violated constraint, for repositories that can say something better than `conflict`. */
export function violatedConstraint(error: unknown): string | null {
  const cause = said(error instanceof DomainError ? error.cause : error);
  return cause instanceof DatabaseError ? (cause.constraint ?? null) : null;
}

/** True where a run was to be made for an agent that is deleted. */
export function isAgentDeleted(error: unknown): boolean {
  const cause = said(error instanceof DomainError ? error.cause : error);
  return cause instanceof DatabaseError && cause.code === AGENT_DELETED;
}

/** Any error of the database layer as one of ours; what is ours already passes through. */
export function toDomainError(failure: unknown): unknown {
  const error = said(failure);
  if (error instanceof DomainError) {
    return error;
  }
  if (isLost(error)) {
    return unavailable('The database cannot be reached just now; try again.', error);
  }
  if (!(error instanceof DatabaseError)) {
    return error;
  }
  const internal = `${error.code ?? '?'} ${error.message}`;
  switch (error.code) {
    case '23505':
      return new DomainError('already-exists', 'Something with these values already exists.', {
        cause: error,
        internal,
      });
    // `on delete restrict` is a code of its own from PostgreSQL 18 on.
    case '23001':
    case '23503':
      return new DomainError(
        'still-referenced',
        'This is still used by, or refers to, something that does not allow the change.',
        {
          cause: error,
          internal,
        },
      );
    case AGENT_DELETED:
      return new DomainError('conflict', error.message, { cause: error, internal });
    case BUDGET_EXCEEDED:
      return new DomainError('budget-exceeded', error.message, {
        cause: error,
        retryAfterSeconds: Number(error.detail ?? '') || SECONDS_PER_DAY,
      });
    case '57014':
    case '55P03':
    case '40001':
    case '40P01':
      return unavailable('The database was too busy to finish this; try again.', error);
    case '22021':
    case '22P02':
    case '22P05':
    case '22003':
    case '22007':
    case '22008':
    case '22023':
    case '23514':
    case '23502':
    case '54000':
      return new DomainError('invalid-request', 'A value of the request cannot be stored.', { cause: error, internal });
    default:
      return new DomainError('internal', 'Something went wrong on our side.', { cause: error, internal });
  }
}

function unavailable(message: string, cause: unknown): DomainError {
  return new DomainError('unavailable', message, {
    cause,
    retryAfterSeconds: 2,
    internal: cause instanceof Error ? cause.message : String(cause),
  });
}
