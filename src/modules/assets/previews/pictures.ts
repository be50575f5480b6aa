import sharp from 'sharp';
import type { OnFacts, Preview } from './preview-job.js';

/** Pixels that are decoded at most: of more, only the header is read. */
const MAX_PIXELS = 120_000_000;

/** @throws Error for what cannot be decoded */
export async function previewPicture(input: string, onFacts: OnFacts): Promise<Preview> {
  // What can be decoded of a file that lacks its last bytes is shown, as browsers do.
  const options = { failOn: 'none', sequentialRead: true, pages: 1 } as const;
  const header = sharp(input, { ...options, limitInputPixels: false });
  const { width, height, format, pages, orientation } = await header.metadata();
  const source = sharp(input, { ...options, limitInputPixels: MAX_PIXELS });
  const turned = (orientation ?? 1) >= 5;
  const facts = {
    width: turned ? height : width,
    height: turned ? width : height,
    format,
    ...(pages === undefined || pages < 2 ? {} : { frames: pages }),
  };
  onFacts(facts);
  if (width * height > MAX_PIXELS) {
    return { picture: null, metadata: facts, note: 'the picture has too many pixels to be drawn' };
  }
  return { picture: source.rotate(), metadata: facts, note: null };
}
