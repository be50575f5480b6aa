import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { newId } from '../../src/kernel/ids.js';
import { PreviewProcess } from '../../src/modules/assets/index.js';
import { readWave, readWaveHead } from '../../src/modules/assets/previews/sounds/wave-file.js';
import type { PreviewResult } from '../../src/modules/assets/previews/preview-job.js';
import { builtPath } from '../support/build.js';
import { encoded, FFMPEG, ffmpegAlone, NO_FFMPEG, PATTERN, TONE, TONE_8K } from '../support/ffmpeg.js';
import { HDR_COLORS, hdrPixels } from '../support/hdr.js';
import { wave } from '../support/media.js';

const previews = new PreviewProcess();
const organizationId = newId();
let folder: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskyard-media-'));
  previews.runFrom(builtPath('src/modules/assets/previews/preview-child.ts'));
});
afterAll(async () => {
  await previews.beforeApplicationShutdown();
  await rm(folder, { recursive: true, force: true });
});

interface Made extends PreviewResult {
  output: string;
}

async function preview(
  kind: 'sound' | 'video',
  contentType: string,
  bytes: Buffer,
  ffmpeg: string | null,
): Promise<Made> {
  count += 1;
  const [input, output] = [join(folder, `${count}.in`), join(folder, `${count}.webp`)];
  await writeFile(input, bytes);
  const job = { kind, label: 'Media', name: 'a', contentType, input, output, ffmpeg };
  // Generous, so that no slow machine fails; what ends a job that hangs has tests of its own.
  const result = await previews.run(organizationId, job, { probeMs: 60_000, totalMs: 120_000 });
  return { ...result, output };
}

