/** WAV files (RIFF WAVE, RF64 included): what their heads say, and the samples of those codings that need no decoder of their own. */
import { open } from 'node:fs/promises';
import { adpcmSamples, type AdpcmFormat, MS_WEIGHTS } from './adpcm.js';
import { piecesOf, readAt } from '../file-bytes.js';
import { pcmSamples, type PcmFormat } from './pcm.js';
import type { MediaFacts } from '../preview-job.js';

const PIECE_BYTES = 192 * 1024;
const MAX_CHANNELS = 32;

type Coding = { kind: 'pcm'; pcm: PcmFormat } | { kind: 'adpcm'; adpcm: AdpcmFormat } | { kind: 'mp3' | 'other' };

export interface WaveHead {
  facts: MediaFacts;
  sampleRate: number;
  coding: Coding;
  /** Where the samples begin, and where they end. */
  from: number;
  to: number;
}

/** @throws Error for what is no WAV file, or has no samples */
export async function readWaveHead(path: string): Promise<WaveHead> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    let format: Buffer | null = null;
    let samples: number | null = null;
    for (let position = 12; position + 8 <= size;) {
      const head = await readAt(file, position, 8);
      const [name, length] = [head.toString('latin1', 0, 4), head.readUInt32LE(4)];
      if (name === 'fmt ') {
        format = await readAt(file, position + 8, Math.min(length, 1024));
      } else if (name === 'fact' && length >= 4) {
        samples = (await readAt(file, position + 8, 4)).readUInt32LE(0);
      } else if (name === 'data' && format !== null) {
        return headOf(format, samples, position + 8, Math.min(size, position + 8 + length));
      }
      position += 8 + length + (length % 2);
    }
    throw new Error('the WAV file has no samples');
  } finally {
    await file.close();
  }
}

/** The samples, the loudest channel's of each frame, piece by piece until `onSamples` answers false. Only of `pcm` and `adpcm`. */
export async function readWave(
  path: string,
  { coding, from, to }: WaveHead,
  onSamples: (samples: Float32Array) => boolean,
): Promise<void> {
  if (coding.kind !== 'pcm' && coding.kind !== 'adpcm') {
    return;
  }
  const unit = coding.kind === 'pcm' ? coding.pcm.channels * coding.pcm.sampleBytes : coding.adpcm.blockBytes;
  for await (const piece of piecesOf(path, from, to, Math.max(unit, PIECE_BYTES - (PIECE_BYTES % unit)))) {
    const goesOn =
      coding.kind === 'pcm'
        ? onSamples(pcmSamples(piece, coding.pcm))
        : blocksOf(piece, unit).every((block) => onSamples(adpcmSamples(block, coding.adpcm)));
    if (!goesOn) {
      return;
    }
  }
}

function headOf(format: Buffer, samples: number | null, from: number, to: number): WaveHead {
  if (format.length < 16) {
    throw new Error('the WAV file says nothing of its samples');
  }
  const [channels, sampleRate, bytesPerSecond] = [
    format.readUInt16LE(2),
    format.readUInt32LE(4),
    format.readUInt32LE(8),
  ];
  if (channels < 1 || channels > MAX_CHANNELS || sampleRate < 1 || sampleRate > 1_000_000) {
    throw new Error('the samples of the WAV file are of no known kind');
  }
  const { name, coding } = codingOf(format, channels);
  const counted = coding.kind === 'pcm' ? (to - from) / (channels * coding.pcm.sampleBytes) : samples;
  const seconds =
    counted === null ? (bytesPerSecond === 0 ? 0 : (to - from) / bytesPerSecond) : Math.floor(counted) / sampleRate;
  const facts: MediaFacts = {
    sample_rate: sampleRate,
    channels,
    audio_codec: name,
    ...(seconds === 0 ? {} : { duration_seconds: Math.round(seconds * 1000) / 1000 }),
  };
  return { facts, sampleRate, coding, from, to };
}

function codingOf(format: Buffer, channels: number): { name: string; coding: Coding } {
  const code = format.readUInt16LE(0);
  // The extensible form names the real one further on.
  const tag = code === 0xfffe && format.length >= 26 ? format.readUInt16LE(24) : code;
  const [blockBytes, bits] = [format.readUInt16LE(12), format.readUInt16LE(14)];
  const sampleBytes = bits / 8;
  const pcm = (encoding: PcmFormat['encoding'], bytes: number): Coding => ({
    kind: 'pcm',
    pcm: { encoding, sampleBytes: bytes, channels, isBigEndian: false },
  });
  const adpcm = (coding: AdpcmFormat['coding'], weights: AdpcmFormat['weights']): Coding => ({
    kind: 'adpcm',
    adpcm: { coding, channels, blockBytes, weights },
  });
  if (tag === 1 && [1, 2, 3, 4].includes(sampleBytes)) {
    return sampleBytes === 1
      ? { name: 'pcm-u8', coding: pcm('uint', 1) }
      : { name: `pcm-s${bits}`, coding: pcm('int', sampleBytes) };
  }
  if (tag === 3 && [4, 8].includes(sampleBytes)) {
    return { name: `pcm-f${bits}`, coding: pcm('float', sampleBytes) };
  }
  if (tag === 6 || tag === 7) {
    const name = tag === 6 ? 'alaw' : 'ulaw';
    return { name, coding: pcm(name, 1) };
  }
  if (tag === 2 && bits === 4 && blockBytes > 7 * channels) {
    return { name: 'adpcm-ms', coding: adpcm('ms', weightsOf(format)) };
  }
  if (tag === 0x11 && bits === 4 && blockBytes > 4 * channels) {
    return { name: 'adpcm-ima', coding: adpcm('ima', []) };
  }
  const name = { 0x31: 'gsm', 0x45: 'g726', 0x50: 'mp2', 0x55: 'mp3', 0xff: 'aac' }[tag] ?? 'unknown';
  return { name, coding: { kind: tag === 0x55 ? 'mp3' : 'other' } };
}

function weightsOf(format: Buffer): AdpcmFormat['weights'] {
  const count = format.length >= 22 ? Math.min(format.readUInt16LE(20), Math.floor((format.length - 22) / 4), 256) : 0;
  return count < MS_WEIGHTS.length
    ? MS_WEIGHTS
    : Array.from({ length: count }, (_, index) => [
        format.readInt16LE(22 + index * 4),
        format.readInt16LE(24 + index * 4),
      ]);
}

function blocksOf(piece: Buffer, bytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(piece.length / bytes) }, (_, index) =>
    piece.subarray(index * bytes, (index + 1) * bytes),
  );
}
