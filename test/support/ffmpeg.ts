/** The ffmpeg of this machine, where there is one: Debian's package `ffmpeg`, or the program that `FFMPEG_PATH` names. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const PATHS = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'ffmpeg'));

export const FFMPEG = [process.env['FFMPEG_PATH'] ?? '', ...PATHS].find((path) => existsSync(path)) ?? null;

/** For the name of a test that is skipped without one. */
export const NO_FFMPEG = FFMPEG === null ? ' (skipped: no ffmpeg here; install it or set FFMPEG_PATH)' : '';

export const TONE = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100:duration=1.5'];
export const TONE_8K = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=8000:duration=1.5'];
export const PATTERN = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=2'];

/** The file that ffmpeg makes by these options, named by its format. */
export async function encoded(options: readonly string[], name: string, stdin?: Buffer): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-encoded-'));
  try {
    const [path, input] = [join(folder, name), join(folder, 'raw')];
    await writeFile(input, stdin ?? '');
    const given = options.map((option) => (option === 'INPUT' ? input : option));
    await promisify(execFile)(FFMPEG ?? '', ['-hide_banner', '-loglevel', 'error', '-y', ...given, path]);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same ffmpeg in a folder where no ffprobe is beside it. */
export async function ffmpegAlone(folder: string): Promise<string> {
  const path = join(folder, 'ffmpeg');
  await symlink(FFMPEG ?? '', path);
  return path;
}
