import { Injectable } from '@nestjs/common';
import type { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import type { Envelope } from '../../../infrastructure/envelope/envelope.js';
import {
  type ReencryptionCount,
  ReencryptableStore,
  ReencryptionRegistry,
} from '../../../infrastructure/envelope/reencryption-registry.js';
import { type SealedSecret, sealContextOf } from './webhook-secrets.repository.js';

/** Lets the secrets that deliveries are signed with follow the root key. */
@Injectable()
export class WebhookSecretStore extends ReencryptableStore {
  readonly name = 'webhook secrets';

  constructor(stores: ReencryptionRegistry) {
    super();
    stores.add(this);
  }

  async rewrap(database: Database, envelope: Envelope, primaryId: string, most: number): Promise<number> {
    return database.transaction(async (tx) => {
      const rows = await tx.rows<SealedSecret & { organizationId: string } & Record<string, unknown>>(sql`
        select s.organization_id as "organizationId", s.id, s.endpoint_id as "endpointId", s.version, s.sealed,
          s.root_key_id as "rootKeyId", s.last_four as "lastFour"
        from signing_secrets s where s.root_key_id <> ${primaryId} limit ${most}::int for update skip locked`);
      for (const row of rows) {
        const { sealed, rootKeyId } = envelope.rewrap(sealContextOf(row.organizationId, row), row.sealed);
        await tx.execute(sql`update signing_secrets s set sealed = ${sealed}, root_key_id = ${rootKeyId}
          where s.organization_id = ${row.organizationId} and s.id = ${row.id}`);
      }
      return rows.length;
    });
  }

  async count(database: Database): Promise<ReencryptionCount[]> {
    return database.rows<ReencryptionCount & Record<string, unknown>>(sql`
      select s.root_key_id as "rootKeyId", count(*)::int as count from signing_secrets s group by s.root_key_id`);
  }
}
