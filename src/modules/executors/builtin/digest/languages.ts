import { stopwords as arabic } from '@orama/stopwords/arabic';
import { stopwords as bulgarian } from '@orama/stopwords/bulgarian';
import { stopwords as danish } from '@orama/stopwords/danish';
import { stopwords as dutch } from '@orama/stopwords/dutch';
import { stopwords as english } from '@orama/stopwords/english';
import { stopwords as finnish } from '@orama/stopwords/finnish';
import { stopwords as french } from '@orama/stopwords/french';
import { stopwords as german } from '@orama/stopwords/german';
import { stopwords as greek } from '@orama/stopwords/greek';
import { stopwords as hindi } from '@orama/stopwords/indian';
import { stopwords as hungarian } from '@orama/stopwords/hungarian';
import { stopwords as indonesian } from '@orama/stopwords/indonesian';
import { stopwords as italian } from '@orama/stopwords/italian';
import { stopwords as japanese } from '@orama/stopwords/japanese';
import { stopwords as lithuanian } from '@orama/stopwords/lithuanian';
import { stopwords as mandarin } from '@orama/stopwords/mandarin';
import { stopwords as norwegian } from '@orama/stopwords/norwegian';
import { stopwords as portuguese } from '@orama/stopwords/portuguese';
import { stopwords as romanian } from '@orama/stopwords/romanian';
import { stopwords as russian } from '@orama/stopwords/russian';
import { stopwords as slovenian } from '@orama/stopwords/slovenian';
import { stopwords as spanish } from '@orama/stopwords/spanish';
import { stopwords as swedish } from '@orama/stopwords/swedish';
import { stopwords as turkish } from '@orama/stopwords/turkish';
import { stopwords as ukrainian } from '@orama/stopwords/ukrainian';

type Stem = (word: string) => string;

interface Profile {
  stopwords: readonly string[];
  /** Loaded only once the language is known: together the stemmers are large. */
  loadStemmer?: () => Promise<{ stemmer: Stem }>;
}

/** What is known of the language of one text. For `und`, nothing is, and frequency has to stand in for stopwords. */
export interface Language {
  /** BCP 47; `und` when unknown. */
  tag: string;
  /** A locale that Intl takes, whatever the tag. */
  locale: string;
  isStopword(word: string): boolean;
  stem(word: string): string;
}

/**
 * The lists of the library hold the pronouns, articles and prepositions; English prose has more words that name nothing. They
 * weigh nothing in detection, and are only kept out of keywords and similarity.
 */
const ENGLISH_FILLERS = (
  'also although among another anything around away become becomes become been cannot could etc even ever every everything ' +
  'get gets getting give given gives go goes got however instead just keep kept least less let like made make makes making many ' +
  'may might more most much must need needs never new nothing now often one others otherwise per perhaps put quite rather really ' +
  'said say says see seen several shall since something still take taken takes thing things though three thus together too toward ' +
  'two unless until upon us use used uses using via way well went whatever whether whole without would yet else first second'
).split(' ');

const PROFILES: Readonly<Record<string, Profile>> = {
  ar: { stopwords: arabic, loadStemmer: () => import('@orama/stemmers/arabic') },
  bg: { stopwords: bulgarian, loadStemmer: () => import('@orama/stemmers/bulgarian') },
  da: { stopwords: danish, loadStemmer: () => import('@orama/stemmers/danish') },
  de: { stopwords: german, loadStemmer: () => import('@orama/stemmers/german') },
  el: { stopwords: greek, loadStemmer: () => import('@orama/stemmers/greek') },
  en: { stopwords: english, loadStemmer: () => import('@orama/stemmers/english') },
  es: { stopwords: spanish, loadStemmer: () => import('@orama/stemmers/spanish') },
  fi: { stopwords: finnish, loadStemmer: () => import('@orama/stemmers/finnish') },
  fr: { stopwords: french, loadStemmer: () => import('@orama/stemmers/french') },
  hi: { stopwords: hindi, loadStemmer: () => import('@orama/stemmers/indian') },
  hu: { stopwords: hungarian, loadStemmer: () => import('@orama/stemmers/hungarian') },
  id: { stopwords: indonesian, loadStemmer: () => import('@orama/stemmers/indonesian') },
  it: { stopwords: italian, loadStemmer: () => import('@orama/stemmers/italian') },
  ja: { stopwords: japanese },
  lt: { stopwords: lithuanian, loadStemmer: () => import('@orama/stemmers/lithuanian') },
  nl: { stopwords: dutch, loadStemmer: () => import('@orama/stemmers/dutch') },
  no: { stopwords: norwegian, loadStemmer: () => import('@orama/stemmers/norwegian') },
  pt: { stopwords: portuguese, loadStemmer: () => import('@orama/stemmers/portuguese') },
  ro: { stopwords: romanian, loadStemmer: () => import('@orama/stemmers/romanian') },
  ru: { stopwords: russian, loadStemmer: () => import('@orama/stemmers/russian') },
  sl: { stopwords: slovenian },
  sv: { stopwords: swedish, loadStemmer: () => import('@orama/stemmers/swedish') },
  tr: { stopwords: turkish, loadStemmer: () => import('@orama/stemmers/turkish') },
  uk: { stopwords: ukrainian, loadStemmer: () => import('@orama/stemmers/ukrainian') },
  zh: { stopwords: mandarin },
};

