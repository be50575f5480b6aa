import sharp from 'sharp';
import { frameByFfmpeg } from '../videos/ffmpeg-frame.js';
import { lookByFfmpeg } from '../videos/ffmpeg-facts.js';
import { hdrColorsOf } from './picture-colors.js';
import type { OnFacts, Preview } from '../preview-job.js';
import { toneMapped } from './tone-map.js';

/** Pixels that are decoded at most: of more, only the header is read. */
const MAX_PIXELS = 120_000_000;

/** @throws Error for what cannot be decoded */
export async function previewPicture(input: string, ffmpeg: string | null, onFacts: OnFacts): Promise<Preview> {
  // What can be decoded of a file that lacks its last bytes is shown, as browsers do.
  const options = { failOn: 'none', sequentialRead: true, pages: 1 } as const;
  const header = await sharp(input, { ...options, limitInputPixels: false })
    .metadata()
    .catch(() => null);
  if (header === null) {
    return byFfmpeg(input, ffmpeg, onFacts);
  }
  const { width, height, format, pages, orientation } = header;
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
  const source = sharp(input, { ...options, limitInputPixels: MAX_PIXELS });
  const colors = await hdrColorsOf(input, format);
  return { picture: colors === null ? source.rotate() : await toneMapped(source, colors), metadata: facts, note: null };
}

/** Formats that only ffmpeg knows, such as BMP, JPEG XL and OpenEXR. */
async function byFfmpeg(input: string, ffmpeg: string | null, onFacts: OnFacts): Promise<Preview> {
  if (ffmpeg === null) {
    return { picture: null, metadata: {}, note: 'no decoder for this picture on this machine' };
  }
  const { width, height, video_codec: format } = (await lookByFfmpeg(ffmpeg, input)).facts;
  const facts = {
    ...(width === undefined || height === undefined ? {} : { width, height }),
    ...(format === undefined ? {} : { format }),
  };
  onFacts(facts);
  // Light is stored as it is in OpenEXR, and is to be coded as screens have it.
  const options = format === 'exr' ? ['-apply_trc', 'iec61966_2_1'] : [];
  const picture = await frameByFfmpeg(ffmpeg, input, { second: 0, transfer: null, options });
  return { picture, metadata: facts, note: null };
}
