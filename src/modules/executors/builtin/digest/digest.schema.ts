import { z } from 'zod';

/** What a run may bring: the same bound as a prompt or a payload has on the wire. */
export const DIGEST_TEXT_LIMIT_BYTES = 1024 * 1024;

export const DIGEST_SENTENCES_DEFAULT = 5;
export const DIGEST_KEYWORDS_DEFAULT = 12;

/** The payload of a run of the agent `digest`; without `text` the run's prompt is digested. */
export const digestPayloadSchema = z
  .strictObject({
    text: z
      .string()
      .refine((text) => Buffer.byteLength(text) <= DIGEST_TEXT_LIMIT_BYTES, 'The text is longer than 1 MiB of UTF-8.')
      .optional()
      .meta({ description: 'The text or Markdown to digest, at most 1 MiB of UTF-8. Default: the prompt.' }),
    title: z
      .string()
      .max(200)
      .optional()
      .meta({ description: 'The title on the chart. Default: the first heading of the text.' }),
    sentences: z
      .int()
      .min(1)
      .max(20)
      .optional()
      .meta({ description: `How many key sentences to choose. Default: ${DIGEST_SENTENCES_DEFAULT}.` }),
    keywords: z
      .int()
      .min(1)
      .max(50)
      .optional()
      .meta({ description: `How many keywords to list. Default: ${DIGEST_KEYWORDS_DEFAULT}.` }),
  })
  .meta({ id: 'DigestPayload', description: 'The payload of the builtin agent `digest`.' });

export type DigestPayload = z.infer<typeof digestPayloadSchema>;

const count = z.int().min(0);

export const digestOutputSchema = z
  .strictObject({
    language: z.string().meta({ description: 'BCP 47 language tag of the text; `und` when it could not be told.' }),
    summary: z.array(z.string()).meta({ description: 'The key sentences, in the order of the text.' }),
    keywords: z
      .array(
        z.strictObject({
          term: z.string().meta({ description: 'The keyword or phrase as the text most often writes it.' }),
          score: z.number().min(0).max(1).meta({ description: 'Importance; the first keyword has 1.' }),
          count: count.meta({ description: 'Occurrences, all inflections together.' }),
        }),
      )
      .meta({ description: 'Keywords and key phrases, most important first.' }),
    counts: z
      .strictObject({
        characters: count.meta({ description: 'Unicode code points of the text, markup included.' }),
        lines: count,
        words: count.meta({ description: 'Words of the prose: headings and tables included, code blocks not.' }),
        unique_words: count,
        sentences: count.meta({ description: 'Sentences of paragraphs and list items.' }),
        paragraphs: count.meta({ description: 'Paragraphs outside lists.' }),
        list_items: count,
        headings: count,
        links: count,
        images: count,
        code_blocks: count,
      })
      .meta({ description: 'What the text is made of.' }),
    reading_time_seconds: z
      .int()
      .min(0)
      .meta({ description: 'At 238 words a minute, or 500 characters a minute where words are not spaced.' }),
    readability: z
      .strictObject({
        flesch_reading_ease: z.number().meta({ description: 'About 0 (very hard) to 100 (very easy).' }),
        flesch_kincaid_grade: z.number().meta({ description: 'Years of schooling in the United States.' }),
      })
      .nullable()
      .meta({ description: 'English texts of at least three sentences only; null otherwise.' }),
    outline: z
      .array(
        z.strictObject({
          level: z.int().min(1).max(6),
          line: z.int().min(1).meta({ description: 'Line of the text, counted from 1.' }),
          text: z.string(),
        }),
      )
      .meta({ description: 'The headings in the order of the text, at most 500; `counts.headings` has them all.' }),
  })
  .meta({ id: 'DigestOutput', description: 'The output of the builtin agent `digest`.' });

export type DigestOutput = z.infer<typeof digestOutputSchema>;
export type DigestKeyword = DigestOutput['keywords'][number];
export type DigestHeading = DigestOutput['outline'][number];
export type DigestReadability = DigestOutput['readability'];
