/** One page of a list; `next_cursor` is null on the last. */
export interface Page<Item> {
  data: Item[];
  next_cursor: string | null;
}

export const PAGE_LIMIT = { default: 20, most: 100 } as const;
