/**
 * Pictures of 3D models: glTF and GLB drawn by a small rasteriser of our own (flat colours of their materials, one light, a depth
 * buffer), so that a server without a graphics card or a browser shows what is in them. Textures and animation are the viewer's.
 */
import { readFile } from 'node:fs/promises';
import type { Document, Primitive } from '@gltf-transform/core';
import sharp from 'sharp';
import { readGltf } from './gltf-file.js';
import type { MediaFacts, OnFacts, Preview } from '../preview-job.js';

const WIDTH = 1280;
const HEIGHT = 800;
const MAX_BYTES = 256 * 1024 * 1024;
const MAX_TRIANGLES = 3_000_000;
const GROUND = [0x2b, 0x23, 0x50] as const;
const TRIANGLES = 4;

interface TriangleMesh {
  /** Nine numbers a triangle, in the world. */
  positions: Float32Array;
  /** Three numbers a triangle, 0 to 1. */
  colours: Float32Array;
  count: number;
}

/** @throws Error for what is no such model */
export async function previewModel(input: string, contentType: string, onFacts: OnFacts): Promise<Preview> {
  const bytes = await readFile(input);
  if (bytes.length > MAX_BYTES) {
    return { picture: null, metadata: {}, note: 'too large to be drawn here' };
  }
  if (contentType === 'model/obj') {
    return { picture: null, metadata: factsOfObj(bytes), note: 'this format is drawn by the viewer only' };
  }
  if (contentType !== 'model/gltf-binary' && contentType !== 'model/gltf+json') {
    return { picture: null, metadata: {}, note: 'this format is not drawn here' };
  }
  const document = await readGltf(bytes, contentType);
  const facts = factsOf(document);
  onFacts(facts);
  const soup = gather(document);
  if (soup.count === 0) {
    return { picture: null, metadata: facts, note: 'the model has no triangles' };
  }
  return {
    picture: sharp(draw(soup), { raw: { width: WIDTH, height: HEIGHT, channels: 3 } }),
    metadata: facts,
    note: null,
  };
}

function factsOf(document: Document): MediaFacts {
  const root = document.getRoot();
  const primitives = root.listMeshes().flatMap((mesh) => mesh.listPrimitives());
  const vertices = primitives.reduce((sum, one) => sum + (one.getAttribute('POSITION')?.getCount() ?? 0), 0);
  const triangles = primitives.reduce((sum, one) => sum + (one.getMode() === TRIANGLES ? trianglesOf(one) : 0), 0);
  return {
    vertices,
    triangles,
    meshes: root.listMeshes().length,
    materials: root.listMaterials().length,
    textures: root.listTextures().length,
    animations: root.listAnimations().length,
  };
}

function factsOfObj(bytes: Buffer): MediaFacts {
  let [vertices, faces] = [0, 0];
  for (let at = 0; at >= 0 && at < bytes.length;) {
    const [first, second] = [bytes[at], bytes[at + 1]];
    if (second === 0x20) {
      vertices += first === 0x76 ? 1 : 0;
      faces += first === 0x66 ? 1 : 0;
    }
    const end = bytes.indexOf(0x0a, at);
    at = end === -1 ? -1 : end + 1;
  }
  return { vertices, faces };
}

function trianglesOf(primitive: Primitive): number {
  const count = primitive.getIndices()?.getCount() ?? primitive.getAttribute('POSITION')?.getCount() ?? 0;
  return Math.floor(count / 3);
}

function gather(document: Document): TriangleMesh {
  const root = document.getRoot();
  const scene = root.getDefaultScene() ?? root.listScenes()[0] ?? null;
  const parts: { primitive: Primitive; matrix: readonly number[] }[] = [];
  scene?.traverse((node) => {
    for (const primitive of node.getMesh()?.listPrimitives() ?? []) {
      if (primitive.getMode() === TRIANGLES) {
        parts.push({ primitive, matrix: node.getWorldMatrix() });
      }
    }
  });
  const most = parts.reduce((sum, { primitive }) => sum + trianglesOf(primitive), 0);
  if (most > MAX_TRIANGLES) {
    throw new Error('too many triangles');
  }
  const soup: TriangleMesh = { positions: new Float32Array(most * 9), colours: new Float32Array(most * 3), count: 0 };
  for (const { primitive, matrix } of parts) {
    add(soup, primitive, matrix);
  }
  return soup;
}

