/**
 * Delivery of one stream to one reader.
 *
 * **Store first, send after.** What is sent is what was read from the store: page after page behind the reader's cursor until there
 * is no more, then sleep until a hint or for a second, then read again. A hint carries no data and may be lost, doubled or early,
 * so there is no moment at which a replay hands over to a live feed, and no event that falls between the two. The same loop serves
 * a replay, a live run, and a client that comes back on another replica after a crash: all they need is the number of the last
 * event they have.
 *
 * **Never a silent hole.** Numbers are given without holes and in commit order, so an event that is not the cursor's successor means
 * that what lay between was dropped for its age, and the reader is told so by a `gap`.
 *
 * **A reader that does not read** costs what the socket holds: nothing is written while the last chunk is not gone, and a chunk is
 * 64 KiB or a single event. Waiting for that ends with the drain, with the connection, or after 30 s with a cut; the client resumes
 * by its cursor.
 *
 * **Rights are looked up again and again.** Each page is a scoped statement: it carries the actor's epoch and whether the task is
 * readable now, so a removed share or a disabled key shows at the next page, at most a second later; while nothing can be written,
 * they are asked for by themselves. A stale epoch reloads the actor behind the request's credential, and so does every fourth
 * second, which is how the end of a session, of a link or of a token is noticed. Who may no longer read is disconnected.
 *
 * The loop ends with the run's `end`, the reader's leaving, lost rights, an hour, the process's stop or a failing store. In all but
 * the first two the last frame is a `reconnect`, where the format has one.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { may, readScope, type Actor } from '../../access/index.js';
import { StaleActorError } from '../../database/database.js';
import type { Clock } from '../../kernel/clock.js';
import { DomainError } from '../../kernel/errors.js';
import type { ReconnectReason, StreamEncoder } from './stream-encoder.js';
import type { Gap, StreamEvent } from './stream-event.js';
import type { StreamOutlet } from './stream-outlet.js';
import type { StreamPage, StreamsRepository } from './streams.repository.js';
import type { Wakeups } from './wakeups.js';

/** Most events of a page; its bytes are bounded by the repository. */
export const PAGE_EVENTS = 2_000;

/** With every hint lost, a new event is seen this late at most. */
const LOOK_EACH_MS = 1_000;
const HEARTBEAT_MS = 15_000;
const RENEW_ACTOR_MS = 4_000;
const LONGEST_LIFE_MS = 60 * 60 * 1_000;
const WRITE_DEADLINE_MS = 30_000;
/** Frames are gathered up to this before they are written, and no more than this waits to be sent but for a single larger event. */
const CHUNK_CHARACTERS = 64 * 1024;

export interface FeedParts {
  runId: string;
  actor: Actor;
  /** The position after which the reader wants events. */
  cursor: number;
  repository: StreamsRepository;
  encoder: StreamEncoder;
  outlet: StreamOutlet;
  wakeups: Wakeups;
  clock: Clock;
  /** Who the request's credential stands for now. @throws DomainError `unauthenticated` where for nobody */
  renewActor: () => Promise<Actor>;
  /** True once the process is stopping. */
  isStopping: () => boolean;
}

/** The reader is gone, or was cut: nothing more can be sent. */
class ReaderGone extends Error {}

/** The server ends the stream before its time. */
class Disconnect extends Error {
  constructor(readonly reason: ReconnectReason) {
    super(reason);
  }
}

export class StreamFeed {
  #actor: Actor;
  #cursor: number;
  /** The cursor as of the last write: what a reader that is sent away goes on from. */
  #sentCursor: number;
  #chunk = '';
  readonly #openedAtMs: number;
  #renewedAtMs: number;
  #wroteAtMs: number;

  constructor(private readonly parts: FeedParts) {
    this.#actor = parts.actor;
    this.#cursor = parts.cursor;
    this.#sentCursor = parts.cursor;
    this.#openedAtMs = parts.clock.nowMs();
    this.#renewedAtMs = this.#openedAtMs;
    this.#wroteAtMs = this.#openedAtMs;
  }

  /**
   * Sends the head, `first` and all that follows; resolves when the reply is over and nothing of it is left in this process.
   * @throws whatever is a bug of ours, after the connection was broken off
   */
  async run(headers: OutgoingHttpHeaders, first: StreamPage): Promise<void> {
    const { outlet } = this.parts;
    try {
      outlet.open(headers);
      await this.#deliver(first);
      outlet.end();
    } catch (error) {
      if (error instanceof ReaderGone) {
        return;
      }
      this.#sayGoodbye(reasonOf(error));
      if (isOurFault(error)) {
        throw error;
      }
    }
    await this.#untilClosed();
  }

  #sayGoodbye(reason: ReconnectReason): void {
    const { outlet, encoder } = this.parts;
    const farewell = encoder.reconnect(this.#sentCursor, reason);
    if (farewell === null || outlet.isFull) {
      outlet.cut();
    } else {
      outlet.write(farewell);
      outlet.end();
    }
  }

