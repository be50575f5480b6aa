import { assertNever } from '../../../kernel/assert-never.js';
import { isReservedName } from './json-names.js';

/**
 * Where in a JSON text something is, as a JSON Pointer (RFC 6901). Slow and plain: it runs once it is certain that the text will
 * be refused, and only to say where. It reads names, so it decodes; it never decides whether a text is refused.
 */

/** A pointer longer than this helps nobody; it is then cut to the container that still fits. */
const MAX_POINTER_CHARACTERS = 256;

export interface RefusedName {
  pointer: string;
  reason: 'reserved-name' | 'repeated-name';
}

/** The pointer of the value that holds the byte at `offset`; for a byte of a member's name, of the object it is in. */
export function pointerAt(bytes: Buffer, offset: number): string {
  const place = new Place();
  for (const token of tokensOf(bytes)) {
    if (token.end > offset) break;
    place.pass(token, bytes);
  }
  return place.pointer();
}

/** The first name that is reserved or repeated in its object, or null. @param bytes valid JSON */
export function findRefusedName(bytes: Buffer): RefusedName | null {
  const place = new Place();
  for (const token of tokensOf(bytes)) {
    const name = place.pass(token, bytes);
    if (name === null) continue;
    if (isReservedName(name.text)) return { pointer: place.pointer(), reason: 'reserved-name' };
    if (name.isRepeated) return { pointer: place.pointer(), reason: 'repeated-name' };
  }
  return null;
}

/** Where the items are of the array that is the member `member` of the outermost object; none where there is no such array. */
export function findItems(bytes: Buffer, member: string): { start: number; end: number }[] {
  const place = new Place();
  const items: { start: number; end: number }[] = [];
  let start = 0;
  for (const token of tokensOf(bytes)) {
    const wasAtItem = place.isAtItemOf(member);
    place.pass(token, bytes);
    if (wasAtItem && (token.kind === 'comma' || token.kind === 'close')) {
      items.push({ start, end: token.start });
      start = token.end;
      if (token.kind === 'close') {
        return items;
      }
    } else if (token.kind === 'open-array' && place.isAtItemOf(member)) {
      start = token.end;
    }
  }
  return items;
}

interface Token {
  kind: 'string' | 'open-array' | 'open-object' | 'close' | 'comma';
  start: number;
  /** Past its last byte. */
  end: number;
}

/** A container that is open, and how far it has been read. */
type Frame = { kind: 'array'; index: number } | { kind: 'object'; name: string | null; seen: Set<string> };

class Place {
  private readonly frames: Frame[] = [];

  /** Moves past a token. Answers the name when it was one. */
  pass(token: Token, bytes: Buffer): { text: string; isRepeated: boolean } | null {
    const frame = this.frames.at(-1);
    switch (token.kind) {
      case 'open-array':
        this.frames.push({ kind: 'array', index: 0 });
        return null;
      case 'open-object':
        this.frames.push({ kind: 'object', name: null, seen: new Set() });
        return null;
      case 'close':
        this.frames.pop();
        return null;
      case 'comma':
        if (frame?.kind === 'array') frame.index += 1;
        if (frame?.kind === 'object') frame.name = null;
        return null;
      case 'string': {
        if (frame?.kind !== 'object' || frame.name !== null) return null;
        const text = decode(bytes.toString('utf8', token.start, token.end));
        const isRepeated = frame.seen.has(text);
        frame.name = text;
        frame.seen.add(text);
        return { text, isRepeated };
      }
      default:
        return assertNever(token.kind);
    }
  }

  /** Directly in the array that is this member of the outermost object, in none of its items. */
  isAtItemOf(member: string): boolean {
    const [root, array] = this.frames;
    return this.frames.length === 2 && root?.kind === 'object' && root.name === member && array?.kind === 'array';
  }

  pointer(): string {
    let pointer = '';
    for (const frame of this.frames) {
      const step = frame.kind === 'array' ? String(frame.index) : frame.name;
      if (step === null || pointer.length + step.length >= MAX_POINTER_CHARACTERS) break;
      pointer += `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    }
    return pointer;
  }
}

const KINDS: ReadonlyMap<string, Token['kind']> = new Map([
  ['[', 'open-array'],
  ['{', 'open-object'],
  [']', 'close'],
  ['}', 'close'],
  [',', 'comma'],
]);

function* tokensOf(bytes: Buffer): Generator<Token> {
  for (let start = 0; start < bytes.length; start += 1) {
    const character = String.fromCharCode(bytes[start] ?? 0);
    if (character === '"') {
      const end = endOfString(bytes, start);
      yield { kind: 'string', start, end };
      start = end - 1;
    } else {
      const kind = KINDS.get(character);
      if (kind !== undefined) yield { kind, start, end: start + 1 };
    }
  }
}

function endOfString(bytes: Buffer, start: number): number {
  for (let at = start + 1; at < bytes.length; at += 1) {
    if (bytes[at] === 0x5c) at += 1;
    else if (bytes[at] === 0x22) return at + 1;
  }
  return bytes.length;
}

/** The text of a quoted name; as it is written where it is not valid JSON, since the error will be about that anyway. */
function decode(quoted: string): string {
  try {
    const text: unknown = JSON.parse(quoted);
    return typeof text === 'string' ? text : quoted;
  } catch {
    return quoted;
  }
}
