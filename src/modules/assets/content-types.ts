/**
 * What bytes are, by their first bytes, and whether that is what was said of them. Pure, but for the library that knows the signatures.
 *
 * The first bytes beat the name and the declared type: what is announced as a picture and is none would be shown as one, and is
 * refused. Text has no signature, so a type of text is believed where the bytes are text, and of types that always have a signature
 * one must be found.
 */
import { isUtf8 } from 'node:buffer';
import { extname } from 'node:path/posix';
import { fileTypeFromBuffer } from 'file-type';
import { DomainError } from '../../kernel/errors.js';
import type { AssetType } from './assets.schema.js';

/** As many first bytes as the signatures need. */
export const HEAD_BYTES = 4100;

export const UNKNOWN_TYPE = 'application/octet-stream';

/** One name for each type that has several. */
const ALIASES: Readonly<Record<string, string>> = {
  'image/jpg': 'image/jpeg',
  'image/pjpeg': 'image/jpeg',
  'image/x-png': 'image/png',
  'audio/mp3': 'audio/mpeg',
  'audio/x-mp3': 'audio/mpeg',
  'audio/wave': 'audio/wav',
  'audio/x-wav': 'audio/wav',
  'audio/vnd.wave': 'audio/wav',
  'audio/x-flac': 'audio/flac',
  'audio/m4a': 'audio/mp4',
  'audio/x-m4a': 'audio/mp4',
  'audio/opus': 'audio/ogg',
  'audio/x-aiff': 'audio/aiff',
  'application/ogg': 'audio/ogg',
  'video/x-m4v': 'video/mp4',
  'video/x-msvideo': 'video/avi',
  'video/vnd.avi': 'video/avi',
  'video/x-matroska': 'video/matroska',
  'application/x-zip-compressed': 'application/zip',
  'application/x-gzip': 'application/gzip',
  'text/xml': 'application/xml',
};

/** Containers hold sound or pictures, and their first bytes do not tell which. */
const CONTAINERS: readonly (readonly string[])[] = [
  ['audio/mp4', 'video/mp4', 'video/quicktime', 'video/3gpp', 'audio/aac'],
  ['audio/webm', 'video/webm', 'video/matroska', 'audio/matroska'],
  ['audio/ogg', 'video/ogg'],
  ['image/heic', 'image/heif', 'image/avif'],
];

/** Types whose first bytes always say so. */
const SIGNED = new Set([
  'image/jpeg',
  'image/png',
  'image/gif',
  'image/webp',
  'image/avif',
  'image/heic',
  'image/bmp',
  'image/tiff',
  'audio/wav',
  'audio/flac',
  'audio/ogg',
  'audio/mp4',
  'audio/webm',
  'audio/mpeg',
  'video/mp4',
  'video/quicktime',
  'video/webm',
  'video/ogg',
  'video/avi',
  'video/matroska',
  'model/gltf-binary',
  'model/vnd.usdz+zip',
  'application/pdf',
  'application/zip',
  'application/gzip',
]);

const TEXT =
  /^text\/|^(application\/(json|xml|javascript|x-ndjson|yaml)|image\/svg\+xml|model\/(obj|gltf\+json|mtl))$|\+(json|xml)$/;
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/;

const BY_EXTENSION: Readonly<Record<string, string>> = {
  '.glb': 'model/gltf-binary',
  '.gltf': 'model/gltf+json',
  '.obj': 'model/obj',
  '.stl': 'model/stl',
  '.ply': 'model/ply',
  '.usdz': 'model/vnd.usdz+zip',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.txt': 'text/plain',
  '.md': 'text/markdown',
  '.csv': 'text/csv',
  '.html': 'text/html',
};

/** A media type without parameters, under its usual name; null for what is none. */
export function mediaType(text: string): string | null {
  const type = (text.split(';')[0] ?? '').trim().toLowerCase();
  return MEDIA_TYPE.test(type) ? (ALIASES[type] ?? type) : null;
}

/** The kind of asset that bytes of a type are, where nobody said. */
export function kindOf(contentType: string): AssetType {
  const [family] = contentType.split('/');
  switch (family) {
    case 'image':
    case 'video':
      return family;
    case 'audio':
      return 'sound';
    case 'model':
      return '3d';
    default:
      return 'file';
  }
}

