import { wholeCharacterEnd } from './clean-text.js';

/** A sentence, or, where a text goes on without an end, a part of one. */
export interface SentencePart {
  text: string;
  /** False for the second and later parts of an overlong sentence. */
  startsSentence: boolean;
  /** The cut before this part runs through a word. */
  cutsWord: boolean;
}

/** No reader wants a longer one in a summary. */
const SENTENCE_LIMIT_CHARACTERS = 600;
/** The segmenter is fed windows of this size: how long it takes for a longer stretch without a break is not in our hands. */
const WINDOW_CHARACTERS = 8 * 1024;

/** After these, a full stop ends no sentence. The segmenter knows none of them. */
const ABBREVIATION =
  /(?:^|[\s("'„“])(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|e\.\s?g|i\.\s?e|cf|resp|Fig|Figs|Eq|Vol|pp?|ca|approx|Nr|Hr|Fr|Bd|bzw|[zuo]\.\s?[BÄä]|d\.\s?h|s\.\s?o|Mme|Mlle|MM?|Sra?|Dra?|sig|art|т\.\s?е|\p{Lu})\.\s*$/u;
const SENTENCE_END = /\p{Sentence_Terminal}/u;
const LETTER = /[\p{L}\p{N}]/u;
const NUMBER_LABEL = /^\s*\(?\d{1,3}[.)]\s*$/;

/** Splits one block of prose into sentences. Bounded work between two results, whatever the text. */
export function* splitSentences(text: string, locale: string): Generator<SentencePart> {
  let sentence = '';
  let isRest = false;
  let cutsWord = false;
  for (const { segment, goesOn } of segments(text, locale)) {
    // What holds no letter and no digit ("…", "?!") belongs to the sentence before it.
    if (sentence !== '' && LETTER.test(segment) && !endsOpen(sentence)) {
      yield* parts(sentence, isRest, cutsWord);
      sentence = '';
      isRest = false;
      cutsWord = false;
    }
    sentence += segment;
    if (goesOn || sentence.length > 4 * SENTENCE_LIMIT_CHARACTERS) {
      yield* parts(sentence, isRest, cutsWord);
      isRest = true;
      cutsWord = !/\s$/.test(sentence);
      sentence = '';
    }
  }
  yield* parts(sentence, isRest, cutsWord);
}

function endsOpen(sentence: string): boolean {
  return ABBREVIATION.test(sentence.slice(-16)) || NUMBER_LABEL.test(sentence);
}

const segmenters = new Map<string, Intl.Segmenter>();

function* segments(text: string, locale: string): Generator<{ segment: string; goesOn: boolean }> {
  const segmenter = segmenters.get(locale) ?? new Intl.Segmenter(locale, { granularity: 'sentence' });
  segmenters.set(locale, segmenter);
  // Headings, cells and short items mostly: not worth the segmenter's set-up.
  if (text.length < SENTENCE_LIMIT_CHARACTERS && !SENTENCE_END.test(text)) {
    yield { segment: text.replace(/[^\S ]/g, ' '), goesOn: false };
    return;
  }
  let start = 0;
  while (start < text.length) {
    const end = wholeCharacterEnd(text, start + WINDOW_CHARACTERS);
    const window = text.slice(start, end).replace(/[^\S ]/g, ' ');
    let last: string | undefined;
    for (const { segment } of segmenter.segment(window)) {
      if (last !== undefined) yield { segment: last, goesOn: false };
      last = segment;
    }
    if (last === undefined) return;
    // The last sentence of a window may go on behind it: the next window starts with it, unless it fills this one.
    const fills = last.length === window.length;
    if (fills || end === text.length) yield { segment: last, goesOn: end < text.length };
    start = fills || end === text.length ? end : end - last.length;
  }
}

/** Cuts an overlong sentence, at the end of a clause if it can be, else at a space, else between two characters. */
function* parts(sentence: string, isRest: boolean, restCutsWord: boolean): Generator<SentencePart> {
  let start = 0;
  let cutsWord = restCutsWord;
  while (sentence.length - start > SENTENCE_LIMIT_CHARACTERS) {
    const window = sentence.slice(start, start + SENTENCE_LIMIT_CHARACTERS);
    const clause = Math.max(...[';', ':', ',', '、', '，', '；', '—', '。'].map((mark) => window.lastIndexOf(mark)));
    const space = window.lastIndexOf(' ');
    const break_ = clause > SENTENCE_LIMIT_CHARACTERS / 2 ? clause : space > SENTENCE_LIMIT_CHARACTERS / 4 ? space : -1;
    const end = break_ === -1 ? wholeCharacterEnd(sentence, start + SENTENCE_LIMIT_CHARACTERS) : start + break_ + 1;
    const text = sentence.slice(start, end).trim();
    if (text !== '') yield { text, startsSentence: start === 0 && !isRest, cutsWord };
    cutsWord = break_ === -1;
    start = end;
  }
  const text = sentence.slice(start).trim();
  if (text !== '') yield { text, startsSentence: start === 0 && !isRest, cutsWord };
}
