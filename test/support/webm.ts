/** A WebM of key frames, written by hand: what no muxer at hand writes can be said of it. */
import sharp from 'sharp';
import { vp8Of } from './media.js';
import type { RawPicture } from './spheres.js';

const FRAMES = 12;
const FRAME_MS = 100;

export interface WebmSaid {
  /** The element StereoMode: 1 is side by side, 3 top and bottom. */
  stereoMode?: number;
  /** The element ProjectionType: 1 is equirectangular, 2 a cube. */
  projection?: number;
  /** Fractions that ProjectionPrivate cuts off. */
  bounds?: { top: number; bottom: number; left: number; right: number };
}

/** The same picture for more than a second. */
export async function webmOf({ width, height, data }: RawPicture, said: WebmSaid = {}): Promise<Buffer> {
  const webp = await sharp(data, { raw: { width, height, channels: 3 } })
    .webp({ quality: 90 })
    .toBuffer();
  const frame = vp8Of(webp);
  const blocks = Array.from({ length: FRAMES }, (_, index) => {
    const head = Buffer.from([0x81, 0, 0, 0x80]);
    head.writeInt16BE(index * FRAME_MS, 1);
    return element('a3', head, frame);
  });
  const duration = Buffer.alloc(8);
  duration.writeDoubleBE(FRAMES * FRAME_MS);
  return Buffer.concat([
    element('1a45dfa3', element('4286', 1), element('42f7', 1), element('42f2', 4), element('42f3', 8), docType()),
    element(
      '18538067',
      element(
        '1549a966',
        element('2ad7b1', 1_000_000),
        element('4489', duration),
        element('4d80', 'test'),
        element('5741', 'test'),
      ),
      element(
        '1654ae6b',
        element('ae', element('d7', 1), element('73c5', 1), element('83', 1), codec(width, height, said)),
      ),
      element('1f43b675', element('e7', 0), ...blocks),
    ),
  ]);
}

function docType(): Buffer {
  return Buffer.concat([element('4282', 'webm'), element('4287', 4), element('4285', 2)]);
}

function codec(width: number, height: number, { stereoMode, projection, bounds }: WebmSaid): Buffer {
  const parts = [element('b0', width), element('ba', height)];
  if (stereoMode !== undefined) {
    parts.push(element('53b8', stereoMode));
  }
  if (projection !== undefined) {
    const cut = bounds === undefined ? [] : [element('7672', boundsOf(bounds))];
    parts.push(element('7670', element('7671', projection), ...cut));
  }
  return Buffer.concat([element('86', 'V_VP8'), element('e0', ...parts)]);
}

function boundsOf({ top, bottom, left, right }: NonNullable<WebmSaid['bounds']>): Buffer {
  const bytes = Buffer.alloc(20);
  [top, bottom, left, right].forEach((part, index) => bytes.writeUInt32BE(Math.round(part * 2 ** 32), 4 + index * 4));
  return bytes;
}

/** An EBML element; its size always has eight bytes. */
function element(id: string, ...content: (Buffer | string | number)[]): Buffer {
  const body = Buffer.concat(content.map(bytesOf));
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(body.length));
  size[0] = 1;
  return Buffer.concat([Buffer.from(id, 'hex'), size, body]);
}

function bytesOf(content: Buffer | string | number): Buffer {
  if (typeof content !== 'number') {
    return Buffer.from(content);
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(content);
  return bytes;
}
