/** A real browser, where there is one: Debian's package `chromium`, or the program that `CHROMIUM` names. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PATH = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
);

export const hasBrowser = PATH !== undefined;

/** For the name of a test that is skipped without one. */
export const NO_BROWSER = hasBrowser ? '' : ' (skipped: no Chromium here; set CHROMIUM to its path)';

export async function openBrowser(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: PATH ?? '', args: ['--no-sandbox', '--disable-dev-shm-usage', ...args] });
}
