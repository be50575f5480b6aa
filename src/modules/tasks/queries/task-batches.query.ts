/**
 * Long lists of tasks, read in batches cut by key, newest first. A reader of a streamed list holds no connection between batches
 * and at most one batch in memory, however long the list and however large its tasks: a batch ends at so many rows or so many bytes,
 * whichever is first, and never holds fewer than one row.
 *
 * A page (`limit`) is such a list with a known end: the first statement finds out whether there is a next page, and where this one
 * ends, so that the link to the next is known before the first byte is out.
 */
import type { ReadScope } from '../../../access/index.js';
import type { Database } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { type Sql, raw, sql } from '../../../database/sql.js';

/** A place in the order: creation to the microsecond, and id. */
export interface TaskPosition {
  at: string;
  id: string;
}

export interface BatchContext<Item> {
  first: readonly Item[];
  /** The batches that follow the first; null where it was all. */
  rest: AsyncIterable<readonly Item[]> | null;
  /** The last row of the page, where there is a next one. */
  next: TaskPosition | null;
}

export interface BatchedList {
  /** The JSON of the task `t`. */
  item: Sql;
  /** Which tasks `t`, tenant and rights included. */
  where: Sql;
  after: TaskPosition | null;
  /** Rows of the page; null for all there are. */
  limit: number | null;
}

const MAX_ROWS = 100;
/** Of a batch as JSON. A row alone may be larger. */
const MAX_BYTES = 4 * 1024 * 1024;

interface Batch<Item> {
  items: Item[];
  /** The last row of the batch. */
  last: TaskPosition | null;
  /** True where the batch was not cut short by its bytes. */
  whole: boolean;
  /** The last row looked at, where there are rows beyond it. */
  edge: TaskPosition | null;
}

/** Reads the first batch, so that whatever is wrong is known before a reply begins; the rest as it is asked for. */
export async function readTaskBatches<Item>(
  database: Database,
  scope: ReadScope,
  list: BatchedList,
): Promise<BatchContext<Item>> {
  const read = async (after: TaskPosition | null, until: TaskPosition | null): Promise<Batch<Item>> => {
    const batch = await database.json<Batch<Item>>(scope, batchJson(scope, list, after, until));
    return batch ?? { items: [], last: null, whole: true, edge: null };
  };
  const first = await read(list.after, null);
  const next = list.limit === null ? null : first.edge;
  const isAll = first.whole && (list.limit !== null || first.edge === null);
  // A page that fits its limit may still end before its list does: rows past `edge` are the next page's.
  const until = list.limit === null ? null : (first.edge ?? null);
  return { first: first.items, rest: isAll ? null : following(read, first.last, until), next };
}

async function* following<Item>(
  read: (after: TaskPosition | null, until: TaskPosition | null) => Promise<Batch<Item>>,
  after: TaskPosition | null,
  until: TaskPosition | null,
): AsyncGenerator<readonly Item[]> {
  for (let position = after; position !== null;) {
    const batch = await read(position, until);
    if (batch.items.length > 0) {
      yield batch.items;
    }
    position = batch.whole && batch.edge === null ? null : batch.last;
  }
}

function batchJson(scope: ReadScope, list: BatchedList, after: TaskPosition | null, until: TaskPosition | null): Sql {
  const rows = list.limit === null ? MAX_ROWS : Math.min(list.limit, MAX_ROWS);
  const begins = after === null ? sql`true` : sql`(t.created_at, t.id) < (${after.at}::timestamptz, ${after.id}::uuid)`;
  const ends = until === null ? sql`true` : sql`(t.created_at, t.id) >= (${until.at}::timestamptz, ${until.id}::uuid)`;
  return sql`
    with picked as materialized (
      select k.*, row_number() over (order by k.created_at desc, k.id desc) as place from (
        select t.created_at, t.id from tasks t where ${list.where} and ${begins} and ${ends}
        order by t.created_at desc, t.id desc limit ${rows + 1}) k
    ), built as (
      select k.place, k.created_at, k.id, (select ${list.item} from tasks t where ${tenant(scope, 't')} and t.id = k.id) as item
      from picked k where k.place <= ${rows}
    ), sized as (
      select b.*, sum(octet_length(b.item::text)) over (order by b.place) - octet_length(b.item::text) as bytes_before from built b
    ), fitting as materialized (
      select s.* from sized s where s.bytes_before < ${raw(String(MAX_BYTES))}
    )
    select json_build_object(
      'items', coalesce((select json_agg(f.item order by f.place) from fitting f), '[]'::json),
      'last', (select ${positionJson('f')} from fitting f order by f.place desc limit 1),
      'whole', (select count(*) from fitting) = (select count(*) from picked k where k.place <= ${rows}),
      'edge', (select ${positionJson('k')} from picked k where k.place = ${rows}
        and exists (select 1 from picked beyond where beyond.place > ${rows})))`;
}

function positionJson(alias: string): Sql {
  const row = raw(alias);
  return sql`json_build_object('at', to_char(${row}.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'id', ${row}.id)`;
}
