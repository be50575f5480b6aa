import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { newId } from '../../src/kernel/ids.js';
import { PreviewProcess } from '../../src/modules/assets/index.js';
import type { PreviewResult } from '../../src/modules/assets/previews/preview-job.js';
import { builtPath } from '../support/build.js';
import { encoded, FFMPEG, NO_FFMPEG, PATTERN } from '../support/ffmpeg.js';
import { HDR_COLORS, hdrPixels } from '../support/hdr.js';
import { picture } from '../support/media.js';
import { pngBomb, pngOf } from '../support/png.js';

const previews = new PreviewProcess();
const organizationId = newId();
let folder: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskyard-pictures-'));
  previews.runFrom(builtPath('src/modules/assets/previews/preview-child.ts'));
});
afterAll(async () => {
  await previews.beforeApplicationShutdown();
  await rm(folder, { recursive: true, force: true });
});

async function preview(
  contentType: string,
  bytes: Buffer,
  ffmpeg: string | null = null,
): Promise<PreviewResult & { output: string }> {
  count += 1;
  const [input, output] = [join(folder, `${count}.in`), join(folder, `${count}.webp`)];
  await writeFile(input, bytes);
  const job = { kind: 'image' as const, label: 'Image', name: 'a', contentType, input, output, ffmpeg };
  return { ...(await previews.run(organizationId, job, { probeMs: 60_000, totalMs: 120_000 })), output };
}

/** How far the columns of a thumbnail are from the colors that they were made of, in steps of 255. */
async function differences(path: string): Promise<number[]> {
  const { data, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return HDR_COLORS.map((color, column) => {
    const at = (Math.floor(info.height / 2) * info.width + column * 8 + 4) * 3;
    return Math.max(...color.map((value, channel) => Math.abs(value - (data[at + channel] ?? 0))));
  });
}

/** All but white are as they were; white is where light that is brighter still begins to be compressed. */
function expectSameColors(found: readonly number[]): void {
  const [, white = 255, ...others] = found;
  expect(white).toBeLessThan(25);
  expect(Math.max(...others)).toBeLessThan(12);
}

test('a picture of more pixels than are decoded has its width and height', async () => {
  expect(await preview('image/png', pngBomb(30_000))).toMatchObject({
    note: 'the picture has too many pixels to be drawn',
    metadata: { width: 30_000, height: 30_000, format: 'png' },
  });
});

test('a JPEG without its last two bytes is shown', async () => {
  const bytes = await picture(320, 200, 'jpeg');
  const made = await preview('image/jpeg', bytes.subarray(0, -2));
  expect(made).toMatchObject({ note: null, metadata: { width: 320, height: 200 } });
  expect(await sharp(made.output).metadata()).toMatchObject({ width: 320, height: 200 });
});

test('a picture of 16 bits is shown in its own colors', async () => {
  const rows = Buffer.concat(
    Array.from({ length: 16 }, () => [
      Buffer.from([0]),
      ...HDR_COLORS.flatMap((color) =>
        Array.from({ length: 8 }, () => Buffer.from(color.flatMap((value) => [value, value]))),
      ),
    ]).flat(),
  );
  const made = await preview('image/png', pngOf({ width: 64, height: 16, bits: 16 }, rows));
  expect(made).toMatchObject({ note: null, metadata: { width: 64, height: 16 } });
  expect(Math.max(...(await differences(made.output)))).toBeLessThan(12);
});

test.each([
  ['pq', 16],
  ['hlg', 18],
] as const)('a PNG of high dynamic range (%s) is shown in the colors that it was made of', async (transfer, number) => {
  const pixels = hdrPixels(transfer, 16, true);
  const rowBytes = pixels.length / 16;
  const rows = Buffer.concat(
    Array.from({ length: 16 }, (_, row) => [
      Buffer.from([0]),
      pixels.subarray(row * rowBytes, (row + 1) * rowBytes),
    ]).flat(),
  );
  const bytes = pngOf({ width: 64, height: 16, bits: 16 }, rows, [['cICP', Buffer.from([9, number, 0, 1])]]);
  const made = await preview('image/png', bytes);
  expect(made).toMatchObject({ note: null, metadata: { width: 64, height: 16, format: 'png' } });
  expectSameColors(await differences(made.output));
});

test('a picture that nothing here decodes says so', async () => {
  const bitmap = Buffer.concat([Buffer.from('BM'), Buffer.alloc(60)]);
  expect(await preview('image/bmp', bitmap)).toMatchObject({ note: 'no decoder for this picture on this machine' });
});

(FFMPEG === null ? describe.skip : describe)(`with ffmpeg${NO_FFMPEG}`, () => {
  test('an AVIF of high dynamic range is shown in the colors that it was made of', async () => {
    const options = [
      ...['-f', 'rawvideo', '-pix_fmt', 'rgb48le', '-s', '64x16', '-i', 'INPUT'],
      ...['-vf', 'scale=out_color_matrix=bt2020:out_range=pc,format=yuv444p10le', '-color_primaries', 'bt2020'],
      ...['-color_trc', 'smpte2084', '-colorspace', 'bt2020nc', '-color_range', 'pc'],
      ...['-c:v', 'libaom-av1', '-still-picture', '1', '-crf', '4', '-cpu-used', '8'],
    ];
    const made = await preview('image/avif', await encoded(options, 'a.avif', hdrPixels('pq', 16, false)));
    expect(made).toMatchObject({ note: null, metadata: { width: 64, height: 16, format: 'heif' } });
    expectSameColors(await differences(made.output));
  });

  test.each([
    ['a.bmp', 'image/bmp', 'bmp'],
    ['a.jp2', 'image/jp2', 'jpeg2000'],
  ])('%s has a thumbnail and its size', async (name, type, format) => {
    const made = await preview(type, await encoded([...PATTERN, '-frames:v', '1'], name), FFMPEG);
    expect(made).toMatchObject({ note: null, metadata: { width: 320, height: 180, format } });
    expect(await sharp(made.output).metadata()).toMatchObject({ width: 320, height: 180 });
  });
});
