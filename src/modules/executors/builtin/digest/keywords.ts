import type { DigestKeyword } from './digest.schema.js';
import type { Language } from './languages.js';
import { shorten } from './clean-text.js';
import { joinWords, PHRASE_BREAK } from './lexicon.js';
import type { BlockKind } from './markdown-document.js';
import type { TextModel } from './text-model.js';
import type { TimeSlices } from './time-slices.js';

/**
 * Keywords by TextRank (Mihalcea and Tarau, 2004, https://aclanthology.org/W04-3252/) over terms, so that all inflections of a word
 * stand together: terms that stand near each other vote for each other. Phrases are runs of up to three terms that come back;
 * a phrase that carries most occurrences of a word takes that word's place in the list.
 */
const GRAPH_TERMS_LIMIT = 1500;
const WINDOW_TERMS = 3;
const RANK_ROUNDS = 20;
const DAMPING = 0.85;
const LONGEST_PHRASE_TERMS = 3;
/** Between two equals, the one that says more. */
const PHRASE_BONUS = 1.25;
/** A phrase stands for a word once it covers this share of the word's occurrences. */
const COVERED_SHARE = 0.5;
const TERM_LIMIT_CHARACTERS = 80;
/** Distinct phrases counted; a text of random words has as many as words. */
const PHRASES_LIMIT = 50_000;
/** In a handful of sentences, what stands in most of them is the subject. */
const FEWEST_SENTENCES_FOR_SHARES = 20;
const COMPARED_PHRASES_LIMIT = 4000;

const KIND_WEIGHTS: Readonly<Record<BlockKind, number>> = { heading: 2, paragraph: 1, item: 1, cell: 0.5 };

interface Phrase {
  terms: number[];
  count: number;
  score: number;
}

export async function findKeywords(
  model: TextModel,
  language: Language,
  limit: number,
  slices: TimeSlices,
): Promise<DigestKeyword[]> {
  const { counts, weights } = await countTerms(model, slices);
  if (language.tag === 'und') await dropFrequentShortTerms(model, counts, weights, slices);
  const rank = await rankTerms(model, heaviestTerms(weights), weights, slices);
  const phrases = await countPhrases(model, rank, counts, slices);
  for (const [term, termRank] of rank) phrases.push({ terms: [term], count: counts[term] ?? 0, score: termRank });
  phrases.sort((a, b) => b.score - a.score || b.terms.length - a.terms.length || (a.terms[0] ?? 0) - (b.terms[0] ?? 0));
  return named(withoutOverlap(phrases.slice(0, COMPARED_PHRASES_LIMIT), limit), model, slices);
}

async function countTerms(
  model: TextModel,
  slices: TimeSlices,
): Promise<{ counts: Float64Array; weights: Float64Array }> {
  const counts = new Float64Array(model.lexicon.size);
  const weights = new Float64Array(model.lexicon.size);
  for (const { terms, kind } of model.passages) {
    for (const term of terms) {
      if (term === PHRASE_BREAK) continue;
      counts[term] = (counts[term] ?? 0) + 1;
      weights[term] = (weights[term] ?? 0) + KIND_WEIGHTS[kind];
    }
    if (slices.isOver()) await slices.next();
  }
  return { counts, weights };
}

/** The terms that the text spends most on, without sorting a vocabulary that may be a quarter of a million words. */
function heaviestTerms(weights: Float64Array): number[] {
  const levels = new Int32Array(1024);
  const levelOf = (weight: number): number => Math.min(levels.length - 1, Math.ceil(weight * 2));
  for (const weight of weights) levels[levelOf(weight)] = (levels[levelOf(weight)] ?? 0) + 1;
  let lowest = levels.length - 1;
  for (let above = levels[lowest] ?? 0; lowest > 1 && above < GRAPH_TERMS_LIMIT; above += levels[lowest] ?? 0)
    lowest -= 1;
  const heavy: number[] = [];
  const light: number[] = [];
  for (const [term, weight] of weights.entries()) {
    if (levelOf(weight) > lowest) heavy.push(term);
    else if (levelOf(weight) === lowest && light.length < GRAPH_TERMS_LIMIT) light.push(term);
  }
  return [...heavy, ...light]
    .sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b)
    .slice(0, GRAPH_TERMS_LIMIT);
}