/** What is wrong with a type for a kind of asset; null where nothing is. */
export function kindRefusal(kind: AssetType, contentType: string): string | null {
  const families: Readonly<Record<AssetType, readonly string[]>> = {
    image: ['image'],
    voice: ['audio'],
    sound: ['audio'],
    video: ['video'],
    '360': ['image', 'video'],
    '3d': ['model'],
    file: [],
  };
  const allowed = families[kind];
  return allowed.length === 0 || allowed.some((family) => contentType.startsWith(`${family}/`))
    ? null
    : `an asset of type ${kind} has a content type of ${allowed.map((family) => `${family}/…`).join(' or ')}`;
}

/** What the first bytes say; null where they say nothing. Never throws. */
export async function sniff(head: Uint8Array): Promise<string | null> {
  const found = await fileTypeFromBuffer(head).catch(() => undefined);
  return found === undefined ? bySignature(head) : mediaType(found.mime);
}

/** Of files that tell their exact kind further in than the first bytes reach, where the library gives up. */
const SIGNATURES: readonly (readonly [offset: number, bytes: string, type: string])[] = [
  [0, '\x89PNG\r\n\x1a\n', 'image/png'],
  [0, '\x1a\x45\xdf\xa3', 'video/matroska'],
  [0, 'OggS', 'audio/ogg'],
  [0, 'PK\x03\x04', 'application/zip'],
  [4, 'ftyp', 'video/mp4'],
];

function bySignature(head: Uint8Array): string | null {
  const text = Buffer.from(head.subarray(0, 16)).toString('latin1');
  return SIGNATURES.find(([offset, bytes]) => text.startsWith(bytes, offset))?.[2] ?? null;
}

/**
 * The type to keep: the declared one where the bytes bear it out, the found one where none was declared.
 * @param declared as `mediaType` gives it; null or the unknown type declare nothing
 * @throws DomainError `content-mismatch`
 */
export async function settleType(head: Uint8Array, declared: string | null, name: string): Promise<string> {
  const found = await sniff(head);
  if (declared === null || declared === UNKNOWN_TYPE) {
    const guess = BY_EXTENSION[extname(name).toLowerCase()];
    const mayGuess =
      guess !== undefined && (found === null ? isText(head) && !SIGNED.has(guess) : agrees(guess, found));
    return mayGuess ? guess : (found ?? UNKNOWN_TYPE);
  }
  // A text may begin like something else by chance: what it is does not depend on that.
  const bornOut =
    TEXT.test(declared) && isText(head)
      ? true
      : found === null
        ? !SIGNED.has(declared) && !TEXT.test(declared)
        : agrees(declared, found);
  if (!bornOut) {
    const what = found === null ? (TEXT.test(declared) ? 'are not text' : 'are nothing known') : `are ${found}`;
    throw new DomainError('content-mismatch', `The bytes ${what}, and ${declared} was announced.`);
  }
  return declared;
}

function agrees(declared: string, found: string): boolean {
  return (
    declared === found ||
    CONTAINERS.some((container) => container.includes(declared) && container.includes(found)) ||
    (found === 'application/zip' &&
      (/\+zip$/.test(declared) || /^application\/(vnd\.|epub|java-archive)/.test(declared))) ||
    (found === 'application/xml' && /(\/|\+)xml$|^model\//.test(declared)) ||
    // Office documents say which they are deeper inside.
    (found === 'application/x-cfb' && /^application\/(vnd\.ms-|msword)/.test(declared)) ||
    (/^application\/vnd\.openxmlformats/.test(found) && /^application\/(vnd\.openxmlformats|zip)/.test(declared))
  );
}

/** UTF-8 without NUL, but for a character that the end may cut. */
function isText(head: Uint8Array): boolean {
  if (head.includes(0)) {
    return false;
  }
  return [0, 1, 2, 3].some((cut) =>
    isUtf8(head.subarray(0, Math.max(0, head.length - (head.length < HEAD_BYTES ? 0 : cut)))),
  );
}
