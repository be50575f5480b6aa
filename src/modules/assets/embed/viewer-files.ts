/**
 * What the embed page loads: its script and style, and three.js with the parts of it that the viewers use, as the package ships them. The
 * package's modules name each other as a bundler would have it; here they name the neighbour that is served beside them.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { z } from 'zod';
import { withoutDynamicCode } from './basis-transcoder.js';
import { VIEWER_SCRIPT, VIEWER_STYLE } from './viewer-script.js';

export interface ViewerFile {
  contentType: string;
  tag: string;
  bytes: Buffer;
  gzipped: Buffer;
}

const OF_THREE: Readonly<Record<string, string>> = {
  'three.module.js': 'build/three.module.js',
  'three.core.js': 'build/three.core.js',
  'OrbitControls.js': 'examples/jsm/controls/OrbitControls.js',
  'GLTFLoader.js': 'examples/jsm/loaders/GLTFLoader.js',
  'OBJLoader.js': 'examples/jsm/loaders/OBJLoader.js',
  'STLLoader.js': 'examples/jsm/loaders/STLLoader.js',
  'BufferGeometryUtils.js': 'examples/jsm/utils/BufferGeometryUtils.js',
  'SkeletonUtils.js': 'examples/jsm/utils/SkeletonUtils.js',
  // Decoders of compressed models and textures, which are read only for a model that has such.
  'DRACOLoader.js': 'examples/jsm/loaders/DRACOLoader.js',
  'draco_wasm_wrapper.js': 'examples/jsm/libs/draco/gltf/draco_wasm_wrapper.js',
  'draco_decoder.wasm': 'examples/jsm/libs/draco/gltf/draco_decoder.wasm',
  'meshopt_decoder.module.js': 'examples/jsm/libs/meshopt_decoder.module.js',
  'KTX2Loader.js': 'examples/jsm/loaders/KTX2Loader.js',
  'WorkerPool.js': 'examples/jsm/utils/WorkerPool.js',
  'ktx-parse.module.js': 'examples/jsm/libs/ktx-parse.module.js',
  'zstddec.module.js': 'examples/jsm/libs/zstddec.module.js',
  'ColorSpaces.js': 'examples/jsm/math/ColorSpaces.js',
  'basis_transcoder.js': 'examples/jsm/libs/basis/basis_transcoder.js',
  'basis_transcoder.wasm': 'examples/jsm/libs/basis/basis_transcoder.wasm',
};

const JAVASCRIPT = 'text/javascript; charset=utf-8';

const OWN: Readonly<Record<string, readonly [type: string, text: string]>> = {
  'viewer.js': [JAVASCRIPT, VIEWER_SCRIPT],
  'viewer.css': ['text/css; charset=utf-8', VIEWER_STYLE],
};

const VIEWER_FILES: readonly string[] = [...Object.keys(OWN), ...Object.keys(OF_THREE)];

/** A name in the path; what is none of the files is 404. */
export const viewerNameParam = z.string().max(64);

const read = new Map<string, Promise<ViewerFile>>();

/** One of the files; null for any other name. Read once, and kept. */
export async function viewerFile(name: string): Promise<ViewerFile | null> {
  if (!VIEWER_FILES.includes(name)) {
    return null;
  }
  const file = read.get(name) ?? load(name);
  read.set(name, file);
  return file;
}

async function load(name: string): Promise<ViewerFile> {
  const [contentType, content] = OWN[name] ?? [
    name.endsWith('.wasm') ? 'application/wasm' : JAVASCRIPT,
    await ofThree(OF_THREE[name] ?? ''),
  ];
  const bytes = Buffer.from(content);
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { contentType, tag, bytes, gzipped: await promisify(gzip)(bytes) };
}

async function ofThree(path: string): Promise<Buffer> {
  const folder = dirname(dirname(createRequire(import.meta.url).resolve('three')));
  const bytes = await readFile(join(folder, path));
  if (path.endsWith('.wasm')) {
    return bytes;
  }
  const text = bytes.toString('utf8').replace(/from '(three|\.\.?\/[\w/.-]+)'/g, (_, from: string) => {
    const file = from === 'three' ? 'three.module.js' : (from.split('/').at(-1) ?? '');
    return `from './${file}'`;
  });
  return Buffer.from(path.endsWith('basis_transcoder.js') ? withoutDynamicCode(text) : text);
}
