import type { JsonLimits } from './json-limits.js';
import { JsonStringScan, type StringRefusal } from './json-string-scan.js';

/**
 * The look at the bytes before `JSON.parse`.
 *
 * It is not a second parser. It checks only what the grammar allows and we do not, and it is exact for every valid JSON text; an
 * invalid one may pass here, since `JSON.parse` refuses it next. Both read from the left, so whatever `JSON.parse` comes to see
 * before it refuses was counted here by the same rules: no depth and no number slips past behind a mistake. One pass, no
 * recursion, nothing allocated for a text that passes.
 *
 * It relies on one property of UTF-8: bytes below 0x80 are never part of a longer character. The caller has checked the UTF-8.
 */
export type ScanOutcome =
  /** `memberCount` counts names as written, so a repeated one counts twice. */
  { kind: 'passed'; memberCount: number } | { kind: 'refused'; reason: ScanRefusal; offset: number };

export type ScanRefusal = StringRefusal | 'too-deep' | 'too-many-elements' | 'number-too-large';

const SKIP = 0;
const STRING = 1;
const OPEN = 2;
const CLOSE = 3;
const COMMA = 4;
const COLON = 5;
const NUMBER = 6;
/** What a byte outside a string means to the scan. White space, literals and nonsense mean nothing. */
const CLASS_OF_BYTE = byteTable({
  '"': STRING,
  '[{': OPEN,
  ']}': CLOSE,
  ',': COMMA,
  ':': COLON,
  '-0123456789': NUMBER,
});
const INSIDE_NUMBER = byteTable({ '0123456789+-.eE': 1 });
const WHITE_SPACE = byteTable({ ' \t\n\r': 1 });

const POINT = 0x2e;
const LETTER_E = 0x45;
const LOWER_CASE_BIT = 0x20;
/** Fifteen digits are below 2^53 whatever they are. */
const ALWAYS_SAFE_DIGITS = 15;
/** `1e16`; anything shorter is safe even with an exponent. */
const SHORTEST_UNSAFE_BYTES = 4;

/** @param bytes valid UTF-8 */
export function scanJson(bytes: Buffer, limits: JsonLimits): ScanOutcome {
  const strings = new JsonStringScan(bytes);
  let depth = 0;
  let commas = 0;
  let filledContainers = 0;
  let memberCount = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    switch (CLASS_OF_BYTE[bytes[at] ?? 0]) {
      case STRING:
        at = strings.endOf(at);
        if (strings.refusal !== null) return { kind: 'refused', reason: strings.refusal, offset: at };
        break;
      case COMMA:
        commas += 1;
        break;
      case COLON:
        memberCount += 1;
        break;
      case OPEN:
        depth += 1;
        filledContainers += 1;
        if (depth > limits.maxDepth) return { kind: 'refused', reason: 'too-deep', offset: at };
        break;
      case CLOSE:
        depth -= 1;
        if (closesEmptyContainer(bytes, at)) filledContainers -= 1;
        break;
      case NUMBER: {
        const end = endOfNumber(bytes, at);
        if (isNumberTooLarge(bytes, at, end)) return { kind: 'refused', reason: 'number-too-large', offset: at };
        at = end - 1;
        break;
      }
      default:
        break;
    }
  }
  // A filled container holds one thing more than it has commas.
  if (commas + filledContainers > limits.maxElements)
    return { kind: 'refused', reason: 'too-many-elements', offset: 0 };
  return { kind: 'passed', memberCount };
}

function closesEmptyContainer(bytes: Buffer, closeAt: number): boolean {
  let before = closeAt - 1;
  while (WHITE_SPACE[bytes[before] ?? 0] === 1) before -= 1;
  return CLASS_OF_BYTE[bytes[before] ?? 0] === OPEN;
}

function endOfNumber(bytes: Buffer, start: number): number {
  let end = start + 1;
  while (INSIDE_NUMBER[bytes[end] ?? 0] === 1) end += 1;
  return end;
}

/** An integer that a double cannot hold apart from its neighbours, in any notation, or a number past all doubles. */
function isNumberTooLarge(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < SHORTEST_UNSAFE_BYTES || hasFewDigitsAndNoExponent(bytes, start, end)) return false;
  const value = Number(bytes.toString('latin1', start, end));
  // NaN is no number at all; the parser will say so.
  return !Number.isNaN(value) && (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)));
}

/** Few enough before the point, that is: what comes after it makes no number large. */
function hasFewDigitsAndNoExponent(bytes: Buffer, start: number, end: number): boolean {
  let pointAt = end;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === POINT && pointAt === end) pointAt = at;
    if ((byte & ~LOWER_CASE_BIT) === LETTER_E) return false;
  }
  return pointAt - start <= ALWAYS_SAFE_DIGITS;
}

/** From characters to a meaning, as a table from bytes to it; every other byte means `SKIP`. */
function byteTable(meanings: Readonly<Record<string, number>>): Uint8Array {
  const table = new Uint8Array(256).fill(SKIP);
  for (const [characters, meaning] of Object.entries(meanings)) {
    for (const character of characters) table[character.charCodeAt(0)] = meaning;
  }
  return table;
}
