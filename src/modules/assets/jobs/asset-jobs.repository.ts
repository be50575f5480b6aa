import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { jsonb, sql } from '../../../database/sql.js';
import type { AssetStatus, AssetType } from '../assets.schema.js';

/** Work on an asset that somebody took, until its lease ends. */
export interface AssetJob {
  organizationId: string;
  id: string;
  job: 'fetch' | 'preview';
  attempts: number;
  name: string;
  type: AssetType;
  contentType: string;
  sizeBytes: number | null;
  externalUrl: string | null;
  createdBy: string | null;
}

const NO_ROOM = 'the quota of the organization has no room for a picture';

/** Which organization is next: the first by id after the last one served, but for those that have as many jobs under way as they may. */
export interface Turn {
  after: string;
  except: readonly string[];
}

/** No organization has this id, and every id comes after it. */
export const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

@Injectable()
export class AssetJobsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Takes a job for `leaseMs`, after which another process may take it: of the organization whose turn is next, the job that is due longest.
   * Each look at an organization is one probe of an index, however many jobs it has waiting.
   */
  async take(job: AssetJob['job'], leaseMs: number, { after, except }: Turn): Promise<AssetJob | null> {
    return this.database.row<AssetJob & Record<string, unknown>>(sql`
      with recursive turn (round, organization_id, is_start) as (
        values (1, ${after}::uuid, true), (2, ${BEFORE_ALL}::uuid, true)
        union all
        select t.round, next.organization_id, false from turn t cross join lateral (
          select d.organization_id from assets d
          where d.job = ${job} and d.job_due_at <= now() and d.organization_id > t.organization_id
            and (t.round = 1 or d.organization_id <= ${after}::uuid)
          order by d.organization_id limit 1) next
        where t.is_start or t.organization_id = any(${except}::uuid[]))
      update assets a set job_due_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond', job_attempts = a.job_attempts + 1
      from (select d.organization_id, d.id from assets d
        where d.job = ${job} and d.job_due_at <= now() and d.organization_id = (
          select t.organization_id from turn t where not t.is_start and t.organization_id <> all(${except}::uuid[])
          order by t.round, t.organization_id limit 1)
        order by d.job_due_at limit 1 for update skip locked) due
      where a.organization_id = due.organization_id and a.id = due.id
      returning a.organization_id as "organizationId", a.id, a.job, a.job_attempts as attempts, a.name, a.type,
        a.content_type as "contentType", coalesce(a.size_bytes, a.declared_size_bytes)::float8 as "sizeBytes",
        a.external_url as "externalUrl", a.created_by as "createdBy"`);
  }

  /** Hands a job back: due again in a while, its attempt not counted where it was not its fault. */
  async giveBack(scope: WriteScope, id: string, afterMs: number, counts: boolean): Promise<void> {
    await this.database.execute(sql`
      update assets a set job_due_at = clock_timestamp() + ${afterMs} * interval '1 millisecond',
        job_attempts = a.job_attempts - case when ${counts} then 0 else 1 end
      where ${tenant(scope, 'a')} and a.id = ${id} and a.job is not null`);
  }

  /**
   * Keeps what was found out about an asset, and that its picture is made (0 bytes: there is none). A picture counts toward the quota, and is
   * not kept where there is no room for it. `changed`: the asset is of another type since the job was taken, and its preview is due again.
   * `gone`: the asset was deleted.
   */
  async previewed(
    scope: WriteScope,
    asset: Pick<AssetJob, 'id' | 'type' | 'contentType'>,
    { thumbnailBytes, metadata }: { thumbnailBytes: number; metadata: object },
    quotaBytes: number | null,
  ): Promise<'kept' | 'no-room' | 'changed' | 'gone'> {
    const one = sql`${tenant(scope, 'a')} and a.id = ${asset.id}`;
    return this.database.transaction(async (tx) => {
      const changed = await tx.execute(sql`
        update assets a set thumbnail_bytes = ${thumbnailBytes}::integer, metadata = (a.metadata - 'preview') || ${jsonb(metadata)}, job = null,
          job_due_at = null, updated_at = clock_timestamp()
        where ${one} and a.status = 'ready' and a.type = ${asset.type} and a.content_type = ${asset.contentType}`);
      if (changed === 0) {
        const again = sql`update assets a set job_due_at = clock_timestamp(), job_attempts = 0
          where ${one} and a.status = 'ready' and a.job = 'preview'`;
        return (await tx.execute(again)) === 0 ? 'gone' : 'changed';
      }
      // The change above locks the totals.
      const over = sql`select 1 from asset_totals t where ${tenant(scope, 't')} and t.bytes + t.reserved_bytes > ${quotaBytes}::bigint`;
      if (thumbnailBytes === 0 || quotaBytes === null || (await tx.row(over)) === null) {
        return 'kept';
      }
      await tx.execute(sql`
        update assets a set thumbnail_bytes = 0, metadata = a.metadata || ${jsonb({ preview: NO_ROOM })} where ${one}`);
      return 'no-room';
    });
  }

  /** Uploads whose time is over, some of them; one whose bytes are on their way may take as long as it shows so (`upload-progress.ts`). */
  async overdue(most: number): Promise<{ organizationId: string; id: string }[]> {
    return this.database.rows(sql`select a.organization_id as "organizationId", a.id from assets a
      where a.upload_expires_at < clock_timestamp() - interval '1 minute'
        and (a.status = 'pending' or (a.status = 'uploading' and a.updated_at < clock_timestamp() - interval '5 minutes'))
      order by a.upload_expires_at limit ${most}`);
  }

  /** Of these assets, those that have bytes by their rows, or are about to. */
  async holding(
    scope: WriteScope,
    ids: readonly string[],
  ): Promise<{ id: string; status: AssetStatus; hasThumbnail: boolean }[]> {
    return this.database
      .rows(sql`select a.id, a.status, coalesce(a.thumbnail_bytes, 0) > 0 as "hasThumbnail" from assets a
      where ${tenant(scope, 'a')} and a.id = any(${ids}::uuid[]) and a.status <> 'failed'`);
  }

  /** Assets that are ready by their rows, some of them, after the last one looked at. */
  async ready(
    after: { organizationId: string; id: string },
    most: number,
  ): Promise<{ organizationId: string; id: string }[]> {
    return this.database.rows(sql`select a.organization_id as "organizationId", a.id from assets a
      where (a.organization_id, a.id) > (${after.organizationId}::uuid, ${after.id}::uuid) and a.status = 'ready'
        and a.updated_at < clock_timestamp() - interval '1 hour'
      order by a.organization_id, a.id limit ${most}`);
  }

  /** Its bytes are not there: the row must not say that they are. */
  async lost(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(sql`
      update assets a set status = 'failed', error = 'The storage has lost the bytes of this asset.', job = null, job_due_at = null,
        updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status = 'ready'`);
  }
}
