import type { Language } from './languages.js';
import { Lexicon } from './lexicon.js';
import type { Block, BlockKind } from './markdown-document.js';
import { splitSentences } from './sentences.js';
import type { TimeSlices } from './time-slices.js';

/** A sentence (or a part of an overlong one), heading or table cell, read into terms. */
export interface Passage {
  kind: BlockKind;
  text: string;
  terms: readonly number[];
  /** The exact forms of `terms`, one for one. */
  forms: readonly number[];
  words: number;
  opensBlock: boolean;
}

export interface TextModel {
  lexicon: Lexicon;
  /** In the order of the text. */
  passages: Passage[];
  words: number;
  sentences: number;
  unspacedWords: number;
  unspacedCharacters: number;
  /** True when the text has more passages than are weighed; the rest is counted only. */
  isCapped: boolean;
}

/** Real texts of 1 MiB have some 15,000 sentences; past this, it is no prose, and memory matters more. */
export const WEIGHED_PASSAGES_LIMIT = 30_000;

/** Reads all prose into sentences and terms, in time slices. */
export async function readText(blocks: readonly Block[], language: Language, slices: TimeSlices): Promise<TextModel> {
  const lexicon = new Lexicon(language);
  const model: TextModel = {
    lexicon,
    passages: [],
    words: 0,
    sentences: 0,
    unspacedWords: 0,
    unspacedCharacters: 0,
    isCapped: false,
  };
  for (const block of blocks) {
    let opensBlock = true;
    for (const part of splitSentences(block.text, language.locale)) {
      const list = lexicon.read(part.text);
      model.words += part.cutsWord && list.words > 0 ? list.words - 1 : list.words;
      model.unspacedWords += list.unspacedWords;
      model.unspacedCharacters += list.unspacedCharacters;
      const isProse = block.kind === 'paragraph' || block.kind === 'item';
      if (isProse && part.startsSentence && list.words > 0) model.sentences += 1;
      if (model.passages.length < WEIGHED_PASSAGES_LIMIT) {
        model.passages.push({
          kind: block.kind,
          text: part.text,
          terms: list.terms,
          forms: list.forms,
          words: list.words,
          opensBlock,
        });
      } else {
        model.isCapped = true;
      }
      opensBlock = false;
      if (slices.isOver()) await slices.next();
    }
    if (slices.isOver()) await slices.next();
  }
  return model;
}

/** A sample for telling the language: up to 32 Ki characters, taken evenly from the whole text. */
export function sampleOf(blocks: readonly Block[]): string {
  const sampleCharacters = 32 * 1024;
  const perBlockCharacters = 2 * 1024;
  let total = 0;
  for (const block of blocks) total += Math.min(block.text.length, perBlockCharacters);
  const stride = Math.max(1, Math.ceil(total / sampleCharacters));
  const sample: string[] = [];
  for (let index = 0; index < blocks.length; index += stride) {
    const block = blocks[index];
    if (block !== undefined) sample.push(block.text.slice(0, perBlockCharacters));
  }
  return sample.join('\n').slice(0, 2 * sampleCharacters);
}
