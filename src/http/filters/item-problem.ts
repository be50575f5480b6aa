import type { Failure } from './failure.js';
import type { ErrorCode, InputIssue } from '../../kernel/errors.js';

/** A problem (RFC 9457) of one item of a request: without what is the request's own, its path and id. */
export interface ItemProblem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  errors: InputIssue[];
}

/** @param pointer where the item is in the body: what is wrong in it is named from the body's top, as in any other problem */
export function itemProblem({ code, title, status, detail, issues }: Failure, pointer: string): ItemProblem {
  return {
    type: `urn:taskyard:problem:${code}`,
    title,
    status,
    detail,
    code,
    errors: issues.map(({ path, message }) => ({ path: `${pointer}${path}`, message })),
  };
}
