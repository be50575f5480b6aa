/** What ffmpeg knows of a file that no library here reads: from ffprobe, or where there is none beside ffmpeg, from what ffmpeg tells people. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { describeByFfmpeg, runFfprobe } from './ffmpeg.js';
import type { MediaFacts } from '../preview-job.js';
import type { Transfer } from '../pictures/tone-map.js';

export interface FfmpegLook {
  facts: MediaFacts;
  /** How light is coded in the pictures of HDR video; null of any other. */
  transfer: Transfer | null;
}

const SHOWN =
  'format=duration:stream=codec_type,codec_name,width,height,sample_aspect_ratio,sample_rate,channels,avg_frame_rate,nb_frames,' +
  'color_transfer:stream_side_data=rotation:stream_disposition=attached_pic';

/** @throws Error where ffmpeg finds neither sound nor picture in the file, or takes too long */
export async function lookByFfmpeg(ffmpeg: string, input: string): Promise<FfmpegLook> {
  const ffprobe = join(dirname(ffmpeg), basename(ffmpeg).replace('ffmpeg', 'ffprobe'));
  const look =
    ffprobe !== ffmpeg && existsSync(ffprobe)
      ? ofProbe(await runFfprobe(ffprobe, input, ['-print_format', 'json', '-show_entries', SHOWN]))
      : ofDescription(await describeByFfmpeg(ffmpeg, input));
  if (look.facts['audio_codec'] === undefined && look.facts['video_codec'] === undefined) {
    throw new Error('ffmpeg found nothing in it');
  }
  return look;
}

const streamSchema = z.object({
  codec_type: z.string().optional(),
  codec_name: z.string().max(40).optional(),
  width: z.int().positive().optional(),
  height: z.int().positive().optional(),
  sample_aspect_ratio: z.string().optional(),
  sample_rate: z.string().optional(),
  channels: z.int().positive().optional(),
  avg_frame_rate: z.string().optional(),
  nb_frames: z.string().optional(),
  color_transfer: z.string().optional(),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
  disposition: z.object({ attached_pic: z.int().optional() }).optional(),
});
type ProbedStream = z.output<typeof streamSchema>;
const probeSchema = z.object({
  streams: z.array(streamSchema).default([]),
  format: z.object({ duration: z.string().optional() }).default({}),
});

function ofProbe(text: string): FfmpegLook {
  const { streams, format } = probeSchema.parse(JSON.parse(text));
  const sound = streams.find(({ codec_type }) => codec_type === 'audio');
  const video = streams.find(
    ({ codec_type, disposition }) => codec_type === 'video' && disposition?.attached_pic !== 1,
  );
  const seconds = Number(format.duration ?? 0);
  return {
    facts: {
      ...(seconds > 0 ? { duration_seconds: rounded(seconds) } : {}),
      ...(sound === undefined ? {} : soundFacts(sound.codec_name, Number(sound.sample_rate ?? 0), sound.channels ?? 0)),
      ...(video === undefined ? {} : videoFacts(video, seconds)),
    },
    transfer: TRANSFERS[video?.color_transfer ?? ''] ?? null,
  };
}

function videoFacts(video: ProbedStream, seconds: number): MediaFacts {
  const { codec_name, width = 0, height = 0, side_data_list, avg_frame_rate = '', nb_frames } = video;
  const rotation = side_data_list?.find((data) => data.rotation !== undefined)?.rotation ?? 0;
  return pictureFacts({
    codec: codec_name,
    width: Math.round(width * (ratio(video.sample_aspect_ratio?.replace(':', '/') ?? '') || 1)),
    height,
    isTurned: Math.abs(Math.round(rotation / 90)) % 2 === 1,
    frameRate: ratio(avg_frame_rate),
    frames: Number(nb_frames ?? 0),
    seconds,
  });
}

