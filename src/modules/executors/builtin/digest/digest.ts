import { drawChart, CHART_HEIGHT, CHART_WIDTH } from './chart.js';
import { cleanLine, cleanText, onOneLine, shorten } from './clean-text.js';
import { digestMessage, plural } from './digest.message.js';
import {
  DIGEST_KEYWORDS_DEFAULT,
  DIGEST_SENTENCES_DEFAULT,
  DIGEST_TEXT_LIMIT_BYTES,
  type DigestOutput,
} from './digest.schema.js';
import { findKeywords } from './keywords.js';
import { detectLanguage, languageName, loadLanguage } from './languages.js';
import { OUTLINE_LIMIT, readMarkdown } from './markdown-document.js';
import { readabilityOf } from './readability.js';
import { rankSentences, type RankedText } from './sentence-ranking.js';
import { readText, sampleOf, WEIGHED_PASSAGES_LIMIT, type TextModel } from './text-model.js';
import { TimeSlices } from './time-slices.js';

export interface DigestInput {
  /** Any text or Markdown, at most 1 MiB of UTF-8. */
  text: string;
  /** On the chart and above the message; default: the first heading, of level 1 if there is one. */
  title?: string;
  /** 1 to 20. */
  sentences?: number;
  /** 1 to 50. */
  keywords?: number;
}

export type DigestStage = 'parsing' | 'language' | 'reading' | 'ranking' | 'summary' | 'keywords' | 'chart' | 'done';

export type DigestEvent =
  | { type: 'log'; data: { level: 'info' | 'warning'; text: string } }
  /** The summary as it is chosen, the most telling sentence first; `output.summary` has it in the order of the text. */
  | { type: 'delta'; data: { text: string } }
  | { type: 'custom'; data: { stage: DigestStage; progress: number } };

export interface DigestResult {
  output: DigestOutput;
  /** Markdown for a person. */
  message: string;
  chart: { name: string; contentType: 'image/png'; bytes: Uint8Array; width: number; height: number };
}

const TITLE_LIMIT_CHARACTERS = 160;
/** Silent reading of English non-fiction (Brysbaert, 2019, https://doi.org/10.1016/j.jml.2019.104047). */
const WORDS_PER_MINUTE = 238;
const UNSPACED_CHARACTERS_PER_MINUTE = 500;

/**
 * Digests a text without network or model: key sentences, keywords, counts, outline, readability, and a chart of them.
 *
 * Guarantees, for any text: it ends (a few seconds for the worst 1 MiB), it holds up the event loop for some milliseconds at a
 * stretch only, the same input gives the same result, and no string in the result holds a NUL or a lone surrogate. Progress never
 * falls and ends at 1. Throws the signal's reason soon after it is aborted, and a RangeError for a text over 1 MiB.
 */
