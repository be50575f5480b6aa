/**
 * One reader of a feed: its cursor, its connection and its wording.
 *
 * **A reader that does not read** costs what the socket holds: nothing is written while the last chunk is not gone, what is written is
 * one page of about 64 KiB (or a single larger event) that it shares with the others, and so never more than 256 KiB wait for it. Without
 * any progress for 30 s it is cut; the client resumes by its cursor.
 *
 * It ends with the end of the log, the reader's leaving, lost rights, an hour, the process's stop or a failing store. In all but the first
 * two the last frame is a `reconnect`, where the format has one.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { StaleActorError } from '../../../database/database.js';
import type { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { Disconnect, type AuthorizationGroup } from './authorization-group.js';
import type { EncodedPage } from './encoded-page-cache.js';
import type { Subscriber, FeedBroadcaster } from './feed-broadcaster.js';
import { sseEncoder } from '../formats/sse-encoder.js';
import type { ReconnectReason, StreamEncoder } from '../formats/stream-encoder.js';
import { EncodedChunk, type StreamResponseWriter } from './stream-response-writer.js';

const HEARTBEAT_MS = 15_000;
const LONGEST_LIFE_MS = 60 * 60 * 1_000;
const WRITE_DEADLINE_MS = 30_000;

const SSE_HEARTBEAT = new EncodedChunk(sseEncoder.heartbeat());

export interface ReaderParts {
  feed: FeedBroadcaster;
  group: AuthorizationGroup;
  /** The cursor after which the reader wants frames. */
  cursor: string;
  /** A download ends here, or where there is no more. */
  until: string | null;
  encoder: StreamEncoder;
  outlet: (onChange: () => void) => StreamResponseWriter;
  clock: Clock;
  /** Called once, when nothing of it is left. */
  onClosed: () => void;
  /** Called for what is a bug of ours, after the reader was sent away. */
  onFault: (error: unknown) => void;
}

