/** The SQL of pages cut by key: order, where the page begins, and the position of each row for the next cursor. */
import { type Sql, raw, sql } from './sql.js';

export type KeysetSort = '-created_at' | 'created_at' | '-updated_at' | 'updated_at';

export interface KeysetPage {
  sort: KeysetSort;
  /** The last row of the page before: its time to the microsecond, as `keysetPosition` wrote it, and its id. */
  after: { at: string; id: string } | null;
  limit: number;
}

/** A row of a page with its position. */
export interface KeysetRow<Item> {
  item: Item;
  at: string;
  id: string;
}

/** Columns by public name: what is ordered by is chosen here, never spelled by a request. */
const COLUMNS: Readonly<Record<KeysetSort, { column: string; direction: 'asc' | 'desc' }>> = {
  '-created_at': { column: 'created_at', direction: 'desc' },
  created_at: { column: 'created_at', direction: 'asc' },
  '-updated_at': { column: 'updated_at', direction: 'desc' },
  updated_at: { column: 'updated_at', direction: 'asc' },
};

/**
 * A JSON array of `{item, at, id}` of one page, a row more than its limit where there are more.
 *
 * @param item the JSON of a row, @param from what follows `from`, conditions excluded, @param where the conditions
 */
export function keysetRows(alias: string, page: KeysetPage, parts: { item: Sql; from: Sql; where: Sql }): Sql {
  const { column, direction } = COLUMNS[page.sort];
  const at = raw(`${alias}.${column}`);
  const id = raw(`${alias}.id`);
  const begins =
    page.after === null
      ? sql`true`
      : sql`(${at}, ${id}) ${raw(direction === 'asc' ? '>' : '<')} (${page.after.at}::timestamptz, ${page.after.id}::uuid)`;
  return sql`select coalesce(json_agg(json_build_object('item', page.item, 'at', page.at, 'id', page.id)), '[]') from (
    select ${parts.item} as item, to_char(${at} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, ${id} as id
    from ${parts.from} where ${parts.where} and ${begins}
    order by ${at} ${raw(direction)}, ${id} ${raw(direction)} limit ${page.limit + 1}) page`;
}

/** `created_after` (inclusive) and `created_before` (exclusive), as a condition. */
export function createdBetween(alias: string, query: { created_after?: string | undefined; created_before?: string | undefined }): Sql {
  const at = raw(`${alias}.created_at`);
  const from = query.created_after === undefined ? sql`true` : sql`${at} >= ${query.created_after}::timestamptz`;
  const until = query.created_before === undefined ? sql`true` : sql`${at} < ${query.created_before}::timestamptz`;
  return sql`${from} and ${until}`;
}
