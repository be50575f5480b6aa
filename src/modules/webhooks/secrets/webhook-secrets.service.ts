/**
 * What deliveries are signed with. Each endpoint has its own secret, and the callbacks of an organisation share one: whoever receives
 * at one place cannot sign for another. Made here, kept sealed, shown once; for a day after a rotation the old one signs beside the new.
 */
import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { unsafelySystemScope, type WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Envelope } from '../../../infrastructure/envelope/envelope.js';
import { secretText } from '../../../infrastructure/egress/standard-webhooks.js';
import { newId } from '../../../kernel/ids.js';
import { WebhookSecretsRepository, sealContextOf } from './webhook-secrets.repository.js';

/** How long the secret before goes on signing. */
export const OVERLAP_HOURS = 24;
const BYTES = 32;

@Injectable()
export class WebhookSecretsService {
  constructor(
    private readonly repository: WebhookSecretsRepository,
    private readonly envelope: Envelope,
    private readonly database: Database,
  ) {}

  /**
   * Makes the next secret, of the endpoint or (null) of callbacks; the present one goes on signing for so many hours. Answers the new
   * one as receivers' libraries take it.
   */
  async renew(scope: WriteScope, tx: Tx, endpointId: string | null, overlapHours = OVERLAP_HOURS): Promise<string> {
    const version = await this.repository.retire(scope, tx, endpointId, overlapHours);
    const bytes = randomBytes(BYTES);
    const text = secretText(bytes);
    const id = newId();
    const { sealed, rootKeyId } = this.envelope.seal(
      sealContextOf(scope.organizationId, { id, endpointId, version }),
      bytes,
    );
    await this.repository.insert(scope, tx, { id, endpointId, version, sealed, rootKeyId, lastFour: text.slice(-4) });
    return text;
  }

  /** What to sign with now, the newest first; the first callback of an organisation makes the secret. */
  async toSignWith(organizationId: string, endpointId: string | null): Promise<Buffer[]> {
    const scope = unsafelySystemScope(organizationId, 'sign what is sent');
    let found = await this.repository.usable(scope, endpointId);
    if (found.length === 0 && endpointId === null) {
      await this.database.transaction(async (tx) => {
        await this.repository.lock(scope, tx);
        if ((await this.repository.usable(scope, null, tx)).length === 0) {
          await this.renew(scope, tx, null);
        }
      });
      found = await this.repository.usable(scope, endpointId);
    }
    return found.map((secret) => this.envelope.open(sealContextOf(organizationId, secret), secret.sealed));
  }
}
