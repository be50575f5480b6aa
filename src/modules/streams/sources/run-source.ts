import { unsafelySystemScope } from '../../../access/index.js';
import { streamTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { type FeedFrame, type FeedPage, type FeedSource, shownOf } from './feed-source.js';
import { endOf, type Gap, gapBetween, type StreamEvent } from '../log/stream-event.js';
import type { PageSize, StreamPage, StreamsRepository } from '../log/streams.repository.js';

/** A page is in memory for as long as a reader has not taken it, so it is small. */
const FEED_PAGE: PageSize = { events: 500, bytes: 64 * 1024 };

/** The log of one run. Its cursor is the number of an event. */
export function runSource(repository: StreamsRepository, organizationId: string, runId: string): FeedSource {
  const scope = unsafelySystemScope(
    organizationId,
    'a page for all readers of a stream, each asked about before it is sent',
  );
  const topics = [streamTopic(runId)];
  return {
    key: `run ${runId}`,
    topics: () => topics,
    leastPauseMs: 0,
    opening: () => null,
    read: async (after) => {
      const page = await repository.page(scope, runId, Number(after), FEED_PAGE);
      return page === null ? null : feedPage(runId, after, page);
    },
    isKept: ({ shown }) => repository.areKept(scope, shown),
    isBeyond: (cursor, other) => Number(cursor) > Number(other),
    tell: Number,
  };
}

function feedPage(runId: string, after: string, page: StreamPage): FeedPage {
  const frames: FeedFrame[] = [];
  let cursor = Number(after);
  const tellGapBefore = (seq: number): void => {
    const gap = gapBetween(cursor, seq);
    if (gap !== null) {
      frames.push(gapFrame(gap));
      cursor = gap.to;
    }
  };
  for (const event of page.events) {
    tellGapBefore(event.seq);
    frames.push(eventFrame(event));
    cursor = event.seq;
  }
  if (page.events.length === 0) {
    // The counter is ahead, but nothing is kept of it.
    tellGapBefore(page.lastSeq + 1);
  }
  const end = endOf(page.lastSeq, page.end);
  if (end !== null) {
    frames.push(eventFrame(end));
  }
  return {
    after,
    frames,
    next: String(cursor),
    isOver: page.ended && cursor >= page.lastSeq,
    shown: shownOf(runId, [...page.events, ...(end === null ? [] : [end])], end === null ? page.events.length : 0),
  };
}

function eventFrame(event: StreamEvent): FeedFrame {
  const { seq, type, at, data } = event;
  return { id: String(seq), name: type, body: { seq, type, at, data }, event, heading: null };
}

/** Its id is the last event lost, so that a client that resumes from it gets the oldest one kept. */
function gapFrame(gap: Gap): FeedFrame {
  return { id: String(gap.to), name: 'gap', body: { ...gap }, event: null, heading: null };
}
