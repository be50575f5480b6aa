import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { DomainError } from '../../kernel/errors.js';

/** At a stop, readers get this long to take their last frame; who does not read is cut. */
const FAREWELL_MS = 5_000;

/** A reader's place among the open streams. */
export interface StreamPlace {
  /** True once the process is stopping: say goodbye and leave. */
  readonly isStopping: boolean;
  /** Gives the place up; once is enough, more does no harm. */
  leave(): void;
}

interface Resident extends StreamPlace {
  onStop(): void;
  onCut(): void;
}

/** What a reader is told by the process. */
export interface StreamListener {
  /** The process is stopping: send the last frame, end, and leave. */
  onStop: () => void;
  /** The time for that is over. */
  onCut: () => void;
}

/** Every stream this process is sending: counted, so that there are not too many, and told when the process stops. */
@Injectable()
export class OpenStreams implements BeforeApplicationShutdown {
  /** A reader costs some KiB and a statement a second. Past these a client is told to come back later (429). */
  readonly limits = { perPrincipal: 1_000, perProcess: 8_000 };
  readonly #residents = new Set<Resident>();
  readonly #byPrincipal = new Map<string, number>();
  #stopping = false;
  #emptied: (() => void) | null = null;

  get count(): number {
    return this.#residents.size;
  }

  /** @throws DomainError `limit-reached` where there are too many, `unavailable` where the process is stopping */
  enter(principalId: string, listener: StreamListener): StreamPlace {
    if (this.#stopping) {
      throw new DomainError('unavailable', 'This server is stopping; connect again.', { retryAfterSeconds: 2 });
    }
    const own = this.#byPrincipal.get(principalId) ?? 0;
    if (own >= this.limits.perPrincipal || this.#residents.size >= this.limits.perProcess) {
      throw new DomainError('limit-reached', 'Too many streams are open; close some, or try again later.', {
        retryAfterSeconds: 5,
      });
    }
    const stopping = (): boolean => this.#stopping;
    const resident: Resident = {
      get isStopping() {
        return stopping();
      },
      leave: () => this.#leave(resident, principalId),
      ...listener,
    };
    this.#residents.add(resident);
    this.#byPrincipal.set(principalId, own + 1);
    return resident;
  }

  /** Sends every reader its last frame and waits until they are gone; open streams would hold the server's close for ever. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping = true;
    if (this.#residents.size === 0) {
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        for (const resident of this.#residents) {
          resident.onCut();
        }
        resolve();
      }, FAREWELL_MS);
      this.#emptied = () => {
        clearTimeout(timer);
        resolve();
      };
      for (const resident of this.#residents) {
        resident.onStop();
      }
    });
  }

  #leave(resident: Resident, principalId: string): void {
    if (!this.#residents.delete(resident)) {
      return;
    }
    const left = (this.#byPrincipal.get(principalId) ?? 1) - 1;
    if (left === 0) {
      this.#byPrincipal.delete(principalId);
    } else {
      this.#byPrincipal.set(principalId, left);
    }
    if (this.#residents.size === 0) {
      this.#emptied?.();
    }
  }
}
