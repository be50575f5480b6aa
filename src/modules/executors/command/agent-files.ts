/** What a program leaves in its folder: the files in `out/`, which become assets, and `output.json`, which is the run's output. */
import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { AssetType } from '../../assets/index.js';

const MIB = 1024 * 1024;
const MAX_FILES = 100;
const MAX_FILE_BYTES = 256 * MIB;
const MAX_BYTES = 1024 * MIB;
const MAX_DEPTH = 8;
const MAX_NAME_CHARACTERS = 200;

export interface OutFile {
  name: string;
  type: AssetType;
  contentType: string;
  bytes: AsyncIterable<Uint8Array>;
}

/**
 * The files in a folder and below, in the order of their names; only regular files, no link is followed. Each is open until the next
 * is asked for. `leaveOut` is told what is too much, or no file.
 */
export async function* outFiles(
  folder: string,
  leaveOut: (name: string, why: string) => void,
): AsyncGenerator<OutFile> {
  let count = 0;
  let total = 0;
  for (const segments of await list(folder, [], leaveOut)) {
    const name = assetName(segments);
    const handle = await openRegular(join(folder, ...segments));
    if (handle === null) {
      leaveOut(name, 'it is no regular file');
      continue;
    }
    try {
      const { size } = await handle.stat();
      if (count >= MAX_FILES) {
        leaveOut(name, `a run leaves at most ${MAX_FILES} files`);
      } else if (size > MAX_FILE_BYTES || total + size > MAX_BYTES) {
        leaveOut(name, 'a file may be 256 MiB, all of a run 1 GiB');
      } else {
        count += 1;
        total += size;
        yield { name, ...kindOf(name), bytes: contentOf(handle, size) };
      }
    } finally {
      await handle.close();
    }
  }
}

/** The bytes of a regular file of at most `mostBytes`; null where there is none. @throws RangeError for a larger one */
export async function readRegular(path: string, mostBytes: number): Promise<Buffer | null> {
  const handle = await openRegular(path);
  if (handle === null) {
    return null;
  }
  try {
    const { size } = await handle.stat();
    if (size > mostBytes) {
      throw new RangeError(`larger than ${mostBytes} bytes`);
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function list(
  folder: string,
  above: readonly string[],
  leaveOut: (name: string, why: string) => void,
): Promise<string[][]> {
  const entries = await readdir(join(folder, ...above), { withFileTypes: true }).catch(() => []);
  const found: string[][] = [];
  for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    const segments = [...above, entry.name];
    if (entry.isFile()) {
      found.push(segments);
    } else if (entry.isDirectory() && segments.length <= MAX_DEPTH) {
      found.push(...(await list(folder, segments, leaveOut)));
    } else {
      leaveOut(assetName(segments), 'it is no regular file');
    }
  }
  return found;
}

async function openRegular(path: string): Promise<FileHandle | null> {
  // Without waiting for whoever might write to a pipe of that name.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null);
  if (handle !== null && !(await handle.stat()).isFile()) {
    await handle.close();
    return null;
  }
  return handle;
}

async function* contentOf(handle: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < size;) {
    const buffer = Buffer.allocUnsafe(Math.min(256 * 1024, size - position));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) {
      return;
    }
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** A name for people: never a path, nothing that cannot be shown. */
function assetName(segments: readonly string[]): string {
  const name = segments
    .join('_')
    .replace(/[\p{Cc}\p{Cf}\p{Cs}/\\]/gu, '_')
    .trim();
  const ending = extname(name).slice(0, 16);
  const shortened =
    name.length <= MAX_NAME_CHARACTERS ? name : `${name.slice(0, MAX_NAME_CHARACTERS - ending.length)}${ending}`;
  // A cut may go through a pair of surrogates.
  return shortened.replace(/\p{Cs}/gu, '') || 'file';
}

const KINDS: Readonly<Record<string, readonly [AssetType, string]>> = {
  '.png': ['image', 'image/png'],
  '.jpg': ['image', 'image/jpeg'],
  '.jpeg': ['image', 'image/jpeg'],
  '.gif': ['image', 'image/gif'],
  '.webp': ['image', 'image/webp'],
  '.svg': ['image', 'image/svg+xml'],
  '.mp3': ['sound', 'audio/mpeg'],
  '.wav': ['sound', 'audio/wav'],
  '.ogg': ['sound', 'audio/ogg'],
  '.m4a': ['sound', 'audio/mp4'],
  '.flac': ['sound', 'audio/flac'],
  '.mp4': ['video', 'video/mp4'],
  '.webm': ['video', 'video/webm'],
  '.mov': ['video', 'video/quicktime'],
  '.glb': ['3d', 'model/gltf-binary'],
  '.pdf': ['file', 'application/pdf'],
  '.json': ['file', 'application/json'],
  '.txt': ['file', 'text/plain; charset=utf-8'],
  '.md': ['file', 'text/markdown; charset=utf-8'],
  '.csv': ['file', 'text/csv; charset=utf-8'],
  '.html': ['file', 'text/html; charset=utf-8'],
  '.zip': ['file', 'application/zip'],
};

function kindOf(name: string): { type: AssetType; contentType: string } {
  const [type, contentType] = KINDS[extname(name).toLowerCase()] ?? ['file', 'application/octet-stream'];
  return { type, contentType };
}
