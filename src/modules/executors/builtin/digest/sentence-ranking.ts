import { PHRASE_BREAK } from './lexicon.js';
import type { Passage, TextModel } from './text-model.js';
import type { TimeSlices } from './time-slices.js';

/**
 * Chooses the sentences that say most of what a text says.
 *
 * 1. Every sentence becomes a TF-IDF vector over its terms. Its *centrality* is the cosine with the sum of all vectors
 *    (Radev et al., Centroid-based summarization, 2004, https://doi.org/10.1016/j.ipm.2003.10.006).
 * 2. Centrality, place (writers put first what matters, in a text and in a paragraph) and form make a first weight. It costs one
 *    pass; all later, quadratic work is on the CANDIDATES_LIMIT best sentences, which keeps any text within bounds.
 * 3. Among those, LexRank (Erkan and Radev, 2004, https://doi.org/10.1613/jair.1523): sentences similar to many sentences that are
 *    themselves similar to many rank high: PageRank over the graph of cosines.
 * 4. Maximal marginal relevance (Carbonell and Goldstein, 1998, https://doi.org/10.1145/290941.291025) picks one sentence after
 *    the other, each against its likeness to those already picked, so that no two say the same.
 *
 * No randomness, and ties go to the earlier sentence: the same text always gives the same digest.
 */
const CANDIDATES_LIMIT = 400;
const LEXRANK_ROUNDS = 25;
const DAMPING = 0.85;
/** MMR: how much relevance counts against novelty. */
const RELEVANCE_SHARE = 0.7;
/** Likeness from which a sentence counts as a repetition and is not picked at all. */
const REPETITION = 0.9;
const FEWEST_WORDS = 5;
/** From here on, a sentence loses weight as it gains words: long ones share words with everything. */
const MAX_WORDS = 35;

interface Vector {
  terms: Int32Array;
  weights: Float64Array;
}

interface Candidate {
  passage: number;
  vector: Vector;
  weight: number;
  /** See `formWeight`; what many sentences vote for has to be readable too. */
  form: number;
}

export interface RankedText {
  /** One number from 0 to 1 per sentence of the text, in order: how central it is. */
  importance: Float64Array;
  /** Picks the most telling sentence not picked yet; undefined when nothing new is left. `position` indexes `importance`. */
  pick(): { text: string; position: number } | undefined;
}

/** English openings that point back at a sentence which the summary most likely lacks. */
const POINTS_BACK =
  /^(?:It|Its|They|Their|He|She|This|That|These|Those|Such|Both|But|And|So|Also|However|Then|Otherwise|Thus|Therefore)\b/;

/** Weighs all sentences, in time slices. Picking afterwards is cheap. */
export async function rankSentences(model: TextModel, language: string, slices: TimeSlices): Promise<RankedText> {
  const sentences = sentencesOf(model.passages);
  const vectors = await vectorsOf(sentences, model.lexicon.size, slices);
  const importance = await weigh(sentences, vectors, model.lexicon.size, language, slices);
  const candidates = candidatesOf(sentences, vectors, importance, language);
  const likeness = await likenessOf(candidates, model.lexicon.size, slices);
  const rank = await lexRank(likeness, candidates.length, slices);
  const relevance = candidates.map(
    (candidate, index) => 0.5 * candidate.weight + 0.5 * (rank[index] ?? 0) * candidate.form,
  );
  return { importance, pick: picker(sentences, candidates, relevance, likeness) };
}

/** Paragraphs and list items; where a text has neither, whatever it has. */
function sentencesOf(passages: readonly Passage[]): Passage[] {
  const prose = passages.filter(
    (passage) => passage.words > 0 && (passage.kind === 'paragraph' || passage.kind === 'item'),
  );
  return prose.length > 0 ? prose : passages.filter((passage) => passage.words > 0);
}

