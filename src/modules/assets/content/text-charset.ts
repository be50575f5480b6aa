/**
 * Whether bytes are text, and in which charset.
 *
 * Texts carry no label, so the answer is read off the bytes, from what is certain to what is a guess:
 *
 * 1. A byte order mark names a form of Unicode; the rest must then be valid in it.
 * 2. Valid UTF-8 without NUL is UTF-8: another charset is almost never valid UTF-8 by chance.
 * 3. UTF-16 without a mark has a NUL beside each ASCII character, on the same side nearly always, and decodes to assigned characters only.
 * 4. Bytes without control characters are text in an older charset. Which one is statistics (`chardet`), and for Western European texts,
 *    whose candidates differ in few bytes, the answer is windows-1252 unless another is much likelier.
 *
 * The first bytes decide whether a file is text at all; the charset of a text in UTF-8 or an older charset is known only at its end.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { analyse } from 'chardet';
import { HEAD_BYTES } from './content-types.js';

/** What is said of charsets in reply headers: names that clients know, in lower case. */
const CHARSETS = new Set([
  'utf-8',
  'utf-16le',
  'utf-16be',
  'utf-32le',
  'utf-32be',
  'windows-1250',
  'windows-1251',
  'windows-1252',
  'windows-1253',
  'windows-1254',
  'windows-1255',
  'windows-1256',
  'iso-8859-2',
  'iso-8859-5',
  'iso-8859-6',
  'iso-8859-7',
  'iso-8859-8',
  'iso-8859-9',
  'windows-1257',
  'koi8-r',
  'shift_jis',
  'euc-jp',
  'iso-2022-jp',
  'euc-kr',
  'big5',
  'gb18030',
]);

export function isCharset(value: unknown): value is string {
  return typeof value === 'string' && CHARSETS.has(value);
}

/** Control characters that no text has; terminals' escapes and the end-of-file mark of DOS are not among them. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\0-\x06\x0e-\x19\x1c-\x1f]/;
/** Private use is left out too: icon fonts aside, binary data decodes to it. */
// eslint-disable-next-line no-control-regex -- as above
const NOT_TEXT = /[\0-\x06\x0e-\x19\x1c-\x1f\p{Cn}\p{Co}\p{Cs}]/u;
// eslint-disable-next-line no-control-regex -- as above
const NOT_MARKED_TEXT = /[\0-\x06\x0e-\x19\x1c-\x1f\p{Cs}\ufffe\uffff]/u;

const MARKS: readonly (readonly [bytes: readonly number[], charset: string])[] = [
  [[0xff, 0xfe, 0, 0], 'utf-32le'],
  [[0, 0, 0xfe, 0xff], 'utf-32be'],
  [[0xff, 0xfe], 'utf-16le'],
  [[0xfe, 0xff], 'utf-16be'],
];

/** True where the first bytes of a file are text in any charset. @param head shorter than `HEAD_BYTES` only where it is the whole file */
export function isText(head: Uint8Array): boolean {
  return isHeadUtf8(head) || wideCharset(head) !== null || isSingleByteText(head);
}

/** The form of Unicode, UTF-8 aside, that the first bytes of a file are in; null for none. */
export function wideCharset(head: Uint8Array): string | null {
  const [mark, charset] = MARKS.find(([bytes]) => bytes.every((byte, index) => head[index] === byte)) ?? [];
  if (mark !== undefined && charset !== undefined) {
    const rest = head.subarray(mark.length);
    const text = charset.startsWith('utf-32') ? decodeUtf32(rest, charset) : decode(rest, charset, head.length);
    return text === null || NOT_MARKED_TEXT.test(text) ? null : charset;
  }
  let [even, odd] = [0, 0];
  for (let at = head.indexOf(0); at !== -1; at = head.indexOf(0, at + 1)) {
    if (at % 2 === 0) even += 1;
    else odd += 1;
  }
  if (even === odd) {
    return null;
  }
  const likely = odd > even ? 'utf-16le' : 'utf-16be';
  const text = decode(head, likely, head.length);
  return text === null || NOT_TEXT.test(text) ? null : likely;
}

/** @param headLength of the head, which tells whether the last character may be cut */
function decode(bytes: Uint8Array, charset: string, headLength: number): string | null {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: headLength >= HEAD_BYTES });
  } catch {
    return null;
  }
}

function decodeUtf32(bytes: Uint8Array, charset: string): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const points: string[] = [];
  for (let at = 0; at + 4 <= view.byteLength; at += 4) {
    const point = view.getUint32(at, charset === 'utf-32le');
    if (point > 0x10_ff_ff) {
      return null;
    }
    points.push(String.fromCodePoint(point));
  }
  return points.join('');
}

