/**
 * Whether bytes are what was said of them, and what they are kept as.
 *
 * The first bytes beat the name and the declared type. What was declared as one picture and is another is kept as what it is; what was
 * declared as a picture and is a program is refused, since it would be shown as one. A declared type is kept where the bytes tell only
 * the container: MP4 of sound begins like MP4 of pictures, and a format of one's own may be a ZIP.
 *
 * Text has no signature, so a type of text is believed where the bytes are text; and of types that always have a signature one must be
 * found. Nothing that is text, and so could be a page or a script, passes for a picture, sound or video.
 */
import { DomainError } from '../../../kernel/errors.js';
import { sniff } from './content-signatures.js';
import { isTextType, kindRefusal, typeOfName, UNKNOWN_TYPE } from './content-types.js';
import type { AssetType } from '../assets.schema.js';
import { isText } from './text-charset.js';

/** Containers hold sound or pictures, and their first bytes do not always tell which. */
const CONTAINERS: readonly (readonly string[])[] = [
  ['video/mp4', 'audio/mp4', 'video/quicktime', 'video/3gpp', 'audio/3gpp', 'video/3gpp2', 'audio/3gpp2', 'audio/aac'],
  ['video/webm', 'audio/webm', 'video/matroska', 'audio/matroska'],
  ['video/ogg', 'audio/ogg'],
  ['video/x-ms-asf', 'video/x-ms-wmv', 'audio/x-ms-wma'],
];

/** Raw pictures that are TIFF in all but name; where their directory is far, TIFF is all that the first bytes tell. */
const TIFF_BASED =
  /^image\/x-(adobe-dng|nikon-n[er][fw]|canon-cr2|sony-(arw|sr2|srf)|pentax-pef|samsung-srw|kodak-(dcr|kdc)|epson-erf|hasselblad-3fr|minolta-mrw|phaseone-iiq)$/;
const HEIF = /^image\/(hei[cf](-sequence)?|avif)$/;

/** Types whose first bytes always say so. */
const SIGNED = new Set([
  ...[
    'jpeg',
    'png',
    'apng',
    'gif',
    'webp',
    'avif',
    'heic',
    'heif',
    'heic-sequence',
    'heif-sequence',
    'bmp',
    'tiff',
  ].map((name) => `image/${name}`),
  ...['x-icon', 'vnd.adobe.photoshop', 'x-adobe-dng', 'x-nikon-nef', 'x-canon-cr2', 'x-canon-cr3', 'x-sony-arw'].map(
    (name) => `image/${name}`,
  ),
  ...['x-fujifilm-raf', 'x-olympus-orf', 'x-panasonic-rw2'].map((name) => `image/${name}`),
  ...['wav', 'flac', 'ogg', 'mp4', 'webm', 'mpeg', 'aiff', 'midi', 'x-ms-wma'].map((name) => `audio/${name}`),
  ...['mp4', 'quicktime', 'webm', 'ogg', 'avi', 'matroska', 'mpeg', 'x-ms-wmv', 'x-ms-asf', 'x-flv'].map(
    (name) => `video/${name}`,
  ),
  ...['model/gltf-binary', 'model/vnd.usdz+zip', 'model/3mf'],
  ...['pdf', 'postscript', 'rtf', 'zip', 'gzip', 'x-bzip2', 'x-xz', 'zstd', 'x-7z-compressed', 'vnd.rar'].map(
    (name) => `application/${name}`,
  ),
  ...['java-archive', 'vnd.debian.binary-package', 'x-rpm', 'vnd.sqlite3'].map((name) => `application/${name}`),
]);

/** Formats that other formats are made of, so that finding one says little. */
const WRAPPERS = new Set(
  [
    'zip',
    'java-archive',
    'gzip',
    'x-bzip2',
    'x-xz',
    'zstd',
    'x-tar',
    'x-7z-compressed',
    'x-cfb',
    'vnd.sqlite3',
    'postscript',
    'xml',
  ].map((name) => `application/${name}`),
);

