import sharp from 'sharp';
import type { Preview } from './preview-job.js';

/** Pixels that are decoded at most: a bomb of more is refused by its header. */
const MOST_PIXELS = 120_000_000;

/** @throws Error for what cannot be decoded */
export async function previewPicture(input: string): Promise<Preview> {
  const source = sharp(input, { limitInputPixels: MOST_PIXELS, failOn: 'error', sequentialRead: true, pages: 1 });
  const { width, height, format, pages, orientation } = await source.metadata();
  const turned = (orientation ?? 1) >= 5;
  return {
    picture: source.rotate(),
    metadata: {
      width: turned ? height : width,
      height: turned ? width : height,
      format,
      ...(pages === undefined || pages < 2 ? {} : { frames: pages }),
    },
    note: null,
  };
}
