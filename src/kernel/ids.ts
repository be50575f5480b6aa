import { v7 } from 'uuid';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/**
 * A new UUID version 7 (RFC 9562, section 5.7). Made here and not by the database, so that PostgreSQL 15 to 18 serve alike
 * and a caller knows the id before the insert.
 */
export function newId(): string {
  return v7();
}

/** True for the canonical text form of a UUID, any version, either case. */
export function isId(value: string): boolean {
  return UUID.test(value);
}
