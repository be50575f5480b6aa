/**
 * Delivery of one log to all its readers in this process.
 *
 * **Store first, send after.** What is sent is what was read from the store: page after page behind a cursor until there is no more,
 * then wait for a hint or a second, then read again. A hint carries no data and may be lost, doubled or early, so there is no moment at
 * which a replay hands over to a live feed, and no event that falls between the two. The same loop serves a replay, a live run, and a
 * client that comes back on another replica after a crash: all they need is the cursor of the last frame they have.
 *
 * **Read once, word once, send to all.** Readers that have come to the same place wait together in a *room*; its one loop reads the next
 * page, frames it once, and writes the same bytes to everybody in it; then the whole room is at the next cursor. Rooms that come to
 * the same place become one. A reader that comes later, or was too slow, walks by itself, over pages that are shared as well,
 * until it stands at the same place as a room.
 *
 * **Never a silent hole.** Numbers are given without holes and in commit order, so an event that is not the cursor's successor means
 * that what lay between was dropped for its age, and readers are told so by a `gap`.
 *
 * **Rights** are asked about after a page is read and before it is sent; `authorization-group.ts` says how.
 */
import type { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { Disconnect, type AuthorizationGroup } from './authorization-group.js';
import type { FeedPage, FeedSource } from '../sources/feed-source.js';
import { type EncodedPageCache, EncodedPage } from './encoded-page-cache.js';

/** With every hint lost, a new event is seen this late at most. */
const POLL_INTERVAL_MS = 1_000;

/** What a feed needs of a reader. */
export interface Subscriber {
  readonly group: AuthorizationGroup;
  readonly cursor: string;
  /** Sends a page that begins at its cursor; false where it could not and goes on by itself. */
  take(shared: EncodedPage): boolean;
  /** Goes on by itself. */
  walk(): void;
  /** Nothing more will come. */
  finish(): void;
  /** It may not go on, or cannot. */
  fail(error: unknown): void;
  /** A second has gone by. */
  tick(): void;
}

interface SubscriberGroup {
  cursor: string;
  readonly readers: Set<Subscriber>;
  isLooking: boolean;
  mustLookAgain: boolean;
}

export class FeedBroadcaster {
  readonly #rooms = new Map<string, SubscriberGroup>();
  readonly #readers = new Set<Subscriber>();
  readonly #subscriptions = new Map<string, () => void>();
  readonly #timer: NodeJS.Timeout;
  #pausing: NodeJS.Timeout | null = null;
  #hints = 0;
  /** The furthest place that a room has come to. */
  #frontier: string | null = null;

  constructor(
    readonly source: FeedSource,
    private readonly shelf: EncodedPageCache,
    private readonly bus: EventBus,
    private readonly onEmpty: () => void,
  ) {
    this.#subscribe();
    this.#timer = setInterval(() => this.#tick(), POLL_INTERVAL_MS);
  }

  join(reader: Subscriber): void {
    this.#readers.add(reader);
  }

  leave(reader: Subscriber): void {
    for (const room of this.#rooms.values()) {
      if (room.readers.delete(reader)) {
        this.#closeWhenEmpty(room);
        break;
      }
    }
    if (this.#readers.delete(reader) && this.#readers.size === 0) {
      this.#unsubscribe();
      clearInterval(this.#timer);
      if (this.#pausing !== null) {
        clearTimeout(this.#pausing);
      }
      this.onEmpty();
    }
  }

  /** The page after a cursor, shared with whoever asks for the same; null where the log is gone. */
  async page(after: string): Promise<EncodedPage | null> {
    const shared = await this.shelf.page(this.source, after, () => this.#hints);
    if (this.#readers.size > 0) {
      this.#subscribe();
    }
    return shared === null ? null : this.#upToTheFrontier(shared);
  }

  /** Waits with those who have come as far; false where something may have come since the page was read. */
  enter(reader: Subscriber, { hintsBefore }: EncodedPage): boolean {
    if (hintsBefore !== this.#hints) {
      return false;
    }
    const { cursor } = reader;
    let room = this.#rooms.get(cursor);
    if (room === undefined) {
      room = { cursor, readers: new Set(), isLooking: false, mustLookAgain: false };
      this.#rooms.set(cursor, room);
      this.#advance(cursor);
    }
    room.readers.add(reader);
    return true;
  }

  /** Bound, so that it can be handed out as a listener. */
  readonly #hint = (): void => {
    const { leastPauseMs } = this.source;
    if (leastPauseMs === 0) {
      this.#look();
    } else {
      this.#pausing ??= setTimeout(() => {
        this.#pausing = null;
        this.#look();
      }, leastPauseMs);
    }
  };

  /** Listens to what the source names now, and to nothing else. */
  #subscribe(): void {
    const topics = new Set(this.source.topics());
    for (const [topic, unsubscribe] of this.#subscriptions) {
      if (!topics.delete(topic)) {
        unsubscribe();
        this.#subscriptions.delete(topic);
      }
    }
    for (const topic of topics) {
      this.#subscriptions.set(topic, this.bus.subscribe(topic, this.#hint));
    }
  }

  #unsubscribe(): void {
    for (const unsubscribe of this.#subscriptions.values()) {
      unsubscribe();
    }
    this.#subscriptions.clear();
  }

  #look(): void {
    this.#hints += 1;
    for (const room of [...this.#rooms.values()]) {
      void this.#lookFrom(room);
    }
  }

  #tick(): void {
    this.#look();
    const groups = new Set<AuthorizationGroup>();
    for (const reader of this.#readers) {
      reader.tick();
      groups.add(reader.group);
    }
    for (const group of groups) {
      if (group.isDue) {
        group.assertMayRead().catch((error: unknown) => {
          this.#disconnect(this.#readers, error, group);
        });
      }
    }
  }

  /** One loop at a time for each room. Never rejects: what fails ends the readers it fails for. */
  async #lookFrom(room: SubscriberGroup): Promise<void> {
    room.mustLookAgain = true;
    if (room.isLooking) {
      return;
    }
    room.isLooking = true;
    try {
      while (room.mustLookAgain && room.readers.size > 0) {
        room.mustLookAgain = false;
        const shared = await this.page(room.cursor);
        if (shared === null) {
          throw new Disconnect('rights');
        }
        if (shared.isFurther) {
          await this.#deliver(room, shared);
          room.mustLookAgain = true;
        } else if (shared.page.isOver) {
          for (const reader of [...room.readers]) {
            reader.finish();
          }
        } else if (shared.hintsBefore !== this.#hints) {
          room.mustLookAgain = true;
        }
      }
    } catch (error) {
      this.#disconnect(room.readers, error, null);
    } finally {
      room.isLooking = false;
      this.#closeWhenEmpty(room);
    }
  }

  async #deliver(room: SubscriberGroup, shared: EncodedPage): Promise<void> {
    const allowed = await this.#allowed(room.readers);
    for (const reader of room.readers) {
      if (!allowed.has(reader.group)) {
        // Came in while the others were asked about.
        room.readers.delete(reader);
        reader.walk();
      } else if (!reader.take(shared)) {
        room.readers.delete(reader);
      }
    }
    this.#move(room, shared.page.next);
  }

  /** The groups that may read what is known now; readers of the others are sent away. */
  async #allowed(readers: ReadonlySet<Subscriber>): Promise<ReadonlySet<AuthorizationGroup>> {
    const groups = new Set<AuthorizationGroup>();
    for (const { group } of readers) {
      groups.add(group);
    }
    await Promise.all(
      [...groups].map((group) =>
        group.assertMayRead().catch((error: unknown) => {
          groups.delete(group);
          this.#disconnect(this.#readers, error, group);
        }),
      ),
    );
    return groups;
  }

  #move(room: SubscriberGroup, cursor: string): void {
    this.#rooms.delete(room.cursor);
    room.cursor = cursor;
    this.#advance(cursor);
    const other = this.#rooms.get(cursor);
    if (other === undefined) {
      this.#rooms.set(cursor, room);
      return;
    }
    for (const reader of room.readers) {
      other.readers.add(reader);
    }
    room.readers.clear();
    void this.#lookFrom(other);
  }

  #advance(cursor: string): void {
    const { isBeyond } = this.source;
    if (isBeyond !== null && (this.#frontier === null || isBeyond(cursor, this.#frontier))) {
      this.#frontier = cursor;
    }
  }

  /** A walker that overtook the rooms would never stand where they do: it is shown no more than they have. */
  #upToTheFrontier(shared: EncodedPage): EncodedPage {
    const { isBeyond } = this.source;
    const frontier = this.#frontier;
    const { page } = shared;
    if (isBeyond === null || frontier === null || !isBeyond(frontier, page.after) || !isBeyond(page.next, frontier)) {
      return shared;
    }
    const frames = page.frames.filter(({ id }) => !isBeyond(id, frontier));
    const last = frames.at(-1);
    if (last === undefined) {
      return shared;
    }
    const cut: FeedPage = { ...page, frames, next: last.id, isOver: false };
    return new EncodedPage(cut, shared.hintsBefore);
  }

  #disconnect(readers: Iterable<Subscriber>, error: unknown, group: AuthorizationGroup | null): void {
    for (const reader of [...readers]) {
      if (group === null || reader.group === group) {
        reader.fail(error);
      }
    }
  }

  #closeWhenEmpty(room: SubscriberGroup): void {
    if (room.readers.size === 0 && !room.isLooking && this.#rooms.get(room.cursor) === room) {
      this.#rooms.delete(room.cursor);
    }
  }
}
