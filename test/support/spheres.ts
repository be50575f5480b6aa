/** Panoramas of every kind, made here, in which each direction has a color of its own. */
import sharp from 'sharp';

export type Rgb = readonly [red: number, green: number, blue: number];

export const RED: Rgb = [220, 20, 20];
export const GREEN: Rgb = [20, 200, 20];
export const BLUE: Rgb = [20, 20, 220];
export const YELLOW: Rgb = [220, 220, 20];
export const GRAY: Rgb = [90, 90, 90];

/** A color for each direction, in degrees: longitude -180 to 180, to the right, and latitude 90 to -90. */
export type Sight = (longitude: number, latitude: number) => Rgb;

/** Ahead red, to the left green, to the right yellow, at the back blue; no two of them touch the same edge. */
export const compass: Sight = (longitude) => {
  if (Math.abs(longitude) < 15) return RED;
  if (Math.abs(longitude) > 165) return BLUE;
  return Math.abs(longitude) < 60 ? (longitude < 0 ? GREEN : YELLOW) : GRAY;
};

export interface Crop {
  left: number;
  top: number;
  width: number;
  height: number;
}

const WHOLE: Crop = { left: 0, top: 0, width: 1, height: 1 };

/** The pixels of what is covered, at so many a degree. */
export function eyeOf(sight: Sight, { pixelsPerDegree = 4, crop = WHOLE } = {}): RawPicture {
  const width = Math.round(360 * crop.width * pixelsPerDegree);
  const height = Math.round(180 * crop.height * pixelsPerDegree);
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const longitude = 360 * (crop.left + (crop.width * (x + 0.5)) / width) - 180;
      const latitude = 90 - 180 * (crop.top + (crop.height * (y + 0.5)) / height);
      data.set(sight(longitude, latitude), (y * width + x) * 3);
    }
  }
  return { width, height, data };
}

export interface RawPicture {
  width: number;
  height: number;
  data: Buffer;
}

export function topBottom(one: RawPicture, other: RawPicture): RawPicture {
  return { width: one.width, height: one.height + other.height, data: Buffer.concat([one.data, other.data]) };
}

export function sideBySide(one: RawPicture, other: RawPicture): RawPicture {
  const rows = Array.from({ length: one.height }, (_, y) => [rowOf(one, y), rowOf(other, y)]).flat();
  return { width: one.width + other.width, height: one.height, data: Buffer.concat(rows) };
}

function rowOf({ width, data }: RawPicture, y: number): Buffer {
  return data.subarray(y * width * 3, (y + 1) * width * 3);
}

export async function pngOf({ width, height, data }: RawPicture, xmp: string | null = null): Promise<Buffer> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } }).png();
  return (xmp === null ? picture : picture.withXmp(xmp)).toBuffer();
}

export async function jpegOf({ width, height, data }: RawPicture, xmp: string | null = null): Promise<Buffer> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } }).jpeg({ quality: 95 });
  return (xmp === null ? picture : picture.withXmp(xmp)).toBuffer();
}

/** As cameras and stitching programs write it. */
export function gpano(properties: Readonly<Record<string, string | number>>): string {
  const attributes = Object.entries(properties).map(([name, value]) => `GPano:${name}="${value}"`);
  return `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" ${attributes.join(' ')}/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`;
}

/** GPano's crop, for a sphere that is so many pixels wide. */
export function gpanoOfCrop({ left, top, width, height }: Crop, fullWidth = 8000): string {
  const fullHeight = fullWidth / 2;
  return gpano({
    ProjectionType: 'equirectangular',
    FullPanoWidthPixels: fullWidth,
    FullPanoHeightPixels: fullHeight,
    CroppedAreaLeftPixels: left * fullWidth,
    CroppedAreaTopPixels: top * fullHeight,
    CroppedAreaImageWidthPixels: width * fullWidth,
    CroppedAreaImageHeightPixels: height * fullHeight,
  });
}
