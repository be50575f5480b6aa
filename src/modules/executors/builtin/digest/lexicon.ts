import type { Language } from './languages.js';
import type { TimeSlices } from './time-slices.js';

/** In a list of terms: here a phrase is interrupted, by a stopword, a number or a punctuation mark. */
export const PHRASE_BREAK = -1;

/** Words between which no space is written: only a dictionary can tell them apart. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const SPACED_WORD = /[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*(?:['’.\-\u2010\u2011][\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*)*/gu;
const BARE_LINK = /\b(?:https?|ftp|mailto):\S+/g;
/** Past this it is a hash or a token, no word of a language. It still counts as a word. */
const LONGEST_TERM_CHARACTERS = 40;

interface Form {
  /** The term this form belongs to, or PHRASE_BREAK. */
  term: number;
  index: number;
  display: string;
  count: number;
}

/** Puts the words of a phrase together as their scripts are written. */
export function joinWords(words: readonly string[]): string {
  return words.reduce((phrase, word) => {
    const isSpaced = !UNSPACED.test(phrase.slice(-1)) || !UNSPACED.test(word.slice(0, 1));
    return phrase === '' || !isSpaced ? phrase + word : `${phrase} ${word}`;
  }, '');
}

/** What one stretch of text is made of. */
export interface WordList {
  /** Term numbers in order, with PHRASE_BREAK between phrases. */
  terms: number[];
  /** For each of `terms`, the exact form that stood there; see `formDisplay`. */
  forms: number[];
  words: number;
  /** Words in scripts without spaces, as a dictionary tells them apart. */
  unspacedWords: number;
  /** Characters of words in scripts without spaces; reading time counts these by the character. */
  unspacedCharacters: number;
}

/**
 * The vocabulary of one text: every inflection of a word is one numbered term (its stem), and the exact forms are counted so
 * that a keyword can be shown as the text most often writes it.
 */
export class Lexicon {
  private readonly forms = new Map<string, Form>();
  private readonly formDisplays: string[] = [];
  private readonly termOfStem = new Map<string, number>();
  private readonly lowerForms = new Set<string>();
  private readonly segmenter: Intl.Segmenter;

  constructor(private readonly language: Language) {
    this.segmenter = new Intl.Segmenter(language.locale, { granularity: 'word' });
  }

  get uniqueWords(): number {
    return this.lowerForms.size;
  }

  get size(): number {
    return this.termOfStem.size;
  }

  formDisplay(form: number): string {
    return this.formDisplays[form] ?? '';
  }

  /** Reads one sentence, heading or cell (bounded by the sentence limit). */
  read(text: string): WordList {
    const list: WordList = { terms: [], forms: [], words: 0, unspacedWords: 0, unspacedCharacters: 0 };
    const prose = text.replace(BARE_LINK, ' | ');
    if (UNSPACED.test(prose)) this.readUnspaced(prose, list);
    else this.readSpaced(prose, list);
    return list;
  }

  private readSpaced(text: string, list: WordList): void {
    let end = 0;
    for (const match of text.matchAll(SPACED_WORD)) {
      if (/[^\s]/.test(text.slice(end, match.index))) this.interrupt(list);
      end = match.index + match[0].length;
      list.words += 1;
      // A part of a path ("src/kernel/clock.ts") is a word, but not what a text is about.
      if (text.charAt(match.index - 1) === '/' || text.charAt(end) === '/') this.interrupt(list);
      else this.push(match[0], list);
    }
  }

  private readUnspaced(text: string, list: WordList): void {
    for (const { segment, isWordLike } of this.segmenter.segment(text)) {
      if (isWordLike === true) {
        list.words += 1;
        if (UNSPACED.test(segment)) {
          list.unspacedWords += 1;
          list.unspacedCharacters += segment.length;
        }
        this.push(segment, list);
      } else if (segment.trim() !== '') {
        this.interrupt(list);
      }
    }
  }

  private push(word: string, list: WordList): void {
    const form = this.forms.get(word) ?? this.learn(word);
    form.count += 1;
    if (form.term === PHRASE_BREAK) this.interrupt(list);
    else {
      list.terms.push(form.term);
      list.forms.push(form.index);
    }
  }

  private interrupt(list: WordList): void {
    if (list.terms.length === 0 || list.terms.at(-1) === PHRASE_BREAK) return;
    list.terms.push(PHRASE_BREAK);
    list.forms.push(PHRASE_BREAK);
  }

  private learn(word: string): Form {
    const display = withoutClitics(word.normalize('NFC').replaceAll('’', "'"), this.language.tag);
    const lower = display.normalize('NFKC').toLowerCase();
    this.lowerForms.add(lower);
    const form: Form = {
      term: this.isTerm(lower, word) ? this.termFor(lower) : PHRASE_BREAK,
      index: this.formDisplays.length,
      display,
      count: 0,
    };
    this.formDisplays.push(display);
    this.forms.set(word, form);
    return form;
  }

  private isTerm(lower: string, word: string): boolean {
    if (lower.length > LONGEST_TERM_CHARACTERS || !/\p{L}/u.test(lower)) return false;
    if (/^\p{Script=Hiragana}+$/u.test(lower)) return false;
    // One letter names nothing, and neither, mostly, does one ideograph.
    if (/^.$/u.test(lower)) return false;
    return !this.language.isStopword(lower) && !this.language.isStopword(word.toLowerCase().replaceAll('’', "'"));
  }

  private termFor(lower: string): number {
    const stem = this.language.stem(lower);
    const key = stem === '' ? lower : stem;
    const known = this.termOfStem.get(key);
    if (known !== undefined) return known;
    const term = this.termOfStem.size;
    this.termOfStem.set(key, term);
    return term;
  }

  /**
   * How the text writes these terms. A lower-case form wins over a more frequent capitalised one unless it is rare, because a
   * capital may only mean the start of a sentence.
   */
  async displays(terms: ReadonlySet<number>, slices: TimeSlices): Promise<Map<number, string>> {
    const best = new Map<number, { lower: Form | undefined; any: Form }>();
    for (const form of this.forms.values()) {
      if (slices.isOver()) await slices.next();
      if (!terms.has(form.term)) continue;
      const isLower = form.display === form.display.toLowerCase();
      const sofar = best.get(form.term) ?? { lower: undefined, any: form };
      if (isBetter(form, sofar.any)) sofar.any = form;
      if (isLower && (sofar.lower === undefined || isBetter(form, sofar.lower))) sofar.lower = form;
      best.set(form.term, sofar);
    }
    const displays = new Map<number, string>();
    for (const [term, { lower, any }] of best) {
      displays.set(term, lower !== undefined && lower.count * 3 >= any.count ? lower.display : any.display);
    }
    return displays;
  }
}

function isBetter(form: Form, than: Form): boolean {
  if (form.count !== than.count) return form.count > than.count;
  if (form.display.length !== than.display.length) return form.display.length < than.display.length;
  return form.display < than.display;
}

/** "l'homme" is about the man, "Taskyard's" about Taskyard. */
function withoutClitics(word: string, language: string): string {
  switch (language) {
    case 'en':
      return word.replace(/'s?$/i, '');
    case 'fr':
    case 'it':
      return word.replace(/^\p{L}{1,6}'(?=\p{L})/u, '');
    default:
      return word;
  }
}
