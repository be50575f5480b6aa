import sharp from 'sharp';
import { runFfmpeg } from './ffmpeg.js';
import { lookAtMedia } from './media-facts.js';
import type { OnFacts, Preview } from './preview-job.js';

const MOST_PICTURE_BYTES = 64 * 1024 * 1024;

/** @throws Error for what is no video */
export async function previewVideo(input: string, ffmpeg: string | null, onFacts: OnFacts): Promise<Preview> {
  const { facts, vp8 } = await lookAtMedia(input);
  onFacts(facts);
  const seconds = facts['duration_seconds'];
  const frame =
    ffmpeg === null
      ? null
      : await frameByFfmpeg(ffmpeg, input, typeof seconds === 'number' ? seconds : 0).catch(() => null);
  const picture = frame ?? (vp8 === null ? null : webpOf(vp8));
  if (picture === null) {
    const note = ffmpeg === null ? 'no ffmpeg on this machine' : 'no picture could be taken from the video';
    return { picture: null, metadata: facts, note };
  }
  return { picture: sharp(picture, { limitInputPixels: 120_000_000 }), metadata: facts, note: null };
}

/** A picture from a little into it: the very first one is black all too often. */
async function frameByFfmpeg(ffmpeg: string, input: string, seconds: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const at = String(Math.min(3, Math.max(0, seconds / 10)));
  const after = ['-frames:v', '1', '-vf', "scale='min(1280,iw)':-2", '-f', 'image2pipe', '-c:v', 'png'];
  await runFfmpeg(ffmpeg, ['-ss', at], input, after, (bytes) => pieces.push(bytes), MOST_PICTURE_BYTES);
  if (pieces.length === 0) {
    throw new Error('ffmpeg found no picture');
  }
  return Buffer.concat(pieces);
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
