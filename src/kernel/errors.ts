/**
 * What can go wrong, said in our words. A domain error knows no HTTP and no vendor: it carries a code from a closed list, a
 * sentence for the caller, and detail for the log. Each surface maps every code (the compiler holds it to that).
 */

/** Whose fault it is decides the log level, and lets a surface group codes it has no words of its own for. */
export type Fault = 'caller' | 'conflict' | 'limit' | 'outside' | 'ours';

/** The closed list of codes; the API calls it `code`. */
export const ERROR_CODES = {
  'invalid-request': 'caller',
  'malformed-json': 'caller',
  'not-available': 'caller',
  'invalid-cursor': 'caller',
  unauthenticated: 'caller',
  'invalid-credentials': 'caller',
  forbidden: 'caller',
  'not-found': 'caller',
  'method-not-allowed': 'caller',
  'not-acceptable': 'caller',
  'payload-too-large': 'caller',
  'unsupported-media-type': 'caller',
  'content-mismatch': 'caller',
  'precondition-failed': 'caller',
  'range-not-satisfiable': 'caller',
  conflict: 'conflict',
  'lease-lost': 'conflict',
  'run-ended': 'conflict',
  'not-waiting': 'conflict',
  'asking-not-allowed': 'conflict',
  'cursor-ahead': 'conflict',
  'already-exists': 'conflict',
  'still-referenced': 'conflict',
  'idempotency-in-progress': 'conflict',
  'idempotency-mismatch': 'conflict',
  'batch-mismatch': 'conflict',
  'rate-limited': 'limit',
  'limit-reached': 'limit',
  'budget-exceeded': 'limit',
  unavailable: 'outside',
  internal: 'ours',
} as const satisfies Record<string, Fault>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One thing wrong with the input; `path` is a JSON Pointer (RFC 6901) into the body, or `?name` for a query parameter. */
export interface InputIssue {
  path: string;
  message: string;
}

export interface DomainErrorDetail {
  /** For the log only; never sent. */
  internal?: string;
  issues?: readonly InputIssue[];
  retryAfterSeconds?: number;
  cause?: unknown;
}

/** The only error the product throws on purpose. `message` is public: it says what to do, without internals. */
export class DomainError extends Error {
  readonly internal: string | undefined;
  readonly issues: readonly InputIssue[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    detail: DomainErrorDetail = {},
  ) {
    super(message, { cause: detail.cause });
    this.name = 'DomainError';
    this.internal = detail.internal;
    this.issues = detail.issues ?? [];
    this.retryAfterSeconds = detail.retryAfterSeconds;
  }

  get fault(): Fault {
    return ERROR_CODES[this.code];
  }
}

/** Absent, or not readable by this actor: nobody may tell which. */
export function notFound(what: string): DomainError {
  return new DomainError('not-found', `No such ${what}.`);
}

/** Readable, but not writable by this actor. */
export function forbidden(message = 'You may read this, but not change it.'): DomainError {
  return new DomainError('forbidden', message);
}

/** One invalid field, named by its JSON Pointer. */
export function invalid(path: string, message: string): DomainError {
  return new DomainError('invalid-request', message, { issues: [{ path, message }] });
}

/** A documented field or route whose feature this version does not have. */
export function notAvailable(path: string, what: string): DomainError {
  const message = `${what} is not available in this version.`;
  return new DomainError('not-available', message, { issues: [{ path, message }] });
}
