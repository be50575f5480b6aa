/** Samples that are stored one by one, each for itself: whole numbers, floats, and the two laws of telephony (ITU-T G.711). */

export interface PcmFormat {
  /** `int` is signed; `uint` is unsigned around its middle, as WAV has it for 8 bits. */
  encoding: 'int' | 'uint' | 'float' | 'ulaw' | 'alaw';
  /** Bytes a sample: 1 to 4, of a float 4 or 8, of a law 1. */
  sampleBytes: number;
  channels: number;
  isBigEndian: boolean;
}

/** The samples, from -1 to 1, the loudest channel's of each frame; an incomplete frame at the end is left out. */
export function pcmSamples(bytes: Buffer, format: PcmFormat): Float32Array {
  const { channels, sampleBytes } = format;
  const sampleAt = readerOf(bytes, format);
  const frameBytes = channels * sampleBytes;
  const samples = new Float32Array(Math.floor(bytes.length / frameBytes));
  for (let frame = 0; frame < samples.length; frame += 1) {
    let loudest = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      loudest = Math.max(loudest, Math.abs(sampleAt(frame * frameBytes + channel * sampleBytes)));
    }
    samples[frame] = loudest;
  }
  return samples;
}

function readerOf(bytes: Buffer, { encoding, sampleBytes, isBigEndian }: PcmFormat): (at: number) => number {
  const scale = 2 ** (sampleBytes * 8 - 1);
  switch (encoding) {
    case 'int':
      return isBigEndian
        ? (at) => bytes.readIntBE(at, sampleBytes) / scale
        : (at) => bytes.readIntLE(at, sampleBytes) / scale;
    case 'uint':
      return (at) => bytes.readUIntLE(at, sampleBytes) / scale - 1;
    case 'float':
      if (sampleBytes === 4) {
        return isBigEndian ? (at) => bytes.readFloatBE(at) : (at) => bytes.readFloatLE(at);
      }
      return isBigEndian ? (at) => bytes.readDoubleBE(at) : (at) => bytes.readDoubleLE(at);
    case 'ulaw':
      return (at) => ULAW[bytes[at] ?? 0] ?? 0;
    case 'alaw':
      return (at) => ALAW[bytes[at] ?? 0] ?? 0;
  }
}

const ULAW = Float32Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, mantissa] = [~code & 0x80, (~code >> 4) & 7, ~code & 0x0f];
  const magnitude = ((mantissa * 8 + 132) << exponent) - 132;
  return (sign === 0 ? magnitude : -magnitude) / 32_768;
});

const ALAW = Float32Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, mantissa] = [(code ^ 0x55) & 0x80, ((code ^ 0x55) >> 4) & 7, (code ^ 0x55) & 0x0f];
  const magnitude = exponent === 0 ? mantissa * 16 + 8 : (mantissa * 16 + 264) << (exponent - 1);
  return (sign === 0 ? -magnitude : magnitude) / 32_768;
});
