/**
 * Limits what trying keys costs. Each address has a bucket of wrong credentials that fills up again over ten minutes; while it is empty, a
 * wrong one is answered 429. A right one always gets in, fresh ones included: everybody behind one proxy has the same address, and must not
 * be locked out by one stranger or one broken script. So keys from such addresses are still looked up, in a lane of their own, all of
 * these addresses together: many by one statement, two statements at once (key-verifier.ts). They wait for one another, not others for them.
 *
 * A key has 190 random bits, so this is not what keeps it from being guessed; it keeps guessing from costing us anything. It is counted
 * in this process alone, and addresses are forgotten oldest first: a flood from many costs each of them its own bucket.
 */
import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../../config/app-config.js';
import { BoundedCache } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { throttledAddress } from '../../../kernel/client-address.js';
import type { LookUpLane } from './key-verifier.js';

const REFILL_MS = 600_000;
const MAX_ADDRESSES = 20_000;
const RIGHT_MS = 3_600_000;
const MAX_RIGHT = 10_000;
/** Look-ups for addresses whose bucket is empty that may be under way or wait. */
const MAX_THROTTLED_LOOKUPS = 1_000;

interface Bucket {
  /** Wrong credentials it may still send. */
  left: number;
  atMs: number;
}

@Injectable()
export class FailedAuthLimiter {
  readonly #capacity: number;
  readonly #buckets = new Map<string, Bucket>();
  /** By the digest of the credential. */
  readonly #right: BoundedCache<true>;
  #throttledLookUps = 0;

  constructor(
    config: AppConfig,
    private readonly clock: Clock,
  ) {
    this.#capacity = config.wrongKeysPerAddress;
    this.#right = new BoundedCache(clock, MAX_RIGHT);
  }

  /** The credential was right just now: for a while nobody else's wrong ones keep it from being looked up. */
  noteRight(cacheKey: string): void {
    this.#right.set(cacheKey, true, this.clock.nowMs() + RIGHT_MS);
  }

  /** Looks up a key that nobody remembers, in the lane of its address. @throws DomainError `rate-limited` where too many wait already */
  async lookUp<Found>(address: string, cacheKey: string, look: (lane: LookUpLane) => Promise<Found>): Promise<Found> {
    const bucket = this.#buckets.size === 0 ? undefined : this.#buckets.get(throttledAddress(address));
    if (bucket === undefined || this.#filled(bucket) >= 1 || this.#right.get(cacheKey) !== null) {
      return look('ordinary');
    }
    if (this.#throttledLookUps >= MAX_THROTTLED_LOOKUPS) {
      throw this.#limited();
    }
    this.#throttledLookUps += 1;
    try {
      return await look('throttled');
    } finally {
      this.#throttledLookUps -= 1;
    }
  }

  /** A wrong credential came from there. True the moment the bucket becomes empty. @throws DomainError `rate-limited` once it is */
  note(address: string): boolean {
    const key = throttledAddress(address);
    const now = this.clock.nowMs();
    const bucket = this.#buckets.get(key) ?? { left: this.#capacity, atMs: now };
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
      if (this.#buckets.size < MAX_ADDRESSES) {
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
