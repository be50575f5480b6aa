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
  | { kind: 'passed'; memberCount: number; hasHalves: boolean }
  | { kind: 'refused'; reason: ScanRefusal; offset: number };

export type ScanRefusal = StringRefusal | 'too-deep' | 'too-many-elements' | 'object-too-large' | 'number-too-large';

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
/** `1e16`; anything shorter is an integer that a double holds. */
const SHORTEST_UNSAFE_BYTES = 4;

/**
 * @param bytes valid UTF-8
 * @param options `faults`: whether what text cannot hold is refused, or replaced in `bytes` (see `JsonStringScan`); `roundsNumbers`: any number passes
 */
export function scanJson(
  bytes: Buffer,
  limits: JsonLimits,
  {
    faults = 'refuse',
    roundsNumbers = false,
  }: { faults?: 'refuse' | 'replace' | 'keep-halves'; roundsNumbers?: boolean } = {},
): ScanOutcome {
  const strings = new JsonStringScan(bytes, faults);
  let depth = 0;
  let commas = 0;
  let filledContainers = 0;
  let memberCount = 0;
  /** Members so far of the container that is open at each depth. */
  const members = new Uint32Array(limits.maxDepth + 1);
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
        members[depth] = (members[depth] ?? 0) + 1;
        if ((members[depth] ?? 0) > limits.maxObjectMembers) {
          return { kind: 'refused', reason: 'object-too-large', offset: at };
        }
        break;
      case OPEN:
        depth += 1;
        filledContainers += 1;
        if (depth > limits.maxDepth) return { kind: 'refused', reason: 'too-deep', offset: at };
        members[depth] = 0;
        break;
      case CLOSE:
        // Text with a bracket too many is no JSON; the parser will say so.
        depth = Math.max(0, depth - 1);
        if (closesEmptyContainer(bytes, at)) filledContainers -= 1;
        break;
      case NUMBER: {
        const end = endOfNumber(bytes, at);
        if (!roundsNumbers && isNumberTooLarge(bytes, at, end))
          return { kind: 'refused', reason: 'number-too-large', offset: at };
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
  return { kind: 'passed', memberCount, hasHalves: strings.hasHalves };
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

/**
 * A number past all doubles, or an integer that would come back as another one. `1e+16` and 2^53 are written back as the same number and
 * pass; 2^53 + 1 is not. (Decimal places beyond those of a double are cut, as everywhere.)
 */
function isNumberTooLarge(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < SHORTEST_UNSAFE_BYTES || hasFewDigitsAndNoExponent(bytes, start, end)) return false;
  const text = bytes.toString('latin1', start, end);
  const value = Number(text);
  // NaN is no number at all; the parser will say so.
  if (Number.isNaN(value)) return false;
  if (!Number.isFinite(value)) return true;
  return (
    Number.isInteger(value) &&
    !Number.isSafeInteger(value) &&
    canonicalDecimal(text) !== canonicalDecimal(String(value))
  );
}

const DECIMAL = /^-?0*(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i;

/** The same text for every notation of one number, its sign aside: its digits without outer zeros, and the power of ten of the last. */
function canonicalDecimal(text: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = DECIMAL.exec(text) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  return `${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
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