async function vectorsOf(sentences: readonly Passage[], vocabulary: number, slices: TimeSlices): Promise<Vector[]> {
  const sentencesWith = new Float64Array(vocabulary);
  for (const sentence of sentences) {
    for (const term of new Set(sentence.terms))
      if (term !== PHRASE_BREAK) sentencesWith[term] = (sentencesWith[term] ?? 0) + 1;
    if (slices.isOver()) await slices.next();
  }
  const vectors: Vector[] = [];
  for (const sentence of sentences) {
    const frequency = new Map<number, number>();
    for (const term of sentence.terms) if (term !== PHRASE_BREAK) frequency.set(term, (frequency.get(term) ?? 0) + 1);
    const terms = Int32Array.from(frequency.keys());
    const weights = Float64Array.from(frequency, ([term, count]) => {
      return (1 + Math.log(count)) * Math.log(1 + sentences.length / (sentencesWith[term] ?? 1));
    });
    const norm = Math.hypot(...weights);
    if (norm > 0) for (let index = 0; index < weights.length; index += 1) weights[index] = (weights[index] ?? 0) / norm;
    vectors.push({ terms, weights });
    if (slices.isOver()) await slices.next();
  }
  return vectors;
}

async function weigh(
  sentences: readonly Passage[],
  vectors: readonly Vector[],
  vocabulary: number,
  language: string,
  slices: TimeSlices,
): Promise<Float64Array> {
  const centroid = new Float64Array(vocabulary);
  for (const { terms, weights } of vectors) {
    for (const [index, term] of terms.entries()) centroid[term] = (centroid[term] ?? 0) + (weights[index] ?? 0);
    if (slices.isOver()) await slices.next();
  }
  const centrality = new Float64Array(sentences.length);
  let highest = 0;
  for (const [position, { terms, weights }] of vectors.entries()) {
    let dot = 0;
    for (const [index, term] of terms.entries()) dot += (centroid[term] ?? 0) * (weights[index] ?? 0);
    centrality[position] = dot;
    highest = Math.max(highest, dot);
    if (slices.isOver()) await slices.next();
  }
  const importance = new Float64Array(sentences.length);
  for (const [position, sentence] of sentences.entries()) {
    const central = highest === 0 ? 0 : (centrality[position] ?? 0) / highest;
    importance[position] =
      (0.7 * central + 0.3 * placeWeight(sentence, position, sentences.length)) * formWeight(sentence, language);
    if (slices.isOver()) await slices.next();
  }
  return importance;
}

function placeWeight(sentence: Passage, position: number, total: number): number {
  const opening = Math.exp(-position / (3 + total / 20));
  return 0.6 * opening + (sentence.opensBlock && sentence.kind === 'paragraph' ? 0.4 : 0);
}

