import { type FileHandle, open } from 'node:fs/promises';
import { readAt } from '../file-bytes.js';
import type { MediaFacts } from '../preview-job.js';

const STREAMINFO = 0;
export const STREAMINFO_BYTES = 34;
/** Metadata blocks that are walked before a file counts as having no frame. */
const MAX_BLOCKS = 1_000;

export interface FlacHead {
  facts: MediaFacts;
  /** False for a file of metadata alone, over which decoders may never end. */
  hasFrame: boolean;
}

/**
 * The head of a native FLAC file (RFC 9639): what STREAMINFO says, and whether an audio frame follows the metadata.
 * @throws Error for what is not FLAC
 */
export async function readFlacHead(path: string): Promise<FlacHead> {
  const file = await open(path);
  try {
    const start = await afterId3(file);
    if ((await readAt(file, start, 4)).toString('latin1') !== 'fLaC') {
      throw new Error('the file is not FLAC');
    }
    let facts: MediaFacts = {};
    let position = start + 4;
    for (let block = 0; block < MAX_BLOCKS; block += 1) {
      const head = await readAt(file, position, 4);
      if (head.length < 4) {
        return { facts, hasFrame: false };
      }
      if (block === 0 && (head.readUInt8(0) & 0x7f) === STREAMINFO) {
        facts = streamInfoFacts(await readAt(file, position + 4, STREAMINFO_BYTES));
      }
      position += 4 + head.readUIntBE(1, 3);
      if ((head.readUInt8(0) & 0x80) !== 0) {
        return { facts, hasFrame: isFrame(await readAt(file, position, 2)) };
      }
    }
    return { facts, hasFrame: false };
  } finally {
    await file.close();
  }
}

/** What a STREAMINFO block says. */
export function streamInfoFacts(info: Buffer): MediaFacts {
  if (info.length < STREAMINFO_BYTES) {
    return {};
  }
  // 20 bits of rate, 3 of channels, 5 of sample size, 36 of the number of samples; 0 of a rate or a number is "unknown".
  const sampleRate = info.readUIntBE(10, 3) >> 4;
  const channels = ((info.readUInt8(12) >> 1) & 7) + 1;
  const samples = (info.readUInt8(13) & 0x0f) * 2 ** 32 + info.readUInt32BE(14);
  return {
    ...(sampleRate === 0 ? {} : { sample_rate: sampleRate }),
    channels,
    audio_codec: 'flac',
    ...(sampleRate === 0 || samples === 0
      ? {}
      : { duration_seconds: Math.round((samples / sampleRate) * 1000) / 1000 }),
  };
}

/** A frame begins with 14 bits of sync code and a zero. */
function isFrame(bytes: Buffer): boolean {
  return bytes.length === 2 && (bytes.readUInt16BE(0) & 0xfffe) === 0xfff8;
}

/** Some taggers put an ID3v2 tag in front. */
async function afterId3(file: FileHandle): Promise<number> {
  const head = await readAt(file, 0, 10);
  if (head.length < 10 || head.toString('latin1', 0, 3) !== 'ID3') {
    return 0;
  }
  const length = [6, 7, 8, 9].reduce((sum, at) => sum * 128 + (head.readUInt8(at) & 0x7f), 0);
  return 10 + length;
}
