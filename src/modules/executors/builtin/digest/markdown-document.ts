import createMarkdownIt, { type Env, type MarkdownIt, type Token } from 'markdown-it';
import { onOneLine, shorten, wholeCharacterEnd } from './clean-text.js';
import type { DigestHeading } from './digest.schema.js';
import { markdownPieces, type MarkdownPiece } from './markdown-pieces.js';
import type { TimeSlices } from './time-slices.js';

export type BlockKind = 'heading' | 'paragraph' | 'item' | 'cell';

/** A run of prose: markup is gone, what it marks up stays. Code blocks are no prose. */
export interface Block {
  kind: BlockKind;
  text: string;
}

export interface MarkdownDocument {
  blocks: Block[];
  outline: DigestHeading[];
  counts: {
    lines: number;
    paragraphs: number;
    listItems: number;
    headings: number;
    links: number;
    images: number;
    codeBlocks: number;
  };
}

export const OUTLINE_LIMIT = 500;
const HEADING_TEXT_LIMIT = 200;
/** Inline parsing has no bound better than quadratic for every hostile text; over this length a block is parsed in parts. */
const INLINE_PART_CHARACTERS = 2 * 1024;
/** Deeper quotes and lists are cut off by the parser: a text of 100,000 ">" must not be 100,000 levels of recursion. */
const NESTING_LIMIT = 32;

