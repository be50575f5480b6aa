import { createHmac } from 'node:crypto';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import type { KeyRing } from '../../engines/keyring/keyring.js';

/**
 * The ticket of a request whose body holds a password. Its fingerprint is a fast digest of that body, kept for a day: whoever got
 * at the table could try passwords against it. Under a pepper, the table alone is good for nothing.
 */
export function concealed(ring: KeyRing, ticket: IdempotencyTicket | null): IdempotencyTicket | null {
  const pepper = ring.peppers[0];
  if (ticket === null || pepper === undefined) {
    return null;
  }
  const fingerprint = createHmac('sha256', pepper.secret)
    .update('idempotency fingerprint\0')
    .update(ticket.fingerprint)
    .digest();
  return { ...ticket, fingerprint };
}
