/** What an asset's blobs are called. */

/** What was given. */
export const ORIGINAL = 'original';

/** The picture of it. */
export const THUMBNAIL = 'thumbnail';

/** A part of what is given in parts, until all are there. */
export function partName(number: number): string {
  return `part-${number}`;
}

/** The number of a part; null for what is none. */
export function partNumber(name: string): number | null {
  const [, digits] = /^part-(\d{1,4})$/.exec(name) ?? [];
  return digits === undefined ? null : Number(digits);
}

export interface PartPlan {
  partSizeBytes: number;
  count: number;
}

/** How bytes of a size are cut. */
export function partPlan(sizeBytes: number, partSizeBytes: number): PartPlan {
  return { partSizeBytes, count: Math.ceil(sizeBytes / partSizeBytes) };
}

/** The size of one part; only the last may be shorter. */
export function sizeOfPart(number: number, sizeBytes: number, partSizeBytes: number): number {
  return Math.min(partSizeBytes, sizeBytes - (number - 1) * partSizeBytes);
}

/** Hints that there is background work on assets. */
export const ASSET_WORK_TOPIC = 'assets:work';