/** Scripts that (nearly) one language writes need no profile. */
const SCRIPT_LANGUAGES: readonly (readonly [string, RegExp])[] = [
  ['ko', /\p{Script=Hangul}/gu],
  ['th', /\p{Script=Thai}/gu],
  ['he', /\p{Script=Hebrew}/gu],
  ['ka', /\p{Script=Georgian}/gu],
  ['hy', /\p{Script=Armenian}/gu],
  ['ta', /\p{Script=Tamil}/gu],
];

/** A text has to spend this share of its words on a language's stopwords to count as written in it. Real prose spends 0.3 to 0.5. */
const MIN_STOPWORD_SHARE = 0.12;
const MIN_STOPWORDS = 2;
const SAMPLE_WORD = /[\p{L}\p{M}]+(?:'[\p{L}\p{M}]+)?/gu;

/**
 * Tells the language of a sample (some ten thousand characters are plenty) by script and, where many languages share one, by the
 * stopwords found: each hit counts the more, the fewer languages have that stopword, so that Danish and Norwegian come apart.
 */
export function detectLanguage(sample: string): string {
  const letters = countOf(sample, /\p{L}/gu);
  if (letters === 0) return 'und';
  const han = countOf(sample, /\p{Script=Han}/gu);
  const kana = countOf(sample, /[\p{Script=Hiragana}\p{Script=Katakana}]/gu);
  if ((han + kana) * 2 > letters) return kana * 12 > han + kana ? 'ja' : 'zh';
  for (const [tag, script] of SCRIPT_LANGUAGES) if (countOf(sample, script) * 2 > letters) return tag;
  return byStopwords(sample);
}

function byStopwords(sample: string): string {
  const languagesOf = stopwordIndex();
  const scores = new Map<string, { weight: number; hits: number }>();
  let words = 0;
  for (const [word] of sample.toLowerCase().replaceAll('’', "'").matchAll(SAMPLE_WORD)) {
    words += 1;
    const tags = languagesOf.get(word);
    if (tags === undefined) continue;
    for (const tag of tags) {
      const score = scores.get(tag) ?? { weight: 0, hits: 0 };
      score.weight += 1 / Math.sqrt(tags.length);
      score.hits += 1;
      scores.set(tag, score);
    }
  }
  let best = 'und';
  let bestWeight = 0;
  for (const [tag, { weight, hits }] of scores) {
    if (hits < MIN_STOPWORDS || hits / words < MIN_STOPWORD_SHARE || weight <= bestWeight) continue;
    best = tag;
    bestWeight = weight;
  }
  return best;
}

let index: Map<string, string[]> | undefined;

function stopwordIndex(): Map<string, string[]> {
  if (index !== undefined) return index;
  index = new Map();
  for (const [tag, profile] of Object.entries(PROFILES)) {
    for (const word of new Set(profile.stopwords.map((stopword) => stopword.toLowerCase()))) {
      const tags = index.get(word);
      if (tags === undefined) index.set(word, [tag]);
      else tags.push(tag);
    }
  }
  return index;
}

/** Loads what is known of a language; never fails for a tag that `detectLanguage` gave. */
export async function loadLanguage(tag: string): Promise<Language> {
  const profile = PROFILES[tag];
  const stopwords = new Set(profile?.stopwords.map((word) => word.toLowerCase()));
  if (tag === 'en') for (const word of ENGLISH_FILLERS) stopwords.add(word);
  const loaded = await profile?.loadStemmer?.();
  return {
    tag,
    locale: tag === 'und' ? 'en' : tag,
    isStopword: (word) => stopwords.has(word),
    stem: loaded === undefined ? (word) => word : (word) => loaded.stemmer(word),
  };
}

/** The language's name in English, for people. */
export function languageName(tag: string): string {
  if (tag === 'und') return 'unknown language';
  return new Intl.DisplayNames('en', { type: 'language' }).of(tag) ?? tag;
}

function countOf(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
