import { DomainError } from '../../kernel/errors.js';
import { SigningKeys, type SigningKey } from './signing-keys.js';

/** The values a page ends at, in the order of its sort: text, finite numbers, null. */
export type CursorPosition = readonly (string | number | null)[];

const MAC_PURPOSE = 'cursor/1';
const MAX_CURSOR_BYTES = 1024;
const FORM = /^([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;

/**
 * Cursors that callers carry but cannot make, read back as typed values.
 *
 * A cursor is bound to a context: a string that names everything its position depends on (tenant, route, filter, order), or a
 * digest of that. Presented under any other context it is as invalid as a forged one, so a position in one list never becomes a
 * position in another, nor a cursor of one tenant a probe into the next. It is sealed against change, not hidden: the position
 * is readable by who decodes it, so only values that the page itself showed belong in it.
 */
export class CursorSealer {
  private readonly keys: SigningKeys;

  /** @param keys the first signs, all verify; at least 32 secret bytes each. @throws TypeError as `SigningKeys` does */
  constructor(keys: readonly SigningKey[]) {
    this.keys = new SigningKeys(keys);
  }

  /** A cursor of URL-safe letters, at most 1 KiB. @throws TypeError when the position is too long for that or has a number JSON lacks */
  seal(context: string, position: CursorPosition): string {
    if (!isPosition(position)) throw new TypeError('a cursor holds text, finite numbers and null');
    const key = this.keys.signingKeyId;
    const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
    const cursor = `${key}.${payload}.${this.keys.sign(MAC_PURPOSE, [context, key, payload])}`;
    if (cursor.length > MAX_CURSOR_BYTES) throw new TypeError('a cursor position is too long for 1 KiB');
    return cursor;
  }

  /** The position sealed under the same context. @throws DomainError `invalid-cursor`, always the same, whatever is wrong */
  open(context: string, cursor: string): (string | number | null)[] {
    const [, key, payload, signature] = (cursor.length > MAX_CURSOR_BYTES ? null : FORM.exec(cursor)) ?? [];
    if (key === undefined || payload === undefined || signature === undefined) throw invalidCursor();
    if (!this.keys.verify(key, MAC_PURPOSE, [context, key, payload], signature)) throw invalidCursor();
    const position: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    if (!isPosition(position)) throw invalidCursor();
    return [...position];
  }
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
