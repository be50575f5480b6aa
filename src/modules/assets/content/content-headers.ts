/**
 * What a reply with somebody's file says of itself, so that the file is shown where that is harmless and kept otherwise, and so
 * that nothing in it ever runs with this server's origin.
 */
import type { ByteRange } from '../../../infrastructure/blob-store/blob-store.js';
import { isTextType } from './content-types.js';
import { isCharset } from './text-charset.js';

/**
 * Types a browser may show in place: pictures made of pixels, sound, video. What can hold a script or a form (HTML, SVG, XML, PDF)
 * is not among them, whatever it is called, and never will be.
 */
const INLINE = new Set([
  'image/png',
  'image/apng',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/avif',
  'audio/mpeg',
  'audio/mp4',
  'audio/aac',
  'audio/ogg',
  'audio/opus',
  'audio/wav',
  'audio/x-wav',
  'audio/webm',
  'audio/flac',
  'video/mp4',
  'video/webm',
  'video/ogg',
  'video/quicktime',
]);

/** No header value can be made of anything else. */
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/;

/** What a page may load as a script or a style, which no header of the reply forbids it: of this origin, `'self'` would let it in. */
const ACTIVE = /(?:java|ecma|j|live)script|^text\/css$/;

/**
 * The media type to send: as stored, plain text for scripts and styles, or bytes of an unknown kind where that is no media type.
 * Parameters are dropped.
 */
export function servedType(contentType: string): string {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  if (!MEDIA_TYPE.test(type)) {
    return 'application/octet-stream';
  }
  return ACTIVE.test(type) ? 'text/plain' : type;
}

/** `Content-Type`: the media type, and the charset that was found in a text. @param charset as it stands in the asset's metadata */
export function contentTypeHeader(contentType: string, charset: unknown): string {
  const type = servedType(contentType);
  return isTextType(type) && isCharset(charset) ? `${type}; charset=${charset}` : type;
}

/**
 * `Content-Disposition` (RFC 6266): an ASCII name that every client understands and, where that loses something, the real one by
 * RFC 8187.
 */
export function dispositionOf(contentType: string, name: string, { isDownload = false } = {}): string {
  const kind = !isDownload && INLINE.has(servedType(contentType)) ? 'inline' : 'attachment';
  // A name is the last part of a path, if it is a path at all; quotes, backslashes and percent signs are read differently by clients.
  const last = name.split(/[/\\]/).at(-1) ?? '';
  const base = last === '' ? 'file' : last;
  const ascii = base
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[^\x20-\x7e]/g, '_')
    .replace(/["\\%]/g, '_')
    .trim();
  const plain = ascii === '' ? 'file' : ascii;
  const extended = plain === base ? '' : `; filename*=UTF-8''${encodeRfc8187(base)}`;
  return `${kind}; filename="${plain}"${extended}`;
}

function encodeRfc8187(text: string): string {
  // Through UTF-8 and back, half of a surrogate pair becomes a replacement character instead of an error.
  const wellFormed = Buffer.from(text, 'utf8').toString('utf8');
  return encodeURIComponent(wellFormed.replace(/\p{Cc}/gu, '_')).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The tag of bytes that never change: their digest. */
export function entityTag(sha256: string): string {
  return `"${sha256}"`;
}

/** True where an `If-None-Match` names the tag (weak comparison, RFC 9110, section 13.1.2). */
export function namesTag(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) {
    return false;
  }
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((part) => part.trim().replace(/^W\//, '') === tag);
}

/** True where an `If-Match` names the tag (strong comparison, RFC 9110, section 13.1.1). */
export function matchesTag(ifMatch: string, tag: string): boolean {
  return ifMatch.trim() === '*' || ifMatch.split(',').some((part) => part.trim() === tag);
}

/**
 * What a `Range` header asks for (RFC 9110, section 14): a range, `unsatisfiable` where it lies past the file, or null for the whole
 * file, which is also what a malformed header, another unit or several ranges get.
 */
export function requestedRange(range: string | undefined, sizeBytes: number): ByteRange | 'unsatisfiable' | null {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) {
    return null;
  }
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { start: sizeBytes - length, end: sizeBytes - 1 };
  }
  const start = Number(first);
  const end = last === '' ? sizeBytes - 1 : Number(last);
  if (last !== '' && end < start) {
    return null;
  }
  return start >= sizeBytes ? 'unsatisfiable' : { start, end: Math.min(end, sizeBytes - 1) };
}
