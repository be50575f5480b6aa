/**
 * Line ends of Unicode that JSON leaves as they are: next line, line separator and paragraph separator. Readers that split at every line
 * end they know (Python's `str.splitlines`, older JavaScript) would cut a frame in two.
 */
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/** A value as JSON on one line, by every reader's idea of a line. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
