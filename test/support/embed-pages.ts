/** What a person does to an embed page: gives it another shape, and turns what it shows. */
import type { Page } from 'playwright-core';

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Another shape of frame, once the viewer has drawn in it. */
export async function resize(page: Page, viewport: { width: number; height: number }): Promise<void> {
  await page.setViewportSize(viewport);
  await until(() => page.evaluate(`document.querySelector('canvas').clientWidth === ${viewport.width}`));
  await nextFrames(page);
}

async function nextFrames(page: Page): Promise<void> {
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
}

/** Turns to where the viewer says that it looks at so many degrees. */
export async function turnBy(page: Page, degrees: number): Promise<void> {
  for (let step = 0; step < Math.abs(degrees) / 5; step += 1) {
    await page.keyboard.press(degrees < 0 ? 'ArrowLeft' : 'ArrowRight');
  }
  await nextFrames(page);
}
