import { spawn } from 'node:child_process';

const LIMIT_MS = 15_000;
/** Files alone: a playlist inside a hostile file must not make it look elsewhere. */
const CLOSED = ['-nostdin', '-hide_banner', '-loglevel', 'error', '-protocol_whitelist', 'file,pipe'];

/** Runs ffmpeg over a file and hands on what it writes. @throws Error where it fails, takes too long, or writes more than `mostBytes` */
export async function runFfmpeg(
  ffmpeg: string,
  before: readonly string[],
  input: string,
  after: readonly string[],
  onBytes: (bytes: Buffer) => void,
  mostBytes: number,
): Promise<void> {
  const child = spawn(ffmpeg, [...CLOSED, ...before, '-i', `file:${input}`, ...after, 'pipe:1'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {},
  });
  let written = 0;
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (bytes: Buffer) => {
        written += bytes.length;
        if (written > mostBytes) {
          child.kill('SIGKILL');
        } else {
          onBytes(bytes);
        }
      });
      child.once('error', reject);
      child.once('close', (code) => {
        if (code === 0) {
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
