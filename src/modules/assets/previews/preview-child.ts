/**
 * The process that opens what strangers sent, so that the server never does: it decodes, draws, writes one small WebP, and says what it
 * found. It has no secret in its environment and no connection to anything; whatever a file does to it, its parent ends it by time and
 * by memory, and starts another.
 */
import { writeFileSync } from 'node:fs';
import sharp, { type Sharp } from 'sharp';
import { card } from './pictures/cards.js';
import { previewModel } from './models/models.js';
import { previewPicture } from './pictures/pictures.js';
import {
  type MediaFacts,
  type OnFacts,
  type Preview,
  type PreviewJob,
  type PreviewProgress,
  previewJobSchema,
  type PreviewResult,
  THUMBNAIL_PIXELS,
} from './preview-job.js';
import { previewSound } from './sounds/sounds.js';
import { previewVideo } from './videos/videos.js';

sharp.cache(false);
sharp.concurrency(1);
try {
  // Where memory runs out, this is what goes, and not the server or its database.
  writeFileSync('/proc/self/oom_score_adj', '1000');
} catch {
  // Not on this system.
}

process.on('message', (message) => {
  const job = previewJobSchema.parse(message);
  work(job).then(
    (result) => process.send?.(result),
    () => process.exit(1),
  );
});
process.on('disconnect', () => process.exit(0));

async function work(job: PreviewJob): Promise<PreviewResult> {
  const failed = (note: string): Preview => ({ picture: null, metadata: {}, note });
  let known: MediaFacts = {};
  const onFacts = (facts: MediaFacts): void => {
    known = facts;
    tell(job, 'drawing', facts);
  };
  const preview = await look(job, onFacts).catch(() => failed('it could not be decoded'));
  const written =
    preview.picture === null
      ? false
      : await write(preview.picture, job.output).then(
          () => true,
          () => false,
        );
  if (!written) {
    await write(await card(job.kind, job.label, job.name), job.output);
  }
  const note = written ? null : (preview.note ?? 'it could not be decoded');
  return { id: job.id, metadata: { ...known, ...preview.metadata }, note };
}

function tell({ id }: PreviewJob, stage: PreviewProgress['stage'], metadata: MediaFacts): void {
  process.send?.({ id, stage, metadata } satisfies PreviewProgress);
}

async function look(job: PreviewJob, onFacts: OnFacts): Promise<Preview> {
  const { kind, input, contentType, name, ffmpeg } = job;
  if (input === null) {
    return { picture: null, metadata: {}, note: null };
  }
  if (kind !== 'model') {
    // Reading a model is most of the work on it, so it has the time of a drawing.
    tell(job, 'probing', {});
  }
  switch (kind) {
    case 'image':
      return previewPicture(input, ffmpeg, onFacts);
    case 'sound':
      return previewSound({ input, contentType, name, ffmpeg, onFacts });
    case 'video':
      return previewVideo(input, ffmpeg, onFacts);
    case 'model':
      return previewModel(input, contentType, onFacts);
    case 'card':
      return { picture: null, metadata: {}, note: null };
  }
}

async function write(picture: Sharp, output: string): Promise<void> {
  await picture
    .resize(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 80 })
    .timeout({ seconds: 15 })
    .toFile(output);
}
