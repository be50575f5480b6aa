import type { DigestKeyword } from './digest.schema.js';
import type { Language } from './languages.js';
import { shorten } from './clean-text.js';
import { PHRASE_BREAK } from './lexicon.js';
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
/** A phrase stands for a word once it covers this share of the word's occurrences. */
const COVERED_SHARE = 0.5;
const TERM_LIMIT_CHARACTERS = 80;
/** Distinct phrases counted; a text of random words has as many as words. */
const PHRASES_LIMIT = 50_000;

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
  const graphTerms = Array.from(counts.keys()).filter((term) => (weights[term] ?? 0) > 0);
  graphTerms.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  const ranked = graphTerms.slice(0, GRAPH_TERMS_LIMIT);
  const rank = await rankTerms(model, ranked, weights, slices);
  const phrases = await countPhrases(model, rank, slices);
  for (const [term, termRank] of rank) phrases.push({ terms: [term], count: counts[term] ?? 0, score: termRank });
  phrases.sort((a, b) => b.score - a.score || b.terms.length - a.terms.length || (a.terms[0] ?? 0) - (b.terms[0] ?? 0));
  return named(withoutOverlap(phrases, limit), model, language);
}

async function countTerms(model: TextModel, slices: TimeSlices): Promise<{ counts: Float64Array; weights: Float64Array }> {
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

/** Without a stopword list: what is short and stands in very many sentences is most likely a word that names nothing. */
async function dropFrequentShortTerms(model: TextModel, counts: Float64Array, weights: Float64Array, slices: TimeSlices): Promise<void> {
  const displays = model.lexicon.displays(new Set(counts.keys()));
  for (const [term, display] of displays) {
    const share = (counts[term] ?? 0) / Math.max(1, model.sentences);
    const isIdeographic = /\p{Script=Han}/u.test(display);
    if (!isIdeographic && (display.length <= 2 || (display.length <= 4 && share > 0.15) || share > 0.6)) weights[term] = 0;
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
  let rank = jump;
  for (let round = 0; round < RANK_ROUNDS; round += 1) {
    const next = jump.map((share) => (1 - DAMPING) * share);
    for (const [node, neighbours] of edges.entries()) {
      let strength = 0;
      for (const weight of neighbours.values()) strength += weight;
      for (const [neighbour, weight] of neighbours) next[neighbour] = (next[neighbour] ?? 0) + (DAMPING * (rank[node] ?? 0) * weight) / strength;
      if (slices.isOver()) await slices.next();
    }
    rank = next;
  }
  return new Map(ranked.map((term, node) => [term, rank[node] ?? 0]));
}

function strengthen(edges: readonly Map<number, number>[], a: number, b: number): void {
  edges[a]?.set(b, (edges[a].get(b) ?? 0) + 1);
  edges[b]?.set(a, (edges[b].get(a) ?? 0) + 1);
}

async function countPhrases(model: TextModel, rank: ReadonlyMap<number, number>, slices: TimeSlices): Promise<Phrase[]> {
  const phrases = new Map<string, Phrase>();
  for (const { terms } of model.passages) {
    for (let start = 0; start < terms.length; start += 1) {
      let key = '';
      let score = 0;
      for (let length = 1; length <= LONGEST_PHRASE_TERMS; length += 1) {
        const term = terms[start + length - 1];
        const termRank = term === undefined ? undefined : rank.get(term);
        if (term === undefined || termRank === undefined || terms.indexOf(term, start) !== start + length - 1) break;
        key += ` ${term}`;
        score += termRank;
        if (length === 1) continue;
        const known = phrases.get(key);
        if (known !== undefined) known.count += 1;
        else if (phrases.size < PHRASES_LIMIT) phrases.set(key, { terms: terms.slice(start, start + length), count: 1, score });
      }
    }
    if (slices.isOver()) await slices.next();
  }
  const recurring = Array.from(phrases.values()).filter((phrase) => phrase.count >= 2);
  for (const phrase of recurring) phrase.score *= Math.min(1, 0.4 + 0.12 * phrase.count);
  return recurring;
}

/** Keeps a phrase or a word only if it is not mostly said already by a better one. */
function withoutOverlap(phrases: readonly Phrase[], limit: number): Phrase[] {
  const kept: Phrase[] = [];
  for (const phrase of phrases) {
    if (kept.length >= limit) break;
    const isSaid = kept.some((other) => {
      const common = phrase.terms.filter((term) => other.terms.includes(term)).length;
      if (common === 0) return false;
      if (common === phrase.terms.length) return other.count >= phrase.count * COVERED_SHARE;
      return common === other.terms.length ? phrase.count < other.count * COVERED_SHARE : common >= 2 || phrase.terms.length === 2;
    });
    if (isSaid) continue;
    // A longer phrase that carries most of a kept word replaces it, at the word's place.
    const replaced = kept.findIndex((other) => other.terms.every((term) => phrase.terms.includes(term)));
    if (replaced === -1) kept.push(phrase);
    else kept[replaced] = { ...phrase, score: kept[replaced]?.score ?? phrase.score };
  }
  return kept;
}

function named(phrases: readonly Phrase[], model: TextModel, language: Language): DigestKeyword[] {
  const displays = model.lexicon.displays(new Set(phrases.flatMap((phrase) => phrase.terms)));
  const highest = phrases[0]?.score ?? 0;
  const space = ['zh', 'ja', 'th'].includes(language.tag) ? '' : ' ';
  return phrases.map((phrase) => ({
    term: shorten(phrase.terms.map((term) => displays.get(term) ?? '').join(space), TERM_LIMIT_CHARACTERS),
    score: highest === 0 ? 0 : Math.round((phrase.score / highest) * 10_000) / 10_000,
    count: phrase.count,
  }));
}
