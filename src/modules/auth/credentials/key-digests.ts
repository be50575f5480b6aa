import { createHmac, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { KeyRing, type SecretKey } from '../../../infrastructure/keyring/keyring.js';

/** What failed sign-ins are counted under. */
export type ThrottleSubjectKind = 'account' | 'address' | 'pair' | 'user' | 'user-pair' | 'confirmation';

export interface KeyDigest {
  digest: Buffer;
  pepperVersion: number;
}

/**
 * What the database keeps of a secret: HMAC-SHA-256 of the whole text under the server's pepper. A fast digest is right here: the
 * text has 190 random bits, so there is nothing to slow down, and a slow one would let anyone spend our CPU with wrong keys. The
 * pepper makes a stolen table worthless even against the keys that operators choose themselves.
 */
@Injectable()
export class KeyDigests {
  readonly #newest: SecretKey;
  readonly #byVersion: ReadonlyMap<number, SecretKey>;

  constructor(ring: KeyRing) {
    const [newest] = ring.peppers;
    if (newest === undefined) {
      throw new Error('the key ring has no pepper');
    }
    this.#newest = newest;
    this.#byVersion = new Map(ring.peppers.map((pepper) => [Number(pepper.id), pepper]));
  }

  /** The digest to store, under the newest pepper. */
  of(text: string): KeyDigest {
    return { digest: mac(this.#newest, 'api-key', text), pepperVersion: Number(this.#newest.id) };
  }

  /** True where the text is the one stored. Without a row, or under a pepper that is gone, does the same work and is false. */
  matches(text: string, stored: KeyDigest | null): boolean {
    const pepper = stored === null ? undefined : this.#byVersion.get(stored.pepperVersion);
    const computed = mac(pepper ?? this.#newest, 'api-key', text);
    const equal = timingSafeEqual(computed, stored?.digest ?? DUMMY);
    return equal && pepper !== undefined;
  }

  /** The public ids under which a key of the operator's own form may be stored: one for each pepper, newest first. */
  operatorPublicIds(text: string): string[] {
    return [...this.#byVersion.values()].map(
      (pepper) => `operator.${mac(pepper, 'public-id', text).toString('base64url').slice(0, 22)}`,
    );
  }

  /** A name for something that must not be readable in the database: who failed to sign in, from where. */
  subject(kind: ThrottleSubjectKind, ...values: readonly string[]): Buffer {
    return mac(this.#newest, `throttle/${kind}`, values.join('\0'));
  }
}

const DUMMY = Buffer.alloc(32);

function mac(pepper: SecretKey, use: string, text: string): Buffer {
  return createHmac('sha256', pepper.secret).update(`${use}\0`).update(text).digest();
}
