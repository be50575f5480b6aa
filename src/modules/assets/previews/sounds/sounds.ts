/**
 * Waves of sound, from its decoded samples. What a sound says of itself is read first, by the smallest reader that knows its format, and by
 * ffmpeg where none does or it leaves something open. It is decoded by libraries, and by ffmpeg where they cannot.
 */
import { stat } from 'node:fs/promises';
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import { OggVorbisDecoder } from '@wasm-audio-decoders/ogg-vorbis';
import { MPEGDecoder } from 'mpg123-decoder';
import { OggOpusDecoder } from 'ogg-opus-decoder';
import { readAiffHead } from './aiff-file.js';
import { wave } from '../pictures/cards.js';
import { lookByFfmpeg } from '../videos/ffmpeg-facts.js';
import { runFfmpeg } from '../videos/ffmpeg.js';
import { piecesOf } from '../file-bytes.js';
import { readFlacHead } from './flac-file.js';
import { Loudness } from './loudness.js';
import { lookAtMedia } from '../media-facts.js';
import { readOggHead } from './ogg-file.js';
import { pcmSamples } from './pcm.js';
import type { MediaFacts, OnFacts, Preview } from '../preview-job.js';
import { readWave, readWaveHead } from './wave-file.js';

const PIECE_BYTES = 256 * 1024;
const BARS = 145;
/** Samples a second that ffmpeg gives for the wave, whatever the sound has. */
const FFMPEG_RATE = 8_000;

interface Decoded {
  channelData: readonly Float32Array[];
  samplesDecoded: number;
  sampleRate: number;
}

interface Decoder {
  readonly ready: Promise<unknown>;
  decode(bytes: Uint8Array): Decoded | Promise<Decoded>;
  flush?(): Decoded | Promise<Decoded>;
  free(): void;
}

export interface SoundJob {
  input: string;
  contentType: string;
  name: string;
  ffmpeg: string | null;
  onFacts: OnFacts;
}

interface SoundLook {
  facts: MediaFacts;
  /** Decodes it without ffmpeg; null where that cannot be done. */
  decode: ((loudness: Loudness) => Promise<void>) | null;
  isEmpty?: boolean;
}

export async function previewSound({ input, contentType, name, ffmpeg, onFacts }: SoundJob): Promise<Preview> {
  const look = await lookAt(input, contentType).catch((): SoundLook => ({ facts: {}, decode: null }));
  onFacts(look.facts);
  if (look.isEmpty === true) {
    return { picture: null, metadata: look.facts, note: 'the sound has no samples' };
  }
  const facts = ffmpeg === null || isWhole(look.facts) ? look.facts : await completed(look.facts, ffmpeg, input);
  onFacts(facts);
  const loudness = new Loudness();
  // What was decoded before it broke is shown.
  await look.decode?.(loudness).catch(() => undefined);
  if (loudness.samples > 0) {
    facts['duration_seconds'] ??= Math.round(loudness.seconds * 1000) / 1000;
    facts['sample_rate'] ??= loudness.sampleRate;
  } else if (ffmpeg !== null) {
    await decodeByFfmpeg(ffmpeg, input, loudness).catch(() => undefined);
  }
  if (loudness.samples > 0) {
    return { picture: await wave(loudness.bars(BARS), loudness.seconds, name), metadata: facts, note: null };
  }
  const note = ffmpeg === null ? 'no decoder for this sound on this machine' : 'the sound could not be decoded';
  return { picture: null, metadata: facts, note };
}

function isWhole({ sample_rate, duration_seconds, audio_codec = 'unknown' }: MediaFacts): boolean {
  return sample_rate !== undefined && duration_seconds !== undefined && audio_codec !== 'unknown';
}

/** What ffmpeg adds to what is known. */
async function completed(known: MediaFacts, ffmpeg: string, input: string): Promise<MediaFacts> {
  const more = await lookByFfmpeg(ffmpeg, input).catch(() => ({ facts: {} }));
  const sure = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== 'unknown'));
  return { ...known, ...more.facts, ...sure };
}

