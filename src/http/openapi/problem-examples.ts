import type { ErrorCode, InputIssue } from '../../kernel/errors.js';
import { HTTP_STATUS } from '../filters/failure.js';

/** What a client may read in `detail`, by code; the real sentence says more where there is more to say. */
export const DETAILS: Readonly<Record<ErrorCode, string>> = {
  'invalid-request': '/title: must be at most 200 characters',
  'malformed-json': 'The body is not valid JSON.',
  'not-available': 'Changing the concurrency key is not available in this version.',
  'invalid-cursor': 'This cursor does not belong to this list; start again without one.',
  unauthenticated: 'Send one valid credential.',
  'invalid-credentials': 'E-mail or password is wrong.',
  forbidden: 'You may read this, but not change it.',
  'not-found': 'There is nothing with this id.',
  'method-not-allowed': 'This method is not allowed here.',
  'not-acceptable': 'None of the types asked for can be sent.',
  'payload-too-large': 'The body is larger than this route takes.',
  'unsupported-media-type': 'Send the body as application/json.',
  'content-mismatch': 'The bytes are image/png, and image/jpeg was announced.',
  'precondition-failed': 'If-Match does not name the version that is here.',
  'range-not-satisfiable': 'The range lies outside of what there is.',
  conflict: 'This contradicts the state things are in.',
  'lease-lost': 'This lease is no longer held.',
  'run-ended': 'The run has ended.',
  'not-waiting': 'This run does not wait for an answer.',
  'asking-not-allowed': 'This run was started without leave to ask.',
  'cursor-ahead': 'The cursor is beyond the last event.',
  'already-exists': 'Something with these values already exists.',
  'still-referenced': 'This is still used by something that does not allow the change.',
  'idempotency-in-progress': 'A request with this Idempotency-Key has not been answered yet.',
  'idempotency-mismatch': 'This Idempotency-Key was used with another request.',
  'batch-mismatch': 'This batch id was used with other events.',
  'rate-limited': 'Too many attempts; wait before the next.',
  'limit-reached': 'Too many streams are open; close some, or try again later.',
  'budget-exceeded':
    'The budget "Summaries" is used up: 5000 of 5000 cents are spent. Its period ends at 2026-02-01T00:00:00.000Z.',
  unavailable: 'The database cannot be reached just now; try again.',
  internal: 'Something went wrong on our side.',
};

const ISSUES: Partial<Record<ErrorCode, InputIssue[]>> = {
  'invalid-request': [{ path: '/title', message: 'must be at most 200 characters' }],
  'not-available': [
    { path: '/concurrency_key', message: 'Changing the concurrency key is not available in this version.' },
  ],
};

/** A problem document as it comes with this code. */
export function problemExample(code: ErrorCode): object {
  const [status, title] = HTTP_STATUS[code];
  return {
    type: `urn:taskyard:problem:${code}`,
    title,
    status,
    detail: DETAILS[code],
    instance: '/api/v1/tasks',
    code,
    request_id: '0b7e6a3e-3f0c-4f0e-9a57-0f6f8a4f6a11',
    errors: ISSUES[code] ?? [],
  };
}
