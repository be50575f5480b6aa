/** Pictures of high dynamic range, made of colors of sRGB: what is shown of them is to look like those. */

/** 8 columns; all but the second, which is white, are darker than what tone mapping compresses. */
export const HDR_COLORS = [
  [0, 0, 0],
  [255, 255, 255],
  [128, 128, 128],
  [64, 64, 64],
  [180, 40, 40],
  [40, 160, 60],
  [40, 60, 180],
  [180, 160, 60],
] as const;

const TO_2020 = [
  [0.6274, 0.3293, 0.0433],
  [0.0691, 0.9195, 0.0114],
  [0.0164, 0.088, 0.8956],
] as const;
const WHITE_NITS = 203;

/** Rows of 16-bit RGB in BT.2020, each color 8 pixels wide. */
export function hdrPixels(transfer: 'pq' | 'hlg', height: number, isBigEndian: boolean): Buffer {
  const row = Buffer.alloc(HDR_COLORS.length * 8 * 6);
  HDR_COLORS.forEach((color, column) => {
    const linear = color.map((value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    const wide = TO_2020.map((weights) => weights.reduce((sum, weight, at) => sum + weight * (linear[at] ?? 0), 0));
    const coded = transfer === 'pq' ? wide.map((light) => pq(light * WHITE_NITS)) : hlg(wide);
    for (let pixel = 0; pixel < 8; pixel += 1) {
      coded.forEach((value, channel) => {
        const at = ((column * 8 + pixel) * 3 + channel) * 2;
        const stored = Math.round(Math.max(0, Math.min(1, value)) * 65_535);
        if (isBigEndian) row.writeUInt16BE(stored, at);
        else row.writeUInt16LE(stored, at);
      });
    }
  });
  return Buffer.concat(Array.from({ length: height }, () => row));
}

/** ITU-R BT.2100, as are the constants. */
function pq(nits: number): number {
  const power = (nits / 10_000) ** 0.1593017578125;
  return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375;
}

/** For a screen of 1,000 cd/m². */
function hlg(linear: readonly number[]): number[] {
  const shown = linear.map((light) => (light * WHITE_NITS) / 1_000);
  const [red = 0, green = 0, blue = 0] = shown;
  const luminance = 0.2627 * red + 0.678 * green + 0.0593 * blue;
  return shown.map((light) => {
    const scene = luminance === 0 ? 0 : light / luminance ** (0.2 / 1.2);
    return scene <= 1 / 12 ? Math.sqrt(3 * scene) : 0.17883277 * Math.log(12 * scene - 0.28466892) + 0.55991073;
  });
}
