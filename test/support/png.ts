import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');

/** One chunk of a PNG: its length, name and checksum around its data. */
function pngChunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** An RGB picture of rows as they are given: bytes of 8 or 16 bits a channel, big-endian, with a filter byte before each row. */
export function pngOf(
  { width, height, bits }: { width: number; height: number; bits: 8 | 16 },
  rows: Buffer,
  chunks: readonly (readonly [name: string, data: Buffer])[] = [],
): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([bits, 2], 8);
  return Buffer.concat([
    SIGNATURE,
    pngChunk('IHDR', head),
    ...chunks.map(([name, data]) => pngChunk(name, data)),
    pngChunk('IDAT', deflateSync(rows)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A PNG that says it has so many pixels each way: a few bytes that would unpack to gigabytes. */
export function pngBomb(side: number): Buffer {
  return pngOf({ width: side, height: side, bits: 8 }, Buffer.alloc(side * 100));
}
