import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { contributableTask, readableTask, tenant } from '../../database/scope.sql.js';
import { raw, sql } from '../../database/sql.js';
import type { AssetStatus, AssetType } from './assets.schema.js';

/** What a change of an asset depends on. */
export interface ChangeableAsset {
  name: string;
  type: AssetType;
  contentType: string;
  status: AssetStatus;
  mayContribute: boolean;
  /** A preview is waiting to be made, or being made. */
  isPreviewDue: boolean;
}

/**
 * Changes of assets that are ready. A preview under way goes on: at most one job works on an asset at a time, and `previewed` of
 * `AssetJobsRepository` starts another where the type was changed meanwhile.
 */
@Injectable()
export class AssetChangesRepository {
  constructor(private readonly database: Database) {}

  /** The asset; null where it is absent or its task not readable. */
  async find(scope: ReadScope, id: string): Promise<ChangeableAsset | null> {
    return this.database.json<ChangeableAsset>(
      scope,
      sql`select json_build_object('name', a.name, 'type', a.type, 'contentType', a.content_type, 'status', a.status,
          'mayContribute', ${contributableTask(scope, 't')}, 'isPreviewDue', ${IS_PREVIEW_DUE})
        from ${WITH_TASK} where a.id = ${id} and ${tenant(scope, 'a')} and ${readableTask(scope, 't')}`,
    );
  }

  /** The same, locked for a change. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<ChangeableAsset | null> {
    return tx.row<ChangeableAsset & Record<string, unknown>>(sql`
      select a.name, a.type, a.content_type as "contentType", a.status, ${contributableTask(scope, 't')} as "mayContribute",
        ${IS_PREVIEW_DUE} as "isPreviewDue"
      from ${WITH_TASK} where a.id = ${id} and ${tenant(scope, 'a')} and ${readableTask(scope, 't')} for no key update of a`);
  }

  /** Changes the type of a locked asset and has its preview made again; as a file of no medium, has the preview removed. */
  async changeType(
    scope: WriteScope,
    tx: Tx,
    id: string,
    { type, contentType }: Pick<ChangeableAsset, 'type' | 'contentType'>,
  ): Promise<void> {
    await tx.execute(sql`
      update assets a set type = ${type}, content_type = ${contentType},
        thumbnail_bytes = case when ${type} = 'file' then null else a.thumbnail_bytes end, ${raw(MAKE_PREVIEW)}
      where ${tenant(scope, 'a')} and a.id = ${id} and a.status = 'ready'`);
  }

  /** Has the preview of a locked asset made again; one that is due already stays as it is. */
  async requestPreview(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(
      sql`update assets a set ${raw(MAKE_PREVIEW)} where ${tenant(scope, 'a')} and a.id = ${id} and a.status = 'ready'`,
    );
  }
}

const WITH_TASK = sql`assets a join tasks t on t.organization_id = a.organization_id and t.id = a.task_id`;

const IS_PREVIEW_DUE = sql`(a.job is not null)`;

const MAKE_PREVIEW = `job = 'preview', job_due_at = case when a.job is null then clock_timestamp() else a.job_due_at end,
  job_attempts = case when a.job is null then 0 else a.job_attempts end, updated_at = clock_timestamp()`;