/** UTF-8 without NUL, but for a character that the end of the head may cut. */
function isHeadUtf8(head: Uint8Array): boolean {
  if (head.includes(0)) {
    return false;
  }
  const mayBeCut = head.length >= HEAD_BYTES;
  return [0, 1, 2, 3].some((cut) => isUtf8(head.subarray(0, Math.max(0, head.length - (mayBeCut ? cut : 0)))));
}

function isSingleByteText(bytes: Uint8Array): boolean {
  return !bytes.includes(0) && !CONTROL.test(Buffer.from(bytes).toString('latin1'));
}

/** As much of a text as the statistics look at: what stands around its characters beyond ASCII, since the rest is the same in all charsets. */
const SAMPLE_BYTES = 2048;
const CONTEXT_BYTES = 8;
const GAP = Buffer.from(' ');

/** Finds out the charset of a text that passes in pieces. A file that is no text costs no more than its first piece. */
export class CharsetScan {
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true });
  readonly #sample: Uint8Array[] = [];
  #sampleBytes = 0;
  #isUtf8 = true;
  #isWithinCharacter = false;
  #hasNul = false;

  add(piece: Uint8Array): void {
    if (this.#hasNul) {
      return;
    }
    this.#hasNul = piece.includes(0);
    if (this.#hasNul || (isAscii(piece) && !this.#isWithinCharacter)) {
      return;
    }
    this.#keepSample(piece);
    this.#decode(piece, true);
    // Whether a character was cut does not matter to the decoder, only to the short way around it.
    this.#isWithinCharacter = (piece.at(-1) ?? 0) >= 0x80;
  }

  /** The charset once all is here; null where it is no text. @param head the first bytes of the file */
  end(head: Uint8Array): string | null {
    if (this.#hasNul) {
      return wideCharset(head);
    }
    this.#decode(new Uint8Array(), false);
    // Without a NUL it can be UTF-16 only by its mark.
    return wideCharset(head) ?? (this.#isUtf8 ? 'utf-8' : this.#guess());
  }

  #decode(piece: Uint8Array, stream: boolean): void {
    if (this.#isUtf8) {
      try {
        this.#utf8.decode(piece, { stream });
      } catch {
        this.#isUtf8 = false;
      }
    }
  }

  #keepSample(piece: Uint8Array): void {
    let taken = 0;
    for (let at = 0; at < piece.length && this.#sampleBytes < SAMPLE_BYTES; at += 1) {
      if ((piece[at] ?? 0) >= 0x80) {
        const end = Math.min(piece.length, at + 1 + CONTEXT_BYTES);
        const context = Buffer.from(piece.subarray(Math.max(taken, at - CONTEXT_BYTES), end));
        if (taken === 0 || at - CONTEXT_BYTES > taken) {
          this.#sample.push(GAP);
        }
        this.#sample.push(context);
        this.#sampleBytes += context.length;
        taken = end;
      }
    }
  }

  #guess(): string | null {
    const sample = Buffer.concat(this.#sample);
    return isSingleByteText(sample) ? guessCharset(sample) : null;
  }
}

const WESTERN = new Set(['windows-1252', 'iso-8859-1']);
/** Latin letters with other accents: short Western texts are often taken for these. */
const OTHER_LATIN = new Set(['windows-1250', 'windows-1254', 'windows-1257', 'iso-8859-2', 'iso-8859-9']);
const CLEARLY_PERCENT = 15;
/** What `chardet` says of an East Asian charset where there are too few characters to tell. */
const UNSURE_PERCENT = 10;
/** Fewer accents say nothing of the language. */
const MIN_ACCENTS = 4;
/** Bytes that windows-1252 gives no character. */
const NOT_WESTERN = /[\x81\x8d\x8f\x90\x9d]/;

function guessCharset(sample: Uint8Array): string | null {
  const mayBeWestern = !NOT_WESTERN.test(Buffer.from(sample).toString('latin1'));
  if (mayBeWestern && sample.filter((byte) => byte >= 0x80).length < MIN_ACCENTS) {
    return 'windows-1252';
  }
  const matches = analyse(sample).map(({ name, confidence }) => ({ name: name.toLowerCase(), confidence }));
  const best = matches.find(({ name }) => CHARSETS.has(name) || WESTERN.has(name));
  if (best === undefined || WESTERN.has(best.name)) {
    return mayBeWestern ? 'windows-1252' : null;
  }
  const western = matches.find(({ name }) => WESTERN.has(name))?.confidence ?? 0;
  const isSure = best.confidence > (OTHER_LATIN.has(best.name) ? western + CLEARLY_PERCENT : UNSURE_PERCENT);
  return isSure || !mayBeWestern ? best.name : 'windows-1252';
}
