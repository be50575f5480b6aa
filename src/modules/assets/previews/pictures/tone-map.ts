/**
 * Pictures of high dynamic range as ordinary screens show them.
 *
 * Their values are coded by one of the two transfer functions of ITU-R BT.2100: PQ, which stands for light up to 10,000 cd/m², or HLG, here as
 * a screen of 1,000 cd/m² shows it. Shown as if they were sRGB, they look pale and grey. What is white there (203 cd/m², ITU-R BT.2408) is to
 * be nearly white here: light up to 60 % of it stays as it is, and what is brighter is compressed ever more, so that it never clips. The
 * brightest of the three colors decides, so that the hue stays. Colors of BT.2020 that sRGB does not have are cut.
 */
import sharp, { type Sharp } from 'sharp';
import { THUMBNAIL_PIXELS } from '../preview-job.js';

export type Transfer = 'pq' | 'hlg';

export interface HdrColors {
  transfer: Transfer;
  /** The primaries are those of BT.2020, and not those of sRGB. */
  isWide: boolean;
}

const WHITE_NITS = 203;
const HLG_PEAK_NITS = 1_000;
const HLG_GAMMA = 1.2;
const KNEE = 0.6;

/** The picture no larger than a thumbnail, as sRGB of 8 bits. @throws Error where it cannot be decoded */
export async function toneMapped(picture: Sharp, { transfer, isWide }: HdrColors): Promise<Sharp> {
  const { data, info } = await picture
    .rotate()
    .resize(THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, { fit: 'inside', withoutEnlargement: true })
    .removeAlpha()
    .toColourspace('rgb16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const coded = new Uint16Array(data.buffer, data.byteOffset, width * height * channels);
  const light = LIGHT[transfer]();
  const pixels = Buffer.alloc(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const at = pixel * channels;
    const [first, second, third] = [
      coded[at] ?? 0,
      coded[at + (channels > 2 ? 1 : 0)] ?? 0,
      coded[at + (channels > 2 ? 2 : 0)] ?? 0,
    ];
    let [r, g, b] = [light[first] ?? 0, light[second] ?? 0, light[third] ?? 0];
    if (transfer === 'hlg') {
      const shown = Math.max(0, 0.2627 * r + 0.678 * g + 0.0593 * b) ** (HLG_GAMMA - 1) * (HLG_PEAK_NITS / WHITE_NITS);
      [r, g, b] = [r * shown, g * shown, b * shown];
    }
    if (isWide) {
      // ITU-R BT.2087: linear BT.2020 as linear BT.709.
      [r, g, b] = [
        1.6605 * r - 0.5876 * g - 0.0728 * b,
        -0.1246 * r + 1.1329 * g - 0.0083 * b,
        -0.0182 * r - 0.1006 * g + 1.1187 * b,
      ];
    }
    const brightest = Math.max(r, g, b);
    const scale =
      brightest <= KNEE ? 1 : (KNEE + (1 - KNEE) * (1 - Math.exp((KNEE - brightest) / (1 - KNEE)))) / brightest;
    pixels[pixel * 3] = srgb(r * scale);
    pixels[pixel * 3 + 1] = srgb(g * scale);
    pixels[pixel * 3 + 2] = srgb(b * scale);
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Linear light of each coded value: of PQ in units of white, of HLG that of the scene, from 0 to 1. */
const LIGHT: Readonly<Record<Transfer, () => Float32Array>> = {
  pq: () =>
    Float32Array.from({ length: 65_536 }, (_, value) => {
      const power = (value / 65_535) ** (1 / 78.84375);
      const nits = 10_000 * (Math.max(0, power - 0.8359375) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125);
      return nits / WHITE_NITS;
    }),
  hlg: () =>
    Float32Array.from({ length: 65_536 }, (_, value) => {
      const signal = value / 65_535;
      return signal <= 0.5 ? signal ** 2 / 3 : (Math.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12;
    }),
};

function srgb(light: number): number {
  const value = Math.max(0, Math.min(1, light));
  return Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}
