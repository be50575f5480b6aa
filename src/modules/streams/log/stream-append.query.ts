/**
 * Appending to the log, as fragments of the statement that raises a run's counter.
 *
 * The counter lives on the run row, and the row is locked by the statement that raises it, so numbers are given in commit order
 * and without gaps: a reader that has seen number n has seen all before it. For the same reason an append cannot be a statement of
 * its own: whoever changes a run (modules/runs) writes `with changed as (update runs set last_seq = last_seq + n … returning
 * organization_id, id, last_seq …)` and puts these fragments behind it. The tables are this module's; the text is too.
 */
import { type Sql, join, raw, sql } from '../../../database/sql.js';

/** One event of the server's own, its data as a JSON expression over the columns of the source. */
export interface ServerEvent {
  type: 'status' | 'asset' | 'question' | 'answer' | 'end';
  data: Sql;
}

/**
 * `insert into run_events`: for each row of the CTE `source`, one batch of these events. The source's `last_seq` is the counter
 * after it was raised by exactly `events.length`.
 */
export function insertServerEvents(source: string, events: readonly ServerEvent[], where: Sql = sql`true`): Sql {
  const count = events.length;
  const rows = events.map(
    (
      event,
      index,
    ) => sql`jsonb_build_object('seq', s.last_seq - ${raw(String(count - 1 - index))}, 'type', ${raw(`'${event.type}'`)}::text,
      'at', iso_utc(clock_timestamp()), 'data', ${event.data})`,
  );
  return sql`insert into run_events (organization_id, run_id, first_seq, last_seq, events)
    select s.organization_id, s.id, s.last_seq - ${raw(String(count - 1))}, s.last_seq, jsonb_build_array(${join(rows, ', ')})
    from ${raw(source)} s where ${where}`;
}

export interface WorkerBatch {
  /** `[{type, data}, …]` as JSON text, checked before. */
  eventsJson: string;
  count: number;
  fence: string;
  batchId: string | null;
  batchDigest: Buffer | null;
}

/** `insert into run_events`: a worker's batch under the fence it holds, numbered and dated here. It is no part of the lifecycle (`xid`). */
export function insertWorkerBatch(source: string, batch: WorkerBatch): Sql {
  return sql`insert into run_events (organization_id, run_id, first_seq, last_seq, events, fence, batch_id, batch_digest, xid)
    select s.organization_id, s.id, s.last_seq - ${batch.count}::int + 1, s.last_seq,
      (select jsonb_agg(jsonb_build_object('seq', s.last_seq - ${batch.count}::int + e.position, 'type', e.event -> 'type',
          'at', iso_utc(clock_timestamp()), 'data', e.event -> 'data') order by e.position)
       from jsonb_array_elements(${batch.eventsJson}::jsonb) with ordinality as e (event, position)),
      ${batch.fence}::bigint, ${batch.batchId}::text, ${batch.batchDigest}::bytea, null
    from ${raw(source)} s`;
}

/** `insert into run_log_lines`: the text of the batch's `log` events; nothing where there are none. */
export function insertLogLines(source: string, count: number, lines: readonly string[]): Sql {
  return sql`insert into run_log_lines (organization_id, run_id, first_seq, lines)
    select s.organization_id, s.id, s.last_seq - ${count}::int + 1, ${lines}::text[]
    from ${raw(source)} s where cardinality(${lines}::text[]) > 0`;
}

/**
 * `insert into run_events` for the batches of several runs at once, each a row of its own: `gathered` has `run_id, fence, nonce, before,
 * count, events, batch_id, digest`, where `before` is what goes before it under the same lease; the source has the leases that are held
 * (`fence`, `fence_nonce`), its `base` the run's counter before all.
 */
export function insertGatheredBatches(source: string, gathered: string): Sql {
  return sql`insert into run_events (organization_id, run_id, first_seq, last_seq, events, fence, batch_id, batch_digest, xid)
    select s.organization_id, s.id, s.base + g.before + 1, s.base + g.before + g.count,
      (select jsonb_agg(jsonb_build_object('seq', s.base + g.before + e.position, 'type', e.event -> 'type',
          'at', iso_utc(clock_timestamp()), 'data', e.event -> 'data') order by e.position)
       from jsonb_array_elements(g.events::jsonb) with ordinality as e (event, position)),
      g.fence, g.batch_id, g.digest, null
    from ${raw(source)} s join ${raw(gathered)} g on g.run_id = s.id and g.fence = s.fence and g.nonce = s.fence_nonce`;
}

/** `insert into run_log_lines` for the same batches; `lines` of `gathered` is a JSON array of texts. */
export function insertGatheredLogLines(source: string, gathered: string): Sql {
  return sql`insert into run_log_lines (organization_id, run_id, first_seq, lines)
    select s.organization_id, s.id, s.base + g.before + 1, array(select jsonb_array_elements_text(g.lines::jsonb))
    from ${raw(source)} s join ${raw(gathered)} g on g.run_id = s.id and g.fence = s.fence and g.nonce = s.fence_nonce where g.lines <> '[]'`;
}

/** The stored answer of a batch sent before under the same fence: `last_seq`, `batch_digest`. */
export function priorBatch(organizationId: string, runId: string, fence: string, batchId: string): Sql {
  return sql`select e.last_seq, e.batch_digest from run_events e
    where e.organization_id = ${organizationId} and e.run_id = ${runId} and e.fence = ${fence}::bigint and e.batch_id = ${batchId}`;
}
