/** Spherical Video metadata of MP4 and QuickTime files: https://github.com/google/spatial-media/tree/master/docs */
import { soundCrop, sphereOfXml } from './sphere-xml.js';

const CHUNK_BYTES = 64 * 1024;
/** The boxes wanted lie before the tables of samples, except those of V1, which follow them. */
const MAX_MOVIE_BYTES = 16 * 1024 * 1024;
const MAX_BOXES = 200;
const SPHERICAL_V1 = 'ffcc8263f8554a938814587a02521fdd';

/** How many bytes of a box come before the boxes in it. */
const CONTAINERS = { moov: 0, trak: 0, mdia: 0, minf: 0, stbl: 0, stsd: 8, sv3d: 0, proj: 0 };
/** A sample entry of video. */
const ENTRY_BYTES = 78;
const ENTRIES = new Set(['avc1', 'avc3', 'hvc1', 'hev1', 'vp08', 'vp09', 'av01', 'mp4v', 'encv', 'dvh1', 'dvhe']);
const STEREO_MODES = ['mono', 'top-bottom', 'side-by-side', undefined, 'side-by-side'];

/** @param read `(from, length)`, giving the bytes of a range */
export async function readMp4Sphere(read) {
  const movie = await findMovie(read);
  const said = {};
  walk(movie, 0, movie.length, said);
  return said;
}

/** The bytes of the box `moov`, which is the first or, in many files, the last. */
async function findMovie(read) {
  let chunk = await read(0, CHUNK_BYTES);
  let chunkAt = 0;
  let at = 0;
  for (let boxes = 0; boxes < MAX_BOXES; boxes += 1) {
    if (at + 16 > chunkAt + chunk.length) {
      [chunk, chunkAt] = [await read(at, CHUNK_BYTES), at];
    }
    const box = boxAt(chunk, at - chunkAt);
    if (box.type === 'moov') {
      return read(at, Math.min(box.size, MAX_MOVIE_BYTES));
    }
    if (box.size < 8) {
      break;
    }
    at += box.size;
  }
  throw new Error('no movie');
}

function walk(bytes, from, to, said) {
  for (let at = from; at + 8 <= to;) {
    const { type, size, head } = boxAt(bytes, at);
    // A size of 0 is to the end; one that is too large is of a box that was cut.
    const end = size < head ? to : Math.min(at + size, to);
    take(bytes, { type, from: at + head, to: end }, said);
    at = end;
  }
}

function take(bytes, { type, from, to }, said) {
  const view = viewOf(bytes);
  if (ENTRIES.has(type)) {
    walk(bytes, from + ENTRY_BYTES, to, said);
  } else if (Object.hasOwn(CONTAINERS, type)) {
    walk(bytes, from + CONTAINERS[type], to, said);
  } else if (type === 'st3d' && to - from >= 5) {
    said.stereo = STEREO_MODES[view.getUint8(from + 4)];
  } else if (type === 'equi') {
    said.projection = 'equirectangular';
    said.crop = to - from >= 20 ? cropOfBounds(view, from + 4) : undefined;
  } else if (type === 'cbmp' || type === 'mshp') {
    said.projection = type;
  } else if (type === 'uuid' && hex(bytes.subarray(from, from + 16)) === SPHERICAL_V1) {
    // V2 counts where a file has both, whichever comes first.
    Object.assign(said, { ...sphereOfXml(new TextDecoder().decode(bytes.subarray(from + 16, to))), ...said });
  }
}

/** Four fractions of 32 bits that are cut off: top, bottom, left, right. Also what Matroska's ProjectionPrivate holds. */
export function cropOfBounds(view, at) {
  const [top, bottom, left, right] = [0, 4, 8, 12].map((offset) => view.getUint32(at + offset) / 2 ** 32);
  return soundCrop({ left, top, width: 1 - left - right, height: 1 - top - bottom });
}

function boxAt(bytes, at) {
  const view = viewOf(bytes);
  const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  const size = view.getUint32(at);
  return size === 1
    ? { type, size: Number(view.getBigUint64(at + 8)), head: 16 }
    : { type, size: size === 0 ? Number.MAX_SAFE_INTEGER : size, head: 8 };
}

export function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
