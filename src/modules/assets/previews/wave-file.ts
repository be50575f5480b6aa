import { open } from 'node:fs/promises';

const PIECE_BYTES = 192 * 1024;

/**
 * The samples of a WAV file (RIFF WAVE, PCM of 8 to 32 bits or floats), its channels' loudest as one, piece by piece.
 * @throws Error for what is none
 */
export async function readWave(
  path: string,
  onSamples: (samples: Float32Array, sampleRate: number) => void,
): Promise<void> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const read = async (position: number, length: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
      return buffer.subarray(0, bytesRead);
    };
    let format: WaveFormat | null = null;
    for (let position = 12; position + 8 <= size;) {
      const head = await read(position, 8);
      const [name, length] = [head.toString('latin1', 0, 4), head.readUInt32LE(4)];
      if (name === 'fmt ') {
        format = waveFormat(await read(position + 8, Math.min(length, 40)));
      } else if (name === 'data' && format !== null) {
        const end = Math.min(size, position + 8 + length);
        const step = PIECE_BYTES - (PIECE_BYTES % format.frameBytes);
        for (let at = position + 8; at + format.frameBytes <= end; at += step) {
          onSamples(samplesOf(await read(at, Math.min(step, end - at)), format), format.sampleRate);
        }
        return;
      }
      position += 8 + length + (length % 2);
    }
    throw new Error('the WAV file has no samples');
  } finally {
    await file.close();
  }
}

interface WaveFormat {
  isFloat: boolean;
  channels: number;
  sampleRate: number;
  bytes: number;
  frameBytes: number;
}

function waveFormat(chunk: Buffer): WaveFormat {
  if (chunk.length < 16) {
    throw new Error('the WAV file says nothing of its samples');
  }
  const code = chunk.readUInt16LE(0);
  // The extensible form names the real one further on.
  const tag = code === 0xfffe && chunk.length >= 26 ? chunk.readUInt16LE(24) : code;
  const [channels, sampleRate, bits] = [chunk.readUInt16LE(2), chunk.readUInt32LE(4), chunk.readUInt16LE(14)];
  const bytes = bits / 8;
  const known = (tag === 1 && [1, 2, 3, 4].includes(bytes)) || (tag === 3 && [4, 8].includes(bytes));
  if (!known || channels < 1 || channels > 32 || sampleRate < 1 || sampleRate > 1_000_000) {
    throw new Error('the samples of the WAV file are of no known kind');
  }
  return { isFloat: tag === 3, channels, sampleRate, bytes, frameBytes: bytes * channels };
}

function samplesOf(bytes: Buffer, { isFloat, channels, bytes: width, frameBytes }: WaveFormat): Float32Array {
  const samples = new Float32Array(Math.floor(bytes.length / frameBytes));
  const scale = 2 ** (width * 8 - 1);
  const sampleAt = (at: number): number => {
    if (isFloat) {
      return width === 4 ? bytes.readFloatLE(at) : bytes.readDoubleLE(at);
    }
    return width === 1 ? (bytes.readUInt8(at) - 128) / 128 : bytes.readIntLE(at, width) / scale;
  };
  for (let frame = 0; frame < samples.length; frame += 1) {
    let loudest = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      loudest = Math.max(loudest, Math.abs(sampleAt(frame * frameBytes + channel * width)));
    }
    samples[frame] = loudest;
  }
  return samples;
}
