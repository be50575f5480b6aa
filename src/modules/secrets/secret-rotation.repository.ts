import { Injectable } from '@nestjs/common';
import type { Database } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import { type Envelope, EnvelopeError } from '../../infrastructure/envelope/envelope.js';
import {
  type ReencryptionCount,
  ReencryptableStore,
  ReencryptionRegistry,
} from '../../infrastructure/envelope/reencryption-registry.js';
import { Log } from '../../kernel/log.js';
import { secretContext } from './secret-context.js';

interface SealedRow {
  organization_id: string;
  secret_id: string;
  version: number;
  sealed: Buffer;
}

/** Secrets as the rotation of the root key sees them: over every organisation, and never opened further than their data key. */
@Injectable()
export class SecretRotationRepository extends ReencryptableStore {
  readonly name = 'secrets';

  constructor(
    stores: ReencryptionRegistry,
    private readonly log: Log,
  ) {
    super();
    stores.add(this);
  }

  override async rewrap(database: Database, envelope: Envelope, primaryId: string, most: number): Promise<number> {
    return database.transaction(async (tx) => {
      const rows = await tx.rows<SealedRow & Record<string, unknown>>(sql`
        select v.organization_id, v.secret_id, v.version, v.sealed from secret_versions v where v.root_key_id <> ${primaryId}
        order by v.organization_id, v.secret_id, v.version limit ${most} for update skip locked`);
      const changed = rows.flatMap((row) => {
        const sealed = this.#rewrapped(envelope, row);
        return sealed === null ? [] : [{ ...row, sealed: sealed.toString('hex') }];
      });
      if (changed.length > 0) {
        await tx.execute(sql`
          update secret_versions v set sealed = decode(g.sealed, 'hex'), root_key_id = ${primaryId}
          from jsonb_to_recordset(${JSON.stringify(changed)}::jsonb) as g (organization_id uuid, secret_id uuid, version int, sealed text)
          where v.organization_id = g.organization_id and v.secret_id = g.secret_id and v.version = g.version`);
      }
      return changed.length;
    });
  }

  override async count(database: Database): Promise<ReencryptionCount[]> {
    return database.rows<ReencryptionCount & Record<string, unknown>>(
      sql`select v.root_key_id as "rootKeyId", count(*)::int as count from secret_versions v group by 1 order by 1`,
    );
  }

  /** Null for one that does not open: it is left as it is, and told of, and keeps nothing else from being rotated. */
  #rewrapped(envelope: Envelope, row: SealedRow): Buffer | null {
    try {
      return envelope.rewrap(secretContext(row.organization_id, row.secret_id, row.version), row.sealed).sealed;
    } catch (error) {
      if (!(error instanceof EnvelopeError)) {
        throw error;
      }
      this.log.error('a sealed secret does not open', { reason: error.message, organization_id: row.organization_id });
      return null;
    }
  }
}
