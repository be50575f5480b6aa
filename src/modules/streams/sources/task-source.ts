/**
 * The feed of a task: all its runs in one, those to come included.
 *
 * Each run's events come in their order; between runs, by the time they were written. A cursor says which runs are told to their end (all
 * up to a number, but for the open ones) and how far the open ones are, at most 32 of them. So a cursor stays short and a page is one
 * statement however many runs there are; where more than 32 are under way at once, the later ones follow when an earlier one ends.
 */
import { unsafelySystemScope } from '../../../access/index.js';
import type { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { streamTopic } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError } from '../../../kernel/errors.js';
import { type FeedFrame, type FeedPage, type FeedSource, shownOf } from './feed-source.js';
import { endOf, gapBetween, type StreamEvent } from '../log/stream-event.js';
import type { TaskFeedQuery, TaskPosition, TaskRunPage } from './task-feed.query.js';
import type { PageSize, StreamsRepository } from '../log/streams.repository.js';

/** Of each run, so that a page of 32 stays about as small as any. */
const RUN_PAGE: PageSize = { events: 100, bytes: 8 * 1024 };

export const TASK_START: TaskPosition = { watermark: 0, open: [] };

/** The cursors of one task's feed. */
export class TaskCursors {
  readonly #context: string;

  constructor(
    private readonly sealer: CursorCodec,
    organizationId: string,
    taskId: string,
  ) {
    this.#context = JSON.stringify(['task stream', organizationId, taskId]);
  }

