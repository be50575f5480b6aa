/**
 * What a panorama says of itself: its projection, the part of the sphere that it covers, and how two eyes lie in it.
 *
 * Pictures say it in XMP (Google's GPano and GSpherical properties). MP4 and QuickTime say it in the boxes `st3d` and `sv3d` (Spherical
 * Video V2) or in XML in a `uuid` box (V1), and WebM and Matroska in the elements StereoMode and Projection. Names that nothing was found
 * for are undefined, and a file that cannot be read this far says nothing.
 *
 * @typedef {object} SphereMetadata
 * @property {string} [projection] `equirectangular`, or another, which the viewer does not turn
 * @property {'mono' | 'top-bottom' | 'side-by-side'} [stereo]
 * @property {{ left: number, top: number, width: number, height: number }} [crop] what is covered, as fractions of the whole sphere
 */
import { readMatroskaSphere } from './sphere-matroska.js';
import { readMp4Sphere } from './sphere-mp4.js';
import { sphereOfXml } from './sphere-xml.js';

/** Of larger pictures only the ends are searched: an XMP packet is near one of them in nearly all. */
const MAX_SEARCHED_BYTES = 32 * 1024 * 1024;
const END_BYTES = 1024 * 1024;

/** @param {Blob} picture @returns {Promise<SphereMetadata>} */
export async function readPictureSphere(picture) {
  const pieces =
    picture.size <= MAX_SEARCHED_BYTES ? [picture] : [picture.slice(0, END_BYTES), picture.slice(-END_BYTES)];
  for (const piece of pieces) {
    const text = new TextDecoder('latin1').decode(await piece.arrayBuffer());
    for (const [packet] of text.matchAll(/<x:xmpmeta[\s\S]*?<\/x:xmpmeta>/g)) {
      if (/:(ProjectionType|FullPanoWidthPixels|StereoMode)\b/.test(packet)) {
        return sphereOfXml(packet);
      }
    }
  }
  return {};
}

/** @param {string} src @param {string} type its content type @returns {Promise<SphereMetadata>} */
export async function readVideoSphere(src, type) {
  const read = /webm|matroska/.test(type) ? readMatroskaSphere : readMp4Sphere;
  try {
    return await read((from, length) => readBytes(src, from, length));
  } catch {
    // Cut, bent, another container, or a server that knows no ranges.
    return {};
  }
}

async function readBytes(src, from, length) {
  const reply = await fetch(src, { headers: { range: `bytes=${from}-${from + length - 1}` } });
  if (reply.status !== 206) {
    await reply.body?.cancel();
    throw new Error(`the range was answered with ${reply.status}`);
  }
  return new Uint8Array(await reply.arrayBuffer());
}
