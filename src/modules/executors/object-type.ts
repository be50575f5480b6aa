const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPENING: readonly number[] = [0x5b, 0x7b];
const CLOSING: readonly number[] = [0x5d, 0x7d];
/** Longer strings are neither the name nor a value of `type`. */
const MAX_TYPE_BYTES = 100;

/**
 * The text that a JSON object has under `type`, for a line that the parser refuses: what it was meant to be, at the cost of one pass
 * and without building anything. Null where there is none, and for an object that was cut off.
 */
export function typeOfObject(line: Uint8Array): string | null {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  let depth = 0;
  let name: string | null = null;
  let last: string | null = null;
  let type: string | null = null;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) {
      const end = endOfString(bytes, at);
      if (depth === 1) {
        last = end - at > MAX_TYPE_BYTES ? null : bytes.toString('utf8', at + 1, end);
        if (name === 'type') type = last;
        name = null;
      }
      at = end;
    } else if (byte === COLON && depth === 1) {
      name = last;
    } else if (OPENING.includes(byte)) {
      depth += 1;
      name = null;
    } else if (CLOSING.includes(byte)) {
      depth -= 1;
    }
  }
  return depth === 0 ? type : null;
}

/** Where the string that begins at `start` has its closing quote. */
function endOfString(bytes: Buffer, start: number): number {
  for (let at = start + 1; at < bytes.length; at += 1) {
    if (bytes[at] === BACKSLASH) at += 1;
    else if (bytes[at] === QUOTE) return at;
  }
  return bytes.length;
}
