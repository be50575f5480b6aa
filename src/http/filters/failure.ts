/**
 * Anything thrown, as what a client may know of it. One table from our codes to HTTP; every surface then words it its own way.
 */
import { HttpException } from '@nestjs/common';
import { StaleActorError } from '../../database/database.js';
import { DomainError, type ErrorCode, type InputIssue } from '../../kernel/errors.js';

export interface Failure {
  code: ErrorCode;
  status: number;
  title: string;
  /** A public sentence. */
  detail: string;
  issues: readonly InputIssue[];
  retryAfterSeconds: number | undefined;
}

/** Status and title of every code; `satisfies` makes a new code without a row an error of compilation. */
export const HTTP_STATUS = {
  'invalid-request': [400, 'The request is not valid'],
  'malformed-json': [400, 'The body is not acceptable JSON'],
  'not-available': [400, 'Not available in this version'],
  'invalid-cursor': [400, 'The cursor is not valid here'],
  unauthenticated: [401, 'Credentials are missing or not valid'],
  'invalid-credentials': [401, 'Sign-in failed'],
  forbidden: [403, 'Not allowed'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  'not-acceptable': [406, 'Not acceptable'],
  'payload-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'Unsupported media type'],
  'content-mismatch': [422, 'The bytes are not what was announced'],
  'precondition-failed': [412, 'Precondition failed'],
  'range-not-satisfiable': [416, 'Range not satisfiable'],
  conflict: [409, 'Conflict'],
  'lease-lost': [409, 'The lease is lost'],
  'run-ended': [409, 'The run has ended'],
  'not-waiting': [409, 'The run does not wait for this'],
  'asking-not-allowed': [409, 'The run may not ask'],
  'cursor-ahead': [409, 'The cursor is ahead of the stream'],
  'already-exists': [409, 'Already exists'],
  'still-referenced': [409, 'Still in use'],
  'idempotency-in-progress': [409, 'A request with this key is in progress'],
  'idempotency-mismatch': [422, 'The key belongs to another request'],
  'batch-mismatch': [422, 'The batch id belongs to another batch'],
  'rate-limited': [429, 'Too many requests'],
  'limit-reached': [429, 'A limit is reached'],
  'budget-exceeded': [429, 'A budget is used up'],
  unavailable: [503, 'Temporarily unavailable'],
  internal: [500, 'Internal error'],
} as const satisfies Record<ErrorCode, readonly [number, string]>;

/** What the framework throws by itself, by status. */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid-request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  406: 'not-acceptable',
  413: 'payload-too-large',
  415: 'unsupported-media-type',
  429: 'rate-limited',
  503: 'unavailable',
};

/** Public sentences for the framework's own refusals, whose messages are not written for clients. */
const SENTENCES: Partial<Record<ErrorCode, string>> = {
  'invalid-request': 'The request could not be understood.',
  forbidden: 'This path is not served.',
  'not-found': 'There is nothing here.',
  'payload-too-large': 'The body is larger than this route takes.',
  'unsupported-media-type': 'Send the body as application/json.',
  'method-not-allowed': 'This method is not allowed here.',
};

export function toFailure(error: unknown): Failure {
  if (error instanceof DomainError) {
    return failure(error.code, error.message, error.issues, error.retryAfterSeconds);
  }
  if (error instanceof StaleActorError) {
    // Found out of date twice in one request: rights are changing under the caller's feet.
    return failure('unavailable', 'Your rights are being changed; try again.', [], 1);
  }
  const status = statusOf(error);
  // A refusal of the framework's that we have no words for is still the caller's, never ours.
  const code = BY_STATUS[status] ?? (status >= 400 && status < 500 ? 'invalid-request' : 'internal');
  return failure(
    code,
    SENTENCES[code] ?? (status < 500 ? 'The request was refused.' : 'Something went wrong on our side.'),
    [],
    code === 'unavailable' ? 1 : undefined,
  );
}

function failure(
  code: ErrorCode,
  detail: string,
  issues: readonly InputIssue[],
  retryAfterSeconds: number | undefined,
): Failure {
  const [status, title] = HTTP_STATUS[code];
  const retry = retryAfterSeconds ?? (status === 429 || status === 503 ? 1 : undefined);
  return { code, status, title, detail, issues, retryAfterSeconds: retry };
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) {
    return error.getStatus();
  }
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : 500;
}
