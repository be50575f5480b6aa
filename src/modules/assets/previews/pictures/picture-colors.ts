import { open } from 'node:fs/promises';
import { readAt } from '../file-bytes.js';
import type { HdrColors, Transfer } from './tone-map.js';

/** Where these stand, they stand near the beginning. */
const HEAD_BYTES = 256 * 1024;

/** By the numbers of ITU-T H.273. */
const TRANSFERS: Readonly<Record<number, Transfer>> = { 16: 'pq', 18: 'hlg' };
const BT_2020 = 9;

/** How a still picture of high dynamic range is coded, by the `nclx` box of HEIF and AVIF or the `cICP` chunk of PNG; null for any other picture. */
export async function hdrColorsOf(path: string, format: string): Promise<HdrColors | null> {
  const file = await open(path);
  try {
    const head = await readAt(file, 0, HEAD_BYTES);
    const numbers = format === 'png' ? pngNumbers(head) : format === 'heif' ? heifNumbers(head) : null;
    const transfer = TRANSFERS[numbers?.transfer ?? 0];
    return transfer === undefined ? null : { transfer, isWide: numbers?.primaries === BT_2020 };
  } finally {
    await file.close();
  }
}

interface ColorNumbers {
  primaries: number;
  transfer: number;
}

function heifNumbers(head: Buffer): ColorNumbers | null {
  const at = head.indexOf('colrnclx', 0, 'latin1');
  return at === -1 || at + 12 > head.length
    ? null
    : { primaries: head.readUInt16BE(at + 8), transfer: head.readUInt16BE(at + 10) };
}

function pngNumbers(head: Buffer): ColorNumbers | null {
  for (let at = 8; at + 12 <= head.length; at += 12 + head.readUInt32BE(at)) {
    const name = head.toString('latin1', at + 4, at + 8);
    if (name === 'cICP') {
      return { primaries: head.readUInt8(at + 8), transfer: head.readUInt8(at + 9) };
    }
    if (name === 'IDAT') {
      return null;
    }
  }
  return null;
}