function add(soup: TriangleMesh, primitive: Primitive, m: readonly number[]): void {
  const position = primitive.getAttribute('POSITION');
  if (position === null) {
    return;
  }
  const indices = primitive.getIndices();
  const [red = 0.8, green = 0.8, blue = 0.8] = primitive.getMaterial()?.getBaseColorFactor() ?? [];
  const point: number[] = [0, 0, 0];
  const triangles = trianglesOf(primitive);
  for (let triangle = 0; triangle < triangles; triangle += 1) {
    const at = soup.count * 9;
    let isWhole = true;
    for (let corner = 0; corner < 3; corner += 1) {
      const index = indices?.getScalar(triangle * 3 + corner) ?? triangle * 3 + corner;
      isWhole &&= index < position.getCount();
      position.getElement(Math.min(index, position.getCount() - 1), point);
      const [x = 0, y = 0, z = 0] = point;
      for (let axis = 0; axis < 3; axis += 1) {
        const value = (m[axis] ?? 0) * x + (m[4 + axis] ?? 0) * y + (m[8 + axis] ?? 0) * z + (m[12 + axis] ?? 0);
        isWhole &&= Number.isFinite(value);
        soup.positions[at + corner * 3 + axis] = value;
      }
    }
    if (isWhole) {
      soup.colours.set([Math.sqrt(red), Math.sqrt(green), Math.sqrt(blue)], soup.count * 3);
      soup.count += 1;
    }
  }
}

/** Seen from the front, a little from the right and above, as large as fits. */
function draw({ positions, colours, count }: TriangleMesh): Buffer {
  const seen = new Float32Array(count * 9);
  const [turn, tilt] = [-0.6, 0.42];
  const [ct, st, cp, sp] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (let at = 0; at < count * 9; at += 3) {
    const [x, y, z] = [positions[at] ?? 0, positions[at + 1] ?? 0, positions[at + 2] ?? 0];
    const [x1, z1] = [ct * x + st * z, -st * x + ct * z];
    const [y1, z2] = [cp * y - sp * z1, sp * y + cp * z1];
    seen.set([x1, y1, z2], at);
    low[0] = Math.min(low[0] ?? x1, x1);
    low[1] = Math.min(low[1] ?? y1, y1);
    high[0] = Math.max(high[0] ?? x1, x1);
    high[1] = Math.max(high[1] ?? y1, y1);
  }
  const [left = 0, bottom = 0] = low;
  const [right = 1, top = 1] = high;
  const scale = 0.86 * Math.min(WIDTH / Math.max(right - left, 1e-9), HEIGHT / Math.max(top - bottom, 1e-9));
  const pixels = ground();
  const depth = new Float32Array(WIDTH * HEIGHT).fill(-Infinity);
  const toX = (x: number): number => WIDTH / 2 + (x - (left + right) / 2) * scale;
  const toY = (y: number): number => HEIGHT / 2 - (y - (bottom + top) / 2) * scale;
  for (let triangle = 0; triangle < count; triangle += 1) {
    const corner = (offset: number): [number, number, number] => {
      const at = triangle * 9 + offset * 3;
      return [toX(seen[at] ?? 0), toY(seen[at + 1] ?? 0), (seen[at + 2] ?? 0) * scale];
    };
    fill(pixels, depth, [corner(0), corner(1), corner(2)], colours.subarray(triangle * 3, triangle * 3 + 3));
  }
  return pixels;
}

type Corner = readonly [x: number, y: number, z: number];

function fill(
  pixels: Buffer,
  depth: Float32Array,
  corners: readonly [Corner, Corner, Corner],
  colour: Float32Array,
): void {
  const [[ax, ay, az], [bx, by, bz], [cx, cy, cz]] = corners;
  const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  if (area === 0 || !Number.isFinite(area)) {
    return;
  }
  const [ux, uy, uz, vx, vy, vz] = [bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az];
  const [nx, ny, nz] = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
  const length = Math.hypot(nx, ny, nz);
  const light = length === 0 ? 1 : 0.3 + 0.7 * Math.abs((0.35 * nx - 0.55 * ny + 0.76 * nz) / length);
  const [red, green, blue] = [0, 1, 2].map((channel) =>
    Math.min(255, Math.round((colour[channel] ?? 0.8) * light * 255)),
  );
  const fromX = Math.max(0, Math.floor(Math.min(ax, bx, cx)));
  const toX = Math.min(WIDTH - 1, Math.ceil(Math.max(ax, bx, cx)));
  const fromY = Math.max(0, Math.floor(Math.min(ay, by, cy)));
  const toY = Math.min(HEIGHT - 1, Math.ceil(Math.max(ay, by, cy)));
  for (let y = fromY; y <= toY; y += 1) {
    for (let x = fromX; x <= toX; x += 1) {
      const [px, py] = [x + 0.5, y + 0.5];
      const wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area;
      const wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area;
      const wc = 1 - wa - wb;
      const z = wa * az + wb * bz + wc * cz;
      const at = y * WIDTH + x;
      if (wa >= 0 && wb >= 0 && wc >= 0 && z > (depth[at] ?? 0)) {
        depth[at] = z;
        pixels[at * 3] = red ?? 0;
        pixels[at * 3 + 1] = green ?? 0;
        pixels[at * 3 + 2] = blue ?? 0;
      }
    }
  }
}

function ground(): Buffer {
  const pixels = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let y = 0; y < HEIGHT; y += 1) {
    const light = 1 + y / HEIGHT;
    for (let x = 0; x < WIDTH; x += 1) {
      const at = (y * WIDTH + x) * 3;
      GROUND.forEach((value, channel) => {
        pixels[at + channel] = Math.min(255, value * light);
      });
    }
  }
  return pixels;
}
