import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import type { SealContext } from '../../../infrastructure/envelope/envelope.js';

/** A secret as it is kept. `endpointId` is null for the one of the organisation's callbacks. */
export interface SealedSecret {
  id: string;
  endpointId: string | null;
  version: number;
  sealed: Buffer;
  rootKeyId: string;
  lastFour: string;
}

/** What its seal is bound to. */
export function sealContextOf(
  organizationId: string,
  { id, endpointId, version }: Pick<SealedSecret, 'id' | 'endpointId' | 'version'>,
): SealContext {
  return { organizationId, purpose: endpointId === null ? 'callback' : 'webhook', objectId: id, version };
}

@Injectable()
export class WebhookSecretsRepository {
  constructor(private readonly database: Database) {}

  /** The present secret and, until it expires, the one before. */
  async usable(
    scope: ReadScope,
    endpointId: string | null,
    reader: Pick<Tx, 'rows'> = this.database,
  ): Promise<SealedSecret[]> {
    return reader.rows<SealedSecret & Record<string, unknown>>(sql`
      select s.id, s.endpoint_id as "endpointId", s.version, s.sealed, s.root_key_id as "rootKeyId", s.last_four as "lastFour"
      from signing_secrets s where ${tenant(scope, 's')} and s.endpoint_id is not distinct from ${endpointId}::uuid
        and (s.expires_at is null or s.expires_at > clock_timestamp())
      order by s.version desc`);
  }

  /** When the present secret of callbacks was made, and how it ends; null where there is none yet. */
  async ofCallbacks(
    scope: ReadScope,
    reader: Pick<Tx, 'json'> = this.database,
  ): Promise<{ created_at: string; last_four: string } | null> {
    return reader.json(
      scope,
      sql`select json_build_object('created_at', iso_utc(s.created_at), 'last_four', s.last_four)
        from signing_secrets s where ${tenant(scope, 's')} and s.endpoint_id is null and s.expires_at is null`,
    );
  }

  /** Puts those who make secrets at once in a row. */
  async lock(scope: WriteScope, tx: Tx): Promise<void> {
    await tx.rows(sql`select 1 from organizations o where o.id = ${scope.organizationId} for no key update of o`);
  }

  /** Lets the present secret expire, drops the one before it, and answers the number of the next version. */
  async retire(scope: WriteScope, tx: Tx, endpointId: string | null, overlapHours: number): Promise<number> {
    await this.lock(scope, tx);
    const of = sql`s.organization_id = ${scope.organizationId} and s.endpoint_id is not distinct from ${endpointId}::uuid`;
    const last = await tx.row<{ version: number }>(
      sql`select coalesce(max(s.version), 0)::int as version from signing_secrets s where ${of}`,
    );
    await tx.execute(sql`delete from signing_secrets s where ${of} and s.expires_at is not null`);
    await tx.execute(sql`update signing_secrets s set expires_at = clock_timestamp() + make_interval(hours => ${overlapHours})
      where ${of}`);
    return (last?.version ?? 0) + 1;
  }

  async insert(scope: WriteScope, tx: Tx, secret: SealedSecret): Promise<void> {
    await tx.execute(sql`
      insert into signing_secrets (organization_id, id, endpoint_id, version, sealed, root_key_id, last_four)
      values (${scope.organizationId}, ${secret.id}, ${secret.endpointId}, ${secret.version}, ${secret.sealed}, ${secret.rootKeyId},
        ${secret.lastFour})`);
  }
}
