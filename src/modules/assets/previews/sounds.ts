/** Waves of sound, from its decoded samples. Decoded and forgotten piece by piece, so that an hour takes no more memory than a second. */
import { open } from 'node:fs/promises';
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import { OggVorbisDecoder } from '@wasm-audio-decoders/ogg-vorbis';
import { MPEGDecoder } from 'mpg123-decoder';
import { OggOpusDecoder } from 'ogg-opus-decoder';
import { wave } from './cards.js';
import { runFfmpeg } from './ffmpeg.js';
import { readFlacHead } from './flac-file.js';
import { lookAtMedia } from './media-facts.js';
import type { MediaFacts, OnFacts, Preview } from './preview-job.js';
import { readWave } from './wave-file.js';

const PIECE_BYTES = 256 * 1024;
const BLOCK_SAMPLES = 256;
const BARS = 145;
/** Long enough for any speech; the wave of more is of its beginning. */
const MOST_BLOCKS = 3_000_000;
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

/** @throws Error for what is no sound */
export async function previewSound({ input, contentType, name, ffmpeg, onFacts }: SoundJob): Promise<Preview> {
  let look: { facts: MediaFacts } | null;
  if (contentType === 'audio/flac') {
    const head = await readFlacHead(input);
    if (!head.hasFrame) {
      return { picture: null, metadata: head.facts, note: 'the sound has no samples' };
    }
    look = head;
  } else {
    look = await lookAtMedia(input).catch(() => null);
  }
  onFacts(look?.facts ?? {});
  const loudness = new Loudness();
  const decoded = await decode(input, contentType, ffmpeg, loudness);
  const facts: MediaFacts = { ...look?.facts };
  if (decoded && loudness.samples > 0) {
    facts['duration_seconds'] ??= Math.round(loudness.seconds * 1000) / 1000;
    facts['sample_rate'] ??= loudness.sampleRate;
    return { picture: await wave(loudness.bars(BARS), loudness.seconds, name), metadata: facts, note: null };
  }
  if (look === null) {
    throw new Error('the sound could not be decoded');
  }
  return { picture: null, metadata: facts, note: 'no decoder for this sound on this machine' };
}

async function decode(input: string, contentType: string, ffmpeg: string | null, loudness: Loudness): Promise<boolean> {
  if (contentType === 'audio/wav') {
    await readWave(input, (samples, rate) => loudness.add([samples], rate));
    return true;
  }
  const decoder = await decoderFor(input, contentType);
  if (decoder !== null) {
    await decodeBy(decoder, input, loudness);
    return true;
  }
  if (ffmpeg === null) {
    return false;
  }
  let rest = Buffer.alloc(0);
  const raw = ['-vn', '-ac', '1', '-ar', String(FFMPEG_RATE), '-f', 'f32le'];
  await runFfmpeg(
    ffmpeg,
    [],
    input,
    raw,
    (bytes) => {
      const all = Buffer.concat([rest, bytes]);
      const whole = all.length - (all.length % 4);
      loudness.add([new Float32Array(new Uint8Array(all.subarray(0, whole)).buffer)], FFMPEG_RATE);
      rest = all.subarray(whole);
    },
    4 * FFMPEG_RATE * 6 * 3600,
  );
  return true;
}

async function decoderFor(input: string, contentType: string): Promise<Decoder | null> {
  switch (contentType) {
    case 'audio/mpeg':
      return new MPEGDecoder();
    case 'audio/flac':
      return new FLACDecoder();
    case 'audio/ogg':
      return (await headOf(input)).includes('OpusHead') ? new OggOpusDecoder() : new OggVorbisDecoder();
    default:
      return null;
  }
}

async function decodeBy(decoder: Decoder, input: string, loudness: Loudness): Promise<void> {
  const file = await open(input);
  try {
    await decoder.ready;
    const stream = file.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false });
    for await (const piece of stream) {
      if (piece instanceof Uint8Array) {
        loudness.addDecoded(await decoder.decode(piece));
      }
      if (loudness.full) {
        break;
      }
    }
    const last = await decoder.flush?.();
    if (last !== undefined) {
      loudness.addDecoded(last);
    }
  } finally {
    decoder.free();
    await file.close();
  }
}

async function headOf(input: string): Promise<string> {
  const file = await open(input);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The loudest sample of each block. */
class Loudness {
  samples = 0;
  sampleRate = 0;
  readonly #blocks: number[] = [];
  #inBlock = 0;
  #peak = 0;

  get full(): boolean {
    return this.#blocks.length >= MOST_BLOCKS;
  }

  get seconds(): number {
    return this.sampleRate === 0 ? 0 : this.samples / this.sampleRate;
  }

  addDecoded({ channelData, samplesDecoded, sampleRate }: Decoded): void {
    if (samplesDecoded > 0) {
      this.add(channelData, sampleRate);
    }
  }

  add(channels: readonly Float32Array[], sampleRate: number): void {
    const [first, second] = channels;
    if (first === undefined || this.full) {
      return;
    }
    this.sampleRate = sampleRate;
    for (let index = 0; index < first.length; index += 1) {
      const loudest = Math.max(Math.abs(first[index] ?? 0), Math.abs(second?.[index] ?? 0));
      if (loudest > this.#peak) {
        this.#peak = loudest;
      }
      this.#inBlock += 1;
      if (this.#inBlock === BLOCK_SAMPLES) {
        this.#blocks.push(this.#peak);
        this.#inBlock = 0;
        this.#peak = 0;
      }
    }
    this.samples += first.length;
  }

  /** So many bars over all of it; the loudest touches the top. */
  bars(count: number): number[] {
    const blocks = this.#inBlock > 0 ? [...this.#blocks, this.#peak] : this.#blocks;
    const bars = Array.from({ length: count }, (_, bar) => {
      const from = Math.floor((bar * blocks.length) / count);
      const to = Math.max(from + 1, Math.floor(((bar + 1) * blocks.length) / count));
      return blocks.slice(from, to).reduce((most, peak) => (Number.isFinite(peak) ? Math.max(most, peak) : most), 0);
    });
    const top = Math.max(...bars);
    return top === 0 ? bars : bars.map((bar) => bar / top);
  }
}
