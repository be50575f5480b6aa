/**
 * What the embed page loads: the modules in `viewer/`, and three.js with the parts of it that they use, as the package ships them. All are
 * served side by side, so every import in them is rewritten to the neighbor of that name.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { z } from 'zod';
import { withoutDynamicCode } from './basis-transcoder.js';

export interface ViewerFile {
  contentType: string;
  tag: string;
  bytes: Buffer;
  gzipped: Buffer;
}

const VIEWER_FOLDER = fileURLToPath(new URL('./viewer/', import.meta.url));
const THREE_FOLDER = dirname(dirname(createRequire(import.meta.url).resolve('three')));

const OWN_FILES = [
  'viewer.css',
  'viewer.js',
  'stage.js',
  'media.js',
  'renderer.js',
  'panorama.js',
  'look-around.js',
  'coverage.js',
  'sphere-metadata.js',
  'sphere-xml.js',
  'sphere-mp4.js',
  'sphere-matroska.js',
  'model.js',
  'model-bounds.js',
  'model-loaders.js',
];

const THREE_FILES = [
  'build/three.module.js',
  'build/three.core.js',
  'examples/jsm/controls/OrbitControls.js',
  'examples/jsm/environments/RoomEnvironment.js',
  'examples/jsm/loaders/GLTFLoader.js',
  'examples/jsm/loaders/OBJLoader.js',
  'examples/jsm/loaders/STLLoader.js',
  'examples/jsm/utils/BufferGeometryUtils.js',
  'examples/jsm/utils/SkeletonUtils.js',
  // Decoders of compressed models and textures, which are fetched only for a model that has such.
  'examples/jsm/loaders/DRACOLoader.js',
  'examples/jsm/libs/draco/gltf/draco_wasm_wrapper.js',
  'examples/jsm/libs/draco/gltf/draco_decoder.wasm',
  'examples/jsm/libs/meshopt_decoder.module.js',
  'examples/jsm/loaders/KTX2Loader.js',
  'examples/jsm/utils/WorkerPool.js',
  'examples/jsm/libs/ktx-parse.module.js',
  'examples/jsm/libs/zstddec.module.js',
  'examples/jsm/math/ColorSpaces.js',
  'examples/jsm/libs/basis/basis_transcoder.js',
  'examples/jsm/libs/basis/basis_transcoder.wasm',
];

/** From the name in the URL to the path on disk. */
const PATHS: ReadonlyMap<string, string> = new Map([
  ...OWN_FILES.map((name): [string, string] => [name, join(VIEWER_FOLDER, name)]),
  ...THREE_FILES.map((path): [string, string] => [nameOf(path), join(THREE_FOLDER, path)]),
]);

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** A name in the path; what is none of the files is 404. */
export const viewerNameParam = z.string().max(64);

const read = new Map<string, Promise<ViewerFile>>();

/** One of the files; null for any other name. Read once, and kept. */
export async function viewerFile(name: string): Promise<ViewerFile | null> {
  const path = PATHS.get(name);
  if (path === undefined) {
    return null;
  }
  const file = read.get(name) ?? load(path);
  read.set(name, file);
  return file;
}

async function load(path: string): Promise<ViewerFile> {
  const content = await readFile(path);
  const extension = extname(path);
  const bytes = extension === '.js' ? Buffer.from(scriptToServe(path, content.toString('utf8'))) : content;
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { contentType: CONTENT_TYPES[extension] ?? '', tag, bytes, gzipped: await promisify(gzip)(bytes) };
}

function scriptToServe(path: string, text: string): string {
  return besideEachOther(path.endsWith('basis_transcoder.js') ? withoutDynamicCode(text) : text);
}

/** Imports of `three`, `three/addons/…` and relative paths, static and dynamic. */
function besideEachOther(text: string): string {
  return text.replace(
    /(\bfrom\s*|\bimport\s*\(?\s*)(['"])(three|(?:three\/addons|\.\.?)\/[\w./-]+)\2/g,
    (_, start: string, quote: string, path: string) =>
      `${start}${quote}./${path === 'three' ? 'three.module.js' : nameOf(path)}${quote}`,
  );
}

function nameOf(path: string): string {
  return path.split('/').at(-1) ?? '';
}
