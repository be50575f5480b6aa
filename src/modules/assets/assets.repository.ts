import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { RowLimits } from '../../database/row-limits.js';
import { createdBetween, type KeysetPage, type KeysetRow, keysetRows } from '../../database/keyset.sql.js';
import { contributableTask, live, readableTask, tenant } from '../../database/scope.sql.js';
import { type Sql, all, jsonb, raw, sql } from '../../database/sql.js';
import type { Asset, AssetListQuery, AssetType } from './assets.schema.js';

/** An asset as stored: without its links, which need a key and a reader. */
export type StoredAsset = Omit<Asset, 'url' | 'thumbnail' | 'embed'> & {
  has_thumbnail: boolean;
  /** Changes whenever the thumbnail does. */
  thumbnail_version: number;
};

export interface ReadyAssetRow {
  id: string;
  taskId: string;
  runId: string | null;
  name: string;
  type: AssetType;
  contentType: string;
  sizeBytes: number;
  sha256: string;
  metadata: Readonly<Record<string, unknown>>;
}

@Injectable()
export class AssetsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** The asset; null where it is absent or its task not readable. */
  async find(scope: ReadScope, id: string): Promise<StoredAsset | null> {
    return this.database.json<StoredAsset>(
      scope,
      sql`select ${assetJson('a')} from ${WITH_TASK} where a.id = ${id} and ${tenant(scope, 'a')} and ${readableTask(scope, 't')}`,
    );
  }

  async list(scope: ReadScope, query: AssetListQuery, page: KeysetPage): Promise<KeysetRow<StoredAsset>[]> {
    const conditions = [tenant(scope, 'a'), readableTask(scope, 't'), createdBetween('a', query)];
    if (query.task_id !== undefined) {
      conditions.push(sql`a.task_id = ${query.task_id}`);
    }
    if (query.run_id !== undefined) {
      conditions.push(sql`a.run_id = ${query.run_id}`);
    }
    if (query.type !== undefined) {
      conditions.push(sql`a.type = ${query.type}`);
    }
    if (query.status !== undefined) {
      conditions.push(sql`a.status = ${query.status}`);
    }
    const rows = keysetRows('a', page, { item: assetJson('a'), from: WITH_TASK, where: all(conditions) });
    return (await this.database.json<KeysetRow<StoredAsset>[]>(scope, rows)) ?? [];
  }

  /** Stores an asset whose bytes are kept already. False where there is no such task. */
  async insertReady(scope: WriteScope, tx: Tx, row: ReadyAssetRow): Promise<boolean> {
    await this.rowLimits.assertRoom(scope, tx, 'assets');
    const inserted = await tx.execute(sql`
      insert into assets (organization_id, id, task_id, run_id, name, type, content_type, size_bytes, sha256, status, metadata, fence, created_by,
        job, job_due_at)
      select t.organization_id, ${row.id}::uuid, t.id, ${row.runId}::uuid, ${row.name}, ${row.type}, ${row.contentType},
        ${row.sizeBytes}::bigint, ${row.sha256}, 'ready', ${jsonb(row.metadata)},
        (select r.fence from runs r where r.organization_id = t.organization_id and r.id = ${row.runId}::uuid),
        ${scope.isSystem ? null : scope.actor.creatorId}::uuid,
        ${row.type === 'file' ? null : 'preview'}, case when ${row.type !== 'file'} then clock_timestamp() end
      from tasks t where ${tenant(scope, 't')} and t.id = ${row.taskId} and t.deleted_at is null`);
    return inserted === 1;
  }

  /** The asset as whoever may send its bytes sees it, before and after they are there; null else. */
  async findForUploader(scope: WriteScope, id: string): Promise<StoredAsset | null> {
    return this.database.json<StoredAsset>(
      scope,
      sql`select ${assetJson('a')} from ${WITH_TASK} where a.id = ${id} and ${tenant(scope, 'a')} and t.deleted_at is null
        and (a.created_by = ${scope.actor.creatorId} or ${contributableTask(scope, 't')})`,
    );
  }

  /** Forgets an asset whose bytes never came. */
  async discard(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(
      sql`delete from assets a where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'failed')`,
    );
  }

  async isReadableTask(scope: ReadScope, taskId: string, reader: Pick<Tx, 'json'> = this.database): Promise<boolean> {
    const select = sql`select true from tasks t where t.id = ${taskId} and ${readableTask(scope, 't')}`;
    return (await reader.json<boolean>(scope, select)) ?? false;
  }

  async hasRun(scope: ReadScope, taskId: string, runId: string, reader: Pick<Tx, 'json'>): Promise<boolean> {
    const select = sql`select true from runs r where ${tenant(scope, 'r')} and r.task_id = ${taskId} and r.id = ${runId}`;
    return (await reader.json<boolean>(scope, select)) ?? false;
  }

  /** True where there is such a row, whoever may read it. */
  async isStored(scope: WriteScope, id: string): Promise<boolean> {
    return (await this.database.row(sql`select 1 from assets a where ${tenant(scope, 'a')} and a.id = ${id}`)) !== null;
  }

  /** Deletes the asset where the actor may contribute to its task; false where nothing was deleted. */
  async delete(scope: WriteScope, id: string): Promise<boolean> {
    const statement = sql`
      delete from assets a using tasks t
      where ${tenant(scope, 'a')} and a.id = ${id} and t.organization_id = a.organization_id and t.id = a.task_id
        and ${contributableTask(scope, 't')} and ${live(scope)}`;
    return this.database.write(
      scope,
      async (tx) => (await tx.execute(statement)) === 1,
      (isDeleted) => isDeleted,
    );
  }

  /** Some assets of a task, deleted tasks included. */
  async idsOfTask(scope: WriteScope, taskId: string, most: number): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(
      sql`select a.id from assets a where ${tenant(scope, 'a')} and a.task_id = ${taskId} order by a.created_at, a.id limit ${most}`,
    );
    return rows.map((row) => row.id);
  }

  /** Of these assets, those whose parts may lie in the storage: they were announced in parts and are not ready. */
  async unfinishedInParts(scope: WriteScope, ids: readonly string[]): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(sql`select a.id from assets a
      where ${tenant(scope, 'a')} and a.id = any(${ids}::uuid[]) and a.part_size_bytes is not null and a.status <> 'ready'`);
    return rows.map((row) => row.id);
  }

  /** Forgets assets of a task whose bytes are gone. */
  async forget(scope: WriteScope, taskId: string, ids: readonly string[]): Promise<void> {
    await this.database.execute(
      sql`delete from assets a where ${tenant(scope, 'a')} and a.task_id = ${taskId} and a.id = any(${ids}::uuid[])`,
    );
  }

  /** Forgets assets whose bytes are gone. */
  async forgetAll(scope: WriteScope, ids: readonly string[]): Promise<void> {
    await this.database.execute(sql`delete from assets a where ${tenant(scope, 'a')} and a.id = any(${ids}::uuid[])`);
  }
}

const WITH_TASK = sql`assets a join tasks t on t.organization_id = a.organization_id and t.id = a.task_id`;

function assetJson(alias: string): Sql {
  const a = raw(alias);
  return sql`json_build_object('id', ${a}.id, 'task_id', ${a}.task_id, 'run_id', ${a}.run_id, 'name', ${a}.name, 'type', ${a}.type,
    'content_type', ${a}.content_type, 'size', ${a}.size_bytes, 'sha256', ${a}.sha256, 'status', ${a}.status,
    'has_thumbnail', coalesce(${a}.thumbnail_bytes, 0) > 0,
    'thumbnail_version', (extract(epoch from ${a}.updated_at) * 1000000)::bigint, 'metadata', ${a}.metadata, 'error', ${a}.error, 'created_at', iso_utc(${a}.created_at))`;
}
