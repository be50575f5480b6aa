import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import type { AssetPart } from './uploads.schema.js';

/** What each part is that has arrived; its bytes are in the blob store. */
@Injectable()
export class AssetPartsRepository {
  constructor(private readonly database: Database) {}

  /** Records a part whose bytes are stored. Nothing where the asset is gone. */
  async record(scope: WriteScope, assetId: string, { number, size, sha256 }: AssetPart): Promise<void> {
    await this.database.execute(sql`
      insert into asset_parts (organization_id, asset_id, number, size_bytes, sha256)
      select a.organization_id, a.id, ${number}::integer, ${size}::bigint, ${sha256} from assets a
      where ${tenant(scope, 'a')} and a.id = ${assetId}
      on conflict (organization_id, asset_id, number) do update set size_bytes = excluded.size_bytes, sha256 = excluded.sha256`);
  }

  /** The recorded parts of an asset, by number. */
  async list(scope: WriteScope, assetId: string): Promise<AssetPart[]> {
    return this.database.rows<AssetPart & Record<string, unknown>>(
      sql`select p.number, p.size_bytes::float8 as size, p.sha256 from asset_parts p
        where ${tenant(scope, 'p')} and p.asset_id = ${assetId} order by p.number`,
    );
  }

  /** One recorded part, or null. */
  async find(scope: WriteScope, assetId: string, number: number): Promise<AssetPart | null> {
    return this.database.row<AssetPart & Record<string, unknown>>(
      sql`select p.number, p.size_bytes::float8 as size, p.sha256 from asset_parts p
        where ${tenant(scope, 'p')} and p.asset_id = ${assetId} and p.number = ${number}::integer`,
    );
  }

  /** Forgets one part, or all. */
  async forget(scope: WriteScope, assetId: string, number: number | null = null): Promise<void> {
    await this.database.execute(sql`delete from asset_parts p
      where ${tenant(scope, 'p')} and p.asset_id = ${assetId} and (${number}::integer is null or p.number = ${number}::integer)`);
  }
}
