import type { StreamEvent } from './stream-event.js';

/** One thing to tell a reader, with where the reader stands after it. */
export interface FeedFrame {
  /** The cursor after this frame. */
  id: string;
  /** The kind: one of our own words. */
  name: string;
  /** What is sent, as one line of JSON. */
  body: Readonly<Record<string, unknown>>;
  /** The event behind it, for people; null for a `gap`. */
  event: StreamEvent | null;
  /** Heads its lines for people, in a feed of several runs. */
  heading: string | null;
}

/** What there was after a cursor. */
export interface FeedPage {
  after: string;
  frames: readonly FeedFrame[];
  /** Where the next page begins; `after` where there is nothing. */
  next: string;
  /** True where nothing will ever come after `next`. */
  isOver: boolean;
}

/**
 * The log behind a feed. Cursors are texts that only it understands, and one position has one text, so that two readers stand at
 * the same place exactly if their cursors are equal.
 */
export interface FeedSource {
  /** Names the feed: readers of one key share its pages. */
  readonly key: string;
  /** What hints at something new, as far as is known after the last read. */
  topics: () => Iterable<string>;
  /** No more often than this does a hint make it look. */
  readonly leastPauseMs: number;
  /** Sent first to a reader that begins at the cursor; null for nothing. */
  opening: (cursor: string) => FeedFrame | null;
  /** A page, from one snapshot; null where there is no such log any more. */
  read: (after: string) => Promise<FeedPage | null>;
  /** Whether the first cursor is further on; null where a page cannot be cut at a cursor, or ids of frames are not cursors as they are. */
  readonly isBeyond: ((cursor: string, other: string) => boolean) | null;
  /** The cursor as clients are told it. */
  tell: (cursor: string) => string | number;
}
