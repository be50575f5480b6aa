/** AIFF and AIFF-C files: what their heads say, and how their samples are stored where no decoder is needed. */
import { open } from 'node:fs/promises';
import { readAt } from '../file-bytes.js';
import type { PcmFormat } from './pcm.js';
import type { MediaFacts } from '../preview-job.js';

const MAX_CHANNELS = 32;

export interface AiffHead {
  facts: MediaFacts;
  sampleRate: number;
  /** Null where they are compressed. */
  pcm: PcmFormat | null;
  /** Where the samples begin, and where they end. */
  from: number;
  to: number;
}

/** @throws Error for what is no AIFF file, or has no samples */
export async function readAiffHead(path: string): Promise<AiffHead> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    let common: Buffer | null = null;
    let data: [from: number, to: number] | null = null;
    for (let position = 12; position + 8 <= size && (common === null || data === null);) {
      const head = await readAt(file, position, 16);
      const [name, length] = [head.toString('latin1', 0, 4), head.readUInt32BE(4)];
      if (name === 'COMM') {
        common = await readAt(file, position + 8, Math.min(length, 64));
      } else if (name === 'SSND' && head.length >= 12) {
        data = [position + 16 + head.readUInt32BE(8), Math.min(size, position + 8 + length)];
      }
      position += 8 + length + (length % 2);
    }
    if (common === null || data === null || common.length < 18) {
      throw new Error('the AIFF file has no samples');
    }
    return headOf(common, data);
  } finally {
    await file.close();
  }
}

function headOf(common: Buffer, [from, to]: [number, number]): AiffHead {
  const [channels, frames, bits] = [common.readUInt16BE(0), common.readUInt32BE(2), common.readUInt16BE(6)];
  const sampleRate = extended(common.subarray(8, 18));
  if (channels < 1 || channels > MAX_CHANNELS || sampleRate < 1 || sampleRate > 1_000_000) {
    throw new Error('the samples of the AIFF file are of no known kind');
  }
  const coding = common.length >= 22 ? common.toString('latin1', 18, 22) : 'NONE';
  // Of IMA's coding, packets of 64 samples are counted.
  const seconds = (frames * (coding === 'ima4' ? 64 : 1)) / sampleRate;
  const [name, stored] = storedAs(coding, Math.ceil(bits / 8));
  return {
    facts: {
      sample_rate: sampleRate,
      channels,
      audio_codec: name,
      ...(seconds === 0 ? {} : { duration_seconds: Math.round(seconds * 1000) / 1000 }),
    },
    sampleRate,
    pcm: stored === null ? null : { ...stored, channels },
    from,
    to,
  };
}

function storedAs(coding: string, bytes: number): [name: string, stored: Omit<PcmFormat, 'channels'> | null] {
  const [isBigEndian, isInt] = [coding !== 'sowt', [1, 2, 3, 4].includes(bytes)];
  switch (coding.toLowerCase()) {
    case 'none':
    case 'twos':
    case 'sowt':
    case 'in24':
    case 'in32':
      return [
        bytes === 1 || !isBigEndian ? `pcm-s${bytes * 8}` : `pcm-s${bytes * 8}be`,
        isInt ? { encoding: 'int', sampleBytes: bytes, isBigEndian } : null,
      ];
    case 'fl32':
      return ['pcm-f32be', { encoding: 'float', sampleBytes: 4, isBigEndian: true }];
    case 'fl64':
      return ['pcm-f64be', { encoding: 'float', sampleBytes: 8, isBigEndian: true }];
    case 'ulaw':
      return ['ulaw', { encoding: 'ulaw', sampleBytes: 1, isBigEndian: true }];
    case 'alaw':
      return ['alaw', { encoding: 'alaw', sampleBytes: 1, isBigEndian: true }];
    case 'ima4':
      return ['adpcm-ima', null];
    default:
      return ['unknown', null];
  }
}

/** A positive float of 80 bits: 15 of exponent, 64 of mantissa. */
function extended(bytes: Buffer): number {
  const mantissa = bytes.readUInt32BE(2) * 2 ** 32 + bytes.readUInt32BE(6);
  return Math.round(mantissa * 2 ** ((bytes.readUInt16BE(0) & 0x7fff) - 16_383 - 63));
}