const BARE_LINK = /\bhttps?:\/\/[^\s<>"]+/g;

interface RawBlock {
  kind: BlockKind;
  source: string;
  /** Raw HTML has lost its tags already and holds no Markdown. */
  isPlain: boolean;
  line: number;
  level: number;
}

/**
 * Reads any text as Markdown (CommonMark with tables; any text is valid Markdown) in time slices. Blocks are found first, so that
 * a link may use a definition that stands below it. A text of code alone is read as prose, since there is nothing else to digest.
 */
export async function readMarkdown(text: string, slices: TimeSlices): Promise<MarkdownDocument> {
  const parser = createMarkdownIt('default', { html: true, maxNesting: NESTING_LIMIT });
  const reader = new BlockReader(parser);
  const { source, lines } = withoutFrontMatter(text);
  for (const piece of markdownPieces(source)) {
    reader.read(piece);
    if (slices.isOver()) await slices.next();
  }

  const inline = new InlineReader(parser, reader.environment);
  const outline: DigestHeading[] = [];
  const blocks: Block[] = [];
  const found = reader.blocks.length > 0 ? reader.blocks : reader.codeAsProse;
  for (const raw of found) {
    let content = raw.isPlain ? raw.source : '';
    if (!raw.isPlain) {
      for (const part of inlineParts(raw.source)) {
        content += inline.read(part);
        if (slices.isOver()) await slices.next();
      }
    }
    if (raw.kind === 'heading' && outline.length < OUTLINE_LIMIT) {
      outline.push({
        level: raw.level,
        line: raw.line,
        text: shorten(onOneLine(content.slice(0, 4 * HEADING_TEXT_LIMIT)), HEADING_TEXT_LIMIT),
      });
    }
    if (content.trim() !== '') blocks.push({ kind: raw.kind, text: content });
    if (slices.isOver()) await slices.next();
  }
  return { blocks, outline, counts: { ...reader.counts, lines, links: inline.links, images: inline.images } };
}

/** YAML between `---` lines at the very top is about the text, not of it. Its lines stay, empty, to keep the line numbers. */
function withoutFrontMatter(text: string): { source: string; lines: number } {
  let lines = text === '' ? 0 : 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < text.length - 1; at = text.indexOf('\n', at + 1)) lines += 1;
  const matter =
    /^---[ \t]*\n(?:(?:[A-Za-z_][\w.-]*:|[ \t]+|#|- )[^\n]*\n|\n){1,200}?(?:---|\.\.\.)[ \t]*(?:\n|$)/.exec(
      text.slice(0, 64 * 1024),
    );
  if (matter === null) return { source: text, lines };
  const length = matter[0].length;
  return { source: matter[0].replace(/[^\n]+/g, '') + text.slice(length), lines };
}

class BlockReader {
  readonly environment: Env = {};
  readonly blocks: RawBlock[] = [];
  readonly codeAsProse: RawBlock[] = [];
  readonly counts = { paragraphs: 0, listItems: 0, headings: 0, codeBlocks: 0 };

  constructor(private readonly parser: MarkdownIt) {}

  read(piece: MarkdownPiece): void {
    const tokens: Token[] = [];
    this.parser.block.parse(piece.source, this.parser, this.environment, tokens);
    let itemDepth = 0;
    let kind: BlockKind = 'paragraph';
    let level = 0;
    let line = 1;
    for (const [index, token] of tokens.entries()) {
      const continues = piece.joint !== null && index === 0;
      if (token.map !== null) line = piece.firstLine + token.map[0] + 1;
      switch (token.type) {
        case 'list_item_open':
          itemDepth += 1;
          this.counts.listItems += 1;
          break;
        case 'list_item_close':
          itemDepth -= 1;
          break;
        case 'paragraph_open':
          kind = itemDepth > 0 ? 'item' : 'paragraph';
          if (itemDepth === 0 && !continues) this.counts.paragraphs += 1;
          break;
        case 'heading_open':
          kind = 'heading';
          level = Number(token.tag.slice(1));
          this.counts.headings += 1;
          break;
        case 'th_open':
        case 'td_open':
          kind = 'cell';
          break;
        case 'inline':
          if (
            piece.joint !== null &&
            index === 1 &&
            tokens[0]?.type === 'paragraph_open' &&
            this.extendLast(piece.joint + token.content)
          )
            break;
          this.blocks.push({ kind, source: token.content, isPlain: false, line, level });
          break;
        case 'fence':
        case 'code_block':
          if (!continues) this.counts.codeBlocks += 1;
          this.codeAsProse.push({ kind: 'paragraph', source: token.content, isPlain: true, line, level: 0 });
          break;
        case 'html_block': {
          const prose = withoutTags(token.content);
          if (prose.trim() !== '')
            this.blocks.push({ kind: 'paragraph', source: prose, isPlain: true, line, level: 0 });
          break;
        }
        default:
          break;
      }
    }
  }

  /** Puts together again what was cut by force; false when there is nothing to go on with. */
  private extendLast(source: string): boolean {
    const last = this.blocks.at(-1);
    if (last === undefined || last.isPlain) return false;
    last.source += source;
    return true;
  }
}

/** What a person reads of raw HTML; scripts, styles, preformatted text, comments and declarations count as none. */
function withoutTags(html: string): string {
  if (/^\s*<(?:script|style|pre|textarea|!|\?)/i.test(html)) return '';
  return html.replace(/<[a-zA-Z/!?][^<>]*>/g, ' ');
}

/** Cut at the end of a line or a sentence, or at a space, where there is one, so that markup within a line mostly survives. */
function* inlineParts(source: string): Generator<string> {
  let start = 0;
  while (source.length - start > INLINE_PART_CHARACTERS) {
    const limit = start + INLINE_PART_CHARACTERS;
    const lowest = start + INLINE_PART_CHARACTERS / 2;
    const breaks = ['\n', '. ', ' '].map((mark) => source.lastIndexOf(mark, limit - mark.length) + mark.length);
    const end = breaks.find((position) => position > lowest) ?? wholeCharacterEnd(source, limit);
    yield source.slice(start, end);
    start = end;
  }
  yield source.slice(start);
}

class InlineReader {
  links = 0;
  images = 0;

  constructor(
    private readonly parser: MarkdownIt,
    private readonly environment: Env,
  ) {}

  read(source: string): string {
    const tokens: Token[] = [];
    this.parser.inline.parse(source, this.parser, this.environment, tokens);
    let text = '';
    let linkDepth = 0;
    for (const token of tokens) {
      switch (token.type) {
        case 'text':
        case 'text_special':
          if (linkDepth === 0) this.links += token.content.match(BARE_LINK)?.length ?? 0;
          text += token.content;
          break;
        case 'code_inline':
          text += token.content;
          break;
        case 'softbreak':
        case 'hardbreak':
          text += '\n';
          break;
        case 'link_open':
          this.links += 1;
          linkDepth += 1;
          break;
        case 'link_close':
          linkDepth -= 1;
          break;
        case 'image':
          this.images += 1;
          break;
        case 'html_inline':
          if (/^<br\b/i.test(token.content)) text += '\n';
          break;
        default:
          break;
      }
    }
    // Parts are joined again: white space that the parser trims at the end of one would glue two words together.
    return /\s$/.test(source) && !/\s$/.test(text) ? `${text} ` : text;
  }
}
