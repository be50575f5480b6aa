/**
 * Which part of the sphere a picture covers, and which part of the picture is for one eye.
 *
 * Metadata decides. What it leaves open follows from the shape:
 * - 2:1 is the whole sphere. So is a video of 16:9, which encoders stretch.
 * - 1:1 is two whole spheres, one above the other. 4:1 is two beside each other if its halves look alike.
 * - Else a degree has as many pixels across as it has down. What is wider goes around once, centered on the horizon; what is narrower
 *   reaches from pole to pole.
 *
 * @typedef {object} Coverage
 * @property {{ x: number, y: number, width: number, height: number }} eye what is shown, as fractions of the picture from its top left
 * @property {number} left degrees of longitude; 0 is the middle of the sphere, and right is positive
 * @property {number} width degrees
 * @property {number} top degrees of latitude
 * @property {number} height degrees
 */

const EYES = {
  mono: { x: 0, y: 0, width: 1, height: 1 },
  'top-bottom': { x: 0, y: 0, width: 1, height: 0.5 },
  'side-by-side': { x: 0, y: 0, width: 0.5, height: 1 },
};
const WHOLE = { left: 0, top: 0, width: 1, height: 1 };

/**
 * @param {{ width: number, height: number, isVideo: boolean, halvesAlike: () => boolean }} picture
 * @param {import('./sphere-metadata.js').SphereMetadata} metadata
 * @returns {Coverage | null} null for a projection that is not equirectangular
 */
export function coverageOf(picture, { projection, stereo, crop }) {
  if (projection !== undefined && projection !== 'equirectangular') {
    return null;
  }
  const eye = EYES[stereo ?? stereoByShape(picture, crop ?? WHOLE)];
  const aspect = (picture.width * eye.width) / (picture.height * eye.height);
  const isWhole = isNear(aspect, 2) || (picture.isVideo && (projection !== undefined || isNear(aspect, 16 / 9)));
  const { left, top, width, height } = crop ?? (isWhole ? WHOLE : cropByShape(aspect));
  return { eye, left: 360 * (left - 0.5), width: 360 * width, top: 180 * (0.5 - top), height: 180 * height };
}

/** Two eyes are in a picture whose shape is half or double what one eye's part of the sphere has. */
function stereoByShape({ width, height, halvesAlike }, crop) {
  const ratio = width / height / ((2 * crop.width) / crop.height);
  if (isNear(ratio, 0.5)) {
    return 'top-bottom';
  }
  return isNear(ratio, 2) && halvesAlike() ? 'side-by-side' : 'mono';
}

function cropByShape(aspect) {
  return aspect > 2
    ? { left: 0, width: 1, top: 0.5 - 1 / aspect, height: 2 / aspect }
    : { left: 0.5 - aspect / 4, width: aspect / 2, top: 0, height: 1 };
}

function isNear(value, wanted) {
  return Math.abs(value / wanted - 1) < 0.04;
}

/** True where the left and the right half of a picture or video show the same, as the pictures for two eyes do. */
export function halvesAlike(source) {
  const [width, height] = [64, 16];
  const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const half = width / 2;
  let [difference, contrast] = [0, 0];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < half; x += 1) {
      const at = (y * width + x) * 4;
      for (let channel = 0; channel < 3; channel += 1) {
        difference += Math.abs(data[at + channel] - data[at + half * 4 + channel]);
        contrast += Math.abs(data[at + channel] - data[(y * width + half - 1 - x) * 4 + channel]);
      }
    }
  }
  // Halves of one scene are alike; those of a plain picture are too, so something must be seen in it.
  return difference < contrast / 3;
}
