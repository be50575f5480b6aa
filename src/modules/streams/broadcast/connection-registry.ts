import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { DomainError } from '../../../kernel/errors.js';

/** At a stop, readers get this long to take their last frame; who does not read is cut. */
const FAREWELL_MS = 5_000;

/** A reader's place among the open streams. */
export interface ConnectionSlot {
  /** Gives the place up; once is enough, more does no harm. */
  leave(): void;
}

interface RegisteredConnection extends ConnectionSlot {
  onStop(): void;
  onCut(): void;
}

/** Who a stream is counted for. */
type StreamClient = Pick<Actor, 'organizationId' | 'principalId'>;

/** How many there are of each; names of none are forgotten. */
class Count {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, by: number): void {
    const sum = this.of(name) + by;
    if (sum === 0) {
      this.#counts.delete(name);
    } else {
      this.#counts.set(name, sum);
    }
  }
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
export class ConnectionRegistry implements BeforeApplicationShutdown {
  /** A reader costs some KiB, and its share of a statement a second. Past these a client is told to come back later (429). */
  readonly limits = { perPrincipal: 1_000, perOrganization: 6_000, perProcess: 8_000 };
  readonly #residents = new Set<RegisteredConnection>();
  readonly #byPrincipal = new Count();
  readonly #byOrganization = new Count();
  #stopping = false;
  #emptied: (() => void) | null = null;

  get count(): number {
    return this.#residents.size;
  }

  /** @throws DomainError `limit-reached` where there are too many, `unavailable` where the process is stopping */
  enter({ organizationId, principalId }: StreamClient, listener: StreamListener): ConnectionSlot {
    if (this.#stopping) {
      throw new DomainError('unavailable', 'This server is stopping; connect again.', { retryAfterSeconds: 2 });
    }
    const { perPrincipal, perOrganization, perProcess } = this.limits;
    if (
      this.#byPrincipal.of(principalId) >= perPrincipal ||
      this.#byOrganization.of(organizationId) >= perOrganization ||
      this.#residents.size >= perProcess
    ) {
      throw new DomainError('limit-reached', 'Too many streams are open; close some, or try again later.', {
        retryAfterSeconds: 5,
      });
    }
    const resident: RegisteredConnection = {
      leave: () => this.#leave(resident, { organizationId, principalId }),
      ...listener,
    };
    this.#residents.add(resident);
    this.#byPrincipal.add(principalId, 1);
    this.#byOrganization.add(organizationId, 1);
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

  #leave(resident: RegisteredConnection, { organizationId, principalId }: StreamClient): void {
    if (!this.#residents.delete(resident)) {
      return;
    }
    this.#byPrincipal.add(principalId, -1);
    this.#byOrganization.add(organizationId, -1);
    if (this.#residents.size === 0) {
      this.#emptied?.();
    }
  }
}