export class Subscription implements Subscriber {
  readonly group: AuthorizationGroup;
  readonly #feed: FeedBroadcaster;
  readonly #parts: ReaderParts;
  readonly #outlet: StreamResponseWriter;
  readonly #openedAtMs: number;
  #cursor: string;
  #wroteAtMs: number;
  #stuck: { sinceMs: number; unsentBytes: number } | null = null;
  #state: 'walking' | 'waiting' | 'full' | 'ending' | 'closed' = 'full';

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.group = parts.group;
    this.#feed = parts.feed;
    this.#cursor = parts.cursor;
    this.#openedAtMs = this.#wroteAtMs = parts.clock.nowMs();
    this.#outlet = parts.outlet(this.#onChange);
  }

  get cursor(): string {
    return this.#cursor;
  }

  /** Sends the head and what there is; from then on the reader goes on by itself. */
  open(headers: OutgoingHttpHeaders): void {
    this.#feed.join(this);
    this.#outlet.open(headers);
    const { encoder } = this.#parts;
    const first = this.#feed.source.opening(this.#cursor);
    const opening = encoder.opening() + (first === null ? '' : encoder.frame(first));
    if (opening !== '') {
      this.#outlet.offer(new EncodedChunk(opening));
    }
    this.walk();
  }

  /** Reads page after page by itself until it has come to where others wait, is full, or over. */
  walk(): void {
    if (this.#state === 'ending' || this.#state === 'closed' || this.#state === 'walking') {
      return;
    }
    this.#state = 'walking';
    this.#walk().catch((error: unknown) => this.fail(error));
  }

  /** Sends a page that begins at the reader's cursor; false where it could not, and goes on when it can. */
  take(shared: EncodedPage): boolean {
    if (this.#state === 'ending' || this.#state === 'closed') {
      return false;
    }
    const { encoder } = this.#parts;
    if (shared.page.frames.length === 0) {
      this.#cursor = shared.page.next;
      return true;
    }
    const chunk = encoder.isShared
      ? shared.sse
      : new EncodedChunk(shared.page.frames.map((frame) => encoder.frame(frame)).join(''));
    const nowMs = this.#parts.clock.nowMs();
    if (!this.#outlet.offer(chunk)) {
      this.#waitForRoom(nowMs);
      return false;
    }
    this.#cursor = shared.page.next;
    this.#wroteAtMs = nowMs;
    this.#stuck = null;
    if (shared.page.isOver || this.#hasAllItWanted()) {
      this.finish();
      return false;
    }
    return true;
  }

  /** Nothing more will come: ends the reply as complete. */
  finish(): void {
    if (this.#state !== 'ending' && this.#state !== 'closed') {
      this.#state = 'ending';
      this.#outlet.end();
    }
  }

  /** Ends the reply early, and tells the client to come back. */
  disconnect(reason: ReconnectReason): void {
    if (this.#state === 'ending' || this.#state === 'closed') {
      return;
    }
    this.#state = 'ending';
    const farewell = this.#parts.encoder.reconnect(this.#feed.source.tell(this.#cursor), reason);
    if (farewell === null || !this.#outlet.offer(new EncodedChunk(farewell))) {
      this.#outlet.cut();
    } else {
      this.#outlet.end();
    }
  }

  /** Ends the reply for what went wrong. */
  fail(error: unknown): void {
    this.disconnect(reasonOf(error));
    if (isOurFault(error)) {
      this.#parts.onFault(error);
    }
  }

  cut(): void {
    this.#outlet.cut();
  }

  /** What only time brings; called about once a second. */
  tick(): void {
    const nowMs = this.#parts.clock.nowMs();
    if (this.#outlet.isClosed) {
      this.#close();
    } else if (this.#isStuck(nowMs)) {
      this.#outlet.cut();
    } else if (this.#state !== 'ending' && nowMs - this.#openedAtMs >= LONGEST_LIFE_MS) {
      this.disconnect('age');
    } else if (this.#state === 'waiting' && nowMs - this.#wroteAtMs >= HEARTBEAT_MS) {
      this.#heartbeat(nowMs);
    }
  }

  /** Drained, or closed. Bound, so that it can be handed out as a listener. */
  readonly #onChange = (): void => {
    if (this.#outlet.isClosed) {
      this.#close();
    } else if (this.#state === 'full' && !this.#outlet.isFull) {
      this.walk();
    }
  };

  async #walk(): Promise<void> {
    while (this.#state === 'walking') {
      if (this.#outlet.isFull) {
        this.#waitForRoom(this.#parts.clock.nowMs());
        return;
      }
      const shared = await this.#feed.page(this.#cursor);
      if (shared === null) {
        throw new Disconnect('rights');
      }
      await this.group.assertMayRead();
      if (!this.#isWalking()) {
        return;
      }
      if (shared.isFurther) {
        this.take(shared);
      } else if (shared.page.isOver || !this.#parts.encoder.follows) {
        this.finish();
      } else if (this.#feed.enter(this, shared)) {
        this.#state = 'waiting';
      }
    }
  }

  /** The state as it is after something was awaited. */
  #isWalking(): boolean {
    return this.#state === 'walking';
  }

  #waitForRoom(nowMs: number): void {
    this.#state = 'full';
    this.#stuck ??= { sinceMs: nowMs, unsentBytes: this.#outlet.unsentBytes };
  }

  #isStuck(nowMs: number): boolean {
    const { unsentBytes } = this.#outlet;
    if (unsentBytes === 0) {
      this.#stuck = null;
    } else if (this.#stuck === null || unsentBytes < this.#stuck.unsentBytes) {
      this.#stuck = { sinceMs: nowMs, unsentBytes };
    }
    return this.#stuck !== null && nowMs - this.#stuck.sinceMs >= WRITE_DEADLINE_MS;
  }

  #heartbeat(nowMs: number): void {
    const { encoder } = this.#parts;
    const text = encoder.heartbeat();
    if (text !== '' && this.#outlet.offer(encoder.isShared ? SSE_HEARTBEAT : new EncodedChunk(text))) {
      this.#wroteAtMs = nowMs;
    }
  }

  #hasAllItWanted(): boolean {
    const { encoder, until } = this.#parts;
    const { isBeyond } = this.#feed.source;
    return !encoder.follows && until !== null && isBeyond !== null && !isBeyond(until, this.#cursor);
  }

  #close(): void {
    if (this.#state !== 'closed') {
      this.#state = 'closed';
      this.#feed.leave(this);
      this.#parts.onClosed();
    }
  }
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
