/**
 * The query of every list of the native API, and how its pages follow one another: `?limit=&cursor=&sort=&created_after=
 * &created_before=` gives `{data, next_cursor}`. Lists add their own filters with `listQuery.extend({…})`.
 *
 * Pages are cut by key (time and id of the last row shown), never by offset, so that any page costs the same and rows added
 * meanwhile neither repeat nor hide others. The cursor is sealed to the organisation, the list, its filters and its order; sent
 * with any other it is `invalid-cursor`.
 */
import { z } from 'zod';
import type { ReadScope } from '../../access/index.js';
import type { KeysetPage, KeysetRow } from '../../database/keyset.sql.js';
import type { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { DomainError } from '../../kernel/errors.js';
import type { Page } from '../../kernel/page.js';
import { cursorQuery, instantQuery, limitQuery } from '../openapi/schemas.js';

const LIST_SORTS = ['-created_at', 'created_at', '-updated_at', 'updated_at'] as const;

/** What every list takes. */
export const listQuery = z.strictObject({
  limit: limitQuery,
  cursor: cursorQuery,
  sort: z.enum(LIST_SORTS).optional().describe('`-created_at` (newest first) where absent.'),
  created_after: instantQuery.optional().describe('Inclusive.'),
  created_before: instantQuery.optional().describe('Exclusive.'),
});
export type ListQuery = z.output<typeof listQuery>;

/** The reply of a list of `item`s, named for the document. */
export function pageSchema<Item extends z.ZodType>(item: Item, name: string) {
  return z
    .object({ data: z.array(item), next_cursor: z.string().nullable().describe('Null on the last page.') })
    .meta({ id: name });
}

/** Opens and seals the cursors of one list. */
export class CursorPaginator {
  /** @param list a constant name of the list, part of what its cursors are sealed to */
  constructor(
    private readonly sealer: CursorCodec,
    private readonly list: string,
  ) {}

  /**
   * Where the page begins and how long it is. Everything of the query but `limit` and `cursor`, and `within` (the id of what the list
   * belongs to), is what the cursor must have been sealed with.
   * @throws DomainError `invalid-cursor`
   */
  open(scope: ReadScope, query: ListQuery, defaultSort: KeysetPage['sort'] = '-created_at', within = ''): KeysetPage {
    const page = { sort: query.sort ?? defaultSort, limit: query.limit };
    if (query.cursor === undefined) {
      return { ...page, after: null };
    }
    const [at, id] = this.sealer.open(this.#context(scope, query, page.sort, within), query.cursor);
    if (typeof at !== 'string' || typeof id !== 'string') {
      throw new DomainError('invalid-cursor', 'This cursor does not belong to this list; start again without one.');
    }
    return { ...page, after: { at, id } };
  }

  /** The page of the rows read, of which there may be one more than asked for: that one says there is a next page. */
  close<Item>(
    scope: ReadScope,
    query: ListQuery,
    page: KeysetPage,
    rows: readonly KeysetRow<Item>[],
    within = '',
  ): Page<Item> {
    const shown = rows.slice(0, page.limit);
    const last = shown.at(-1);
    const more = rows.length > page.limit && last !== undefined;
    return {
      data: shown.map((row) => row.item),
      next_cursor: more ? this.sealer.seal(this.#context(scope, query, page.sort, within), [last.at, last.id]) : null,
    };
  }

  #context(scope: ReadScope, query: ListQuery, sort: string, within: string): string {
    const filters = Object.entries(query)
      .filter(([name, value]) => value !== undefined && !['limit', 'cursor', 'sort'].includes(name))
      .sort(([one], [other]) => (one < other ? -1 : 1));
    return JSON.stringify([scope.organizationId, this.list, within, sort, filters]);
  }
}
