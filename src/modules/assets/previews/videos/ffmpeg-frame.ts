import sharp, { type Sharp } from 'sharp';
import { runFfmpeg } from './ffmpeg.js';
import { toneMapped, type Transfer } from '../pictures/tone-map.js';

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const MAX_PIXELS = 120_000_000;

/** Pixels as they are to be shown, and no more than are needed. */
const SCALE = "scale='min(4096,iw*sar)':ih,setsar=1,scale='min(1280,iw)':-2";

export interface FrameChoice {
  /** Where in the video, in seconds; 0 is its first frame. */
  second: number;
  /** Of video of high dynamic range, which is tone-mapped. */
  transfer: Transfer | null;
  /** Options of the decoder. */
  options?: readonly string[];
}

/** One frame of a video, or a still picture. @throws Error where there is none, or it cannot be decoded */
export async function frameByFfmpeg(ffmpeg: string, input: string, choice: FrameChoice): Promise<Sharp> {
  const { second, transfer, options = [] } = choice;
  const pieces: Buffer[] = [];
  await runFfmpeg(ffmpeg, {
    before: [...options, '-max_pixels', String(MAX_PIXELS), ...(second > 0 ? ['-ss', String(second)] : [])],
    input,
    after: [
      ...['-an', '-sn', '-dn', '-frames:v', '1', '-vf', SCALE],
      ...(transfer === null ? [] : ['-pix_fmt', 'rgb48be']),
      ...['-f', 'image2pipe', '-c:v', 'png'],
    ],
    onBytes: (bytes) => pieces.push(bytes),
    maxBytes: MAX_OUTPUT_BYTES,
  });
  if (pieces.length === 0) {
    throw new Error('ffmpeg found no picture');
  }
  const picture = sharp(Buffer.concat(pieces), { limitInputPixels: MAX_PIXELS });
  return transfer === null ? picture : toneMapped(picture, { transfer, isWide: true });
}
