/** What bytes are, by their first bytes: the library's answer, and ours where it gives up or answers too fast. */
import { fileTypeFromBuffer } from 'file-type';
import { HEAD_BYTES, mediaType } from './content-types.js';
import { isText } from './text-charset.js';

/** Formats that are text themselves, so that being text does not speak against them. */
const WRITTEN = /^text\/|^model\/|^application\/(xml|pdf|rtf|postscript|pgp-|x-ms-regedit)/;

/** What the first bytes say; null where they say nothing, as those of a plain text. Never throws. */
export async function sniff(head: Uint8Array): Promise<string | null> {
  const found = surely(head) ?? (await library(head)) ?? fallback(head);
  // Words may begin like a picture ("BMW"), and the mark of UTF-16 begins like a frame of MP3.
  return found !== null && !WRITTEN.test(found) && isText(head) ? null : found;
}

async function library(head: Uint8Array): Promise<string | null> {
  const found = await fileTypeFromBuffer(head).catch(() => undefined);
  const type = found === undefined ? null : mediaType(found.mime);
  // Two characters are enough for the library, and comments of TeX and MATLAB begin with them.
  return type === 'application/postscript' && !/^(%!PS|\xc5\xd0\xd3\xc6)/.test(latin1(head, 4)) ? null : type;
}

type Signature = readonly [offset: number, bytes: string, type: string];

/** Told by these bytes alone, or to be looked at more closely than the library does. */
function surely(head: Uint8Array): string | null {
  const start = latin1(head, 16);
  if (/^(RF64|BW64|RIFX)....WAVE/s.test(start)) {
    return 'audio/wav';
  }
  if (start.startsWith('\x1f\x8b\x08')) {
    // The library would inflate it to look for a tar.
    return 'application/gzip';
  }
  if (start.startsWith(ASF_HEADER)) {
    return asfType(head);
  }
  return start.startsWith('ftyp', 4) ? heifType(head) : null;
}

/** Of files that tell their exact kind further in than the first bytes reach, where the library gives up. */
const SIGNATURES: readonly Signature[] = [
  [0, '\x89PNG\r\n\x1a\n', 'image/png'],
  [0, 'II*\0', 'image/tiff'],
  [0, 'MM\0*', 'image/tiff'],
  [0, 'II+\0', 'image/tiff'],
  [0, 'MM\0+', 'image/tiff'],
  [0, '\x1a\x45\xdf\xa3', 'video/matroska'],
  [0, 'OggS', 'audio/ogg'],
  [0, 'PK\x03\x04', 'application/zip'],
  [4, 'ftyp', 'video/mp4'],
  [0, 'ID3', 'audio/mpeg'],
  // What a printer is told before the document.
  [0, '\x04%!PS', 'application/postscript'],
];

function fallback(head: Uint8Array): string | null {
  const start = latin1(head, 16);
  const known = SIGNATURES.find(([offset, bytes]) => start.startsWith(bytes, offset))?.[2];
  return known ?? blankBeforePdf(head) ?? paddedMpegAudio(head);
}

/** Readers of PDF look for its header in the first 1,024 bytes; here blanks, NULs and a byte order mark may stand before it. */
function blankBeforePdf(head: Uint8Array): string | null {
  return /^(\xef\xbb\xbf)?[\s\0]*%PDF-\d/.test(latin1(head, 1024)) ? 'application/pdf' : null;
}

const ASF_HEADER = Buffer.from('3026b2758e66cf11a6d9', 'hex').toString('latin1');
const ASF_VIDEO = Buffer.from('c0ef19bc4d5bcf11a8fd00805f5c442b', 'hex');
const ASF_AUDIO = Buffer.from('409e69f84d5bcf11a8fd00805f5c442b', 'hex');

/** A video may name its sound first, so all streams are looked for; where none is near, it is a video for all one can tell. */
function asfType(head: Uint8Array): string {
  const bytes = Buffer.from(head);
  return bytes.includes(ASF_AUDIO) && !bytes.includes(ASF_VIDEO) ? 'audio/x-ms-wma' : 'video/x-ms-asf';
}

const HEIF_BRANDS: Readonly<Record<string, string>> = {
  heic: 'image/heic',
  heix: 'image/heic',
  heim: 'image/heic',
  heis: 'image/heic',
  hevc: 'image/heic-sequence',
  hevx: 'image/heic-sequence',
  hevm: 'image/heic-sequence',
  hevs: 'image/heic-sequence',
  avif: 'image/avif',
  avis: 'image/avif',
};

/** HEIF names its coding as its brand, or is of a general brand and names it among those that it is compatible with. */
function heifType(head: Uint8Array): string | null {
  const size = Buffer.from(head.subarray(0, 4)).readUInt32BE();
  const [major = '', , ...compatible] = latin1(head.subarray(8), Math.min(size, 256) - 8).match(/.{4}/gs) ?? [];
  const general = { mif1: 'image/heif', msf1: 'image/heif-sequence' }[major];
  if (general === undefined) {
    return HEIF_BRANDS[major] ?? null;
  }
  const codings = compatible.flatMap((brand) => HEIF_BRANDS[brand] ?? []);
  return (
    codings.find((coding) => (major === 'msf1') === coding.endsWith('-sequence') || coding === 'image/avif') ?? general
  );
}

/** MP3 after zeros, as broken tags and recorders leave them: two frames of one kind, one where the other ends. */
function paddedMpegAudio(head: Uint8Array): string | null {
  const at = head.findIndex((byte) => byte !== 0);
  if (at <= 0) {
    return null;
  }
  if (latin1(head.subarray(at), 3) === 'ID3') {
    return 'audio/mpeg';
  }
  const length = mpegFrameBytes(head, at);
  if (length === null) {
    return null;
  }
  const next = at + length;
  const isNext = mpegFrameBytes(head, next) !== null && (head[next + 1] ?? 0) === (head[at + 1] ?? 0);
  return isNext || (next >= head.length && head.length === HEAD_BYTES) ? 'audio/mpeg' : null;
}

const LAYER_3_KBITS = [
  [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/** The length of a frame of layer III (ISO/IEC 11172-3, 13818-3); null where none begins there. */
function mpegFrameBytes(bytes: Uint8Array, at: number): number | null {
  const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
  const version = (second >> 3) & 3;
  const rate = [44_100, 48_000, 32_000][(third >> 2) & 3];
  if (first !== 0xff || (second & 0xe6) !== 0xe2 || version === 1 || rate === undefined) {
    return null;
  }
  const isFirstVersion = version === 3;
  const kbits = LAYER_3_KBITS[isFirstVersion ? 0 : 1]?.[third >> 4];
  if (kbits === undefined || kbits === 0) {
    return null;
  }
  const hertz = rate / (isFirstVersion ? 1 : version === 2 ? 2 : 4);
  return Math.floor(((isFirstVersion ? 144_000 : 72_000) * kbits) / hertz) + ((third >> 1) & 1);
}

function latin1(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.subarray(0, Math.max(0, length))).toString('latin1');
}
