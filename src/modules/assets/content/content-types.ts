/** Names of media types: which there are, what several names of one are called here, and which kinds of asset they suit. Pure. */
import { extname } from 'node:path/posix';
import type { AssetType } from '../assets.schema.js';

/** As many first bytes as are looked at. Signatures need less; charsets, directories of pictures and padding are read further in. */
export const HEAD_BYTES = 65_536;

export const UNKNOWN_TYPE = 'application/octet-stream';

/** Types that have several names, under the one that is kept. Browsers take theirs from the system, so a file has several. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  'image/jpeg': ['image/jpg', 'image/pjpeg', 'image/jfif'],
  'image/png': ['image/x-png'],
  'image/apng': ['image/vnd.mozilla.apng', 'image/x-apng'],
  'image/bmp': ['image/x-bmp', 'image/x-ms-bmp'],
  'image/tiff': ['image/tif', 'image/x-tiff', 'image/x-tif'],
  'image/x-icon': ['image/vnd.microsoft.icon', 'image/ico', 'image/icon', 'image/x-win-bitmap', 'application/ico'],
  'image/vnd.adobe.photoshop': ['image/x-psd', 'image/x-photoshop', 'image/psd', 'application/x-photoshop'],
  'image/x-adobe-dng': ['image/dng', 'image/x-dng'],
  'image/x-nikon-nef': ['image/nef', 'image/x-nef'],
  'image/x-canon-cr2': ['image/cr2', 'image/x-cr2'],
  'image/x-canon-cr3': ['image/cr3', 'image/x-cr3'],
  'image/x-sony-arw': ['image/arw', 'image/x-arw'],
  'image/x-fujifilm-raf': ['image/raf', 'image/x-raf', 'image/x-fuji-raf'],
  'image/x-olympus-orf': ['image/orf', 'image/x-orf'],
  'image/x-panasonic-rw2': ['image/rw2', 'image/x-rw2', 'image/x-panasonic-raw2'],
  'audio/mpeg': ['audio/mp3', 'audio/x-mp3', 'audio/x-mpeg', 'audio/mpeg3', 'audio/mpg'],
  'audio/wav': ['audio/wave', 'audio/x-wav', 'audio/vnd.wave', 'audio/x-pn-wav'],
  'audio/flac': ['audio/x-flac'],
  'audio/mp4': ['audio/m4a', 'audio/x-m4a', 'audio/x-m4b', 'audio/x-mp4'],
  'audio/aac': ['audio/x-aac', 'audio/aacp', 'audio/vnd.dlna.adts', 'audio/x-hx-aac-adts'],
  'audio/ogg': [
    'audio/opus',
    'application/ogg',
    'audio/x-ogg',
    'audio/vorbis',
    'audio/x-vorbis+ogg',
    'audio/x-opus+ogg',
  ],
  'audio/ac3': ['audio/vnd.dolby.dd-raw'],
  'audio/aiff': ['audio/x-aiff', 'audio/aif'],
  'audio/midi': ['audio/x-midi', 'audio/mid', 'audio/sp-midi'],
  'audio/matroska': ['audio/x-matroska'],
  'audio/x-ms-wma': ['audio/wma', 'audio/x-ms-asf'],
  'video/mp4': ['video/x-m4v', 'video/m4v', 'application/mp4'],
  'video/quicktime': ['video/mov', 'video/x-quicktime'],
  'video/avi': ['video/x-msvideo', 'video/vnd.avi', 'video/msvideo'],
  'video/matroska': ['video/x-matroska'],
  'video/mpeg': ['video/mpg', 'video/x-mpeg', 'video/x-mpg', 'video/mp1s', 'video/mp2p', 'video/x-mpeg-system'],
  'video/mp2t': ['video/vnd.dlna.mpeg-tts', 'video/m2ts', 'video/x-mpegts'],
  'video/x-ms-wmv': ['video/wmv', 'video/x-ms-wm'],
  'video/x-ms-asf': ['video/asf', 'application/vnd.ms-asf', 'application/x-ms-asf', 'video/x-ms-asf-plugin'],
  'model/stl': ['application/vnd.ms-pki.stl', 'model/x.stl-ascii', 'model/x.stl-binary', 'application/sla'],
  'model/obj': ['application/x-tgif', 'text/prs.wavefront-obj'],
  'model/3mf': ['application/vnd.ms-3mfdocument', 'application/vnd.ms-package.3dmanufacturing-3dmodel+xml'],
  'application/pdf': ['application/x-pdf'],
  'application/postscript': [
    'application/eps',
    'application/x-eps',
    'image/eps',
    'image/x-eps',
    'application/x-postscript',
  ],
  'application/rtf': ['text/rtf', 'text/richtext', 'application/x-rtf'],
  'application/zip': ['application/x-zip-compressed', 'application/x-zip'],
  'application/gzip': [
    'application/x-gzip',
    'application/x-compressed-tar',
    'application/x-tgz',
    'application/x-gtar-compressed',
    'application/gzip-compressed',
    'application/x-tar-gz',
  ],
  'application/x-bzip2': [
    'application/x-bzip',
    'application/bzip2',
    'application/bzip',
    'application/x-bz2',
    'application/x-bzip-compressed-tar',
    'application/x-bzip2-compressed-tar',
  ],
  'application/x-xz': ['application/xz', 'application/x-xz-compressed-tar'],
  'application/zstd': ['application/x-zstd', 'application/x-zstd-compressed-tar'],
  'application/x-tar': ['application/tar', 'application/x-gtar'],
  'application/x-7z-compressed': ['application/x-7z'],
  'application/vnd.rar': ['application/x-rar-compressed', 'application/x-rar', 'application/rar'],
  'application/java-archive': ['application/x-java-archive', 'application/x-jar', 'application/jar'],
  'application/vnd.debian.binary-package': [
    'application/x-debian-package',
    'application/x-deb',
    'application/deb',
    'application/x-debian-binary-package',
  ],
  'application/x-unix-archive': ['application/x-archive'],
  'application/x-rpm': ['application/x-redhat-package-manager'],
  'application/x-elf': [
    'application/x-sharedlib',
    'application/x-executable',
    'application/x-pie-executable',
    'application/x-object',
    'application/x-core',
  ],
  'application/x-msdownload': [
    'application/vnd.microsoft.portable-executable',
    'application/x-dosexec',
    'application/x-ms-dos-executable',
    'application/exe',
    'application/x-exe',
  ],
  'application/vnd.sqlite3': ['application/x-sqlite3', 'application/x-sqlite'],
  'application/xml': ['text/xml'],
};

const ALIASES: ReadonlyMap<string, string> = new Map(
  Object.entries(SYNONYMS).flatMap(([type, names]) => names.map((name) => [name, type])),
);

/** Types that are text, whatever their charset. Without a signature of their own, they are believed where the bytes are text. */
const TEXT =
  /^text\/|^(application\/(json|xml|javascript|x-javascript|ecmascript|x-ndjson|x-subrip|yaml|x-yaml|toml|sql|x-sh)|image\/svg\+xml|model\/(obj|gltf\+json|mtl))$|\+(json|xml)$/;
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/;

