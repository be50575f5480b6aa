import { createHash } from 'node:crypto';
import type { Clock } from './clock.js';

interface Entry<Value> {
  value: Value;
  untilMs: number;
}

/**
 * What was found out, for a while. About a credential it is keyed by a digest of the whole text, since a key made of parts of a token has
 * served one caller another's identity before. Bounded: past `most` the entry that was stored first goes.
 */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, Entry<Value>>();

  constructor(
    private readonly clock: Clock,
    private readonly most: number,
  ) {}

  get(key: string): Value | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      return null;
    }
    if (entry.untilMs <= this.clock.nowMs()) {
      this.#entries.delete(key);
      return null;
    }
    return entry.value;
  }

  set(key: string, value: Value, untilMs: number): void {
    this.#entries.delete(key);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size < this.most) {
        break;
      }
      this.#entries.delete(oldest);
    }
    this.#entries.set(key, { value, untilMs });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}

/** SHA-256 of the whole text: the key of a cache, never of a comparison. */
export function cacheKeyOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
