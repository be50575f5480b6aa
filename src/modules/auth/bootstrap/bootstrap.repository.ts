import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';

/** Any constant will do, as long as every replica uses the same one. */
const BOOTSTRAP_LOCK = 7_430_221_908;

export interface BootstrapKey extends Record<string, unknown> {
  id: string;
  is_disabled: boolean;
}

export interface StoredSecret extends Record<string, unknown> {
  api_key_id: string;
  digest: Buffer;
  pepper_version: number;
}

@Injectable()
export class BootstrapRepository {
  /** Lets one replica at a time prepare the instance, until the transaction ends. */
  async lock(tx: Tx): Promise<void> {
    await tx.execute(sql`select pg_advisory_xact_lock(${BOOTSTRAP_LOCK})`);
  }

  /** The first organisation, which operates the instance; null before there is any. */
  async findOperator(tx: Tx): Promise<string | null> {
    return (await tx.row<{ id: string }>(sql`select id from organizations where operates_instance`))?.id ?? null;
  }

  async findKey(scope: WriteScope, tx: Tx): Promise<BootstrapKey | null> {
    return tx.row<BootstrapKey>(sql`
      select k.id, p.disabled_at is not null as is_disabled from api_keys k
      join principals p on p.organization_id = k.organization_id and p.id = k.id
      where ${tenant(scope, 'k')} and k.is_bootstrap for update of k`);
  }

  /** The secret under one of the public ids, whoever's it is: public ids are unique in the instance. */
  async findSecret(tx: Tx, publicIds: readonly string[]): Promise<StoredSecret | null> {
    return tx.row<StoredSecret>(sql`
      select s.api_key_id, s.digest, s.pepper_version from api_key_secrets s where s.public_id = any(${publicIds}::text[]) limit 1`);
  }

  /** The key is an ordinary (and ended) one from now on; another takes its part. */
  async retireKey(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(sql`update api_keys k set is_bootstrap = false where ${tenant(scope, 'k')} and k.id = ${id}`);
  }

  /** True where somebody in the organization signs in by this e-mail. */
  async hasPerson(scope: WriteScope, tx: Tx, email: string): Promise<boolean> {
    const person = await tx.row(
      sql`select 1 from users u where ${tenant(scope, 'u')} and lower(u.email) = lower(${email}) and u.deleted_at is null`,
    );
    return person !== null;
  }
}
