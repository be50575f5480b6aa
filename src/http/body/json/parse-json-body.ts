import { isAscii, isUtf8 } from 'node:buffer';
import { assertNever } from '../../../kernel/assert-never.js';
import { DomainError, invalid } from '../../../kernel/errors.js';
import { markHalves } from '../../json-body/surrogate-halves.js';
import { JSON_LIMITS, type JsonLimits, REPORT_LIMITS } from './json-limits.js';
import { hasRefusedName } from './json-names.js';
import { scanJson, type ScanRefusal } from './json-scan.js';
import { findRefusedName, pointerAt, type RefusedName } from './json-trace.js';

/** How leniently a text is read; see `parseJsonBody`. */
export interface JsonReading {
  limits?: JsonLimits;
  repairsText?: boolean;
  keepsHalves?: boolean;
  isReport?: boolean;
}

/**
 * A JSON text (RFC 8259) as a value that is safe to work with.
 *
 * What comes back holds no NUL and no lone surrogate in any name or string, no integer that would be written back as another one and no
 * infinity, no member named `__proto__`, no more members and elements than the limits say, and is at most `maxDepth` deep. No object of the text repeated a name, so every reader of the same bytes reads the same value.
 *
 * The order matters: depth and size are known before `JSON.parse` builds anything, since a value that is too deep can end the
 * process in code that has done nothing wrong.
 *
 * @param options `repairsText`: a NUL or a lone surrogate becomes U+FFFD, in `bytes` too, instead of being refused. For what programs report of
 * others: a log line or an error that is lost for one character helps nobody. `isReport`: besides, numbers are rounded, of a repeated name the
 * last counts, `__proto__` passes as an own property, and nesting may be deeper. Only for a reader that picks the members it knows.
 * `keepsHalves`: as `repairsText`, but halves of surrogate pairs stay in the value, which `hasHalves` then knows; the caller has to replace or join them.
 * @throws DomainError `malformed-json` when it is no JSON text in UTF-8 without a byte order mark; `invalid-request`, with the JSON
 * Pointer of the place, when it is, but holds one of the things above. Nothing else is ever thrown.
 */
export function parseJsonBody(
  bytes: Uint8Array,
  {
    isReport = false,
    repairsText = isReport,
    keepsHalves = false,
    limits = isReport ? REPORT_LIMITS : JSON_LIMITS,
  }: JsonReading = {},
): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (text.length === 0) throw malformed('The body is empty; a JSON value is expected.');
  if (!isUtf8(text)) throw malformed('The body is not valid UTF-8.');
  if (text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf) {
    throw malformed('The body begins with a byte order mark; send it without.');
  }
  const replacing = repairsText ? 'replace' : 'refuse';
  const outcome = scanJson(text, limits, { faults: keepsHalves ? 'keep-halves' : replacing, roundsNumbers: isReport });
  if (outcome.kind === 'refused') {
    const isAboutAll = outcome.reason === 'too-many-elements';
    const pointer = isAboutAll ? '' : pointerAt(text, outcome.offset);
    throw invalid(pointer, sentenceFor(outcome.reason, limits));
  }
  const value = parse(text);
  if (!isReport && outcome.memberCount > 0 && hasRefusedName(value, outcome.memberCount)) {
    const refused = findRefusedName(text);
    if (refused === null)
      throw new DomainError('internal', 'The body could not be read.', { internal: 'name count differs' });
    throw invalid(refused.pointer, sentenceFor(refused.reason, limits));
  }
  if (outcome.hasHalves) {
    markHalves(value);
  }
  return value;
}

function parse(text: Buffer): unknown {
  try {
    // Latin-1 of ASCII is the same text, copied instead of decoded.
    return JSON.parse(text.toString(isAscii(text) ? 'latin1' : 'utf8'));
  } catch (cause) {
    throw malformed('The body is not valid JSON.', cause);
  }
}

function malformed(message: string, cause?: unknown): DomainError {
  return new DomainError('malformed-json', message, { issues: [{ path: '', message }], cause });
}

function sentenceFor(reason: ScanRefusal | RefusedName['reason'], limits: JsonLimits): string {
  switch (reason) {
    case 'too-deep':
      return `This is nested deeper than the ${String(limits.maxDepth)} levels allowed.`;
    case 'too-many-elements':
      return `The body holds more than the ${String(limits.maxElements)} members and elements allowed.`;
    case 'object-too-large':
      return `This object has more than the ${String(limits.maxObjectMembers)} members allowed.`;
    case 'nul':
      return 'The character U+0000 is not allowed in text.';
    case 'lone-surrogate':
      return 'This text holds half of a surrogate pair, which is no character.';
    case 'number-too-large':
      return 'This number cannot be kept exactly; send it as text.';
    case 'reserved-name':
      return 'A member cannot be named __proto__.';
    case 'repeated-name':
      return 'This name occurs twice in the same object.';
    default:
      return assertNever(reason);
  }
}
