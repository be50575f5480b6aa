import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '../../src/kernel/ids.js';
import { PreviewProcess } from '../../src/modules/assets/index.js';
import { builtPath } from '../support/build.js';
import { samples } from '../support/media.js';

/** The long form, `HOSTILE_FILES=200 npm run jest -- test/integration/hostile-media`, tries so many. */
const FILES = Number(process.env['HOSTILE_FILES'] ?? 12);
const KINDS = {
  image: 'image',
  '360': 'image',
  video: 'video',
  sound: 'sound',
  voice: 'sound',
  '3d': 'model',
} as const;

let folder: string;
const previews = new PreviewProcess();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskyard-hostile-'));
  previews.runFrom(builtPath('src/modules/assets/previews/preview-child.ts'));
});
afterAll(async () => {
  await previews.beforeApplicationShutdown();
  await rm(folder, { recursive: true, force: true });
});

test(`${FILES} files that are cut, bent or lying each get a card or a picture, or end a process that is not the server`, async () => {
  const originals = await samples();
  const organizationId = newId();
  const outcomes = { drawn: 0, card: 0, ended: 0 };
  for (let index = 0; index < FILES; index += 1) {
    const original = originals[index % originals.length];
    if (original === undefined) throw new Error('there is a sample of each medium');
    const input = join(folder, `${index}.in`);
    const output = join(folder, `${index}.webp`);
    await writeFile(input, bent(original.bytes, index));
    const job = {
      kind: KINDS[original.type],
      label: 'Hostile',
      name: '\u202e<script>',
      contentType: original.contentType,
      input,
      output,
      ffmpeg: null,
    };
    const result = await previews
      .run(organizationId, job, { totalMs: 5_000 })
      .catch((error: unknown) => error as Error);
    if (result instanceof Error) {
      expect(result.name).toBe('PreviewFailed');
      outcomes.ended += 1;
      // The next process draws all the same.
      await previews.run(organizationId, { ...job, input: null });
    } else {
      outcomes[result.note === null ? 'drawn' : 'card'] += 1;
    }
    expect((await stat(output)).size).toBeLessThan(1024 * 1024);
  }
  expect(outcomes.drawn + outcomes.card + outcomes.ended).toBe(FILES);
  expect(outcomes.card + outcomes.drawn).toBeGreaterThan(0);
  if (FILES > 12) process.stderr.write(`${JSON.stringify(outcomes)}\n`);
}, 900_000);

test('a file that takes too long is ended, with its process, and the next is drawn', async () => {
  const [original] = await samples();
  const input = join(folder, 'slow.in');
  const output = join(folder, 'slow.webp');
  await writeFile(input, original?.bytes ?? '');
  const job = {
    kind: 'image' as const,
    label: 'Slow',
    name: 'slow',
    contentType: 'image/png',
    input,
    output,
    ffmpeg: null,
  };
  await expect(previews.run(newId(), job, { totalMs: 0 })).rejects.toThrow('took too long');
  expect(await previews.run(newId(), job)).toMatchObject({ note: null, metadata: { width: 320 } });
});

test('a FLAC without a single frame gets a card at once, with what its head says', async () => {
  const input = join(folder, 'empty.flac');
  await writeFile(input, flacHead());
  const job = {
    kind: 'sound' as const,
    label: 'Sound',
    name: 'empty.flac',
    contentType: 'audio/flac',
    input,
    output: join(folder, 'empty-flac.webp'),
    ffmpeg: null,
  };
  expect(await previews.run(newId(), job)).toMatchObject({
    note: 'the sound has no samples',
    metadata: { sample_rate: 44_100, channels: 2, audio_codec: 'flac' },
  });
});

test('a file that is not looked into in time ends its own process only, while other organizations’ files are drawn', async () => {
  const [original] = await samples();
  const input = join(folder, 'probed.in');
  await writeFile(input, original?.bytes ?? '');
  const job = { kind: 'image' as const, label: 'Image', name: 'probed', contentType: 'image/png', input, ffmpeg: null };
  const outputs = ['a', 'b', 'c'].map((name) => join(folder, `${name}.webp`));
  const results = await Promise.allSettled(
    outputs.map((output, index) => previews.run(newId(), { ...job, output }, index === 0 ? { totalMs: 0 } : {})),
  );
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
});

/** STREAMINFO of 44.1 kHz stereo, and nothing after it. */
function flacHead(): Buffer {
  const bytes = Buffer.alloc(42);
  bytes.write('fLaC');
  bytes.writeUInt32BE(0x80000022, 4);
  bytes.writeUInt32BE(0x10001000, 8);
  bytes.writeUInt32BE(0x0ac442f0, 18);
  return bytes;
}

/** A file made wrong in one of several ways, the same for the same number. */
function bent(bytes: Buffer, seed: number): Buffer {
  const random = (at: number): number => {
    const value = Math.sin(seed * 12_989.8 + at * 78.233) * 43_758.5453;
    return value - Math.floor(value);
  };
  const copy = Buffer.from(bytes);
  switch (Math.floor(seed / 6) % 6) {
    case 0:
      return copy.subarray(0, Math.floor(copy.length * random(1)));
    case 1:
      for (let at = 0; at < 40; at += 1)
        copy[Math.floor(random(at) * copy.length)] = Math.floor(random(at + 100) * 256);
      return copy;
    case 2:
      // Lengths and counts near the front that promise gigabytes.
      for (let at = 0; at < 3; at += 1)
        copy.writeUInt32LE(0x7ffffff0, 12 + Math.floor(random(at) * Math.min(200, copy.length - 20)));
      return copy;
    case 3:
      return Buffer.concat([copy, Buffer.from('<html><script>alert(1)</script>'), Buffer.alloc(100_000, 0xff)]);
    case 4:
      return Buffer.concat([copy.subarray(0, 64), Buffer.alloc(2_000_000, Math.floor(random(5) * 256))]);
    default:
      for (let at = 20; at < copy.length; at += 1 + Math.floor(random(at) * 60)) copy[at] = (copy[at] ?? 0) ^ 0xff;
      return copy;
  }
}