  seal({ watermark, open }: TaskPosition): string {
    return this.sealer.seal(this.#context, [watermark, ...open.flat()]);
  }

  /** @throws DomainError `invalid-cursor` */
  open(cursor: string): TaskPosition {
    const [watermark, ...rest] = this.sealer.open(this.#context, cursor).map(Number);
    const open = Array.from(
      { length: rest.length / 2 },
      (_, index) => [rest[2 * index] ?? 0, rest[2 * index + 1] ?? 0] as const,
    );
    return { watermark: watermark ?? 0, open };
  }
}

/** @throws DomainError `cursor-ahead` where an open run has not come to where the cursor says: it is from another history */
export function assertReached(runs: readonly TaskRunPage[]): void {
  const ahead = runs.find(({ after, lastSeq }) => after > lastSeq);
  if (ahead !== undefined) {
    throw new DomainError(
      'cursor-ahead',
      `Run ${ahead.number} has come to event ${ahead.lastSeq}, not yet to ${ahead.after}.`,
    );
  }
}

export function positionText(position: TaskPosition): string {
  return JSON.stringify([position.watermark, ...position.open.flat()]);
}

function positionOf(text: string): TaskPosition {
  const numbers: unknown = JSON.parse(text);
  const [watermark = 0, ...rest] = Array.isArray(numbers) ? numbers.map(Number) : [];
  return {
    watermark,
    open: Array.from(
      { length: rest.length / 2 },
      (_, index) => [rest[2 * index] ?? 0, rest[2 * index + 1] ?? 0] as const,
    ),
  };
}

export function taskSource(
  query: TaskFeedQuery,
  repository: StreamsRepository,
  cursors: TaskCursors,
  organizationId: string,
  taskId: string,
): FeedSource {
  const scope = unsafelySystemScope(
    organizationId,
    'a page for all readers of a task, each asked about before it is sent',
  );
  /** Runs that may go on; a run that begins is found by looking. */
  const topics = new Set<string>();
  return {
    key: `task ${taskId}`,
    topics: () => topics,
    leastPauseMs: 0,
    opening: () => null,
    read: async (after) => {
      const position = positionOf(after);
      const runs = await query.page(scope, taskId, position, RUN_PAGE);
      if (runs === null) {
        return null;
      }
      for (const { id, ended } of runs) {
        if (ended) {
          topics.delete(streamTopic(id));
        } else {
          topics.add(streamTopic(id));
        }
      }
      return pageOf(after, position, runs, cursors);
    },
    isKept: ({ shown }) => repository.areKept(scope, shown),
    isBeyond: null,
    tell: (cursor) => cursors.seal(positionOf(cursor)),
  };
}

/** What a run of the page has still to tell, and whether that is all it will ever tell. */
interface TaskFeedState {
  run: TaskRunPage;
  frames: { frame: Omit<FeedFrame, 'id'>; seq: number; at: string }[];
}

function pageOf(after: string, position: TaskPosition, runs: readonly TaskRunPage[], cursors: TaskCursors): FeedPage {
  const open = new Map(runs.map(({ number, after: seq }) => [number, seq]));
  const watermark = Math.max(position.watermark, ...open.keys());
  const frames: FeedFrame[] = [];
  const standing = (): TaskPosition => ({ watermark, open: [...open] });
  const tell = (run: TaskRunPage, seq: number): void => {
    if (run.ended && seq >= run.lastSeq) {
      open.delete(run.number);
    } else {
      open.set(run.number, seq);
    }
  };
  for (const { run, frame, seq } of inOrder(runs.map(taskFeedStateOf))) {
    tell(run, seq);
    frames.push({ ...frame, id: cursors.seal(standing()) });
  }
  for (const run of runs) {
    // Ended, and told before it was known to be over.
    if (run.ended && run.after >= run.lastSeq) {
      open.delete(run.number);
    }
  }
  const shown = runs.flatMap((run) => {
    const end = endOf(run.lastSeq, run.end);
    return shownOf(run.id, [...run.events, ...(end === null ? [] : [end])], end === null ? run.events.length : 0);
  });
  return { after, frames, next: positionText(standing()), isOver: false, shown };
}

function taskFeedStateOf(run: TaskRunPage): TaskFeedState {
  const frames: TaskFeedState['frames'] = [];
  let cursor = run.after;
  const tellGapBefore = (seq: number, at: string): void => {
    const gap = gapBetween(cursor, seq);
    if (gap !== null) {
      frames.push({
        seq: gap.to,
        at,
        frame: { name: 'gap', body: { run_id: run.id, ...gap }, event: null, heading: headingOf(run) },
      });
    }
  };
  for (const event of run.events) {
    tellGapBefore(event.seq, event.at);
    frames.push({ seq: event.seq, at: event.at, frame: frameOf(run, event) });
    cursor = event.seq;
  }
  if (run.events.length === 0) {
    tellGapBefore(run.lastSeq + 1, '');
  }
  const end = endOf(run.lastSeq, run.end);
  if (end !== null) {
    frames.push({ seq: end.seq, at: '', frame: frameOf(run, end) });
  }
  return { run, frames };
}

function frameOf(run: TaskRunPage, event: StreamEvent): Omit<FeedFrame, 'id'> {
  const { seq, type, at, data } = event;
  const body = { run_id: run.id, run_number: run.number, seq, type, at, data };
  return { name: type, body, event, heading: headingOf(run) };
}

function headingOf({ number }: TaskRunPage): string {
  return `run ${number}`;
}

/** Each run's frames in their order, and always the earliest of those that are next. */
function* inOrder(
  tellings: readonly TaskFeedState[],
): Generator<{ run: TaskRunPage; frame: Omit<FeedFrame, 'id'>; seq: number }> {
  const places = tellings.map(() => 0);
  for (;;) {
    let earliest: { index: number; at: string } | null = null;
    for (const [index, { frames }] of tellings.entries()) {
      const next = frames[places[index] ?? 0];
      if (next !== undefined && (earliest === null || next.at < earliest.at)) {
        earliest = { index, at: next.at };
      }
    }
    if (earliest === null) {
      return;
    }
    const { index } = earliest;
    const telling = tellings[index];
    const next = telling?.frames[places[index] ?? 0];
    if (telling === undefined || next === undefined) {
      return;
    }
    places[index] = (places[index] ?? 0) + 1;
    yield { run: telling.run, frame: next.frame, seq: next.seq };
  }
}
