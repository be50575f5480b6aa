/**
 * Sign-ins wait for their turn. Each takes a core for a fifth of a second, so only a few are worked on at once; the others wait here, where
 * they hold no connection of the database. Addresses take turns, so that a flood from one of them delays those from others by one sign-in
 * each, and both what waits of one address and what waits in all is bounded. Where too many wait, the last of the address that has most
 * makes room, so that few addresses cannot keep others out.
 */
import { Injectable } from '@nestjs/common';
import { DomainError } from '../../../kernel/errors.js';

/** As many as the connections that callers without a credential have. */
const MAX_AT_ONCE = 4;
const MAX_WAITING = 1_000;
const MAX_WAITING_OF_ADDRESS = 250;
const RETRY_AFTER_SECONDS = 5;

interface Waiter {
  resume: () => void;
  refuse: (error: DomainError) => void;
}

@Injectable()
export class SignInQueue {
  /** Waiters of each address; the address whose turn is next comes first. */
  readonly #queues = new Map<string, Waiter[]>();
  #waiting = 0;
  #underWay = 0;

  /** Does the work in its turn. @throws DomainError `rate-limited` or `unavailable` where too many wait already */
  async take<Result>(address: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay >= MAX_AT_ONCE) {
      await this.#wait(address);
    } else {
      this.#underWay += 1;
    }
    try {
      return await work();
    } finally {
      this.#handOver();
    }
  }

  #wait(address: string): Promise<void> {
    const queue = this.#queues.get(address) ?? [];
    if (queue.length >= MAX_WAITING_OF_ADDRESS) {
      throw new DomainError('rate-limited', 'Too many sign-ins from this address are under way; try again.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    if (this.#waiting >= MAX_WAITING && !this.#makeRoom(queue.length)) {
      throw busy();
    }
    this.#queues.set(address, queue);
    this.#waiting += 1;
    return new Promise((resume, refuse) => queue.push({ resume, refuse }));
  }

  /** Refuses the last waiter of the address that has most; false where none has so many that it is fair. */
  #makeRoom(own: number): boolean {
    let longest: Waiter[] = [];
    for (const queue of this.#queues.values()) {
      longest = queue.length > longest.length ? queue : longest;
    }
    // The first of an address stays, so no queue is empty after this.
    const last = longest.length > own + 1 ? longest.pop() : undefined;
    if (last === undefined) {
      return false;
    }
    this.#waiting -= 1;
    last.refuse(busy());
    return true;
  }

  /** The next waiter gets the place, so that the count stays as it is. */
  #handOver(): void {
    const [next] = this.#queues;
    if (next === undefined) {
      this.#underWay -= 1;
      return;
    }
    const [address, queue] = next;
    this.#queues.delete(address);
    const waiter = queue.shift();
    if (queue.length > 0) {
      this.#queues.set(address, queue);
    }
    this.#waiting -= 1;
    waiter?.resume();
  }
}

function busy(): DomainError {
  return new DomainError('unavailable', 'Too many people are signing in just now; try again.', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