/** Of `application/…`, which is no family: types that are taken for each other. */
const FAMILIES: readonly RegExp[] = [
  /^application\/(zip|java-archive|gzip|x-bzip2|x-xz|zstd|x-tar|x-7z-compressed|vnd\.rar|x-lz4|x-lzip|x-compress|x-unix-archive|vnd\.debian\.binary-package|x-rpm|vnd\.ms-cab-compressed)$/,
  /^application\/(msword|rtf|x-cfb|vnd\.(ms-(word|excel|powerpoint|project|outlook|works)|visio|openxmlformats-|oasis\.opendocument)[a-z0-9.-]*)$/,
  /^application\/(zip|epub\+zip|vnd\.(openxmlformats-|oasis\.opendocument|android\.package-archive|ms-[a-z]+\.)[a-z0-9.-]*)$/,
  /^application\/(pdf|postscript|illustrator|vnd\.adobe\.illustrator)$/,
  /^application\/(x-elf|x-mach-binary|x-msdownload)$/,
];

/** Found by two bytes, which is not enough to refuse what has no signature. */
const WEAK = new Set([
  'application/x-apple-diskimage',
  'application/x-arj',
  'application/x-cpio',
  'application/x-compress',
  'audio/ac3',
]);

/**
 * The type to keep.
 * @param head the first `HEAD_BYTES`, or the whole where it is shorter
 * @param declared as `mediaType` gives it; null or the unknown type declare nothing
 * @throws DomainError `content-mismatch`
 */
export async function settleType(head: Uint8Array, declared: string | null, name: string): Promise<string> {
  const found = await sniff(head);
  if (declared === null || declared === UNKNOWN_TYPE) {
    return undeclared(head, found, name);
  }
  const kept = isTextType(declared) && isText(head) ? declared : agreed(declared, found);
  if (kept === null) {
    throw new DomainError(
      'content-mismatch',
      `The bytes ${nature(head, found, declared)}, and ${declared} was announced.`,
    );
  }
  return kept;
}

function undeclared(head: Uint8Array, found: string | null, name: string): string {
  const guess = typeOfName(name);
  if (guess === null) {
    return found ?? UNKNOWN_TYPE;
  }
  if (found === null) {
    return (isTextType(guess) ? isText(head) : !SIGNED.has(guess)) ? guess : UNKNOWN_TYPE;
  }
  return agreed(guess, found) ?? found;
}

/** The type to keep of what was declared and what was found; null where they have nothing to do with each other. */
function agreed(declared: string, found: string | null): string | null {
  if (found === null) {
    return SIGNED.has(declared) || isTextType(declared) ? null : declared;
  }
  if (isTextType(declared)) {
    // Written as a text, and found as one; or a model in the binary form of its format.
    const isWritten = found === 'application/xml' && /(\/|\+)xml$|^model\//.test(declared);
    return isWritten ? declared : declared.startsWith('model/') && found.startsWith('model/') ? found : null;
  }
  return isContainerOf(declared, found) ? declared : inFamily(declared, found) ? found : null;
}

/** True where what was declared says more than what was found, and is not contradicted by it. */
function isContainerOf(declared: string, found: string): boolean {
  return (
    declared === found ||
    CONTAINERS.some((container) => container.includes(declared) && container.includes(found)) ||
    (found === 'image/tiff' && TIFF_BASED.test(declared)) ||
    (/^image\/heif(-sequence)?$/.test(found) && HEIF.test(declared)) ||
    (found === 'application/zip' &&
      (/\+zip$/.test(declared) || declared === 'application/java-archive' || declared === 'model/3mf')) ||
    (found === 'application/xml' && declared.startsWith('model/')) ||
    (declared.startsWith('application/') && !SIGNED.has(declared) && (WRAPPERS.has(found) || WEAK.has(found)))
  );
}

function inFamily(declared: string, found: string): boolean {
  const [one] = declared.split('/');
  const [other] = found.split('/');
  return one === other && one !== 'application'
    ? true
    : FAMILIES.some((family) => family.test(declared) && family.test(found));
}

function nature(head: Uint8Array, found: string | null, declared: string): string {
  if (found !== null) {
    return `are ${found}`;
  }
  return isTextType(declared) ? 'are not text' : isText(head) && head.length > 0 ? 'are text' : 'are nothing known';
}

/** A type of the same container that suits a kind of asset: sound in WebM is `audio/webm`, though its first bytes are those of a video. */
export function typeForKind(kind: AssetType, contentType: string): string {
  const container = CONTAINERS.find((types) => types.includes(contentType)) ?? [];
  return [contentType, ...container].find((type) => kindRefusal(kind, type) === null) ?? contentType;
}