/** Lines such as `Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 320x180 [SAR 4:3 DAR 64:27], 25 fps`. */
function ofDescription(text: string): FfmpegLook {
  const [, hours, minutes, seconds] = /^\s*Duration: (\d+):(\d+):([\d.]+)/m.exec(text) ?? [];
  const duration = hours === undefined ? 0 : Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  const sound = /^\s*Stream #0:\d+.*?: Audio: (\w+).*?, (\d+) Hz, ([^,\s]+)(?: channels)?/m.exec(text);
  const video = /^\s*Stream #0:\d+.*?: Video: (\w+)((?:(?!\(attached pic\)).)*?), (\d+)x(\d+)(.*)$/m.exec(text);
  const facts: MediaFacts = duration > 0 ? { duration_seconds: rounded(duration) } : {};
  if (sound !== null) {
    Object.assign(facts, soundFacts(sound[1], Number(sound[2]), CHANNELS[sound[3] ?? ''] ?? Number(sound[3])));
  }
  if (video !== null) {
    const [, codec, , width, height, rest = ''] = video;
    const [, aspect = '1:1'] = /\[SAR (\d+:\d+)/.exec(rest) ?? [];
    const [, turned] = /rotation of (-?[\d.]+) degrees/.exec(text) ?? [];
    Object.assign(
      facts,
      pictureFacts({
        codec,
        width: Math.round(Number(width) * (ratio(aspect.replace(':', '/')) || 1)),
        height: Number(height),
        isTurned: Math.abs(Math.round(Number(turned ?? 0) / 90)) % 2 === 1,
        frameRate: Number(/, ([\d.]+) fps/.exec(rest)?.[1] ?? 0),
        frames: 0,
        seconds: duration,
      }),
    );
  }
  const transfer = /smpte2084|arib-std-b67/.exec(video?.[2] ?? '')?.[0];
  return { facts, transfer: TRANSFERS[transfer ?? ''] ?? null };
}

const TRANSFERS: Readonly<Record<string, Transfer>> = { smpte2084: 'pq', 'arib-std-b67': 'hlg' };
const CHANNELS: Readonly<Record<string, number>> = {
  mono: 1,
  stereo: 2,
  quad: 4,
  '5.0': 5,
  '5.1': 6,
  '5.1(side)': 6,
  '7.1': 8,
};

/** Codecs under the names that the other readers here give them. */
const NAMES: Readonly<Record<string, string>> = {
  h264: 'avc',
  pcm_mulaw: 'ulaw',
  pcm_alaw: 'alaw',
  adpcm_ima_wav: 'adpcm-ima',
  adpcm_ima_qt: 'adpcm-ima',
  gsm_ms: 'gsm',
};

function named(codec: string | undefined): string {
  const name = codec ?? 'unknown';
  return NAMES[name] ?? (/^(pcm|adpcm)_/.test(name) ? name.replace(/le$/, '').replaceAll('_', '-') : name);
}

function soundFacts(codec: string | undefined, sampleRate: number, channels: number): MediaFacts {
  return {
    audio_codec: named(codec),
    ...(sampleRate > 0 ? { sample_rate: sampleRate } : {}),
    ...(channels > 0 ? { channels } : {}),
  };
}

interface PictureTrack {
  codec: string | undefined;
  width: number;
  height: number;
  isTurned: boolean;
  frameRate: number;
  frames: number;
  seconds: number;
}

function pictureFacts({ codec, width, height, isTurned, frameRate, frames, seconds }: PictureTrack): MediaFacts {
  const counted = frames > 0 ? frames : Math.round(seconds * frameRate);
  return {
    video_codec: named(codec),
    ...(width > 0 && height > 0 ? { width: isTurned ? height : width, height: isTurned ? width : height } : {}),
    ...(frameRate > 0 ? { frame_rate: rounded(frameRate) } : {}),
    ...(counted > 0 ? { frames: counted } : {}),
  };
}

/** A fraction such as `30000/1001`; 0 where it is none. */
function ratio(text: string): number {
  const [, above, below] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const value = Number(above) / Number(below);
  return Number.isFinite(value) ? value : 0;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
