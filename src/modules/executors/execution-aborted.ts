/** Why an execution was told to stop; decides how it ends. `parked`: the run waits for a person now, and its lease has ended. */
export class ExecutionAborted extends Error {
  constructor(readonly why: 'canceled' | 'lease-lost' | 'parked' | 'stopping') {
    super(`interrupted: ${why}`);
  }
}
