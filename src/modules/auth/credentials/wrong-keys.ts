/**
 * Slows down whoever tries keys. Each address has a bucket of wrong credentials that fills up again over ten minutes; while it is empty,
 * a wrong one is answered 429, and only a few a second of those not seen to be right lately are looked up at all. A right one still
 * gets in: an office behind one address must not be locked out by one broken script in it.
 *
 * A key has 190 random bits, so this is not what keeps it from being guessed; it keeps guessing from costing us anything. It is counted
 * in this process alone, and addresses are forgotten oldest first: a flood from many costs each of them its own bucket.
 */
import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../../config/app-config.js';
import { BoundedCache } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { throttledAddress } from '../sessions/client-address.js';

const REFILL_MS = 600_000;
const MOST_ADDRESSES = 20_000;
const RIGHT_MS = 3_600_000;
const MOST_RIGHT = 10_000;
/** Look-ups of unknown credentials a second that an address keeps while its bucket is empty. */
const LOOKUPS_PER_SECOND = 20;

interface Bucket {
  /** Wrong credentials it may still send. */
  left: number;
  atMs: number;
  secondStartedMs: number;
  lookups: number;
}

@Injectable()
export class WrongKeys {
  readonly #capacity: number;
  readonly #buckets = new Map<string, Bucket>();
  /** By the digest of the credential. */
  readonly #right: BoundedCache<true>;

  constructor(
    config: AppConfig,
    private readonly clock: Clock,
  ) {
    this.#capacity = config.wrongKeysPerAddress;
    this.#right = new BoundedCache(clock, MOST_RIGHT);
  }

  /** The credential was right just now: for a while nobody else's wrong ones keep it from being looked up. */
  noteRight(cacheKey: string): void {
    this.#right.set(cacheKey, true, this.clock.nowMs() + RIGHT_MS);
  }

  /** Before a credential nobody remembers is looked up. @throws DomainError `rate-limited` */
  assertMayTry(address: string, cacheKey: string): void {
    const bucket = this.#buckets.size === 0 ? undefined : this.#buckets.get(throttledAddress(address));
    if (bucket === undefined || this.#filled(bucket) >= 1 || this.#right.get(cacheKey) !== null) {
      return;
    }
    const now = this.clock.nowMs();
    if (now - bucket.secondStartedMs >= 1_000) {
      bucket.secondStartedMs = now;
      bucket.lookups = 0;
    }
    bucket.lookups += 1;
    if (bucket.lookups > LOOKUPS_PER_SECOND) {
      throw this.#limited();
    }
  }

  /** A wrong credential came from there. True the moment the bucket becomes empty. @throws DomainError `rate-limited` once it is */
  note(address: string): boolean {
    const key = throttledAddress(address);
    const now = this.clock.nowMs();
    const bucket = this.#buckets.get(key) ?? { left: this.#capacity, atMs: now, secondStartedMs: now, lookups: 0 };
    const left = this.#filled(bucket);
    bucket.atMs = now;
    bucket.left = Math.max(0, left - 1);
    this.#keep(key, bucket);
    if (left < 1) {
      throw this.#limited();
    }
    return bucket.left < 1;
  }

  #filled(bucket: Bucket): number {
    const refilled = ((this.clock.nowMs() - bucket.atMs) / REFILL_MS) * this.#capacity;
    return Math.min(this.#capacity, bucket.left + Math.max(0, refilled));
  }

  #keep(key: string, bucket: Bucket): void {
    this.#buckets.delete(key);
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size < MOST_ADDRESSES) {
        break;
      }
      this.#buckets.delete(oldest);
    }
    this.#buckets.set(key, bucket);
  }

  #limited(): DomainError {
    const seconds = Math.max(1, Math.ceil(REFILL_MS / 1000 / this.#capacity));
    return new DomainError('rate-limited', 'Too many wrong keys came from this address; wait before the next.', {
      retryAfterSeconds: seconds,
    });
  }
}
