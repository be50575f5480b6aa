/** What is asked of a person, and what may be answered. Pure. */
import { DomainError, invalid } from '../../../kernel/errors.js';
import type { MessagePart } from '../../messages/index.js';
import { isEnded } from '../core/run.state.js';
import type { WaitingRun } from './waits.repository.js';

/** A run that was asked to stop waits for nobody: its worker is to end it. */
export function assertNoCancel(cancelRequested: boolean): void {
  if (cancelRequested) {
    throw new DomainError('conflict', 'A cancel of this run was requested; end it with canceled.');
  }
}

/** What a waiting run asks. */
export interface OpenQuestion {
  id: string;
  options: readonly string[] | null;
  default: string | null;
}

/** The question of a run that waits for an answer; null of any other. */
export function openQuestion({ waitKind, value }: WaitingRun): OpenQuestion | null {
  if (waitKind !== 'question' || value === null) {
    return null;
  }
  const { id, options, default: fallback } = value;
  return {
    id: typeof id === 'string' ? id : '',
    options: Array.isArray(options) ? options.filter((one) => typeof one === 'string') : null,
    default: typeof fallback === 'string' ? fallback : null,
  };
}

/** @throws DomainError `invalid-request` for an answer that is none of the options, which it names */
export function assertOption(options: readonly string[] | null, parts: readonly MessagePart[]): void {
  if (options === null) {
    return;
  }
  const [first] = parts;
  if (parts.length !== 1 || first?.type !== 'text' || !options.includes(first.text)) {
    throw invalid('/text', `must be one of the options: ${options.map((option) => JSON.stringify(option)).join(', ')}`);
  }
}

/** To whoever wants to end a wait that is not, or not any more. */
export function notWaiting(run: WaitingRun, what: string): DomainError {
  return isEnded(run.status)
    ? new DomainError('run-ended', `This run has already ended as ${run.status}.`)
    : new DomainError('not-waiting', `This run does not wait for ${what}, or not any more.`);
}
