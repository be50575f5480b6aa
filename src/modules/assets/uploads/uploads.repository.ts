import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { contributableTask, live, tenant } from '../../../database/scope.sql.js';
import { type Sql, any, jsonb, sql } from '../../../database/sql.js';
import { holds, parseFence } from '../../runs/index.js';
import type { AssetStatus, AssetType } from '../assets.schema.js';

export interface NewUploadRow {
  id: string;
  taskId: string;
  runId: string | null;
  /** Whose lease it comes in under; null for whoever may contribute to the task. */
  fence: string | null;
  name: string;
  type: AssetType;
  contentType: string;
  sizeBytes: number | null;
  sha256: string | null;
  partSizeBytes: number | null;
  externalUrl: string | null;
  lifetimeMs: number;
}

/** An asset as somebody who uploads it needs to know it. */
export interface UploadRow {
  id: string;
  runId: string | null;
  name: string;
  type: AssetType;
  status: AssetStatus;
  contentType: string;
  sizeBytes: number | null;
  sha256: string | null;
  partSizeBytes: number | null;
  fence: string | null;
  expired: boolean;
}

/** Numbers of files and bytes of an organization. */
export interface AssetCounts {
  count: number;
  bytes: number;
  reserved_bytes: number;
}

@Injectable()
export class UploadsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** Inserts what is announced; false where the task is not there to be added to, or the lease is not held. */
  async announce(scope: WriteScope, tx: Tx, row: NewUploadRow): Promise<boolean> {
    const fetched = row.externalUrl !== null;
    await this.rowLimits.assertRoom(scope, tx, 'assets');
    const inserted = await tx.execute(sql`
      insert into assets (organization_id, id, task_id, run_id, name, type, content_type, status, declared_size_bytes, declared_sha256,
        part_size_bytes, upload_expires_at, upload_fence, external_url, job, job_due_at, reserved_bytes, fence, created_by)
      select t.organization_id, ${row.id}::uuid, t.id, ${row.runId}::uuid, ${row.name}, ${row.type}, ${row.contentType},
        ${fetched ? 'processing' : 'pending'}, ${row.sizeBytes}::bigint, ${row.sha256}, ${row.partSizeBytes}::bigint,
        clock_timestamp() + ${row.lifetimeMs} * interval '1 millisecond', ${row.fence}, ${row.externalUrl},
        ${fetched ? 'fetch' : null}, case when ${fetched} then clock_timestamp() end, coalesce(${row.sizeBytes}::bigint, 0),
        (select r.fence from runs r where r.organization_id = t.organization_id and r.id = ${row.runId}::uuid),
        ${scope.actor.creatorId}::uuid
      from tasks t where ${tenant(scope, 't')} and t.id = ${row.taskId} and t.deleted_at is null
        and ${mayAdd(scope, row.runId, row.fence)} and ${live(scope)}`);
    return inserted === 1;
  }

  /** The asset where the actor may send its bytes: whoever announced it, and whoever may add to its task; null else. */
  async find(scope: WriteScope, id: string): Promise<UploadRow | null> {
    return this.database.json<UploadRow>(
      scope,
      sql`select ${UPLOAD_JSON} from assets a join tasks t on t.organization_id = a.organization_id and t.id = a.task_id
        where ${tenant(scope, 'a')} and a.id = ${id} and t.deleted_at is null and ${mayUpload(scope)}`,
    );
  }

  /** Shows that bytes are coming, and since when: an upload that has begun may outlast its link. */
  async begin(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(sql`update assets a set status = 'uploading', updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading')`);
  }

  /** Shows that they did not arrive, and may be sent again. */
  async giveBack(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(sql`update assets a set status = 'pending', updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status = 'uploading'`);
  }

  /** The bytes are there: the asset is ready. False where it no longer waits for them, or the actor may no longer add it. */
  async finish(
    scope: WriteScope,
    tx: Tx,
    id: string,
    bytes: { contentType: string; type: AssetType; metadata: object; sizeBytes: number; sha256: string },
  ): Promise<boolean> {
    const finished = await tx.execute(sql`
      update assets a set status = 'ready', size_bytes = ${bytes.sizeBytes}::bigint, sha256 = ${bytes.sha256}, type = ${bytes.type},
        content_type = ${bytes.contentType}, metadata = a.metadata || ${jsonb(bytes.metadata)}, upload_expires_at = null, upload_fence = null, job_attempts = 0,
        job = case when ${bytes.type} <> 'file' then 'preview' end,
        job_due_at = case when ${bytes.type} <> 'file' then clock_timestamp() end, updated_at = clock_timestamp()
      from tasks t where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'processing')
        and t.organization_id = a.organization_id and t.id = a.task_id and t.deleted_at is null and ${mayUpload(scope)} and ${live(scope)}`);
    return finished === 1;
  }

  /** True where the asset is ready with these bytes. */
  async isKept(scope: WriteScope, id: string, sha256: string): Promise<boolean> {
    const kept = sql`select 1 from assets a where ${tenant(scope, 'a')} and a.id = ${id} and a.status = 'ready' and a.sha256 = ${sha256}`;
    return (await this.database.row(kept)) !== null;
  }

  /** Its status, whoever asks; null where it is gone. */
  async status(scope: WriteScope, id: string): Promise<AssetStatus | null> {
    const found = await this.database.row<{ status: AssetStatus }>(
      sql`select a.status from assets a where ${tenant(scope, 'a')} and a.id = ${id}`,
    );
    return found?.status ?? null;
  }

  /** True where nobody can make it ready any more: it is deleted, or failed. */
  async isOver(scope: WriteScope, id: string): Promise<boolean> {
    const open = sql`select 1 from assets a where ${tenant(scope, 'a')} and a.id = ${id} and a.status <> 'failed'`;
    return (await this.database.row(open)) === null;
  }

  /** It will not come any more. False where it is ready, failed or gone already. */
  async fail(scope: WriteScope, id: string, error: string): Promise<boolean> {
    const failed = await this.database.execute(sql`
      update assets a set status = 'failed', error = ${error}, upload_expires_at = null, upload_fence = null, job = null, job_due_at = null,
        updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'processing')`);
    return failed === 1;
  }

  /** Reserves more room (or, below zero, less) for an asset that waits for its bytes; false where it does not wait. */
  async reserve(scope: WriteScope, tx: Tx, id: string, bytes: number): Promise<boolean> {
    const changed = await tx.execute(sql`update assets a set reserved_bytes = a.reserved_bytes + ${bytes}::bigint
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'processing')`);
    return changed === 1;
  }

  /** Gives room back that `reserve` took. */
  async release(scope: WriteScope, id: string, bytes: number): Promise<void> {
    await this.database
      .execute(sql`update assets a set reserved_bytes = greatest(0, a.reserved_bytes - ${bytes}::bigint)
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'processing')`);
  }

  /** Back to what was announced: nothing has arrived. */
  async resetReservation(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(sql`update assets a set reserved_bytes = coalesce(a.declared_size_bytes, 0)
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status in ('pending', 'uploading', 'processing')
        and a.reserved_bytes <> coalesce(a.declared_size_bytes, 0)`);
  }

  /** What the organization keeps, and what is reserved for uploads that are not finished. */
  async totals(scope: ReadScope, tx?: Tx): Promise<AssetCounts> {
    const select = sql`select json_build_object('count', t.count, 'bytes', t.bytes, 'reserved_bytes', t.reserved_bytes)
      from asset_totals t where ${tenant(scope, 't')}`;
    const totals = await (tx ?? this.database).json<AssetCounts>(scope, select);
    return totals ?? { count: 0, bytes: 0, reserved_bytes: 0 };
  }
}

