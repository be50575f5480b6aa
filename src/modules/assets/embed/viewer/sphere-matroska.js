/** StereoMode and Projection of WebM and Matroska files (RFC 9559, sections 5.1.4.1.28.3 and 5.1.4.1.28.41). */
import { cropOfBounds, viewOf } from './sphere-mp4.js';

/** The tracks lie before the first cluster, within this. */
const HEAD_BYTES = 1024 * 1024;

const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const VIDEO = 0xe0;
const STEREO_MODE = 0x53b8;
const PROJECTION = 0x7670;
const PROJECTION_TYPE = 0x7671;
const PROJECTION_PRIVATE = 0x7672;
const CLUSTER = 0x1f43b675;
const CONTAINERS = new Set([SEGMENT, TRACKS, TRACK_ENTRY, VIDEO, PROJECTION]);

const STEREO_MODES = { 0: 'mono', 1: 'side-by-side', 2: 'top-bottom', 3: 'top-bottom', 11: 'side-by-side' };
const PROJECTIONS = ['rectangular', 'equirectangular', 'cubemap', 'mesh'];

/** @param read `(from, length)`, giving the bytes of a range */
export async function readMatroskaSphere(read) {
  const bytes = await read(0, HEAD_BYTES);
  const said = {};
  walk(bytes, 0, bytes.length, said);
  return said;
}

function walk(bytes, from, to, said) {
  for (let at = from; at < to;) {
    const id = vintAt(bytes, at, true);
    const size = vintAt(bytes, at + id.length, false);
    const start = at + id.length + size.length;
    // An unknown size is all ones: to the end of the parent.
    const end = size.value === 2 ** (7 * size.length) - 1 ? to : Math.min(start + size.value, to);
    if (id.value === CLUSTER) {
      return;
    }
    if (CONTAINERS.has(id.value)) {
      walk(bytes, start, end, said);
    } else {
      take(bytes, id.value, start, end, said);
    }
    at = end;
  }
}

function take(bytes, id, from, to, said) {
  const number = () => bytes.subarray(from, to).reduce((sum, byte) => sum * 256 + byte, 0);
  if (id === STEREO_MODE) {
    said.stereo = STEREO_MODES[number()];
  } else if (id === PROJECTION_TYPE) {
    said.projection = PROJECTIONS[number()];
  } else if (id === PROJECTION_PRIVATE && to - from >= 20) {
    said.crop = cropOfBounds(viewOf(bytes), from + 4);
  }
}

/** A number of variable length; ids keep the bit that marks their length. */
function vintAt(bytes, at, keepsMarker) {
  const first = bytes[at] ?? 0;
  const length = Math.clz32(first) - 23;
  if (first === 0 || at + length > bytes.length) {
    throw new Error('no element');
  }
  let value = keepsMarker ? first : first & (0xff >> length);
  for (let index = 1; index < length; index += 1) {
    value = value * 256 + bytes[at + index];
  }
  return { value, length };
}
