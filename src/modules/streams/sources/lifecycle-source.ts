/**
 * The feed of an organisation: every change of state of the runs that its reader may see, with the files, questions and answers of
 * those runs. What a dashboard follows.
 *
 * A serial number would not do for a cursor: a transaction that began earlier may commit later, and its number would be passed over. So
 * batches are ordered by the transaction that wrote them, and told once all transactions up to it are over (`lifecycle.query.ts`). One that
 * runs long, a backup for instance, holds the feed back for as long as it runs, and loses nothing of it.
 *
 * Who may see what is part of the read, so readers share pages only with those of the same credential.
 */
import { readScope } from '../../../access/index.js';
import { ANY_STREAM_TOPIC } from '../../../infrastructure/event-bus/event-bus.js';
import type { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import type { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { type FeedFrame, type FeedPage, type FeedSource, shownOf } from './feed-source.js';
import { LIFECYCLE_HOURS, type LifecyclePosition, type LifecycleQuery, type LifecycleRow } from './lifecycle.query.js';
import type { AuthorizationGroup } from '../broadcast/authorization-group.js';
import type { StreamEvent } from '../log/stream-event.js';
import type { StreamsRepository } from '../log/streams.repository.js';

/** Hints come for every stream there is; so often they are followed at most. */
const MIN_INTERVAL_MS = 250;
const HORIZON_MS = LIFECYCLE_HOURS * 60 * 60 * 1000;
const FIRST_RUN = '00000000-0000-0000-0000-000000000000';

/** How a run's state is called when it is come to. */
const RUN_WORDS: ReadonlyMap<unknown, string> = new Map([
  ['delayed', 'run.delayed'],
  ['queued', 'run.queued'],
  ['running', 'run.started'],
  ['waiting', 'run.waiting'],
  ['completed', 'run.completed'],
  ['failed', 'run.failed'],
  ['timed_out', 'run.timed_out'],
  ['canceled', 'run.canceled'],
  ['expired', 'run.expired'],
]);
const OTHER_WORDS: ReadonlyMap<string, string> = new Map([
  ['asset', 'asset'],
  ['question', 'question'],
  ['answer', 'answer'],
]);

/** A position, and when it was come to: what is older than the horizon may have changed its order. */
export interface LifecycleCursor extends LifecyclePosition {
  atMs: number;
}

/** The cursors of one organisation's feed. */
export class LifecycleCursors {
  readonly #context: string;

  constructor(
    private readonly sealer: CursorCodec,
    organizationId: string,
  ) {
    this.#context = JSON.stringify(['lifecycle', organizationId]);
  }

  seal({ xid, runId, seq, atMs }: LifecycleCursor): string {
    return this.sealer.seal(this.#context, [xid, runId, seq, atMs]);
  }

  /** @throws DomainError `invalid-cursor` */
  open(cursor: string): LifecycleCursor {
    const [xid, runId, seq, atMs] = this.sealer.open(this.#context, cursor);
    if (typeof xid !== 'string' || typeof runId !== 'string' || typeof seq !== 'number' || typeof atMs !== 'number') {
      throw new DomainError('invalid-cursor', 'This cursor does not belong to this feed; start again without one.');
    }
    return { xid, runId, seq, atMs };
  }
}

/** From here on: what is settled only later is still to come. */
export function startingNow(now: { settled: string; atMs: number }): LifecycleCursor {
  return { xid: now.settled, runId: FIRST_RUN, seq: 0, atMs: now.atMs };
}

/** From the oldest that is there. */
export function fromTheOldest(now: { atMs: number }): LifecycleCursor {
  return { xid: '0', runId: FIRST_RUN, seq: 0, atMs: now.atMs };
}

/** @throws DomainError `cursor-ahead` for a cursor of another history: a database that was restored since */
export function assertSettled(cursor: LifecycleCursor, now: { latest: string }): void {
  if (BigInt(cursor.xid) > BigInt(now.latest)) {
    throw new DomainError('cursor-ahead', 'This cursor is ahead of the feed; start again without one.');
  }
}

/** One position has one text. */
export function cursorText({ xid, runId, seq, atMs }: LifecycleCursor): string {
  return `${xid} ${runId} ${seq} ${atMs}`;
}

function cursorOf(text: string): LifecycleCursor {
  const [xid = '0', runId = FIRST_RUN, seq, atMs] = text.split(' ');
  return { xid, runId, seq: Number(seq), atMs: Number(atMs) };
}

export function lifecycleSource(
  query: LifecycleQuery,
  repository: StreamsRepository,
  cursors: LifecycleCursors,
  clock: Clock,
  group: AuthorizationGroup,
  name: string,
): FeedSource {
  const topics = [ANY_STREAM_TOPIC];
  return {
    key: name,
    topics: () => topics,
    leastPauseMs: MIN_INTERVAL_MS,
    opening: (cursor) => frame(cursors, cursorOf(cursor), 'ready', { cursor: cursors.seal(cursorOf(cursor)) }, null),
    read: async (after) => {
      const cursor = cursorOf(after);
      const rows = await group.asReader((actor) => query.page(readScope(actor, 'stream:read'), cursor));
      return pageOf(after, cursor, rows, cursors, clock.nowMs());
    },
    isKept: ({ shown }) => group.asReader((actor) => repository.areKept(readScope(actor, 'stream:read'), shown)),
    isBeyond: null,
    tell: (cursor) => cursors.seal(cursorOf(cursor)),
  };
}

function pageOf(
  after: string,
  cursor: LifecycleCursor,
  rows: readonly LifecycleRow[],
  cursors: LifecycleCursors,
  nowMs: number,
): FeedPage {
  const frames: FeedFrame[] = [];
  let place = cursor;
  if (nowMs - cursor.atMs > HORIZON_MS) {
    const until = new Date(nowMs - HORIZON_MS).toISOString();
    place = { ...cursor, atMs: nowMs };
    frames.push(frame(cursors, place, 'gap', { since: new Date(cursor.atMs).toISOString(), until }, null));
  }
  for (const row of rows) {
    const isSameBatch = row.xid === cursor.xid && row.runId === cursor.runId;
    for (const event of row.events ?? []) {
      const word = wordOf(event);
      if (word !== null && !(isSameBatch && event.seq <= cursor.seq)) {
        place = { xid: row.xid, runId: row.runId, seq: event.seq, atMs: Date.parse(event.at) };
        const body = {
          type: word,
          at: event.at,
          task_id: row.taskId,
          run_id: row.runId,
          run_number: row.runNumber,
          seq: event.seq,
          data: event.data,
        };
        frames.push(frame(cursors, place, word, body, event));
      }
    }
    place = { xid: row.xid, runId: row.runId, seq: row.seq, atMs: place.atMs };
  }
  const shown = rows.flatMap(({ runId, events }) => shownOf(runId, events ?? []));
  return { after, frames, next: cursorText(place), isOver: false, shown };
}

function frame(
  cursors: LifecycleCursors,
  cursor: LifecycleCursor,
  name: string,
  body: Readonly<Record<string, unknown>>,
  event: StreamEvent | null,
): FeedFrame {
  return { id: cursors.seal(cursor), name, body, event, heading: event === null ? null : `run ${cursor.runId}` };
}

function wordOf({ type, data }: StreamEvent): string | null {
  return (type === 'status' ? RUN_WORDS.get(data['status']) : OTHER_WORDS.get(type)) ?? null;
}