/** Whoever announced it under a lease may send it, and whoever may add to the task. That the lease is held is asked when the bytes are there. */
function mayUpload(scope: WriteScope): Sql {
  if (scope.isSystem) {
    return sql`true`;
  }
  return any([
    sql`(a.upload_fence is not null and a.created_by = ${scope.actor.creatorId})`,
    sql`(a.upload_fence is null and ${contributableTask(scope, 't')})`,
  ]);
}

function mayAdd(scope: WriteScope, runId: string | null, fence: string | null): Sql {
  if (runId === null) {
    return contributableTask(scope, 't');
  }
  const ofTask = sql`r.organization_id = t.organization_id and r.id = ${runId} and r.task_id = t.id`;
  return fence === null
    ? sql`(${contributableTask(scope, 't')} and exists (select 1 from runs r where ${ofTask}))`
    : sql`exists (select 1 from runs r where ${ofTask} and ${holds(scope, runId, parseFence(fence))})`;
}

const UPLOAD_JSON = sql`json_build_object('id', a.id, 'runId', a.run_id, 'name', a.name, 'type', a.type, 'status', a.status,
  'contentType', a.content_type, 'sizeBytes', a.declared_size_bytes, 'sha256', a.declared_sha256, 'partSizeBytes', a.part_size_bytes,
  'fence', a.upload_fence, 'expired', coalesce(a.upload_expires_at < clock_timestamp(), false))`;
