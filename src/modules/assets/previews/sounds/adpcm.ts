/**
 * The two ADPCM codings of WAV files (IMA, which is also called DVI, and Microsoft's): a sample is told by four bits, as the difference from
 * what the samples before let expect. Blocks stand for themselves. Described by "New Multimedia Data Types and Data Techniques" (Microsoft, 1994).
 */

export interface AdpcmFormat {
  coding: 'ima' | 'ms';
  channels: number;
  /** Bytes of a block: all of them but the last have so many. */
  blockBytes: number;
  /** Of Microsoft's coding, pairs of weights that its blocks choose from, in 256ths. */
  weights: readonly (readonly [number, number])[];
}

/** The samples of one block, from -1 to 1, the loudest channel's of each frame. A block that is too short has none. */
export function adpcmSamples(block: Buffer, format: AdpcmFormat): Float32Array {
  const heads = format.coding === 'ima' ? 4 : 7;
  if (block.length < heads * format.channels) {
    return new Float32Array();
  }
  return format.coding === 'ima' ? imaSamples(block, format.channels) : msSamples(block, format);
}

/** Of the standard: each about a tenth above the one before. */
const IMA_STEPS = [
  7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118,
  130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060,
  1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484,
  7132, 7845, 8630, 9493, 10_442, 11_487, 12_635, 13_899, 15_289, 16_818, 18_500, 20_350, 22_385, 24_623, 27_086,
  29_794, 32_767,
] as const;
const IMA_INDEX = [-1, -1, -1, -1, 2, 4, 6, 8] as const;

function imaSamples(block: Buffer, channels: number): Float32Array {
  const groups = Math.floor((block.length - 4 * channels) / (4 * channels));
  const loudest = new Float32Array(1 + groups * 8);
  for (let channel = 0; channel < channels; channel += 1) {
    let value = block.readInt16LE(channel * 4);
    let index = Math.min(88, block.readUInt8(channel * 4 + 2));
    keepLoudest(loudest, 0, value);
    for (let sample = 0; sample < groups * 8; sample += 1) {
      const at = 4 * channels + (Math.floor(sample / 8) * channels + channel) * 4 + ((sample % 8) >> 1);
      const code = (block.readUInt8(at) >> (sample % 2 === 0 ? 0 : 4)) & 15;
      const step = IMA_STEPS[index] ?? 7;
      const difference = (((code & 7) * 2 + 1) * step) >> 3;
      value = clamped((code & 8) === 0 ? value + difference : value - difference);
      index = Math.max(0, Math.min(88, index + (IMA_INDEX[code & 7] ?? 0)));
      keepLoudest(loudest, sample + 1, value);
    }
  }
  return loudest;
}

const MS_ADAPTION = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230] as const;
/** Those of the standard, which come first in every file. */
export const MS_WEIGHTS: AdpcmFormat['weights'] = [
  [256, 0],
  [512, -256],
  [0, 0],
  [192, 64],
  [240, 0],
  [460, -208],
  [392, -232],
];

function msSamples(block: Buffer, { channels, weights }: AdpcmFormat): Float32Array {
  const nibbles = (block.length - 7 * channels) * 2;
  const loudest = new Float32Array(2 + Math.floor(nibbles / channels));
  for (let channel = 0; channel < channels; channel += 1) {
    const [first, second] = weights[block.readUInt8(channel)] ?? [256, 0];
    let delta = block.readInt16LE(channels + channel * 2);
    let last = block.readInt16LE(channels * 3 + channel * 2);
    let before = block.readInt16LE(channels * 5 + channel * 2);
    keepLoudest(loudest, 0, before);
    keepLoudest(loudest, 1, last);
    for (let sample = 2; sample < loudest.length; sample += 1) {
      const nibble = (sample - 2) * channels + channel;
      const code = (block.readUInt8(7 * channels + (nibble >> 1)) >> (nibble % 2 === 0 ? 4 : 0)) & 15;
      const expected = (last * first + before * second) >> 8;
      before = last;
      last = clamped(expected + (code >= 8 ? code - 16 : code) * delta);
      delta = Math.min(32_767, Math.max(16, ((MS_ADAPTION[code] ?? 230) * delta) >> 8));
      keepLoudest(loudest, sample, last);
    }
  }
  return loudest;
}

function clamped(value: number): number {
  return Math.max(-32_768, Math.min(32_767, value));
}

function keepLoudest(samples: Float32Array, at: number, value: number): void {
  samples[at] = Math.max(samples[at] ?? 0, Math.abs(value) / 32_768);
}
