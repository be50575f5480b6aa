/** What the feed of an organisation reads: every change of state of its runs, in an order that no later commit changes. */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { readableTask } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import type { StreamEvent } from '../log/stream-event.js';

/** After the event `seq` of the run, which the transaction `xid` wrote. */
export interface LifecyclePosition {
  xid: string;
  runId: string;
  seq: number;
}

export interface LifecycleRow extends LifecyclePosition {
  taskId: string;
  runNumber: number;
  /** Null where the reader may not see them. */
  events: StreamEvent[] | null;
}

/** So long an organisation's events can be resumed; then their batches may have been joined with others. */
export const LIFECYCLE_HOURS = 24;
/** Rows looked at for a page, readable or not, so that one who may read little asks no more of the database than others. */
const LOOKED_AT = 500;

@Injectable()
export class LifecycleQuery {
  constructor(private readonly database: Database) {}

  /**
   * The batches after a position, oldest first, below the oldest transaction that is still running: one that commits later is always
   * further on. A batch that its reader may not see is there without its events.
   */
  async page(scope: ReadScope, { xid, runId, seq }: LifecyclePosition): Promise<LifecycleRow[]> {
    const rows = await this.database.json<LifecycleRow[]>(
      scope,
      sql`select coalesce(json_agg(json_build_object('xid', e.xid::text, 'runId', e.run_id, 'seq', e.last_seq, 'taskId', t.id,
          'runNumber', r.number, 'events', case when ${readableTask(scope, 't')} then e.events end) order by e.xid, e.run_id, e.last_seq), '[]')
        from (
          select x.organization_id, x.run_id, x.last_seq, x.events, x.xid from run_events x
          where x.organization_id = ${scope.organizationId} and x.xid is not null and x.xid < pg_snapshot_xmin(pg_current_snapshot())
            and (x.xid, x.run_id, x.last_seq) > (${xid}::text::xid8, ${runId}::uuid, ${seq}::bigint)
            and x.created_at > clock_timestamp() - make_interval(hours => ${LIFECYCLE_HOURS})
          order by x.xid, x.run_id, x.last_seq limit ${LOOKED_AT}
        ) e
        join runs r on r.organization_id = e.organization_id and r.id = e.run_id
        join tasks t on t.organization_id = r.organization_id and t.id = r.task_id`,
    );
    return rows ?? [];
  }

  /** True while the actor is still who it was; what it may see is part of each page. @throws StaleActorError */
  async isLive(scope: ReadScope): Promise<true> {
    await this.database.assertLive(scope);
    return true;
  }

  /** The transaction before which all is settled, and the one after the latest; the database's time. */
  async now(scope: ReadScope): Promise<{ settled: string; latest: string; atMs: number }> {
    const now = await this.database.json<{ settled: string; latest: string; atMs: number }>(
      scope,
      sql`select json_build_object('settled', pg_snapshot_xmin(pg_current_snapshot())::text, 'latest', pg_snapshot_xmax(pg_current_snapshot())::text,
        'atMs', floor(extract(epoch from clock_timestamp()) * 1000))`,
    );
    return now ?? { settled: '0', latest: '0', atMs: 0 };
  }
}