/** Without a stopword list: what is short and stands in very many sentences is most likely a word that names nothing. */
async function dropFrequentShortTerms(
  model: TextModel,
  counts: Float64Array,
  weights: Float64Array,
  slices: TimeSlices,
): Promise<void> {
  const displays = await model.lexicon.displays(new Set(counts.keys()), slices);
  for (const [term, display] of displays) {
    const share = model.sentences < FEWEST_SENTENCES_FOR_SHARES ? 0 : (counts[term] ?? 0) / model.sentences;
    const isIdeographic = /\p{Script=Han}/u.test(display);
    if (!isIdeographic && (display.length <= 2 || (display.length <= 4 && share > 0.15) || share > 0.6))
      weights[term] = 0;
    if (slices.isOver()) await slices.next();
  }
}

async function rankTerms(
  model: TextModel,
  ranked: readonly number[],
  weights: Float64Array,
  slices: TimeSlices,
): Promise<Map<number, number>> {
  const nodeOf = new Map(ranked.map((term, node) => [term, node]));
  const edges = ranked.map(() => new Map<number, number>());
  for (const { terms } of model.passages) {
    const nodes: number[] = [];
    for (const term of terms) {
      const node = nodeOf.get(term);
      if (node === undefined) continue;
      for (const near of nodes.slice(-WINDOW_TERMS)) if (near !== node) strengthen(edges, near, node);
      nodes.push(node);
    }
    if (slices.isOver()) await slices.next();
  }
  let total = 0;
  for (const term of ranked) total += weights[term] ?? 0;
  // The jump goes to where the text spends its words, so that a word without neighbours still ranks by its frequency.
  const jump = ranked.map((term) => (weights[term] ?? 0) / Math.max(1, total));
  const votes = edges.map((neighbours) => {
    let strength = 0;
    for (const weight of neighbours.values()) strength += weight;
    return {
      to: Int32Array.from(neighbours.keys()),
      share: Float64Array.from(neighbours.values(), (weight) => weight / strength),
    };
  });
  let rank = jump;
  for (let round = 0; round < RANK_ROUNDS; round += 1) {
    const next = jump.map((share) => (1 - DAMPING) * share);
    for (const [node, { to, share }] of votes.entries()) {
      const given = DAMPING * (rank[node] ?? 0);
      for (let index = 0; index < to.length; index += 1) {
        const neighbour = to[index] ?? 0;
        next[neighbour] = (next[neighbour] ?? 0) + given * (share[index] ?? 0);
      }
    }
    rank = next;
    if (slices.isOver()) await slices.next();
  }
  return new Map(ranked.map((term, node) => [term, rank[node] ?? 0]));
}

function strengthen(edges: readonly Map<number, number>[], a: number, b: number): void {
  edges[a]?.set(b, (edges[a].get(b) ?? 0) + 1);
  edges[b]?.set(a, (edges[b].get(a) ?? 0) + 1);
}

async function countPhrases(
  model: TextModel,
  rank: ReadonlyMap<number, number>,
  counts: Float64Array,
  slices: TimeSlices,
): Promise<Phrase[]> {
  const phrases = new Map<string, Phrase>();
  for (const { terms } of model.passages) {
    for (let start = 0; start < terms.length; start += 1) {
      let key = '';
      for (let length = 1; length <= LONGEST_PHRASE_TERMS; length += 1) {
        const term = terms[start + length - 1];
        if (term === undefined || !rank.has(term) || terms.indexOf(term, start) !== start + length - 1) break;
        key += ` ${term}`;
        if (length === 1) continue;
        const known = phrases.get(key);
        if (known !== undefined) known.count += 1;
        else if (phrases.size < PHRASES_LIMIT)
          phrases.set(key, { terms: terms.slice(start, start + length), count: 1, score: 0 });
      }
    }
    if (slices.isOver()) await slices.next();
  }
  let recurring = Array.from(phrases.values()).filter((phrase) => phrase.count >= 2);
  for (let fewest = 3; recurring.length > COMPARED_PHRASES_LIMIT; fewest += 1) {
    recurring = recurring.filter((phrase) => phrase.count >= fewest);
  }
  // A phrase carries, of each word's rank, the share of that word's occurrences that are its own.
  for (const phrase of recurring) {
    for (const term of phrase.terms)
      phrase.score += (PHRASE_BONUS * (rank.get(term) ?? 0) * phrase.count) / (counts[term] ?? 1);
  }
  return recurring;
}

