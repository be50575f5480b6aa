import type { DigestReadability } from './digest.schema.js';
import type { TextModel } from './text-model.js';
import type { TimeSlices } from './time-slices.js';

/** A score of one or two sentences says nothing. */
const FEWEST_SENTENCES = 3;
const FEWEST_WORDS = 30;
/** A score does not change any more with more text. */
const MEASURED_SENTENCES = 5000;

/**
 * Flesch reading ease (1948) and the Flesch-Kincaid grade (1975) of English prose; null for every other language, whose syllables
 * and sentences weigh differently, and for a text too short to tell.
 */
export async function readabilityOf(
  model: TextModel,
  language: string,
  slices: TimeSlices,
): Promise<DigestReadability> {
  if (language !== 'en') return null;
  let sentences = 0;
  let words = 0;
  let syllables = 0;
  for (const passage of model.passages) {
    if (passage.kind !== 'paragraph' || sentences >= MEASURED_SENTENCES) continue;
    const found = passage.text.toLowerCase().match(/[a-z]+(?:['’][a-z]+)?/g) ?? [];
    if (found.length === 0) continue;
    sentences += 1;
    words += found.length;
    for (const word of found) syllables += syllablesOf(word);
    if (slices.isOver()) await slices.next();
  }
  if (sentences < FEWEST_SENTENCES || words < FEWEST_WORDS) return null;
  return {
    flesch_reading_ease: oneDecimal(206.835 - 1.015 * (words / sentences) - 84.6 * (syllables / words)),
    flesch_kincaid_grade: oneDecimal(0.39 * (words / sentences) + 11.8 * (syllables / words) - 15.59),
  };
}

/** Groups of vowels, less the silent endings: right for about nine English words in ten, which is what the formulas expect. */
function syllablesOf(word: string): number {
  const spoken = word.replace(/(?:[^laeiouy]es|[^td]ed|[^laeiouy]e)$/, '').replace(/^y/, '');
  return Math.max(1, spoken.match(/[aeiouy]{1,2}/g)?.length ?? 1);
}

function oneDecimal(value: number): number {
  return Math.round(value * 10) / 10;
}
