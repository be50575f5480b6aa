/** Why an execution was told to stop; decides how it ends. */
export class Interrupted extends Error {
  constructor(readonly why: 'canceled' | 'lease-lost' | 'stopping') {
    super(`interrupted: ${why}`);
  }
}
