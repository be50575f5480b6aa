import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/**
 * Fonts for the chart, shipped as npm packages: a bare server has none, and a chart that depends on the machine's fonts would
 * differ from machine to machine. The packages hold each font as slices by Unicode range (made for browsers); only the slices
 * that a text needs are ever loaded, and each once per process.
 */
interface FontPackage {
  name: string;
  /** Slices by name; null takes all, in the numbered form of the ideographic fonts. */
  slices: readonly string[] | null;
  /** The characters to take from this font, of those its slices name. */
  only?: RegExp;
}

const PACKAGES: readonly FontPackage[] = [
  { name: 'inter', slices: ['latin', 'latin-ext', 'cyrillic', 'cyrillic-ext', 'greek', 'greek-ext', 'vietnamese'] },
  { name: 'noto-sans-arabic', slices: ['arabic'] },
  { name: 'noto-sans-hebrew', slices: ['hebrew'] },
  { name: 'noto-sans-devanagari', slices: ['devanagari'] },
  { name: 'noto-sans-thai', slices: ['thai'] },
  { name: 'noto-sans-kr', slices: null, only: /\p{Script=Hangul}/u },
  // The Chinese font holds the kana and most Japanese ideographs too, in their Chinese shapes.
  { name: 'noto-sans-sc', slices: null, only: /\P{Script=Hangul}/u },
];

interface FontSlice {
  family: string;
  path: string;
  /** Flat list of first and last code points. */
  ranges: readonly number[];
  only: RegExp | undefined;
}

/** The part of the canvas library's font registry that is needed here. */
export interface FontRegistry {
  has(family: string): boolean;
  registerFromPath(path: string, family: string): unknown;
}

export interface ChartFonts {
  /** The text without what no font here can draw (emoji, rare scripts): better missing than a box. */
  drawable(text: string): string;
  /** A CSS font family list that covers the text; loads the slices it needs. */
  familiesFor(text: string): string;
}

/** The ranges of a package promise more than its font holds: emoji, private use, invisible controls but the two joiners. */
const NEVER_DRAWN =
  /(?![\u200C\u200D])[\p{Emoji_Presentation}\p{Regional_Indicator}\p{Co}\p{Cn}\p{Cc}\p{Cf}\uFE0F\uFFFD]/u;

const require = createRequire(import.meta.url);
let slicesRead: Promise<FontSlice[]> | undefined;

export async function loadChartFonts(registry: FontRegistry): Promise<ChartFonts> {
  slicesRead ??= readSlices();
  const slices = await slicesRead;
  const sliceOf = (character: string): FontSlice | undefined => {
    const codePoint = character.codePointAt(0) ?? 0;
    return slices.find(({ ranges, only }) => covers(ranges, codePoint) && only?.test(character) !== false);
  };
  return {
    drawable: (text) =>
      Array.from(text)
        .filter((character) => !NEVER_DRAWN.test(character) && sliceOf(character) !== undefined)
        .join('')
        .replace(/\s+/g, ' ')
        .trim(),
    familiesFor: (text) => {
      const needed = new Set(slices.slice(0, 1));
      for (const character of new Set(text)) {
        const slice = sliceOf(character);
        if (slice !== undefined) needed.add(slice);
      }
      for (const { family, path } of needed) if (!registry.has(family)) registry.registerFromPath(path, family);
      return Array.from(needed, ({ family }) => `"${family}"`).join(', ');
    },
  };
}

async function readSlices(): Promise<FontSlice[]> {
  const slices: FontSlice[] = [];
  for (const { name, slices: wanted, only } of PACKAGES) {
    const text = await readFile(require.resolve(`@fontsource-variable/${name}/unicode.json`), 'utf8');
    const rangesOf: unknown = JSON.parse(text);
    if (typeof rangesOf !== 'object' || rangesOf === null) throw new Error(`the font package ${name} lists no ranges`);
    const listed = new Map<string, unknown>(Object.entries(rangesOf));
    for (const key of wanted ?? Array.from(listed.keys()).filter((sliceKey) => sliceKey.startsWith('['))) {
      const ranges = listed.get(key);
      if (typeof ranges !== 'string') throw new Error(`the font package ${name} has no slice ${key}`);
      const slice = key.replace(/[[\]]/g, '');
      slices.push({
        family: `Digest ${name} ${slice}`,
        path: require.resolve(`@fontsource-variable/${name}/files/${name}-${slice}-wght-normal.woff2`),
        ranges: parseRanges(ranges),
        only,
      });
    }
  }
  return slices;
}

/** "U+0-FF,U+131" → [0, 255, 305, 305]. */
function parseRanges(ranges: string): number[] {
  return ranges.split(',').flatMap((range) => {
    const [first = '', last = first] = range.trim().replace(/^U\+/i, '').split('-');
    return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  });
}

function covers(ranges: readonly number[], codePoint: number): boolean {
  for (let index = 0; index < ranges.length; index += 2) {
    if (codePoint >= (ranges[index] ?? Infinity) && codePoint <= (ranges[index + 1] ?? -1)) return true;
  }
  return false;
}