/** Takes the best, but says nothing twice: neither a word beside the phrase that carries it, nor a phrase that hardly ever occurs. */
function withoutOverlap(phrases: readonly Phrase[], limit: number): Phrase[] {
  let kept: Phrase[] = [];
  for (const phrase of phrases) {
    if (kept.length >= limit) break;
    if (kept.some((other) => says(other, phrase))) continue;
    const covered = kept.filter((other) => says(phrase, other));
    const place = covered[0];
    if (place === undefined) {
      kept.push(phrase);
    } else {
      // The longer phrase stands at the place, and with the score, of the best word it covers.
      const stand = { ...phrase, score: place.score };
      kept = kept.flatMap((other) => (other === place ? [stand] : covered.includes(other) ? [] : [other]));
    }
  }
  return kept;
}

/** True when `phrase` makes `other` superfluous: it is the longer one and carries most of it, or it is more than half the same. */
function says(phrase: Phrase, other: Phrase): boolean {
  const common = other.terms.filter((term) => phrase.terms.includes(term)).length;
  if (common === other.terms.length) return phrase.count >= other.count * COVERED_SHARE;
  if (common === phrase.terms.length) return phrase.count > other.count / COVERED_SHARE;
  return common >= 2;
}

async function named(phrases: readonly Phrase[], model: TextModel, slices: TimeSlices): Promise<DigestKeyword[]> {
  const words = await model.lexicon.displays(new Set(phrases.flatMap((phrase) => phrase.terms)), slices);
  const written = await writtenForms(phrases, model, slices);
  const highest = phrases[0]?.score ?? 0;
  return phrases.map((phrase) => {
    const parts = written.get(phrase) ?? phrase.terms.map((term) => words.get(term) ?? '');
    return {
      term: shorten(joinWords(parts), TERM_LIMIT_CHARACTERS),
      score: highest === 0 ? 0 : Math.round((phrase.score / highest) * 10_000) / 10_000,
      count: phrase.count,
    };
  });
}

/** How the text most often writes each phrase as a whole: inflections agree within a phrase, not between its words alone. */
async function writtenForms(
  phrases: readonly Phrase[],
  model: TextModel,
  slices: TimeSlices,
): Promise<Map<Phrase, string[]>> {
  const byFirstTerm = new Map<number, Phrase[]>();
  for (const phrase of phrases) {
    const [first] = phrase.terms;
    if (first === undefined || phrase.terms.length === 1) continue;
    byFirstTerm.set(first, [...(byFirstTerm.get(first) ?? []), phrase]);
  }
  const counts = new Map<Phrase, Map<string, { parts: string[]; count: number }>>();
  for (const { terms, forms } of model.passages) {
    for (const [start, term] of terms.entries()) {
      for (const phrase of byFirstTerm.get(term) ?? []) {
        if (!phrase.terms.every((other, offset) => terms[start + offset] === other)) continue;
        const parts = forms.slice(start, start + phrase.terms.length).map((form) => model.lexicon.formDisplay(form));
        const variants = counts.get(phrase) ?? new Map<string, { parts: string[]; count: number }>();
        const variant = variants.get(parts.join(' ')) ?? { parts, count: 0 };
        variant.count += 1;
        counts.set(phrase, variants.set(parts.join(' '), variant));
      }
    }
    if (slices.isOver()) await slices.next();
  }
  const written = new Map<Phrase, string[]>();
  for (const [phrase, variants] of counts) {
    const best = Array.from(variants.values()).reduce((most, variant) => (variant.count > most.count ? variant : most));
    written.set(phrase, best.parts);
  }
  return written;
}
