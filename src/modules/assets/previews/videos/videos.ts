import sharp, { type Sharp } from 'sharp';
import { lookByFfmpeg } from './ffmpeg-facts.js';
import { frameByFfmpeg } from './ffmpeg-frame.js';
import { lookAtMedia } from '../media-facts.js';
import type { MediaFacts, OnFacts, Preview } from '../preview-job.js';
import type { Transfer } from '../pictures/tone-map.js';

const MAX_PIXELS = 120_000_000;

export async function previewVideo(input: string, ffmpeg: string | null, onFacts: OnFacts): Promise<Preview> {
  const look = await lookAtMedia(input).catch(() => null);
  onFacts(look?.facts ?? {});
  const more = ffmpeg === null ? null : await lookByFfmpeg(ffmpeg, input).catch(() => null);
  const facts = merged(more?.facts ?? {}, look?.facts ?? {});
  onFacts(facts);
  const seconds = facts['duration_seconds'];
  const picture =
    ffmpeg === null
      ? null
      : await frameOf(ffmpeg, input, typeof seconds === 'number' ? seconds : 0, more?.transfer ?? null);
  const vp8 = look?.vp8 ?? null;
  if (picture === null && vp8 !== null) {
    return { picture: sharp(webpOf(vp8), { limitInputPixels: MAX_PIXELS }), metadata: facts, note: null };
  }
  const note = ffmpeg === null ? 'no ffmpeg on this machine' : 'no picture could be taken from the video';
  return { picture, metadata: facts, note: picture === null ? note : null };
}

/** What the first reader found, unless the second is surer. */
function merged(facts: MediaFacts, surer: MediaFacts): MediaFacts {
  const known = Object.entries(surer).filter(([name, value]) => value !== 'unknown' || facts[name] === undefined);
  return { ...facts, ...Object.fromEntries(known) };
}

/**
 * A picture from a little into it, since the very first one is often black; the first one where there is none so late, as in a video of one
 * frame. Null where there is none at all.
 */
async function frameOf(
  ffmpeg: string,
  input: string,
  seconds: number,
  transfer: Transfer | null,
): Promise<Sharp | null> {
  const at = Math.min(3, Math.max(0, seconds / 10));
  for (const second of at > 0 ? [at, 0] : [0]) {
    const frame = await frameByFfmpeg(ffmpeg, input, { second, transfer }).catch(() => null);
    if (frame !== null) {
      return frame;
    }
  }
  return null;
}

/** A key frame of VP8 is what a lossy WebP is made of: with the container around it, it is one. */
function webpOf(frame: Uint8Array): Buffer {
  const padding = frame.byteLength % 2;
  const head = Buffer.alloc(20);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(12 + frame.byteLength + padding, 4);
  head.write('WEBPVP8 ', 8, 'latin1');
  head.writeUInt32LE(frame.byteLength, 16);
  return Buffer.concat([head, frame, Buffer.alloc(padding)]);
}
