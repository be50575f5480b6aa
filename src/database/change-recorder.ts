import type { WriteScope } from '../access/index.js';
import type { Tx } from './database.js';

/**
 * Told of every change that a caller makes, inside the transaction that makes it: `Database.write` calls it last, so that no service
 * can forget to, and what it cannot record does not commit. Bound at start by `engines/audit-trail`.
 */
export abstract class ChangeRecorder {
  /** @param result what the work answered: a thing that was made says its id there */
  abstract recordChange(tx: Tx, scope: WriteScope, result: unknown): Promise<void>;
}
