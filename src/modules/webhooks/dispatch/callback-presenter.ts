import type { TaskResult } from '../../tasks/index.js';

/** A task as the result of one of its runs, as it was when that run ended. */
export interface CallbackFacts extends TaskResult {
  run_id: string;
}

/**
 * Turns what was true at the end of a run into the body of the callback. Asked once for each callback: what it answers is kept for
 * every attempt. Whoever knows the page that promises callbacks provides it; this module must not know one.
 */
export abstract class CallbackPresenter {
  abstract present(facts: CallbackFacts): object;
}
