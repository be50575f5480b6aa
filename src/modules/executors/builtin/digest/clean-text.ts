/**
 * A text fit for JSON and PostgreSQL on every path out of here: no NUL, no lone surrogate (both become U+FFFD), no byte order
 * mark, and one kind of line end, so that line numbers mean what an editor shows.
 */
export function cleanText(text: string): string {
  return text
    .replace(/^\uFEFF/, '')
    .replace(/\r\n?/g, '\n')
    .replace(/\0|\p{Surrogate}/gu, '\uFFFD');
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
  const previous = text.charCodeAt(position - 1);
  return (
    isLowSurrogate(text, position) || previous === 0x200d || /^[\p{M}\u200D\u{1F3FB}-\u{1F3FF}]/u.test(text.slice(position, position + 2))
  );
}

function isLowSurrogate(text: string, position: number): boolean {
  const unit = text.charCodeAt(position);
  return unit >= 0xdc00 && unit <= 0xdfff;
}
