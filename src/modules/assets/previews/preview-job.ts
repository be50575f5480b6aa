/** What the server and its preview process say to one another. */
import type { Sharp } from 'sharp';
import { z } from 'zod';

const PREVIEW_KINDS = ['image', 'sound', 'video', 'model', 'card'] as const;
export type PreviewKind = (typeof PREVIEW_KINDS)[number];

export const previewJobSchema = z.object({
  id: z.int(),
  kind: z.enum(PREVIEW_KINDS),
  /** What the card says it is, such as “3D model”. */
  label: z.string(),
  name: z.string(),
  contentType: z.string(),
  /** Null for a card, which is drawn without a look at the file. */
  input: z.string().nullable(),
  output: z.string(),
  ffmpeg: z.string().nullable(),
});
export type PreviewJob = z.output<typeof previewJobSchema>;

/** What a file says of itself; only what could be found. */
export type MediaFacts = Record<string, number | string | boolean>;

export const previewResultSchema = z.object({
  id: z.int(),
  metadata: z.record(z.string(), z.union([z.number(), z.string().max(200), z.boolean()])),
  /** Why there is a card and no picture of what is in the file; null where there is one. */
  note: z.string().max(200).nullable(),
});
export type PreviewResult = z.output<typeof previewResultSchema>;

/**
 * How far a job has come: `probing` while the file is looked into, which must be quick, and `drawing` once that is done. The facts are those
 * found so far; they are kept even if the job ends badly.
 */
export const previewProgressSchema = z.object({
  id: z.int(),
  stage: z.enum(['probing', 'drawing']),
  metadata: previewResultSchema.shape.metadata,
});
export type PreviewProgress = z.output<typeof previewProgressSchema>;

export const previewMessageSchema = z.union([previewProgressSchema, previewResultSchema]);

/** Tells the server what was found before the picture is drawn. */
export type OnFacts = (facts: MediaFacts) => void;

/** A picture: something that sharp writes. Null: none could be taken, and a card takes its place. */
export interface Preview {
  picture: Sharp | null;
  metadata: MediaFacts;
  note: string | null;
}

export const THUMBNAIL_PIXELS = 640;
