import { shorten } from './clean-text.js';
import type { DigestOutput } from './digest.schema.js';
import { languageName } from './languages.js';

const NUMBERS = new Intl.NumberFormat('en');
const LISTED_KEYWORDS = 12;

/** The digest as Markdown for a person. Whatever the text says is escaped: it may not become markup of ours. */
export function digestMessage(output: DigestOutput, title: string): string {
  const { counts, readability } = output;
  const sections: string[] = [`## ${escapeMarkdown(title)}`];
  sections.push(
    output.summary.length === 0
      ? 'There is nothing to summarise in this text.'
      : output.summary.map((sentence) => `- ${escapeMarkdown(sentence)}`).join('\n'),
  );
  if (output.keywords.length > 0) {
    const listed = output.keywords
      .slice(0, LISTED_KEYWORDS)
      .map(({ term, count }) => `${escapeMarkdown(term)} (${count})`);
    sections.push(`**Keywords:** ${listed.join(', ')}`);
  }
  const facts = [
    plural(counts.words, 'word'),
    plural(counts.sentences, 'sentence'),
    plural(counts.paragraphs, 'paragraph'),
    plural(counts.headings, 'heading'),
    plural(counts.links, 'link'),
    plural(counts.code_blocks, 'code block'),
    languageName(output.language),
    `${readingTime(output.reading_time_seconds)} to read`,
  ];
  if (readability !== null) facts.push(`Flesch reading ease ${readability.flesch_reading_ease}`);
  sections.push(`**Text:** ${facts.join(' · ')}`);
  return sections.join('\n\n');
}

/** "45 s", "3 min". */
export function readingTime(seconds: number): string {
  return seconds < 60 ? `${seconds} s` : `${NUMBERS.format(Math.round(seconds / 60))} min`;
}

export function plural(number: number, noun: string): string {
  return `${NUMBERS.format(number)} ${noun}${number === 1 ? '' : 's'}`;
}

function escapeMarkdown(text: string): string {
  return shorten(text, 700)
    .replace(/[\\`*[\]<>|~]/g, '\\$&')
    .replace(/&(?=[#\w])/g, '\\&')
    .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_')
    .replace(/^(\d{1,9})([.)])/, '$1\\$2')
    .replace(/^[-+#=]/, '\\$&');
}