async function lookAt(input: string, contentType: string): Promise<SoundLook> {
  switch (contentType) {
    case 'audio/flac': {
      const { facts, hasFrame } = await readFlacHead(input);
      return { facts, isEmpty: !hasFrame, decode: (loudness) => decodeBy(new FLACDecoder(), input, loudness) };
    }
    case 'audio/wav':
      return lookAtWave(input);
    case 'audio/aiff': {
      const { facts, pcm, sampleRate, from, to } = await readAiffHead(input);
      if (pcm === null) {
        return { facts, decode: null };
      }
      const frameBytes = pcm.channels * pcm.sampleBytes;
      const decode = async (loudness: Loudness): Promise<void> => {
        for await (const piece of piecesOf(input, from, to, PIECE_BYTES - (PIECE_BYTES % frameBytes))) {
          loudness.add([pcmSamples(piece, pcm)], sampleRate);
        }
      };
      return { facts, decode };
    }
    case 'audio/ogg':
      return lookAtOgg(input);
    case 'audio/mpeg': {
      const { facts } = await lookAtMedia(input).catch(() => ({ facts: {} }));
      return { facts, decode: (loudness) => decodeBy(new MPEGDecoder(), input, loudness) };
    }
    default:
      return { facts: (await lookAtMedia(input)).facts, decode: null };
  }
}

async function lookAtWave(input: string): Promise<SoundLook> {
  const head = await readWaveHead(input);
  const { facts, sampleRate, coding, from, to } = head;
  switch (coding.kind) {
    case 'pcm':
    case 'adpcm':
      return {
        facts,
        decode: (loudness) =>
          readWave(input, head, (samples) => {
            loudness.add([samples], sampleRate);
            return !loudness.full;
          }),
      };
    case 'mp3':
      return { facts, decode: (loudness) => decodeBy(new MPEGDecoder(), input, loudness, from, to) };
    case 'other':
      return { facts, decode: null };
  }
}

async function lookAtOgg(input: string): Promise<SoundLook> {
  const { codec, facts } = await readOggHead(input);
  if (codec === 'flac') {
    return { facts, decode: (loudness) => decodeBy(new FLACDecoder(), input, loudness) };
  }
  const media = codec === 'opus' || codec === 'vorbis' ? (await lookAtMedia(input)).facts : facts;
  const decoder = { opus: OggOpusDecoder, vorbis: OggVorbisDecoder, speex: null, unknown: null }[codec];
  return {
    facts: media,
    decode: decoder === null ? null : (loudness) => decodeBy(new decoder(), input, loudness),
  };
}

async function decodeBy(decoder: Decoder, input: string, loudness: Loudness, from = 0, to?: number): Promise<void> {
  try {
    await decoder.ready;
    for await (const piece of piecesOf(input, from, to ?? (await stat(input)).size, PIECE_BYTES)) {
      addDecoded(loudness, await decoder.decode(piece));
      if (loudness.full) {
        break;
      }
    }
    const last = await decoder.flush?.();
    if (last !== undefined) {
      addDecoded(loudness, last);
    }
  } finally {
    decoder.free();
  }
}

function addDecoded(loudness: Loudness, { channelData, samplesDecoded, sampleRate }: Decoded): void {
  if (samplesDecoded > 0) {
    loudness.add(channelData, sampleRate);
  }
}

async function decodeByFfmpeg(ffmpeg: string, input: string, loudness: Loudness): Promise<void> {
  let rest = Buffer.alloc(0);
  await runFfmpeg(ffmpeg, {
    input,
    after: ['-vn', '-ac', '1', '-ar', String(FFMPEG_RATE), '-f', 'f32le'],
    maxBytes: 4 * FFMPEG_RATE * 6 * 3600,
    onBytes: (bytes) => {
      const all = Buffer.concat([rest, bytes]);
      const whole = all.length - (all.length % 4);
      loudness.add([new Float32Array(new Uint8Array(all.subarray(0, whole)).buffer)], FFMPEG_RATE);
      rest = all.subarray(whole);
    },
  });
}