  /** A reader that does not take the last bytes is not waited for longer than for any others. */
  async #untilClosed(): Promise<void> {
    const { outlet, clock, wakeups } = this.parts;
    const sinceMs = clock.nowMs();
    while (!outlet.isClosed) {
      if (clock.nowMs() - sinceMs >= WRITE_DEADLINE_MS) {
        outlet.cut();
        return;
      }
      await wakeups.sleep(LOOK_EACH_MS);
    }
  }

  async #deliver(first: StreamPage): Promise<void> {
    const { encoder } = this.parts;
    const downloadUntil = first.lastSeq;
    await this.#gather(encoder.opening());
    for (let page = first; ; page = await this.#nextPage()) {
      await this.#sendPage(page);
      if (this.#cursor >= page.lastSeq && page.ended) {
        return;
      }
      if (!encoder.follows && this.#cursor >= downloadUntil) {
        return;
      }
      this.#assertMayGoOn();
      if (this.#cursor >= page.lastSeq) {
        await this.parts.wakeups.sleep(LOOK_EACH_MS);
        this.#assertMayGoOn();
        await this.#heartbeatWhenDue();
      }
    }
  }

  async #sendPage(page: StreamPage): Promise<void> {
    for (const event of page.events) {
      await this.#tellGapBefore(event.seq);
      await this.#gatherEvent(event);
    }
    if (page.events.length === 0) {
      // The counter is ahead, but nothing is kept of it.
      await this.#tellGapBefore(page.lastSeq + 1);
    }
    await this.#flush();
  }

  async #gatherEvent(event: StreamEvent): Promise<void> {
    await this.#gather(this.parts.encoder.event(event));
    this.#cursor = event.seq;
  }

  async #tellGapBefore(seq: number): Promise<void> {
    const gap = gapBetween(this.#cursor, seq);
    if (gap !== null) {
      await this.#gather(this.parts.encoder.gap(gap));
      this.#cursor = gap.to;
    }
  }

  async #heartbeatWhenDue(): Promise<void> {
    if (this.parts.clock.nowMs() - this.#wroteAtMs >= HEARTBEAT_MS) {
      await this.#gather(this.parts.encoder.heartbeat());
      await this.#flush();
    }
  }

  async #gather(frames: string): Promise<void> {
    if (this.#chunk.length + frames.length > CHUNK_CHARACTERS) {
      await this.#flush();
    }
    this.#chunk += frames;
  }

  async #flush(): Promise<void> {
    if (this.#chunk === '') {
      return;
    }
    await this.#untilDrained();
    this.parts.outlet.write(this.#chunk);
    this.#chunk = '';
    this.#sentCursor = this.#cursor;
    this.#wroteAtMs = this.parts.clock.nowMs();
  }

  /** Waits for the drain, the reader's leaving or the deadline, whichever is first; rights are not forgotten meanwhile. */
  async #untilDrained(): Promise<void> {
    const { outlet, clock, wakeups } = this.parts;
    const isBlocked = (): boolean => !outlet.isClosed && outlet.isFull;
    const sinceMs = clock.nowMs();
    while (isBlocked()) {
      if (clock.nowMs() - sinceMs >= WRITE_DEADLINE_MS) {
        outlet.cut();
        throw new ReaderGone();
      }
      await wakeups.sleep(LOOK_EACH_MS);
      this.#assertMayGoOn();
      if (isBlocked()) {
        await this.#asReader((actor) => this.#isReadableBy(actor));
      }
    }
    this.#assertMayGoOn();
  }

  async #nextPage(): Promise<StreamPage> {
    const { repository, runId } = this.parts;
    const page = await this.#asReader((actor) =>
      repository.page(readScope(actor, 'stream:read'), runId, this.#cursor, PAGE_EVENTS),
    );
    this.#assertMayGoOn();
    return page;
  }

  async #isReadableBy(actor: Actor): Promise<true | null> {
    const { repository, runId } = this.parts;
    return (await repository.isReadable(readScope(actor, 'stream:read'), runId)) ? true : null;
  }

  /** Runs a read as who the reader is now; null from it, or no such actor any more, ends the stream. */
  async #asReader<Result>(read: (actor: Actor) => Promise<Result | null>): Promise<Result> {
    if (this.parts.clock.nowMs() - this.#renewedAtMs >= RENEW_ACTOR_MS) {
      await this.#renew();
    }
    let result: Result | null;
    try {
      result = await read(this.#actor);
    } catch (error) {
      if (!(error instanceof StaleActorError)) {
        throw error;
      }
      await this.#renew();
      result = await read(this.#actor);
    }
    if (result === null) {
      throw new Disconnect('rights');
    }
    return result;
  }

  async #renew(): Promise<void> {
    this.#actor = await this.parts.renewActor();
    this.#renewedAtMs = this.parts.clock.nowMs();
    if (!may(this.#actor, 'stream:read')) {
      throw new Disconnect('rights');
    }
  }

  #assertMayGoOn(): void {
    if (this.parts.outlet.isClosed) {
      throw new ReaderGone();
    }
    if (this.parts.isStopping()) {
      throw new Disconnect('shutdown');
    }
    if (this.parts.clock.nowMs() - this.#openedAtMs >= LONGEST_LIFE_MS) {
      throw new Disconnect('age');
    }
  }
}

/** What is missing between a cursor and the next event there is; null where nothing is. */
export function gapBetween(cursor: number, nextSeq: number): Gap | null {
  return nextSeq > cursor + 1 ? { from: cursor + 1, to: nextSeq - 1, oldest_seq: nextSeq } : null;
}

function reasonOf(error: unknown): ReconnectReason {
  if (error instanceof Disconnect) {
    return error.reason;
  }
  const lost = error instanceof StaleActorError || (error instanceof DomainError && LOST_RIGHTS.has(error.code));
  return lost ? 'rights' : 'unavailable';
}

const LOST_RIGHTS: ReadonlySet<string> = new Set(['unauthenticated', 'forbidden', 'not-found']);

/** A lost database is told to the reader and not to the log each time; what is neither that nor lost rights is a bug. */
function isOurFault(error: unknown): boolean {
  return (
    !(error instanceof Disconnect || error instanceof StaleActorError || error instanceof DomainError) ||
    (error instanceof DomainError && error.fault === 'ours')
  );
}
