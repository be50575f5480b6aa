import { createCipheriv, createDecipheriv } from 'node:crypto';
import { decodeBase64url } from '../../kernel/base64.js';
import { DomainError } from '../../kernel/errors.js';
import { SigningKeys, type SigningKey } from './signing-keys.js';

/** The values a page ends at, in the order of its sort: text, finite numbers, null. */
export type CursorPosition = readonly (string | number | null)[];

const MAC_PURPOSE = 'cursor/2';
const CIPHER_PURPOSE = 'cursor-cipher/2';
/** Cursors of earlier versions, which were signed and readable. Clients that follow a feed keep theirs for long. */
const READABLE_MAC_PURPOSE = 'cursor/1';
const CIPHER = 'aes-256-ctr';
const IV_BYTES = 16;
const MAX_CURSOR_BYTES = 1024;
const FORM = /^([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;

/**
 * Cursors that callers carry but can neither make nor read, opened as typed values.
 *
 * A cursor is bound to a context: a string that names everything its position depends on (tenant, route, filter, order), or a
 * digest of that. Presented under any other context it is as invalid as a forged one, so a position in one list never becomes a
 * position in another, nor a cursor of one tenant a probe into the next.
 *
 * The position is encrypted, since it may be that of a row which the caller must not know of: a feed passes over the events of runs
 * that its reader cannot see, and its cursor says how far. The scheme is that of SIV (RFC 5297, with HMAC-SHA-256 and AES-256-CTR): the
 * initialization vector is the MAC of the position. So one position has one text, as `ETag` and retries need, and two cursors
 * share a key stream only if they are equal.
 */
export class CursorCodec {
  private readonly keys: SigningKeys;
  readonly #cipherKeys = new Map<string, Buffer>();

  /** @param keys the first seals, all open; at least 32 secret bytes each. @throws TypeError as `SigningKeys` does */
  constructor(keys: readonly SigningKey[]) {
    this.keys = new SigningKeys(keys);
    for (const { id } of keys) {
      this.#cipherKeys.set(id, this.keys.derive(id, CIPHER_PURPOSE));
    }
  }

  /** A cursor of URL-safe letters, at most 1 KiB. @throws TypeError when the position is too long for that or has a number JSON lacks */
  seal(context: string, position: CursorPosition): string {
    if (!isPosition(position)) throw new TypeError('a cursor holds text, finite numbers and null');
    const key = this.keys.signingKeyId;
    const plain = JSON.stringify(position);
    const mac = this.keys.sign(MAC_PURPOSE, [context, key, plain]);
    const cipher = createCipheriv(CIPHER, this.#cipherKey(key), ivOf(mac));
    const payload = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]).toString('base64url');
    const cursor = `${key}.${payload}.${mac}`;
    if (cursor.length > MAX_CURSOR_BYTES) throw new TypeError('a cursor position is too long for 1 KiB');
    return cursor;
  }

  /** The position sealed under the same context. @throws DomainError `invalid-cursor`, always the same, whatever is wrong */
  open(context: string, cursor: string): (string | number | null)[] {
    const [, key, payload, mac] = (cursor.length > MAX_CURSOR_BYTES ? null : FORM.exec(cursor)) ?? [];
    if (key === undefined || payload === undefined || mac === undefined) throw invalidCursor();
    const position: unknown = JSON.parse(this.#decrypted(context, key, payload, mac));
    if (!isPosition(position)) throw invalidCursor();
    return [...position];
  }

  #decrypted(context: string, key: string, payload: string, mac: string): string {
    const bytes = decodeBase64url(payload);
    if (bytes === null) throw invalidCursor();
    const decipher = createDecipheriv(CIPHER, this.#cipherKey(key), ivOf(mac));
    const plain = Buffer.concat([decipher.update(bytes), decipher.final()]).toString('utf8');
    if (this.keys.verify(key, MAC_PURPOSE, [context, key, plain], mac)) return plain;
    if (this.keys.verify(key, READABLE_MAC_PURPOSE, [context, key, payload], mac)) return bytes.toString('utf8');
    throw invalidCursor();
  }

  #cipherKey(id: string): Buffer {
    return this.#cipherKeys.get(id) ?? this.keys.derive(id, CIPHER_PURPOSE);
  }
}

function ivOf(mac: string): Buffer {
  return Buffer.from(mac, 'base64url').subarray(0, IV_BYTES);
}

function isPosition(value: unknown): value is CursorPosition {
  return (
    Array.isArray(value) &&
    value.every(
      (item) => item === null || typeof item === 'string' || (typeof item === 'number' && Number.isFinite(item)),
    )
  );
}

function invalidCursor(): DomainError {
  return new DomainError('invalid-cursor', 'This cursor does not belong to this list; start again without one.');
}