export async function* digest(
  input: DigestInput,
  options: { signal: AbortSignal },
): AsyncGenerator<DigestEvent, DigestResult, undefined> {
  if (Buffer.byteLength(input.text) > DIGEST_TEXT_LIMIT_BYTES)
    throw new RangeError('The text is longer than 1 MiB of UTF-8.');
  const { signal } = options;
  signal.throwIfAborted();
  const slices = new TimeSlices(signal);

  yield progress('parsing', 0);
  await slices.next();
  const text = await cleanText(input.text, slices);
  const document = await readMarkdown(text, slices);

  yield progress('language', 0.25);
  const language = await loadLanguage(detectLanguage(sampleOf(document.blocks)));
  await slices.next();

  yield progress('reading', 0.3);
  const model = await readText(document.blocks, language, slices);
  const counts: DigestOutput['counts'] = {
    characters: await countCharacters(text, slices),
    lines: document.counts.lines,
    words: model.words,
    unique_words: model.lexicon.uniqueWords,
    sentences: model.sentences,
    paragraphs: document.counts.paragraphs,
    list_items: document.counts.listItems,
    headings: document.counts.headings,
    links: document.counts.links,
    images: document.counts.images,
    code_blocks: document.counts.codeBlocks,
  };
  yield info(
    `Read ${plural(counts.words, 'word')} in ${plural(counts.sentences, 'sentence')} (${languageName(language.tag)}).`,
  );
  for (const warning of warningsOf(model, document.counts.headings))
    yield { type: 'log', data: { level: 'warning', text: warning } };

  yield progress('ranking', 0.5);
  const ranked = await rankSentences(model, language.tag, slices);

  yield progress('summary', 0.65);
  const picked: Picked[] = [];
  while (picked.length < (input.sentences ?? DIGEST_SENTENCES_DEFAULT)) {
    const sentence = ranked.pick();
    if (sentence === undefined) break;
    picked.push(sentence);
    yield { type: 'delta', data: { text: `${onOneLine(sentence.text)}\n\n` } };
    if (slices.isOver()) await slices.next();
  }
  picked.sort((a, b) => a.position - b.position);

  yield progress('keywords', 0.7);
  const keywords = await findKeywords(model, language, input.keywords ?? DIGEST_KEYWORDS_DEFAULT, slices);
  const output: DigestOutput = {
    language: language.tag,
    summary: picked.map((sentence) => onOneLine(sentence.text)),
    keywords,
    counts,
    reading_time_seconds: readingSeconds(model),
    readability: await readabilityOf(model, language.tag, slices),
    outline: document.outline,
  };

  yield progress('chart', 0.85);
  const title = titleOf(input.title, document.outline);
  const chosen = picked.map((sentence) => sentence.position);
  const bytes = await drawChart({ title, output, importance: ranked.importance, chosen }, slices);
  signal.throwIfAborted();

  yield progress('done', 1);
  return {
    output,
    message: digestMessage(output, title),
    chart: { name: 'digest.png', contentType: 'image/png', bytes, width: CHART_WIDTH, height: CHART_HEIGHT },
  };
}

type Picked = NonNullable<ReturnType<RankedText['pick']>>;

function progress(stage: DigestStage, share: number): DigestEvent {
  return { type: 'custom', data: { stage, progress: share } };
}

function info(text: string): DigestEvent {
  return { type: 'log', data: { level: 'info', text } };
}

function warningsOf(model: TextModel, headings: number): string[] {
  const warnings: string[] = [];
  if (model.words === 0) warnings.push('The text holds no words: the digest is empty.');
  if (model.isCapped) {
    warnings.push(
      `Only the first ${plural(WEIGHED_PASSAGES_LIMIT, 'passage')} are weighed for summary and keywords; the counts cover all.`,
    );
  }
  if (headings > OUTLINE_LIMIT)
    warnings.push(`The outline lists the first ${OUTLINE_LIMIT} of ${plural(headings, 'heading')}.`);
  return warnings;
}

async function countCharacters(text: string, slices: TimeSlices): Promise<number> {
  const windowCharacters = 64 * 1024;
  let pairs = 0;
  for (let start = 0; start < text.length; start += windowCharacters) {
    for (let at = start; at < Math.min(text.length, start + windowCharacters); at += 1) {
      // Text is clean: a low surrogate always ends a pair.
      const unit = text.charCodeAt(at);
      if (unit >= 0xdc00 && unit <= 0xdfff) pairs += 1;
    }
    if (slices.isOver()) await slices.next();
  }
  return text.length - pairs;
}

function readingSeconds(model: TextModel): number {
  const spacedWords = Math.max(0, model.words - model.unspacedWords);
  return Math.ceil((spacedWords / WORDS_PER_MINUTE + model.unspacedCharacters / UNSPACED_CHARACTERS_PER_MINUTE) * 60);
}

function titleOf(title: string | undefined, outline: DigestOutput['outline']): string {
  const given = cleanLine((title ?? '').slice(0, 1000));
  const named = outline.filter((entry) => entry.text !== '');
  const heading = (named.find((entry) => entry.level === 1) ?? named[0])?.text;
  return shorten(given !== '' ? given : (heading ?? 'Digest'), TITLE_LIMIT_CHARACTERS);
}
