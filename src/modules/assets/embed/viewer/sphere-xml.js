/** The properties of panoramas in XML: https://developers.google.com/streetview/spherical-metadata */

/** Of the GPano or GSpherical properties in an XMP packet or in the XML of Spherical Video V1, as attributes or as elements. */
export function sphereOfXml(xml) {
  const said = (name) => {
    const [, attribute, element] = new RegExp(`:${name}\\s*(?:=\\s*["']([^"']*)["']|>([^<]*)<)`).exec(xml) ?? [];
    return (attribute ?? element)?.trim();
  };
  const number = (name) => {
    const value = Number(said(name) ?? Number.NaN);
    return Number.isFinite(value) ? value : undefined;
  };
  const [fullWidth, width] = [number('FullPanoWidthPixels'), number('CroppedAreaImageWidthPixels')];
  const [fullHeight = fullWidth / 2, height] = [number('FullPanoHeightPixels'), number('CroppedAreaImageHeightPixels')];
  const crop = {
    left: (number('CroppedAreaLeftPixels') ?? (fullWidth - width) / 2) / fullWidth,
    top: (number('CroppedAreaTopPixels') ?? (fullHeight - height) / 2) / fullHeight,
    width: width / fullWidth,
    height: height / fullHeight,
  };
  return {
    projection: said('ProjectionType')?.toLowerCase(),
    stereo: STEREO[said('StereoMode')?.toLowerCase()],
    crop: soundCrop(crop),
  };
}

/** Values of StereoMode, by the specification and as tools write them. Which half is whose eye makes no difference here. */
const STEREO = {
  mono: 'mono',
  none: 'mono',
  'top-bottom': 'top-bottom',
  'bottom-top': 'top-bottom',
  tb: 'top-bottom',
  ou: 'top-bottom',
  'over-under': 'top-bottom',
  'left-right': 'side-by-side',
  'right-left': 'side-by-side',
  lr: 'side-by-side',
  sbs: 'side-by-side',
  'side-by-side': 'side-by-side',
};

/** The crop, or undefined where it cannot be one: a number is missing, or it is larger than the sphere. */
export function soundCrop({ left, top, width, height }) {
  const isOne =
    [left, top, width, height].every(Number.isFinite) &&
    width > 0 &&
    width <= 1 &&
    height > 0 &&
    top >= 0 &&
    top + height <= 1.0001;
  return isOne ? { left, top, width, height } : undefined;
}