const BY_EXTENSION: Readonly<Record<string, string>> = {
  '.glb': 'model/gltf-binary',
  '.gltf': 'model/gltf+json',
  '.obj': 'model/obj',
  '.stl': 'model/stl',
  '.ply': 'model/ply',
  '.usdz': 'model/vnd.usdz+zip',
  '.svg': 'image/svg+xml',
  '.heic': 'image/heic',
  '.dng': 'image/x-adobe-dng',
  '.nef': 'image/x-nikon-nef',
  '.cr2': 'image/x-canon-cr2',
  '.arw': 'image/x-sony-arw',
  '.pef': 'image/x-pentax-pef',
  '.srw': 'image/x-samsung-srw',
  '.eps': 'application/postscript',
  '.wmv': 'video/x-ms-wmv',
  '.wma': 'audio/x-ms-wma',
  '.m4a': 'audio/mp4',
  '.m4b': 'audio/mp4',
  '.mka': 'audio/matroska',
  '.weba': 'audio/webm',
  '.ogv': 'video/ogg',
  '.jar': 'application/java-archive',
  '.apk': 'application/vnd.android.package-archive',
  '.doc': 'application/msword',
  '.xls': 'application/vnd.ms-excel',
  '.ppt': 'application/vnd.ms-powerpoint',
  '.msg': 'application/vnd.ms-outlook',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.ndjson': 'application/x-ndjson',
  '.xml': 'application/xml',
  '.yaml': 'application/yaml',
  '.yml': 'application/yaml',
  '.txt': 'text/plain',
  '.log': 'text/plain',
  '.md': 'text/markdown',
  '.csv': 'text/csv',
  '.tsv': 'text/tab-separated-values',
  '.srt': 'application/x-subrip',
  '.html': 'text/html',
};

/** A media type without parameters, under its usual name; null for what is none. */
export function mediaType(text: string): string | null {
  const type = (text.split(';')[0] ?? '').trim().toLowerCase();
  return MEDIA_TYPE.test(type) ? (ALIASES.get(type) ?? type) : null;
}

export function isTextType(contentType: string): boolean {
  return TEXT.test(contentType);
}

/** The type that a name suggests; null where it suggests none. */
export function typeOfName(name: string): string | null {
  return BY_EXTENSION[extname(name).toLowerCase()] ?? null;
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
  // A picture as a program: the registered name of EPS says nothing of pictures.
  const isPostScript = kind === 'image' && contentType === 'application/postscript';
  return allowed.length === 0 || isPostScript || allowed.some((family) => contentType.startsWith(`${family}/`))
    ? null
    : `an asset of type ${kind} has a content type of ${allowed.map((family) => `${family}/…`).join(' or ')}`;
}
