import type { StreamEvent } from '../log/stream-event.js';

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
  /** What of the store the page shows: it may be shown again for as long as all of it is kept. */
  shown: readonly ShownEvents[];
}

/** Events of one run that a page shows. */
export interface ShownEvents {
  runId: string;
  from: number;
  to: number;
  count: number;
  /** The run's output is among what is shown, and may be deleted earlier than the events. */
  hasOutput: boolean;
}

/** What a page shows of a run's events; `stored` of them are in the log, the others told from the run itself. */
export function shownOf(runId: string, events: readonly StreamEvent[], stored = events.length): ShownEvents[] {
  const [first] = events;
  const last = events.at(-1);
  return first === undefined || last === undefined
    ? []
    : [
        {
          runId,
          from: first.seq,
          to: last.seq,
          count: stored,
          hasOutput: last.type === 'end' && last.data['output'] != null,
        },
      ];
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
  /** Whether all that a page shows is still kept. */
  isKept: (page: FeedPage) => Promise<boolean>;
  /** Whether the first cursor is further on; null where a page cannot be cut at a cursor, or ids of frames are not cursors as they are. */
  readonly isBeyond: ((cursor: string, other: string) => boolean) | null;
  /** The cursor as clients are told it. */
  tell: (cursor: string) => string | number;
}