/** A WAV file of another coding: its format chunk (past the code), then its samples. */
function waveOf(code: number, rate: number, blockBytes: number, bits: number, extra: Buffer, data: Buffer): Buffer {
  const format = Buffer.alloc(18);
  format.writeUInt16LE(code, 0);
  format.writeUInt16LE(1, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt32LE(Math.round((rate * blockBytes) / (bits === 4 ? (blockBytes - 4) * 2 + 1 : 1)), 8);
  format.writeUInt16LE(blockBytes, 12);
  format.writeUInt16LE(bits, 14);
  format.writeUInt16LE(extra.length, 16);
  const chunk = (name: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(8);
    head.write(name);
    head.writeUInt32LE(body.length, 4);
    return Buffer.concat([head, body]);
  };
  const body = Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', Buffer.concat([format, extra])), chunk('data', data)]);
  return chunk('RIFF', body);
}

async function samplesOf(bytes: Buffer): Promise<number[]> {
  count += 1;
  const input = join(folder, `${count}.wav`);
  await writeFile(input, bytes);
  const samples: number[] = [];
  await readWave(input, await readWaveHead(input), (piece) => {
    samples.push(...piece);
    return true;
  });
  return samples;
}

describe('without ffmpeg', () => {
  test('the codings of telephony are read as their standard gives them', async () => {
    // ITU-T G.711: the least and the greatest magnitude, either sign.
    const ulaw = waveOf(7, 8000, 1, 8, Buffer.alloc(0), Buffer.from([0xff, 0x7f, 0x80, 0x00, 0xe7]));
    expect(await samplesOf(ulaw)).toEqual([0, 0, 32_124, 32_124, 260].map((value) => value / 32_768));
    const alaw = waveOf(6, 8000, 1, 8, Buffer.alloc(0), Buffer.from([0xd5, 0x55, 0xaa, 0x2a]));
    expect(await samplesOf(alaw)).toEqual([8, 8, 32_256, 32_256].map((value) => value / 32_768));
  });

  test.each([
    ['µ-law', 7, 'ulaw'],
    ['A-law', 6, 'alaw'],
  ])('a WAV file of %s has a wave, its own rate and its length', async (_name, code, codec) => {
    const data = Buffer.from(Array.from({ length: 12_000 }, (_, at) => (at * 7) & 0xff));
    const made = await preview('sound', 'audio/wav', waveOf(code, 8000, 1, 8, Buffer.alloc(0), data), null);
    expect(made).toMatchObject({
      note: null,
      metadata: { sample_rate: 8000, channels: 1, audio_codec: codec, duration_seconds: 1.5 },
    });
  });

  test('a WAV file of ADPCM has a wave, and of a coding without a decoder its facts', async () => {
    const block = Buffer.alloc(256, 0x31);
    block.writeUInt32LE(0, 0);
    const ima = waveOf(
      0x11,
      22_050,
      256,
      4,
      Buffer.from([0xf9, 1]),
      Buffer.concat(Array.from({ length: 40 }, () => block)),
    );
    expect(await preview('sound', 'audio/wav', ima, null)).toMatchObject({
      note: null,
      metadata: { sample_rate: 22_050, audio_codec: 'adpcm-ima' },
    });
    const gsm = waveOf(0x31, 8000, 65, 0, Buffer.from([0x40, 1]), Buffer.alloc(650));
    expect(await preview('sound', 'audio/wav', gsm, null)).toMatchObject({
      note: 'no decoder for this sound on this machine',
      metadata: { sample_rate: 8000, channels: 1, audio_codec: 'gsm' },
    });
  });

  test.each(['NONE', 'sowt'])('an AIFF file (%s) has a wave and its own sample rate', async (coding) => {
    const pcm = wave(1, (second) => Math.sin(2 * Math.PI * 440 * second), 44_100).subarray(44);
    const data = coding === 'NONE' ? Buffer.from(pcm).swap16() : pcm;
    expect(await preview('sound', 'audio/aiff', aiff(coding, 44_100, data), null)).toMatchObject({
      note: null,
      metadata: {
        sample_rate: 44_100,
        channels: 1,
        duration_seconds: 1,
        audio_codec: coding === 'NONE' ? 'pcm-s16be' : 'pcm-s16',
      },
    });
  });

  test('a video that only ffmpeg reads says that there is none', async () => {
    const avi = Buffer.concat([Buffer.from('RIFF\0\0\0\0AVI LIST'), Buffer.alloc(500)]);
    expect(await preview('video', 'video/avi', avi, null)).toMatchObject({ note: 'no ffmpeg on this machine' });
  });
});

function aiff(coding: string, rate: number, data: Buffer): Buffer {
  const chunk = (name: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(8);
    head.write(name);
    head.writeUInt32BE(body.length, 4);
    return Buffer.concat([head, body]);
  };
  const common = Buffer.alloc(24);
  common.writeUInt16BE(1, 0);
  common.writeUInt32BE(data.length / 2, 2);
  common.writeUInt16BE(16, 6);
  const exponent = Math.floor(Math.log2(rate));
  common.writeUInt16BE(16_383 + exponent, 8);
  common.writeBigUInt64BE(BigInt(rate) << BigInt(63 - exponent), 10);
  common.write(coding, 18, 'latin1');
  const kind = coding === 'NONE' ? 'AIFF' : 'AIFC';
  const sound = Buffer.concat([Buffer.alloc(8), data]);
  const head = coding === 'NONE' ? common.subarray(0, 18) : common;
  return chunk('FORM', Buffer.concat([Buffer.from(kind), chunk('COMM', head), chunk('SSND', sound)]));
}

(FFMPEG === null ? describe.skip : describe)(`with ffmpeg${NO_FFMPEG}`, () => {
  const own = FFMPEG ?? '';
  const facts = (rate: number, codec: string): object => ({ sample_rate: rate, audio_codec: codec });

  test.each([
    ['u.wav', 'audio/wav', [...TONE_8K, '-c:a', 'pcm_mulaw'], facts(8000, 'ulaw'), false],
    ['ima.wav', 'audio/wav', [...TONE, '-c:a', 'adpcm_ima_wav'], facts(44_100, 'adpcm-ima'), false],
    ['ms.wav', 'audio/wav', [...TONE, '-c:a', 'adpcm_ms'], facts(44_100, 'adpcm-ms'), false],
    ['mp3.wav', 'audio/wav', [...TONE, '-c:a', 'libmp3lame'], facts(44_100, 'mp3'), false],
    ['flac.ogg', 'audio/ogg', [...TONE, '-c:a', 'flac'], facts(44_100, 'flac'), false],
    ['a.aiff', 'audio/aiff', [...TONE, '-c:a', 'pcm_s24be'], facts(44_100, 'pcm-s24be'), false],
    ['gsm.wav', 'audio/wav', [...TONE_8K, '-c:a', 'gsm_ms'], facts(8000, 'gsm'), true],
    ['speex.ogg', 'audio/ogg', [...TONE_8K, '-c:a', 'libspeex'], facts(8000, 'speex'), true],
    ['a.wma', 'audio/x-ms-wma', [...TONE, '-c:a', 'wmav2'], facts(44_100, 'wmav2'), true],
    ['a.m4a', 'audio/mp4', [...TONE, '-c:a', 'alac'], facts(44_100, 'alac'), true],
    ['ima.aifc', 'audio/aiff', [...TONE, '-c:a', 'adpcm_ima_qt', '-f', 'aiff'], facts(44_100, 'adpcm-ima'), true],
  ] as const)('%s (%s) has a wave, its own sample rate and its length', async (name, type, options, known, needs) => {
    const bytes = await encoded(options, name);
    const made = await preview('sound', type, bytes, needs ? own : null);
    expect(made).toMatchObject({ note: null, metadata: known });
    expect(made.metadata['duration_seconds']).toBeCloseTo(1.5, 0);
    expect(made.metadata['channels']).toBe(1);
  });

  test.each(['adpcm_ima_wav', 'adpcm_ms', 'pcm_mulaw', 'pcm_alaw'])(
    '%s is decoded to the samples that ffmpeg gives',
    async (codec) => {
      const bytes = await encoded([...TONE, '-c:a', codec, '-ac', '1'], 'coded.wav');
      const expected = await samplesOf(
        await encoded(['-f', 'wav', '-i', 'INPUT', '-c:a', 'pcm_s16le'], 'plain.wav', bytes),
      );
      const samples = await samplesOf(bytes);
      const shared = Math.min(samples.length, expected.length);
      expect(shared).toBeGreaterThan(66_000);
      const worst = samples
        .slice(0, shared)
        .reduce((most, value, at) => Math.max(most, Math.abs(value - (expected[at] ?? 0))), 0);
      expect(worst).toBeLessThan(1 / 1024);
    },
  );

  const sound = ['-c:a', 'libmp3lame', '-shortest'];
  const videos = [
    ['v.avi', 'video/avi', [...PATTERN, ...TONE, '-c:v', 'mpeg4', ...sound], 'mpeg4'],
    ['v.flv', 'video/x-flv', [...PATTERN, ...TONE, '-c:v', 'flv', ...sound], 'flv1'],
    ['v.ts', 'video/mp2t', [...PATTERN, '-c:v', 'mpeg2video'], 'mpeg2video'],
    ['v.mpg', 'video/mpeg', [...PATTERN, '-c:v', 'mpeg1video'], 'mpeg1video'],
    ['v.wmv', 'video/x-ms-wmv', [...PATTERN, '-c:v', 'wmv2'], 'wmv2'],
    ['one.mp4', 'video/mp4', [...PATTERN, '-c:v', 'mpeg4', '-frames:v', '1'], 'mpeg4'],
    ['one.webm', 'video/webm', [...PATTERN, '-c:v', 'libvpx-vp9', '-frames:v', '1'], 'vp9'],
  ] as const;

  test.each(videos)('%s (%s) has a picture, its size and its codecs', async (name, type, options, codec) => {
    const made = await preview('video', type, await encoded(options, name), own);
    expect(made).toMatchObject({
      note: null,
      metadata: { width: 320, height: 180, frame_rate: 25, video_codec: codec },
    });
    expect(await sharp(made.output).metadata()).toMatchObject({ width: 320, height: 180 });
    if (name.startsWith('one')) expect(made.metadata['frames']).toBe(1);
    if (options.includes('libmp3lame'))
      expect(made.metadata).toMatchObject({ audio_codec: 'mp3', sample_rate: 44_100 });
  });

  test('facts come from ffmpeg where no ffprobe is beside it', async () => {
    const alone = await ffmpegAlone(folder);
    for (const [name, type, options, codec] of videos.slice(0, 2)) {
      expect(await preview('video', type, await encoded(options, name), alone)).toMatchObject({
        note: null,
        metadata: { width: 320, height: 180, frame_rate: 25, video_codec: codec, audio_codec: 'mp3', channels: 1 },
      });
    }
    const wma = await encoded([...TONE, '-c:a', 'wmav2', '-ac', '2'], 'a.wma');
    expect((await preview('sound', 'audio/x-ms-wma', wma, alone)).metadata).toMatchObject({
      sample_rate: 44_100,
      channels: 2,
    });
  });

  test('a picture that is wider than its pixels is drawn as it is shown', async () => {
    const bytes = await encoded([...PATTERN, '-vf', 'setsar=4/3', '-c:v', 'mpeg4'], 'wide.avi');
    const made = await preview('video', 'video/avi', bytes, own);
    expect(made.metadata).toMatchObject({ width: 427, height: 180 });
    const { width, height } = await sharp(made.output).metadata();
    expect(width / height).toBeCloseTo(427 / 180, 1);
  });

  test.each(['pq', 'hlg'] as const)(
    'a video of high dynamic range (%s) is shown in the colors that it was made of',
    async (transfer) => {
      const raw = Buffer.concat(Array.from({ length: 5 }, () => hdrPixels(transfer, 32, false)));
      const made = await preview('video', 'video/matroska', await encoded(hdrOptions(transfer), 'hdr.mkv', raw), own);
      expect(made).toMatchObject({ note: null, metadata: { width: 64, height: 32, frames: 5 } });
      const shown = await colorsOf(made.output);
      HDR_COLORS.forEach((color, column) => {
        const worst = Math.max(...color.map((value, channel) => Math.abs(value - (shown[column]?.[channel] ?? 0))));
        // White is where light that is brighter still begins to be compressed.
        expect([column, worst < (column === 1 ? 25 : 12)]).toEqual([column, true]);
      });
    },
  );

  function hdrOptions(transfer: 'pq' | 'hlg'): string[] {
    return [
      ...['-f', 'rawvideo', '-pix_fmt', 'rgb48le', '-s', '64x32', '-r', '5', '-i', 'INPUT'],
      ...['-vf', 'scale=out_color_matrix=bt2020:out_range=tv,format=yuv444p10le', '-colorspace', 'bt2020nc'],
      ...['-color_primaries', 'bt2020', '-color_trc', transfer === 'pq' ? 'smpte2084' : 'arib-std-b67'],
      ...['-color_range', 'tv', '-c:v', 'ffv1'],
    ];
  }

  async function colorsOf(path: string): Promise<number[][]> {
    const { data } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    return HDR_COLORS.map((_, column) => [
      ...data.subarray((16 * 64 + column * 8 + 4) * 3, (16 * 64 + column * 8 + 4) * 3 + 3),
    ]);
  }

  test('a playlist or script that names another file is not followed', async () => {
    const secret = join(folder, 'secret.ts');
    await writeFile(secret, await encoded([...PATTERN, '-c:v', 'mpeg2video'], 'secret.ts'));
    const hostile = [
      `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:${secret}\n#EXT-X-ENDLIST\n`,
      `ffconcat version 1.0\nfile 'secret.ts'\n`,
    ];
    for (const text of hostile) {
      const made = await preview('video', 'video/mp2t', Buffer.from(text), own);
      expect(made).toMatchObject({ metadata: {}, note: 'no picture could be taken from the video' });
    }
  });
});