/** A sentence that only leads on to a list, a fragment, or a heap of signs makes a poor summary, whatever its words. */
function formWeight(sentence: Passage, language: string): number {
  let weight = 1;
  if (language === 'en' && POINTS_BACK.test(sentence.text)) weight *= 0.7;
  if (sentence.kind !== 'paragraph') weight *= 0.75;
  if (sentence.words < FEWEST_WORDS) weight *= 0.3;
  else if (sentence.words > MAX_WORDS) weight *= MAX_WORDS / sentence.words;
  if (/[:：]$/.test(sentence.text)) weight *= 0.4;
  if (/[?？]$/.test(sentence.text)) weight *= 0.8;
  if (!/[.!?…。！？।۔؟:：]["'”’»)\]]*$/.test(sentence.text)) weight *= 0.75;
  const letters = sentence.text.match(/[\p{L}\p{M}\s]/gu)?.length ?? 0;
  if (letters < sentence.text.length * 0.75) weight *= 0.5;
  return weight;
}

function candidatesOf(
  sentences: readonly Passage[],
  vectors: readonly Vector[],
  importance: Float64Array,
  language: string,
): Candidate[] {
  const order = Array.from(sentences.keys());
  order.sort((a, b) => (importance[b] ?? 0) - (importance[a] ?? 0) || a - b);
  const chosen = order.slice(0, CANDIDATES_LIMIT).sort((a, b) => a - b);
  const highest = importance[order[0] ?? 0] ?? 0;
  return chosen.flatMap((passage) => {
    const sentence = sentences[passage];
    const vector = vectors[passage];
    if (sentence === undefined || vector === undefined) return [];
    const weight = highest === 0 ? 0 : (importance[passage] ?? 0) / highest;
    return [{ passage, vector, weight, form: formWeight(sentence, language) }];
  });
}

/** Cosines between all candidates, row by row; the diagonal is 0, nobody votes for himself. */
async function likenessOf(
  candidates: readonly Candidate[],
  vocabulary: number,
  slices: TimeSlices,
): Promise<Float64Array> {
  const size = candidates.length;
  const likeness = new Float64Array(size * size);
  const row = new Float64Array(vocabulary);
  for (const [a, { vector }] of candidates.entries()) {
    for (const [index, term] of vector.terms.entries()) row[term] = vector.weights[index] ?? 0;
    for (let b = a + 1; b < size; b += 1) {
      const other = candidates[b]?.vector;
      if (other === undefined) continue;
      let dot = 0;
      for (let index = 0; index < other.terms.length; index += 1)
        dot += (row[other.terms[index] ?? 0] ?? 0) * (other.weights[index] ?? 0);
      likeness[a * size + b] = dot;
      likeness[b * size + a] = dot;
    }
    for (const term of vector.terms) row[term] = 0;
    if (slices.isOver()) await slices.next();
  }
  return likeness;
}

/** PageRank by power iteration, scaled so that the highest rank is 1. */
async function lexRank(likeness: Float64Array, size: number, slices: TimeSlices): Promise<Float64Array> {
  const votes = new Float64Array(size);
  for (let a = 0; a < size; a += 1)
    for (let b = 0; b < size; b += 1) votes[a] = (votes[a] ?? 0) + (likeness[a * size + b] ?? 0);
  let rank = new Float64Array(size).fill(1);
  for (let round = 0; round < LEXRANK_ROUNDS; round += 1) {
    const next = new Float64Array(size).fill(1 - DAMPING);
    for (let a = 0; a < size; a += 1) {
      const given = votes[a] === 0 ? 0 : (DAMPING * (rank[a] ?? 0)) / (votes[a] ?? 1);
      if (given === 0) continue;
      for (let b = 0; b < size; b += 1) next[b] = (next[b] ?? 0) + given * (likeness[a * size + b] ?? 0);
    }
    rank = next;
    if (slices.isOver()) await slices.next();
  }
  const highest = rank.reduce((most, value) => Math.max(most, value), 0);
  return highest === 0 ? rank : rank.map((value) => value / highest);
}

function picker(
  sentences: readonly Passage[],
  candidates: readonly Candidate[],
  relevance: readonly number[],
  likeness: Float64Array,
): RankedText['pick'] {
  const size = candidates.length;
  const nearest = new Float64Array(size);
  const taken = new Set<number>();
  const texts = new Set<string>();
  return () => {
    let best = -1;
    let bestValue = -Infinity;
    for (let index = 0; index < size; index += 1) {
      if (taken.has(index) || (nearest[index] ?? 0) > REPETITION) continue;
      const text = sentences[candidates[index]?.passage ?? 0]?.text ?? '';
      if (texts.has(text)) continue;
      const value = RELEVANCE_SHARE * (relevance[index] ?? 0) - (1 - RELEVANCE_SHARE) * (nearest[index] ?? 0);
      if (value > bestValue) {
        best = index;
        bestValue = value;
      }
    }
    const position = candidates[best]?.passage;
    const sentence = position === undefined ? undefined : sentences[position];
    if (position === undefined || sentence === undefined) return undefined;
    taken.add(best);
    texts.add(sentence.text);
    for (let index = 0; index < size; index += 1) {
      nearest[index] = Math.max(nearest[index] ?? 0, likeness[best * size + index] ?? 0);
    }
    return { text: sentence.text, position };
  };
}
