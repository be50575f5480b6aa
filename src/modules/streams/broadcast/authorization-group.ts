/**
 * Whether readers may still read. Rights are looked up for readers together: all that came with one credential for one feed are a group,
 * and what holds for one of them holds for all.
 *
 * A group is asked about **after each page is read and before it is sent**, so what was appended after a right was taken away is
 * never delivered, and each second or so while nothing happens. Every third second the credential itself is looked up afresh, which is
 * how the end of a session, of a link or of a token is noticed. The question carries the principal's epoch; a stale one reloads the actor first. With
 * very many groups in one process, an answer serves for a moment (a millisecond for each group, three seconds at most), so that the
 * questions do not take the database for themselves.
 */
import { may, type Actor } from '../../../access/index.js';
import { StaleActorError } from '../../../database/database.js';
import type { Clock } from '../../../kernel/clock.js';
import type { ReconnectReason } from '../formats/stream-encoder.js';

/** With so few groups every page is asked about, and every second without one. */
const FEW_GROUPS = 50;
const MIN_IDLE_MS = 1_000;
const LONGEST_SERVED_MS = 3_000;
/** So often the credential itself is looked up afresh. */
const RENEW_MS = 3_000;

/** The server ends the stream before its time. */
export class Disconnect extends Error {
  constructor(readonly reason: ReconnectReason) {
    super(reason);
  }
}

export interface GroupParts {
  actor: Actor;
  clock: Clock;
  /** Groups in this process. */
  count: () => number;
  /** Whether the actor may read the feed now. @throws StaleActorError */
  isReadable: (actor: Actor) => Promise<boolean>;
  /** Who the credential of one of its readers stands for now. @throws DomainError `unauthenticated` where for nobody */
  renewActor: () => Promise<Actor>;
}

export class AuthorizationGroup {
  #actor: Actor;
  #askedAtMs: number;
  #renewedAtMs: number;
  #asking: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(private readonly parts: GroupParts) {
    this.#actor = parts.actor;
    // Who opens a stream has just been looked up.
    this.#askedAtMs = this.#renewedAtMs = parts.clock.nowMs();
  }

  get actor(): Actor {
    return this.#actor;
  }

  /** True where nothing was asked about the group for so long that it should be, page or no page. */
  get isDue(): boolean {
    return this.#mustRenew || this.parts.clock.nowMs() - this.#askedAtMs >= Math.max(MIN_IDLE_MS, this.#servedMs());
  }

  get #mustRenew(): boolean {
    return this.parts.clock.nowMs() - this.#renewedAtMs >= RENEW_MS;
  }

  /** Resolves where its readers may read what is known now. @throws Disconnect `rights`; or whatever keeps the answer away */
  async assertMayRead(): Promise<void> {
    if (!this.#mustRenew && this.parts.clock.nowMs() - this.#askedAtMs < this.#servedMs()) {
      return;
    }
    // A question that is on its way may have been answered before the page was read: the one after it is shared by all who wait.
    if (this.#asking === null) {
      return this.#ask();
    }
    this.#next ??= this.#asking.then(
      () => this.#askNext(),
      () => this.#askNext(),
    );
    return this.#next;
  }

  /** Runs a read as who the readers are now. @throws Disconnect `rights` */
  async asReader<Result>(read: (actor: Actor) => Promise<Result>): Promise<Result> {
    try {
      return await read(this.#actor);
    } catch (error) {
      if (!(error instanceof StaleActorError)) {
        throw error;
      }
      await this.#renew();
      return read(this.#actor);
    }
  }

  #servedMs(): number {
    const count = this.parts.count();
    return count <= FEW_GROUPS ? 0 : Math.min(count, LONGEST_SERVED_MS);
  }

  #askNext(): Promise<void> {
    this.#next = null;
    return this.#ask();
  }

  #ask(): Promise<void> {
    const asking = this.#askNow().finally(() => {
      if (this.#asking === asking) {
        this.#asking = null;
      }
    });
    this.#asking = asking;
    return asking;
  }

  async #askNow(): Promise<void> {
    const startedAtMs = this.parts.clock.nowMs();
    if (this.#mustRenew) {
      await this.#renew();
    }
    if (!(await this.asReader(this.parts.isReadable))) {
      throw new Disconnect('rights');
    }
    this.#askedAtMs = startedAtMs;
  }

  async #renew(): Promise<void> {
    const startedAtMs = this.parts.clock.nowMs();
    this.#actor = await this.parts.renewActor();
    this.#renewedAtMs = startedAtMs;
    if (!may(this.#actor, 'stream:read')) {
      throw new Disconnect('rights');
    }
  }
}
