/**
 * Bodies whose items are answered one by one.
 *
 * What a JSON text may hold beyond the grammar (an integer that would change, a repeated name, too much depth) is checked on its bytes, before
 * there is a value. In a batch, such a fault refuses the item that it is in, as any other fault of an item does. So once a body is refused, its
 * items are cut out of the text and read one by one: one that is refused stands in the value as a `RefusedItem`, which the route answers in the
 * item's place. The text around the items is read as any body is, with `null` in the place of the refused ones.
 *
 * What is about the body as a whole still refuses all of it: text that is not JSON, and more members or elements than a body may have.
 */
import { createHash } from 'node:crypto';
import { DomainError } from '../../../kernel/errors.js';
import { findItems } from './json-trace.js';
import { type JsonReading, parseJsonBody } from './parse-json-body.js';

/** An item that could not be read, in its place in the array. */
export class RefusedItem {
  readonly #refusal: DomainError;
  /** Stands for the item's text where a body is compared with another: the fingerprint of an Idempotency-Key. */
  readonly sha256: string;

  constructor(refusal: DomainError, bytes: Uint8Array) {
    this.#refusal = refusal;
    this.sha256 = createHash('sha256').update(bytes).digest('hex');
  }

  /** Paths are of the item. */
  get refusal(): DomainError {
    return this.#refusal;
  }
}

/**
 * `parseJsonBody` for a body whose member `member` is an array of items that are answered one by one.
 * @throws DomainError `malformed-json`, `invalid-request`: what is wrong is not in one of the items
 */
export function parseJsonItems(bytes: Buffer, member: string, reading: JsonReading): unknown {
  try {
    return parseJsonBody(bytes, reading);
  } catch (error) {
    if (isRefusal(error) && error.issues.some(({ path }) => path.startsWith(`/${member}/`))) {
      return parseApart(bytes, member, reading, error);
    }
    throw error;
  }
}

function parseApart(bytes: Buffer, member: string, reading: JsonReading, whole: DomainError): unknown {
  const refused = new Map<number, RefusedItem>();
  const rest: Buffer[] = [];
  let end = 0;
  for (const [index, item] of findItems(bytes, member).entries()) {
    const text = bytes.subarray(item.start, item.end);
    const refusal = refusalOf(text, reading);
    if (refusal !== null) {
      refused.set(index, new RefusedItem(refusal, text));
      rest.push(bytes.subarray(end, item.start), Buffer.from('null'));
      end = item.end;
    }
  }
  if (refused.size === 0) {
    throw whole;
  }
  const value = parseJsonBody(Buffer.concat([...rest, bytes.subarray(end)]), reading);
  const items: unknown = isObject(value) ? value[member] : null;
  if (!isObject(value) || !Array.isArray(items)) {
    throw whole;
  }
  return { ...value, [member]: items.map((item: unknown, index) => refused.get(index) ?? item) };
}

/** Why the item cannot be read, or null. @throws DomainError `malformed-json`, which no item can be alone */
function refusalOf(text: Buffer, reading: JsonReading): DomainError | null {
  try {
    parseJsonBody(text, reading);
    return null;
  } catch (error) {
    if (isRefusal(error)) {
      return error;
    }
    throw error;
  }
}

function isRefusal(error: unknown): error is DomainError {
  return error instanceof DomainError && error.code === 'invalid-request';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
