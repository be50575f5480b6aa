import { createHmac, timingSafeEqual } from 'node:crypto';

export interface SigningKey {
  /** Names the key inside what it signs: 1 to 32 of `A-Z a-z 0-9 _ -`. Public. */
  id: string;
  /** At least 32 bytes, derived for this use alone. */
  secret: Uint8Array;
}

const KEY_ID = /^[A-Za-z0-9_-]{1,32}$/;
const MIN_SECRET_BYTES = 32;

/**
 * MACs over lists of strings, with keys that can be changed without a gap: the first key signs, every key verifies, and the key
 * is chosen by its id, never by trying one after the other.
 *
 * The MAC is HMAC-SHA-256 (RFC 2104) over each string preceded by its length, so no two different lists give the same bytes:
 * `["ab", "c"]` and `["a", "bc"]` do not. Strings count as UTF-16, since UTF-8 would turn every lone surrogate into the same
 * replacement character. The first string is the use (`purpose`): what is signed for one use never verifies for another, even
 * under the same key.
 *
 * Signatures are compared as their base64url text. The last letter of 43 carries two bits that decoding drops; compared as bytes,
 * four spellings of each signature would pass.
 */
export class SigningKeys {
  private readonly newest: SigningKey;
  private readonly byId: ReadonlyMap<string, SigningKey>;

  /** @throws TypeError when there is no key, a secret is short, or an id is malformed or used twice. */
  constructor(keys: readonly SigningKey[]) {
    const [newest] = keys;
    if (newest === undefined) throw new TypeError('at least one signing key is needed');
    for (const { id, secret } of keys) {
      if (!KEY_ID.test(id)) throw new TypeError('a signing key id is 1 to 32 of A-Z a-z 0-9 _ -');
      if (secret.byteLength < MIN_SECRET_BYTES) throw new TypeError('a signing secret has at least 32 bytes');
    }
    this.newest = newest;
    this.byId = new Map(keys.map((key) => [key.id, key]));
    if (this.byId.size !== keys.length) throw new TypeError('two signing keys have the same id');
  }

  /** The id of the key that signs now. Sign it along, as one of the fields. */
  get signingKeyId(): string {
    return this.newest.id;
  }

  /** The MAC by the newest key, 43 letters of base64url. */
  sign(purpose: string, fields: readonly string[]): string {
    return macOf(this.newest, purpose, fields);
  }

  /** 32 bytes for one use, from the secret of that key; of the newest where there is no such key, so that both take as long. */
  derive(keyId: string, purpose: string): Buffer {
    return Buffer.from(macOf(this.byId.get(keyId) ?? this.newest, purpose, []), 'base64url');
  }

  /** True when `signature` is the MAC of exactly this by exactly that key. Takes as long for a wrong one as for a right one. */
  verify(keyId: string, purpose: string, fields: readonly string[], signature: string): boolean {
    const key = this.byId.get(keyId);
    const expected = Buffer.from(macOf(key ?? this.newest, purpose, fields));
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected) && key !== undefined;
  }
}

function macOf(key: SigningKey, purpose: string, fields: readonly string[]): string {
  // One string and one update: a page of links is signed for every request.
  let text = `${purpose.length}:${purpose}`;
  for (const field of fields) {
    text += `${field.length}:${field}`;
  }
  return createHmac('sha256', key.secret).update(text, 'utf16le').digest('base64url');
}
