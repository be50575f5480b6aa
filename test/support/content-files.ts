/** The bytes of small files of many formats. */
import { crc32, gzipSync } from 'node:zlib';

export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
export const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
export const join = (...parts: (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? ascii(part) : part)));
/** Bytes without a pattern, the same each time. */
export function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

/** A TIFF whose directory stands at its end, as most programs write it. */
export function farTiff(extraTag: number | null = null): Buffer {
  const pixels = noise(200_000);
  const tags = [
    [256, 4, 1, 400],
    [257, 4, 1, 500],
    [258, 3, 1, 8],
    [259, 3, 1, 1],
    [262, 3, 1, 1],
    [273, 4, 1, 8],
    [278, 4, 1, 500],
    [279, 4, 1, pixels.length],
    ...(extraTag === null ? [] : [[extraTag, 4, 1, 1]]),
  ];
  const directory = Buffer.alloc(2 + tags.length * 12 + 4);
  directory.writeUInt16LE(tags.length, 0);
  tags.forEach(([tag = 0, format = 0, count = 0, value = 0], index) => {
    directory.writeUInt16LE(tag, 2 + index * 12);
    directory.writeUInt16LE(format, 4 + index * 12);
    directory.writeUInt32LE(count, 6 + index * 12);
    directory.writeUInt32LE(value, 10 + index * 12);
  });
  const head = join('II*\0', Buffer.alloc(4));
  head.writeUInt32LE(8 + pixels.length, 4);
  return join(head, pixels, directory);
}

export function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = join(Buffer.alloc(4), type, data, Buffer.alloc(4));
  chunk.writeUInt32BE(data.length, 0);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

/** A PNG made an animation of one frame. */
export function apng(png: Buffer): Buffer {
  const afterHead = 8 + 25;
  const frame = Buffer.alloc(26);
  frame.writeUInt32BE(png.readUInt32BE(16), 4);
  frame.writeUInt32BE(png.readUInt32BE(20), 8);
  frame.writeUInt16BE(1, 20);
  frame.writeUInt16BE(10, 22);
  const control = hex('0000000100000000');
  return join(png.subarray(0, afterHead), pngChunk('acTL', control), pngChunk('fcTL', frame), png.subarray(afterHead));
}

export const ASF_STREAM = '9107dcb7b7a9cf118ee600c00c205365';
export const ASF_OF = { audio: '409e69f84d5bcf11a8fd00805f5c442b', video: 'c0ef19bc4d5bcf11a8fd00805f5c442b' };

export function asf(...streams: ('audio' | 'video')[]): Buffer {
  const objects = streams.map((stream) => {
    const object = join(hex(ASF_STREAM), Buffer.alloc(8), hex(ASF_OF[stream]), Buffer.alloc(38));
    object.writeBigUInt64LE(BigInt(object.length), 16);
    return object;
  });
  const head = join(hex('3026b2758e66cf11a6d900aa0062ce6c'), Buffer.alloc(8), Buffer.alloc(4), hex('0102'), ...objects);
  head.writeBigUInt64LE(BigInt(head.length), 16);
  head.writeUInt32LE(streams.length, 24);
  return join(head, hex('3626b2758e66cf11a6d900aa0062ce6c'), noise(500));
}

export function heif(major: string, ...compatible: string[]): Buffer {
  const box = join(Buffer.alloc(4), 'ftyp', major, Buffer.alloc(4), ...compatible);
  box.writeUInt32BE(box.length, 0);
  return join(box, hex('0000000c'), 'meta', Buffer.alloc(4), noise(300));
}

/** PCM in a file that may be larger than 4 GiB. */
export function rf64(): Buffer {
  const ds64 = join('ds64', hex('1c000000'), Buffer.alloc(28));
  const format = hex('10000000 0100 0100 803e0000 007d0000 0200 1000');
  return join('RF64', hex('ffffffff'), 'WAVE', ds64, 'fmt ', format, 'data', hex('ffffffff'), noise(640));
}

/** Frames of MPEG-1 layer III: 128 kbit/s, 44.1 kHz. */
export function mp3Frames(count: number): Buffer {
  return join(...Array.from({ length: count }, () => join(hex('fffb9064'), noise(413))));
}

/** A tar of one file. */
export function tar(): Buffer {
  const head = Buffer.alloc(512);
  head.write('words.txt', 0);
  head.write('0000644\0' + '0000000\0' + '0000000\0' + '00000000005\0' + '00000000000\0' + '        0', 100);
  head.write('ustar\0' + '00', 257);
  head.write(
    head
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0') + '\0 ',
    148,
  );
  return join(head, 'words', Buffer.alloc(507 + 1024));
}

/** A ZIP of one stored file. */
export function zip(name: string, data: Buffer): Buffer {
  const sizes = Buffer.alloc(12);
  sizes.writeUInt32LE(crc32(data), 0);
  sizes.writeUInt32LE(data.length, 4);
  sizes.writeUInt32LE(data.length, 8);
  const lengths = hex('0000 0000');
  lengths.writeUInt16LE(name.length, 0);
  const local = join(hex('504b0304 1400 0000 0000 0000 0000'), sizes, lengths, name, data);
  const central = join(hex('504b0102 1400 1400 0000 0000 0000 0000'), sizes, lengths, Buffer.alloc(14), name);
  const end = join(hex('504b0506 0000 0000 0100 0100'), Buffer.alloc(10));
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return join(local, central, end);
}

/** A package of Debian, as far as its first member. */
export function deb(): Buffer {
  const member = `${'debian-binary'.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${'4'.padEnd(10)}\`\n2.0\n`;
  return join('!<arch>\n', member, `${'control.tar.gz'.padEnd(58)}\`\n`, gzipSync(tar()));
}

export const PDF =
  '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n';
export const EPS =
  '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n10 10 moveto 90 90 lineto stroke\n%%EOF\n';
/** É and € are one byte each, and € is another character in Latin-1. */
export const WESTERN_CSV = 'Name;Preis;Ort\r\nM\xfcller;12,50 \x80;K\xf6ln\r\nCaf\xe9 Ren\xe9e;3,20 \x80;Z\xfcrich\r\n';
export const LATIN_1_LOG = Array.from(
  { length: 900 },
  (_, line) =>
    `2026-01-02 12:00:${String(line % 60).padStart(2, '0')} INFO request ${line} served in 12 ms by worker a\n`,
).join('');
export const WORDS = 'id,name,city\r\n1,Zoë,Kraków\r\n2,José,Αθήνα\r\n';

export function utf16be(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** Text in a charset that Node only reads: its table is had by reading every character of one or two bytes. */
export function encoded(text: string, charset: string): Buffer {
  const decoder = new TextDecoder(charset);
  const table = new Map<string, Buffer>();
  for (let first = 255; first >= 0; first -= 1) {
    for (let second = 255; first >= 0x80 && second >= 0x40; second -= 1) {
      table.set(decoder.decode(Buffer.from([first, second])), Buffer.from([first, second]));
    }
    table.set(decoder.decode(Buffer.from([first])), Buffer.from([first]));
  }
  return Buffer.concat(Array.from(text, (character) => table.get(character) ?? Buffer.from('?')));
}
