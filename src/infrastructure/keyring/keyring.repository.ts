import { Injectable } from '@nestjs/common';
import { Database, type Tx } from '../../database/database.js';
import { jsonb, sql } from '../../database/sql.js';

export type KeyPurpose = 'canary' | 'pepper' | 'token' | 'presign' | 'cursor' | 'audit' | 'audit_head';

export interface SealedKeyRow {
  name: string;
  purpose: KeyPurpose;
  public_jwk: unknown;
  root_key_id: string;
  sealed: Buffer;
  created_at: Date;
}

/** Keys belong to the instance, not to an organisation: the one table without a tenant that holds anything secret. */
@Injectable()
export class KeyringRepository {
  constructor(private readonly database: Database) {}

  /** Runs `work` while no other process reads or makes keys, so that two first starts agree on one set. */
  async exclusively<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    return this.database.transaction(async (tx) => {
      await tx.execute(sql`lock table sealed_keys in share row exclusive mode`);
      return work(tx);
    });
  }

  async list(tx: Tx): Promise<SealedKeyRow[]> {
    return tx.rows<SealedKeyRow & Record<string, unknown>>(sql`
      select name, purpose, public_jwk, root_key_id, sealed, created_at from sealed_keys
      where retired_at is null order by created_at, name`);
  }

  /** The root key that the process which started last seals with, or null where no process has started yet. */
  async presentRootKeyId(): Promise<string | null> {
    const row = await this.database.row<{ root_key_id: string }>(
      sql`select root_key_id from sealed_keys where purpose = 'canary' and retired_at is null limit 1`,
    );
    return row?.root_key_id ?? null;
  }

  /** The same key under another root key. */
  async reseal(tx: Tx, row: Pick<SealedKeyRow, 'name' | 'root_key_id' | 'sealed'>): Promise<void> {
    await tx.execute(
      sql`update sealed_keys set root_key_id = ${row.root_key_id}, sealed = ${row.sealed} where name = ${row.name}`,
    );
  }

  async insert(tx: Tx, row: Omit<SealedKeyRow, 'created_at'>): Promise<void> {
    await tx.execute(sql`insert into sealed_keys (name, purpose, public_jwk, root_key_id, sealed)
      values (${row.name}, ${row.purpose}, ${jsonb(row.public_jwk)}, ${row.root_key_id}, ${row.sealed})`);
  }
}
