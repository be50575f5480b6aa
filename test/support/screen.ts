/** What a browser's page shows, as pixels. */
import { join } from 'node:path';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import type { Rgb } from './spheres.js';

export class Screen {
  private constructor(
    readonly width: number,
    readonly height: number,
    private readonly data: Buffer,
  ) {}

  /** @param name kept under it where `SCREENSHOTS` names a folder */
  static async of(page: Page, name: string): Promise<Screen> {
    const png = await page.screenshot();
    const folder = process.env['SCREENSHOTS'];
    if (folder !== undefined) {
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, `${name}.png`), png);
    }
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    return new Screen(info.width, info.height, data);
  }

  /** @param x @param y fractions of the screen */
  at(x: number, y: number): Rgb {
    return this.pixel(
      Math.min(this.width - 1, Math.floor(x * this.width)),
      Math.min(this.height - 1, Math.floor(y * this.height)),
    );
  }

  pixel(x: number, y: number): Rgb {
    const at = (y * this.width + x) * 3;
    return [this.data[at] ?? 0, this.data[at + 1] ?? 0, this.data[at + 2] ?? 0];
  }

  /** The pixels for which it is so, and the smallest box around them. */
  where(isWanted: (color: Rgb) => boolean): {
    count: number;
    left: number;
    right: number;
    top: number;
    bottom: number;
  } {
    const found = { count: 0, left: this.width, right: -1, top: this.height, bottom: -1 };
    for (let y = 0; y < this.height; y += 1) {
      for (let x = 0; x < this.width; x += 1) {
        if (isWanted(this.pixel(x, y))) {
          found.count += 1;
          found.left = Math.min(found.left, x);
          found.right = Math.max(found.right, x);
          found.top = Math.min(found.top, y);
          found.bottom = Math.max(found.bottom, y);
        }
      }
    }
    return found;
  }
}

/** True for a color as it comes out of an encoder and a renderer. */
export function isNear([r, g, b]: Rgb, [red, green, blue]: Rgb): boolean {
  return Math.abs(r - red) < 40 && Math.abs(g - green) < 40 && Math.abs(b - blue) < 40;
}
