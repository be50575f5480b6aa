import type { SealContext } from '../../infrastructure/envelope/envelope.js';

/** What a secret's value is bound to. */
export function secretContext(organizationId: string, secretId: string, version: number): SealContext {
  return { organizationId, purpose: 'secret', objectId: secretId, version };
}
