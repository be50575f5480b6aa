import type { TimeSlices } from './time-slices.js';

const ZERO_WIDTH_JOINER = 0x200d;
const WINDOW_CHARACTERS = 32 * 1024;

/**
 * A text fit for JSON and PostgreSQL on every path out of here: no NUL, no lone surrogate (both become U+FFFD), no byte order
 * mark, and one kind of line end, so that line numbers mean what an editor shows.
 */
export async function cleanText(text: string, slices: TimeSlices): Promise<string> {
  let clean = '';
  for (let start = text.startsWith('\uFEFF') ? 1 : 0; start < text.length;) {
    let end = Math.min(text.length, start + WINDOW_CHARACTERS);
    if (isLowSurrogate(text, end) || text.charAt(end) === '\n') end += 1;
    clean += cleaned(text.slice(start, end));
    start = end;
    if (slices.isOver()) await slices.next();
  }
  return clean;
}

/** `cleanText` for a text that is known to be short. */
export function cleanLine(text: string): string {
  return onOneLine(cleaned(text));
}

function cleaned(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}

/** Runs of white space, line ends and control characters become one space. */
export function onOneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
}

/** At most `limit` UTF-16 units, an ellipsis included; a surrogate pair or a letter with its marks is never cut apart. */
export function shorten(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, wholeCharacterEnd(text, limit - 1)).trimEnd()}…`;
}

/** The last position at or before `end` that does not cut a surrogate pair or a combining sequence (of sane length) apart. */
export function wholeCharacterEnd(text: string, end: number): number {
  if (end >= text.length) return text.length;
  let position = end;
  const lowest = Math.max(1, end - 32);
  while (position > lowest && continuesCharacter(text, position)) position -= 1;
  if (!continuesCharacter(text, position)) return position;
  return isLowSurrogate(text, end) ? end - 1 : end;
}

function continuesCharacter(text: string, position: number): boolean {
  if (isLowSurrogate(text, position) || text.charCodeAt(position - 1) === ZERO_WIDTH_JOINER) return true;
  const character = text.slice(position, position + 2);
  return /^(?:\p{M}|\p{Emoji_Modifier}|\u200D)/u.test(character);
}

function isLowSurrogate(text: string, position: number): boolean {
  const unit = text.charCodeAt(position);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
