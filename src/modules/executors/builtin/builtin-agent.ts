import { type LeasedRun, RunFailure } from '../executor.js';

/** An agent whose code is ours and runs in this process. */
export interface BuiltinAgent {
  /** What `config.builtin` of an agent of kind `builtin` says to mean this one. */
  readonly name: string;
  /** Resolves with the run's output. @throws the signal's reason when aborted, RunFailure for a fault of the input */
  execute(run: LeasedRun): Promise<Record<string, unknown>>;
}

/** The input cannot be worked on; the message is for the person who gave it. */
export function invalidInput(message: string): RunFailure {
  return new RunFailure('InvalidInput', message, false);
}
