export type StringRefusal = 'nul' | 'lone-surrogate';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
/** From here a native search costs less than a look at each byte. */
const SHORT_RUN_BYTES = 32;

/**
 * Crosses the strings of one JSON text, from left to right, looking for what escapes can smuggle in: `\u0000`, which PostgreSQL
 * can store nowhere, and half a surrogate pair, which is no character. (Raw forms of both cannot occur: a raw NUL is not JSON,
 * an encoded surrogate is not UTF-8.)
 *
 * With `replace`, both are replaced by U+FFFD in the bytes themselves instead of refused: an escape is six bytes long whatever it stands for.
 * With `keep-halves`, so is U+0000, and halves stay as they are.
 *
 * Runs without quote or backslash are searched natively once they turn out long. What a search found ahead is kept, so that no
 * byte is searched twice, however many strings or escapes there are.
 */
export class JsonStringScan {
  /** Why the last string is refused; the returned offset is then that of the escape. */
  refusal: StringRefusal | null = null;
  /** True once half a pair was kept. */
  hasHalves = false;
  private quoteAhead = -1;
  private backslashAhead = -1;

  constructor(
    private readonly bytes: Buffer,
    private readonly faults: 'refuse' | 'replace' | 'keep-halves' = 'refuse',
  ) {}

  /** The offset of the closing quote, or of the end of the text when there is none. @param openAt the opening quote's offset */
  endOf(openAt: number): number {
    const { bytes } = this;
    const { length } = bytes;
    let at = openAt + 1;
    let shortUntil = at + SHORT_RUN_BYTES;
    while (at < length) {
      const byte = bytes[at];
      if (byte === QUOTE) return at;
      if (byte !== BACKSLASH) {
        at += 1;
        if (at === shortUntil) at = this.nextQuoteOrBackslash(at);
        continue;
      }
      if (bytes[at + 1] === LOWER_U) {
        const escapeBytes = this.unicodeEscapeBytes(at);
        if (this.refusal !== null) return at;
        at += escapeBytes;
      } else {
        at += 2;
      }
      shortUntil = at + SHORT_RUN_BYTES;
    }
    return length;
  }

  private nextQuoteOrBackslash(from: number): number {
    if (this.quoteAhead < from) this.quoteAhead = this.find(QUOTE, from);
    if (this.backslashAhead < from) this.backslashAhead = this.find(BACKSLASH, from);
    return Math.min(this.quoteAhead, this.backslashAhead);
  }

  private find(byte: number, from: number): number {
    const found = this.bytes.indexOf(byte, from);
    return found === -1 ? this.bytes.length : found;
  }

  /** How many bytes the `\u` escape at `at` takes, a surrogate pair counting as one. Nonsense is left to the parser. */
  private unicodeEscapeBytes(at: number): number {
    const unit = this.codeUnitAt(at + 2);
    if (unit === 0) this.refuse('nul', at);
    if (unit < 0xd800 || unit > 0xdfff) return 6;
    if (unit < 0xdc00 && this.bytes[at + 6] === BACKSLASH && this.bytes[at + 7] === LOWER_U) {
      const second = this.codeUnitAt(at + 8);
      if (second >= 0xdc00 && second <= 0xdfff) return 12;
    }
    this.refuse('lone-surrogate', at);
    return 6;
  }

  private refuse(reason: StringRefusal, at: number): void {
    if (this.faults === 'refuse') this.refusal = reason;
    else if (this.faults === 'keep-halves' && reason === 'lone-surrogate') this.hasHalves = true;
    else this.bytes.write('fffd', at + 2, 'latin1');
  }

  /** Four hexadecimal digits as a number; -1 when they are not. */
  private codeUnitAt(start: number): number {
    let unit = 0;
    for (let at = start; at < start + 4; at += 1) {
      const digit = hexadecimal(this.bytes[at] ?? 0);
      if (digit === -1) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }
}

function hexadecimal(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
