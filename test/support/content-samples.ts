/** Small files of kinds that servers tend to refuse, made here, with the types that browsers announce them as. */
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import {
  hex,
  ascii,
  join,
  noise,
  farTiff,
  apng,
  asf,
  heif,
  rf64,
  mp3Frames,
  tar,
  zip,
  deb,
  PDF,
  EPS,
} from './content-files.js';
import { textSamples } from './text-samples.js';

export interface ContentSample {
  kind: string;
  name: string;
  /** The type of asset that a client asks for. */
  type: 'image' | 'sound' | 'voice' | 'video' | 'file' | '3d';
  /** Content types that browsers announce, by system. */
  announced: readonly string[];
  /** The content type that is kept. */
  kept: string;
  /** True where browsers may show it in place. */
  isInline?: true;
  /** Found in a text. */
  charset?: string;
  bytes: Buffer;
}

export async function contentSamples(): Promise<ContentSample[]> {
  const png = await sharp({ create: { width: 16, height: 16, channels: 3, background: '#c33' } })
    .png()
    .toBuffer();
  const tiff = await sharp(noise(300 * 300 * 3), { raw: { width: 300, height: 300, channels: 3 } })
    .tiff({ compression: 'none' })
    .toBuffer();
  const icon = join(hex('0000 0100 0100 10100000 0100 2000'), Buffer.alloc(4), hex('16000000'), png);
  icon.writeUInt32LE(png.length, 14);
  const elf = join('\x7fELF', hex('02010100'), Buffer.alloc(8), hex('03003e0001000000'), Buffer.alloc(40), noise(200));
  const jar = zip('META-INF/MANIFEST.MF', ascii('Manifest-Version: 1.0\r\n\r\n'));
  const mpeg2 = join(
    hex('000001ba 44000400 0401 000003f8'),
    hex('000001bb 000c 8000 0104 e17f b9e0 e8b8 c020'),
    noise(2000),
  );
  const mpeg1 = join(hex('000001ba 2100010001 800001'), hex('000001bb'), noise(2000));
  const pictures = { type: 'image' } as const;
  const files = { type: 'file' } as const;
  return [
    { ...pictures, kind: 'TIFF', name: 'scan.tiff', announced: ['image/tiff'], kept: 'image/tiff', bytes: tiff },
    {
      ...pictures,
      kind: 'TIFF with its directory at the end',
      name: 'scan.tif',
      announced: ['image/tiff', 'image/tif'],
      kept: 'image/tiff',
      bytes: farTiff(),
    },
    {
      ...pictures,
      kind: 'APNG',
      name: 'anim.png',
      announced: ['image/png', 'image/apng', 'image/vnd.mozilla.apng'],
      kept: 'image/apng',
      isInline: true,
      bytes: apng(png),
    },
    {
      ...pictures,
      kind: 'ICO',
      name: 'favicon.ico',
      announced: ['image/x-icon', 'image/vnd.microsoft.icon'],
      kept: 'image/x-icon',
      bytes: icon,
    },
    {
      ...pictures,
      kind: 'NEF',
      name: 'a.nef',
      announced: ['image/x-nikon-nef', 'image/tiff'],
      kept: 'image/x-nikon-nef',
      bytes: join(hex('49492a0008000000 1c00 fe00 0400 01000000 01000000'), noise(9000)),
    },
    {
      ...pictures,
      kind: 'NEF with its directory far in',
      name: 'b.nef',
      announced: ['image/x-nikon-nef'],
      kept: 'image/x-nikon-nef',
      bytes: farTiff(),
    },
    {
      ...pictures,
      kind: 'RAF',
      name: 'a.raf',
      announced: ['image/x-fuji-raf', 'image/x-fujifilm-raf'],
      kept: 'image/x-fujifilm-raf',
      bytes: join('FUJIFILMCCD-RAW 0201FF383501X-T1', noise(3000)),
    },
    {
      ...pictures,
      kind: 'EPS',
      name: 'a.eps',
      announced: ['application/postscript', 'image/x-eps', 'application/eps'],
      kept: 'application/postscript',
      bytes: ascii(EPS),
    },
    {
      ...pictures,
      kind: 'EPS with a preview',
      name: 'b.eps',
      announced: ['application/postscript'],
      kept: 'application/postscript',
      bytes: join(hex('c5d0d3c6 1e000000 80000000'), Buffer.alloc(18), EPS),
    },
    {
      ...pictures,
      kind: 'HEIC of brand heic',
      name: 'a.heic',
      announced: ['image/heic', 'image/heif'],
      kept: 'image/heic',
      bytes: heif('heic', 'mif1', 'heic'),
    },
    {
      ...pictures,
      kind: 'HEIC of brand hevc',
      name: 'b.heic',
      announced: ['image/heic', 'image/heif'],
      kept: 'image/heic-sequence',
      bytes: heif('hevc', 'mif1', 'heic', 'hevc'),
    },
    {
      ...pictures,
      kind: 'HEIC of brand msf1',
      name: 'c.heic',
      announced: ['image/heic', 'image/heif'],
      kept: 'image/heic-sequence',
      bytes: heif('msf1', 'mif1', 'heic', 'hevc'),
    },
    {
      ...pictures,
      kind: 'HEIC of brand mif1',
      name: 'd.heic',
      announced: ['image/heic', 'image/heif'],
      kept: 'image/heic',
      bytes: heif('mif1', 'heic'),
    },
    {
      ...pictures,
      kind: 'PNG named otherwise',
      name: 'photo.jpg',
      announced: ['image/jpeg'],
      kept: 'image/png',
      isInline: true,
      bytes: png,
    },
    {
      type: 'video',
      kind: 'WMV',
      name: 'a.wmv',
      announced: ['video/x-ms-wmv'],
      kept: 'video/x-ms-wmv',
      bytes: asf('audio', 'video'),
    },
    {
      type: 'sound',
      kind: 'WMA',
      name: 'a.wma',
      announced: ['audio/x-ms-wma'],
      kept: 'audio/x-ms-wma',
      bytes: asf('audio'),
    },
    {
      type: 'video',
      kind: 'MPG of MPEG-1',
      name: 'a.mpg',
      announced: ['video/mpeg', 'video/mpg'],
      kept: 'video/mpeg',
      bytes: mpeg1,
    },
    {
      type: 'video',
      kind: 'MPG of MPEG-2',
      name: 'b.mpg',
      announced: ['video/mpeg'],
      kept: 'video/mpeg',
      bytes: mpeg2,
    },
    {
      type: 'sound',
      kind: 'RF64 WAV',
      name: 'a.wav',
      announced: ['audio/wav', 'audio/x-wav', 'audio/vnd.wave'],
      kept: 'audio/wav',
      isInline: true,
      bytes: rf64(),
    },
    {
      type: 'sound',
      kind: 'MP3 after zeros',
      name: 'a.mp3',
      announced: ['audio/mpeg', 'audio/mp3'],
      kept: 'audio/mpeg',
      isInline: true,
      bytes: join(Buffer.alloc(6000), mp3Frames(5)),
    },
    {
      type: 'voice',
      kind: 'MP3 after zeros and a tag',
      name: 'c.mp3',
      announced: ['audio/mpeg'],
      kept: 'audio/mpeg',
      isInline: true,
      bytes: join(Buffer.alloc(3000), 'ID3', hex('0300000000000a'), Buffer.alloc(10), mp3Frames(3)),
    },
    {
      type: 'voice',
      kind: 'MP3 after a tag and zeros',
      name: 'b.mp3',
      announced: ['audio/mpeg'],
      kept: 'audio/mpeg',
      isInline: true,
      bytes: join('ID3', hex('0300000000000a'), Buffer.alloc(2000), mp3Frames(3)),
    },
    {
      type: 'voice',
      kind: 'WebM of sound',
      name: 'speech.weba',
      announced: ['audio/webm'],
      kept: 'audio/webm',
      isInline: true,
      bytes: join(
        hex('1a45dfa39f 42868101 42f78101 42f28104 42f38108'),
        hex('428284'),
        'webm',
        hex('42878104 42858102 18538067'),
        noise(400),
      ),
    },
    {
      ...files,
      kind: 'PDF after a newline',
      name: 'a.pdf',
      announced: ['application/pdf'],
      kept: 'application/pdf',
      bytes: ascii(`\n${PDF}`),
    },
    {
      ...files,
      kind: 'PDF after a byte order mark',
      name: 'b.pdf',
      announced: ['application/pdf'],
      kept: 'application/pdf',
      bytes: ascii(`\xef\xbb\xbf\r\n${PDF}`),
    },
    {
      ...files,
      kind: '.tgz',
      name: 'a.tgz',
      announced: ['application/x-compressed-tar', 'application/gzip', 'application/x-gzip', 'application/x-tgz'],
      kept: 'application/gzip',
      bytes: gzipSync(tar()),
    },
    {
      ...files,
      kind: '.jar',
      name: 'a.jar',
      announced: ['application/java-archive', 'application/x-java-archive', 'application/zip'],
      kept: 'application/java-archive',
      bytes: jar,
    },
    {
      ...files,
      kind: '.apk',
      name: 'a.apk',
      announced: ['application/vnd.android.package-archive'],
      kept: 'application/vnd.android.package-archive',
      bytes: jar,
    },
    {
      ...files,
      kind: '.deb',
      name: 'a.deb',
      announced: ['application/vnd.debian.binary-package', 'application/x-debian-package', 'application/x-deb'],
      kept: 'application/vnd.debian.binary-package',
      bytes: deb(),
    },
    {
      ...files,
      kind: '.bz2',
      name: 'a.bz2',
      announced: ['application/x-bzip2', 'application/x-bzip', 'application/bzip2'],
      kept: 'application/x-bzip2',
      bytes: hex('425a683931415926535900000000'),
    },
    {
      ...files,
      kind: '.so',
      name: 'liba.so',
      announced: ['application/x-sharedlib', 'application/x-elf'],
      kept: 'application/x-elf',
      bytes: elf,
    },
    {
      ...files,
      kind: 'ZIP named .rar',
      name: 'a.rar',
      announced: ['application/vnd.rar', 'application/x-rar-compressed'],
      kept: 'application/zip',
      bytes: zip('a.txt', ascii('words')),
    },
    {
      type: '3d',
      kind: 'STL',
      name: 'a.stl',
      announced: ['model/stl', 'application/vnd.ms-pki.stl'],
      kept: 'model/stl',
      bytes: join(Buffer.alloc(80), hex('01000000'), noise(50)),
    },
    ...textSamples(),
  ];
}
