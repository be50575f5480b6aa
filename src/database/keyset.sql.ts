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
  return sql`select coalesce(json_agg(json_build_object('item', page.item, 'at', page.at, 'id', page.id)), '[]') from (
    select ${parts.item} as item, ${keysetAt(alias, page)} as at, ${raw(alias)}.id as id
    from ${parts.from} where ${parts.where} and ${keysetBegin(alias, page)}
    order by ${keysetOrder(alias, page)} limit ${page.limit + 1}) page`;
}

/** What follows `order by`. */
export function keysetOrder(alias: string, page: KeysetPage): Sql {
  const { column, direction } = COLUMNS[page.sort];
  return raw(`${alias}.${column} ${direction}, ${alias}.id ${direction}`);
}

/** True for the rows after the page before. */
export function keysetBegin(alias: string, page: KeysetPage): Sql {
  if (page.after === null) {
    return sql`true`;
  }
  const { column, direction } = COLUMNS[page.sort];
  const row = raw(`(${alias}.${column}, ${alias}.id) ${direction === 'asc' ? '>' : '<'}`);
  return sql`${row} (${page.after.at}::timestamptz, ${page.after.id}::uuid)`;
}

/** The `at` of a row's position, to the microsecond. */
export function keysetAt(alias: string, page: KeysetPage): Sql {
  return raw(`to_char(${alias}.${COLUMNS[page.sort].column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
}

/** `created_after` (inclusive) and `created_before` (exclusive), as a condition. */
export function createdBetween(
  alias: string,
  query: { created_after?: string | undefined; created_before?: string | undefined },
): Sql {
  const at = raw(`${alias}.created_at`);
  const from = query.created_after === undefined ? sql`true` : sql`${at} >= ${query.created_after}::timestamptz`;
  const until = query.created_before === undefined ? sql`true` : sql`${at} < ${query.created_before}::timestamptz`;
  return sql`${from} and ${until}`;
}
