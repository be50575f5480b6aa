import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { readableTask } from '../../../database/scope.sql.js';
import { type Sql, sql } from '../../../database/sql.js';
import type { ShownEvents } from '../sources/feed-source.js';
import type { RunEnd, StreamEvent } from './stream-event.js';

/** What a read of a stream found: some events after a position, and where the stream stands in the same instant. */
export interface StreamPage {
  events: StreamEvent[];
  /** The number of the latest event, shown here or not. */
  lastSeq: number;
  /** True once the run is over: `lastSeq` is its `end`. */
  ended: boolean;
  /** How the run ended, where its log after the position is no longer kept; null otherwise. */
  end: RunEnd | null;
}

/** Where a stream stands. */
export type StreamPosition = Pick<StreamPage, 'lastSeq' | 'ended'>;

/** How much one page holds at most; one event more than fits may come along, so that a page always gets ahead. */
export interface PageSize {
  events: number;
  bytes: number;
}
/** Batches looked at for a page; more would only be looked at in vain. */
const PAGE_BATCHES = 100;
/** Stored bytes of the batches opened for a page. They may be compressed, so this bounds the work and the page's size the result. */
const BATCH_BYTES = 64 * 1024;

@Injectable()
export class StreamsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Events after `after`, oldest first, with the stream's state in the same snapshot; one round trip. Null where the run is absent or
   * its task not readable for this actor.
   */
  async page(scope: ReadScope, runId: string, after: number, most: PageSize): Promise<StreamPage | null> {
    return this.database.json<StreamPage>(
      scope,
      sql`select json_build_object('lastSeq', r.last_seq, 'ended', r.finished_at is not null, 'events',
          case when r.last_seq > ${after}::bigint then (${eventsAfter(sql`${after}::bigint`, most)}) else '[]'::json end,
          'end', ${endAfter(sql`${after}::bigint`)})
        from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.id = ${runId} and ${readableTask(scope, 't')}`,
    );
  }

  /** Where the stream stands; null where the run is absent or its task not readable for this actor. */
  async position(scope: ReadScope, runId: string): Promise<StreamPosition | null> {
    return this.database.json(
      scope,
      sql`select json_build_object('lastSeq', r.last_seq, 'ended', r.finished_at is not null)
        from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.id = ${runId} and ${readableTask(scope, 't')}`,
    );
  }

  /** True while all of this is kept: no event of it has been deleted for its age, and no output. */
  async areKept(scope: ReadScope, shown: readonly ShownEvents[]): Promise<boolean> {
    if (shown.length === 0) {
      return true;
    }
    const kept = await this.database.json<boolean>(
      scope,
      sql`select coalesce(bool_and(k.events = p.count and (not p."hasOutput" or k.output)), true)
        from jsonb_to_recordset(${JSON.stringify(shown)}::jsonb) as p ("runId" uuid, "from" bigint, "to" bigint, count bigint, "hasOutput" boolean)
        cross join lateral (select
          (select coalesce(sum(least(e.last_seq, p."to") - greatest(e.first_seq, p."from") + 1), 0) from run_events e
            where e.organization_id = ${scope.organizationId} and e.run_id = p."runId" and e.last_seq >= p."from" and e.first_seq <= p."to"
              and e.first_seq >= coalesce((select max(c.first_seq) from run_events c
                where c.organization_id = ${scope.organizationId} and c.run_id = p."runId" and c.first_seq <= p."from"), 0)) as events,
          exists (select 1 from runs r where r.organization_id = ${scope.organizationId} and r.id = p."runId" and r.output is not null) as output
        ) k`,
    );
    return kept === true;
  }

  /** True where the actor may read the run's stream now. */
  async isReadable(scope: ReadScope, runId: string): Promise<boolean> {
    const readable = await this.database.json<boolean>(
      scope,
      sql`select exists (select 1 from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.id = ${runId} and ${readableTask(scope, 't')})`,
    );
    return readable === true;
  }
}

/** How run `r` ended, as JSON, where it did and nothing of its log after the position is kept; else null. */
export function endAfter(after: Sql): Sql {
  return sql`case when r.finished_at is not null and r.last_seq > ${after} and coalesce((
      select e.last_seq from run_events e where e.organization_id = r.organization_id and e.run_id = r.id
      order by e.first_seq desc limit 1), 0) <= ${after}
    then json_build_object('status', r.status, 'output', r.output, 'error', r.error, 'at', iso_utc(r.finished_at)) end`;
}

/**
 * The events of run `r` after a position, as a JSON array. First the batches that can hold a page by their stored size, then their
 * events by the size of their text: a batch may be many times a page, and a page must not be.
 */
export function eventsAfter(after: Sql, most: PageSize): Sql {
  return sql`
    select coalesce(json_agg(fitting.event order by fitting.seq), '[]')
    from (
      select sized.event, sized.seq
      from (
        select one.event, batch.first_seq + one.position - 1 as seq,
          sum(octet_length(one.event::text)) over (order by batch.first_seq + one.position) - octet_length(one.event::text) as bytes_before
        from (
          select e.first_seq, e.events, sum(pg_column_size(e.events)) over (order by e.first_seq) - pg_column_size(e.events) as bytes_before
          from (
            -- The first batch of interest is the last that begins at or before the position's next event.
            select b.first_seq, b.events from run_events b
            where b.organization_id = r.organization_id and b.run_id = r.id and b.last_seq > ${after} and b.first_seq >= coalesce((
              select max(c.first_seq) from run_events c
              where c.organization_id = r.organization_id and c.run_id = r.id and c.first_seq <= ${after} + 1), 0)
            order by b.first_seq limit ${PAGE_BATCHES}
          ) e
        ) batch
        cross join lateral jsonb_array_elements(batch.events) with ordinality as one (event, position)
        where batch.bytes_before < ${BATCH_BYTES} and batch.first_seq + one.position - 1 > ${after}
      ) sized
      where sized.bytes_before < ${most.bytes}
      order by sized.seq limit ${most.events}
    ) fitting`;
}
