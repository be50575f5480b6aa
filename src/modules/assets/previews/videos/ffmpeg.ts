/**
 * Runs ffmpeg and ffprobe over files of strangers: with no protocol but files and no format that names other files (playlists, scripts), with
 * limits of time and output, without an environment. The lane that started this process watches the memory of all of them together.
 */
import { spawn } from 'node:child_process';

const LIMIT_MS = 15_000;
/** Two decode as fast as is needed; one for each core would leave none to others. */
const THREADS = '2';

/** Containers, streams and pictures that are files in themselves. A build that lacks some passes over them. */
const FORMATS = [
  'aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,dv,eac3,flac,flv,h264,hevc,ivf,matroska,m4v,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu',
  'ogg,rm,tak,tta,voc,w64,wav,wv,yuv4mpegpipe',
  'bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,hdr_pipe,ico,j2k_pipe,jpeg_pipe,jpegxl_pipe,jpegxl_anim,pam_pipe,pcx_pipe,pgm_pipe,pbm_pipe,ppm_pipe',
  'png_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp_pipe,xbm_pipe',
].join(',');

const CLOSED = ['-hide_banner', '-loglevel', 'error', '-protocol_whitelist', 'file,pipe', '-format_whitelist', FORMATS];

export interface FfmpegRun {
  /** Options of the input, such as `-ss`. */
  before?: readonly string[];
  input: string;
  /** Options of the output, which goes to a pipe. */
  after: readonly string[];
  onBytes: (bytes: Buffer) => void;
  maxBytes: number;
}

/** Hands on what ffmpeg writes. @throws Error where it fails, takes too long, or writes more than `maxBytes` */
export async function runFfmpeg(ffmpeg: string, { before = [], input, after, ...output }: FfmpegRun): Promise<void> {
  const options = ['-nostdin', ...CLOSED, '-threads', THREADS, ...before, '-i', `file:${input}`, ...after, 'pipe:1'];
  await run(ffmpeg, options, output);
}

/** What ffprobe says, as text. @throws Error as above, and where there is no ffprobe */
export async function runFfprobe(ffprobe: string, input: string, options: readonly string[]): Promise<string> {
  const pieces: Buffer[] = [];
  await run(ffprobe, [...CLOSED, ...options, `file:${input}`], {
    onBytes: (bytes) => pieces.push(bytes),
    maxBytes: 1024 * 1024,
  });
  return Buffer.concat(pieces).toString('utf8');
}

/** What ffmpeg tells people of a file when it opens it. @throws Error where it cannot be run or takes too long */
export async function describeByFfmpeg(ffmpeg: string, input: string): Promise<string> {
  const pieces: Buffer[] = [];
  const quiet = CLOSED.map((option) => (option === 'error' ? 'info' : option));
  // Without an output it ends with an error, once it has said what the input is.
  await run(ffmpeg, ['-nostdin', ...quiet, '-i', `file:${input}`], {
    onBytes: (bytes) => pieces.push(bytes),
    maxBytes: 256 * 1024,
    isFromStderr: true,
  });
  return Buffer.concat(pieces).toString('utf8');
}

interface RunOutput {
  onBytes: (bytes: Buffer) => void;
  maxBytes: number;
  /** What it tells people is the result, whatever its exit code. */
  isFromStderr?: boolean;
}

async function run(
  program: string,
  options: readonly string[],
  { onBytes, maxBytes, isFromStderr = false }: RunOutput,
): Promise<void> {
  const child = spawn(program, options, {
    stdio: ['ignore', isFromStderr ? 'ignore' : 'pipe', isFromStderr ? 'pipe' : 'ignore'],
    env: {},
  });
  let written = 0;
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      (isFromStderr ? child.stderr : child.stdout)?.on('data', (bytes: Buffer) => {
        written += bytes.length;
        if (written > maxBytes) {
          child.kill('SIGKILL');
        } else {
          onBytes(bytes);
        }
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (code === 0 || (isFromStderr && signal === null)) {
          resolve();
        } else {
          reject(new Error('ffmpeg could not read it'));
        }
      });
    });
  } finally {
    clearTimeout(timer);
  }
}
