/**
 * SQL as values: `sql` keeps text and parameters apart, so that request data can only ever be a parameter. Fragments nest.
 */
import sqlTag, { Sql, empty, join, raw } from 'sql-template-tag';

export const sql = sqlTag;
export { Sql, empty, join, raw };

/** A JSON parameter; `undefined` and `null` are SQL null, never the JSON value null. */
export function jsonb(value: unknown): Sql {
  return value === undefined || value === null ? sql`null::jsonb` : sql`${JSON.stringify(value)}::jsonb`;
}

/** `left = right` lists for an update, leaving out what was not given (undefined); null clears. */
export function assignments(columns: Readonly<Record<string, Sql | undefined>>): Sql[] {
  return Object.entries(columns).flatMap(([name, value]) =>
    value === undefined ? [] : [sql`${raw(name)} = ${value}`],
  );
}

/** All of the conditions; true where there are none. */
export function all(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? sql`true` : sql`(${join(conditions, ' and ')})`;
}

/** Any of the conditions; false where there are none. */
export function any(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? sql`false` : sql`(${join(conditions, ' or ')})`;
}
