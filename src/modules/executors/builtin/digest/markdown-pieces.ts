import { wholeCharacterEnd } from './clean-text.js';

/**
 * Cuts a Markdown text into pieces that a block parser may read one after the other, because parsing 1 MiB in one call would
 * hold the event loop for a long time.
 *
 * A piece ends, once it is large enough, before an unindented line that no container and no open block can reach: one after a
 * blank line, or an ATX heading. There the parse of the pieces is the parse of the whole, but for a list that continues
 * (two lists instead of one, which nothing here counts). A text that offers no such line is cut by force at a line end; if that
 * falls into a fenced block or a comment, the next piece opens it again, and says so, so that nothing is counted twice.
 */
export interface MarkdownPiece {
  source: string;
  /** 0-based line of the text on which `source` starts; −1 is possible for the line that opens a block again. */
  firstLine: number;
  /** Not null: the first block of this piece is the rest of the last one of the piece before; this stood between the two. */
  joint: string | null;
}

const ROOMY_PIECE_CHARACTERS = 12 * 1024;
const LARGEST_PIECE_CHARACTERS = 24 * 1024;
/** A parser pays per line as well: a piece of "#" lines alone must not be ten thousand headings. */
const ROOMY_PIECE_LINES = 400;
const LARGEST_PIECE_LINES = 800;

const FENCE = /^[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(`{3,}(?![^\n]*`)|~{3,})/;

interface OpenBlock {
  /** The line that opens it again in the next piece. */
  opener: string;
  closes(line: string): boolean;
}

export function* markdownPieces(text: string): Generator<MarkdownPiece> {
  let pieceStart = 0;
  let pieceFirstLine = 0;
  let reopener: string | null = null;
  let joint: string | null = null;
  let open: OpenBlock | null = null;
  let previousIsBlank = true;
  let line = 0;
  let goesOnLine = false;

  for (let lineStart = 0; lineStart < text.length;) {
    const newline = text.indexOf('\n', lineStart);
    const wholeEnd = newline === -1 ? text.length : newline + 1;
    const lineEnd = wholeEnd - lineStart > LARGEST_PIECE_CHARACTERS ? lineBreak(text, lineStart) : wholeEnd;
    const content = text.slice(lineStart, lineEnd).replace(/\n$/, '');
    const isBlank = content.trim() === '';
    const isIndented = /^[ \t]/.test(content);

    const length = lineStart - pieceStart;
    const isSafe =
      !goesOnLine && open === null && !isBlank && !isIndented && (previousIsBlank || /^#{1,6}[ \t]/.test(content));
    const isFull = length >= LARGEST_PIECE_CHARACTERS || line - pieceFirstLine >= LARGEST_PIECE_LINES;
    const isRoomy = length >= ROOMY_PIECE_CHARACTERS || line - pieceFirstLine >= ROOMY_PIECE_LINES;
    if (length > 0 && ((isSafe && isRoomy) || isFull)) {
      yield piece(text.slice(pieceStart, lineStart), pieceFirstLine, reopener, joint);
      pieceStart = lineStart;
      pieceFirstLine = line;
      reopener = open === null ? null : open.opener;
      const isWithinBlock = !isSafe && (open !== null || (!previousIsBlank && !isBlank));
      const between = goesOnLine ? text.slice(lineStart - 1, lineStart).replace(/\S/, '') : '\n';
      joint = isWithinBlock ? between : null;
    }

    if (open !== null) open = open.closes(content) ? null : open;
    else if (!goesOnLine) open = opensBlock(content);
    previousIsBlank = isBlank;
    goesOnLine = lineEnd < wholeEnd;
    if (!goesOnLine) line += 1;
    lineStart = lineEnd;
  }
  if (pieceStart < text.length) yield piece(text.slice(pieceStart), pieceFirstLine, reopener, joint);
}

/** Where a line too long for one piece is cut: at a space if it can be. */
function lineBreak(text: string, lineStart: number): number {
  const limit = lineStart + LARGEST_PIECE_CHARACTERS;
  const space = text.lastIndexOf(' ', limit - 1);
  return space > lineStart + LARGEST_PIECE_CHARACTERS / 2 ? space + 1 : wholeCharacterEnd(text, limit);
}

function piece(source: string, firstLine: number, reopener: string | null, joint: string | null): MarkdownPiece {
  if (reopener === null) return { source, firstLine, joint };
  return { source: `${reopener}\n${source}`, firstLine: firstLine - 1, joint };
}

function opensBlock(line: string): OpenBlock | null {
  const fence = FENCE.exec(line.length > 1000 ? line.slice(0, 1000) : line)?.[1];
  if (fence !== undefined) {
    const marker = fence.charAt(0);
    const isIndented = !line.startsWith(marker);
    return {
      opener: fence,
      closes: (next) => {
        const trimmed = next.trim();
        // An indented fence belongs to a list item, which ends with the first line that is not indented.
        if (isIndented && trimmed !== '' && !/^[ \t]/.test(next)) return true;
        return trimmed.length >= fence.length && trimmed.startsWith(fence) && trimmed.split(marker).join('') === '';
      },
    };
  }
  if (/^ {0,3}<!--/.test(line) && !line.includes('-->'))
    return { opener: '<!--', closes: (next) => next.includes('-->') };
  return null;
}
