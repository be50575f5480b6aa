import { type FileHandle, open } from 'node:fs/promises';
import { readAt } from '../file-bytes.js';
import { STREAMINFO_BYTES, streamInfoFacts } from './flac-file.js';
import type { MediaFacts } from '../preview-job.js';

/** A page has at most 65,307 bytes, so the last one begins within these. */
const LAST_BYTES = 128 * 1024;

export interface OggHead {
  codec: 'opus' | 'vorbis' | 'flac' | 'speex' | 'unknown';
  /** Of FLAC and Speex. */
  facts: MediaFacts;
}

/**
 * What the first stream of an Ogg file is coded with (RFC 3533), by the packet that each begins with, and how long it is by the position of its
 * last page. @throws Error for what is no Ogg file
 */
export async function readOggHead(path: string): Promise<OggHead> {
  const file = await open(path);
  try {
    const page = await readAt(file, 0, 512);
    if (page.length < 28 || page.toString('latin1', 0, 4) !== 'OggS') {
      throw new Error('the file is not Ogg');
    }
    const packet = page.subarray(27 + page.readUInt8(26));
    const begins = (text: string): boolean => packet.toString('latin1', 0, text.length) === text;
    if (begins('OpusHead')) {
      return { codec: 'opus', facts: {} };
    }
    if (begins('\x01vorbis')) {
      return { codec: 'vorbis', facts: {} };
    }
    if (begins('\x7fFLAC') && packet.length >= 17 + STREAMINFO_BYTES) {
      const facts = streamInfoFacts(packet.subarray(17, 17 + STREAMINFO_BYTES));
      return { codec: 'flac', facts: { ...(await durationOf(file, page, facts['sample_rate'])), ...facts } };
    }
    if (begins('Speex   ') && packet.length >= 52) {
      const facts = { sample_rate: packet.readUInt32LE(36), channels: packet.readUInt32LE(48), audio_codec: 'speex' };
      return { codec: 'speex', facts: { ...(await durationOf(file, page, facts.sample_rate)), ...facts } };
    }
    return { codec: 'unknown', facts: {} };
  } finally {
    await file.close();
  }
}

async function durationOf(file: FileHandle, firstPage: Buffer, sampleRate: unknown): Promise<MediaFacts> {
  if (typeof sampleRate !== 'number' || sampleRate === 0) {
    return {};
  }
  const { size } = await file.stat();
  const from = Math.max(0, size - LAST_BYTES);
  const end = await readAt(file, from, size - from);
  for (let at = end.lastIndexOf('OggS'); at >= 0; at = at === 0 ? -1 : end.lastIndexOf('OggS', at - 1)) {
    const position = at + 18 <= end.length && isOfStream(end, at, firstPage) ? end.readBigInt64LE(at + 6) : 0n;
    if (position > 0n) {
      return { duration_seconds: Math.round((Number(position) / sampleRate) * 1000) / 1000 };
    }
  }
  return {};
}

/** By the serial number that the pages of a stream carry. */
function isOfStream(bytes: Buffer, at: number, firstPage: Buffer): boolean {
  return bytes.subarray(at + 14, at + 18).equals(firstPage.subarray(14, 18));
}
