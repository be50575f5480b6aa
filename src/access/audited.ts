import type { WriteAction } from './actions.js';

/**
 * Changes that leave no row in the audit trail, each with where it is told instead. Everything else that a request changes is in the
 * trail, by the transaction that changes it. The list may only shrink.
 */
const TOLD_ELSEWHERE: Readonly<Partial<Record<WriteAction, string>>> = {
  'worker:act': 'the log of the run tells each event with its attempt and worker',
  'task:create': 'the task tells who made it, and when',
  'run:create': 'the run, and the message that it begins with, tell who started it',
  'message:create': 'the message tells who wrote it',
};

/** True where a change under this action belongs into the audit trail. */
export function isAudited(action: WriteAction): boolean {
  return TOLD_ELSEWHERE[action] === undefined;
}
