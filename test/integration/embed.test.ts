import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { AgentAtWork } from '../support/agent-at-work.js';
import { embedLink, localLink, type NamedFile, settledAsset, uploadAsset } from '../support/assets.js';
import { hasBrowser, NO_BROWSER, openBrowser } from '../support/browser.js';
import { heif } from '../support/content-files.js';
import { resize, turnBy } from '../support/embed-pages.js';
import { picture } from '../support/media.js';
import { glbBall, objBall, objOf } from '../support/model-shapes.js';
import { isNear, Screen } from '../support/screen.js';
import { startServer, type TestServer } from '../support/server.js';
import * as spheres from '../support/spheres.js';
import { webmOf } from '../support/webm.js';

const { BLUE, GREEN, RED, YELLOW } = spheres;
const { compass, eyeOf, jpegOf, pngOf } = spheres;

let server: TestServer;
let taskId: string;

beforeAll(async () => {
  server = await startServer();
  taskId = (await (await AgentAtWork.make(server, 'shower')).task()).taskId;
});
afterAll(() => server.stop());

/* eslint-disable @typescript-eslint/no-explicit-any -- tests look into replies of every shape */
async function assetOf(file: NamedFile): Promise<any> {
  return settledAsset(server, await uploadAsset(server, taskId, file));
}

test('may be framed by any page, a desktop program’s too, since it restricts no ancestors; all else stays restricted', async () => {
  const asset = await assetOf({
    type: 'image',
    name: 'a.png',
    contentType: 'image/png',
    bytes: await picture(8, 8, 'png'),
  });
  expect(asset.embed).toContain('sandbox="allow-scripts allow-downloads"');
  const { headers } = await fetch(embedLink(server, asset));
  expect(headers.get('x-frame-options')).toBeNull();
  expect(headers.get('content-security-policy')?.split('; ')).toEqual([
    'sandbox allow-scripts allow-downloads',
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    'worker-src blob:',
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self'",
    "connect-src 'self' blob: data:",
    "base-uri 'none'",
    "form-action 'none'",
  ]);
});

test('a link with download=true sends as a download what is else shown in place, and takes no other word', async () => {
  const asset = await assetOf({
    type: 'image',
    name: 'a.png',
    contentType: 'image/png',
    bytes: await picture(8, 8, 'png'),
  });
  const url = localLink(server, asset.url);
  const disposition = async (more: string): Promise<string | null> =>
    (await fetch(url + more)).headers.get('content-disposition');
  expect(await disposition('')).toBe('inline; filename="a.png"');
  expect(await disposition('&download=false')).toBe('inline; filename="a.png"');
  expect(await disposition('&download=true')).toBe('attachment; filename="a.png"');
  expect((await fetch(`${url}&download=maybe`)).status).toBe(400);
  expect((await fetch(`${url}&other=true`)).status).toBe(401);
});

(hasBrowser ? describe : describe.skip)(`in a real browser${NO_BROWSER}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser([
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--ignore-gpu-blocklist',
      '--autoplay-policy=no-user-gesture-required',
    ]);
  });
  afterAll(() => browser.close());

  const LANDSCAPE = { width: 640, height: 400 };
  const FRAMES = [LANDSCAPE, { width: 300, height: 900 }, { width: 900, height: 300 }];

  /** The embed page of a file, once it shows what it will show. */
  async function open(file: NamedFile, viewport = LANDSCAPE): Promise<Page> {
    const asset = await assetOf(file);
    const page = await browser.newPage({ viewport });
    await page.goto(embedLink(server, asset));
    await page.waitForSelector('html[data-state]', { state: 'attached' });
    return page;
  }

  const stateOf = (page: Page): Promise<string | null> => page.locator('html').getAttribute('data-state');

  const panorama = (bytes: Buffer, contentType = 'image/png'): NamedFile => ({
    type: '360',
    name: 'around',
    contentType,
    bytes,
  });

  describe('a panorama', () => {
    test('opens on the middle of the picture, with left at the left, in frames of any shape', async () => {
      const page = await open(panorama(await jpegOf(eyeOf(compass)), 'image/jpeg'));
      for (const viewport of FRAMES) {
        await resize(page, viewport);
        const screen = await Screen.of(page, `panorama-${viewport.width}x${viewport.height}`);
        expect([isNear(screen.at(0.5, 0.5), RED), isNear(screen.at(0.02, 0.5), GREEN)]).toEqual([true, true]);
        expect(isNear(screen.at(0.98, 0.5), YELLOW)).toBe(true);
        expect(screen.where((color) => isNear(color, BLUE)).count).toBe(0);
      }
      await turnBy(page, 180);
      expect(isNear((await Screen.of(page, 'panorama-back')).at(0.5, 0.5), BLUE)).toBe(true);
      await page.close();
    });
  });

  describe('a panorama that covers a part of the sphere, or is for two eyes', () => {
    const MAGENTA: spheres.Rgb = [220, 20, 220];
    const onlyMagenta = (): spheres.Rgb => MAGENTA;

    test('opens on the middle of the part that its metadata says it covers, and cannot be turned past its edge', async () => {
      const crop = { left: 0.5, top: 0.25, width: 0.25, height: 0.5 };
      const page = await open(
        panorama(await jpegOf(eyeOf(compass, { crop }), spheres.gpanoOfCrop(crop)), 'image/jpeg'),
      );
      expect(isNear((await Screen.of(page, 'part')).at(0.5, 0.5), YELLOW)).toBe(true);
      await turnBy(page, 180);
      const edge = await Screen.of(page, 'part-edge');
      expect(isNear(edge.at(0.9, 0.5), spheres.GRAY)).toBe(true);
      await page.close();
    });

    test.each([
      [
        'one above the other, by its shape',
        async () => panorama(await pngOf(spheres.topBottom(eyeOf(compass), eyeOf(onlyMagenta)))),
      ],
      [
        'beside each other, by its metadata',
        async () =>
          panorama(
            await jpegOf(
              spheres.sideBySide(eyeOf(compass), eyeOf(onlyMagenta)),
              spheres.gpano({ ProjectionType: 'equirectangular', StereoMode: 'left-right' }),
            ),
            'image/jpeg',
          ),
      ],
      [
        'one above the other, by the metadata of its video',
        async () =>
          panorama(
            await webmOf(
              spheres.topBottom(eyeOf(compass, { pixelsPerDegree: 2 }), eyeOf(onlyMagenta, { pixelsPerDegree: 2 })),
              {
                stereoMode: 3,
                projection: 1,
              },
            ),
            'video/webm',
          ),
      ],
    ])('shows one eye where both are %s', async (_what, make) => {
      const page = await open(await make());
      expect(await stateOf(page)).toBe('ready');
      const screen = await Screen.of(page, 'eyes');
      expect(isNear(screen.at(0.5, 0.5), RED)).toBe(true);
      expect(screen.where((color) => isNear(color, MAGENTA)).count).toBe(0);
      await page.close();
    });
  });

  describe('a model', () => {
    const isBright = ([red, green, blue]: spheres.Rgb): boolean => red + green + blue > 330;
    const model = (bytes: Buffer, contentType: string): NamedFile => ({
      type: '3d',
      name: 'model',
      contentType,
      bytes,
    });

    test.each([
      ['far from the origin', { radius: 3, center: [400, -90, 20] as const }],
      ['very small', { radius: 0.001 }],
    ])('%s is shown whole, and large, in frames of any shape', async (_what, shape) => {
      const page = await open(model(objBall(shape), 'model/obj'));
      for (const viewport of FRAMES) {
        await resize(page, viewport);
        const body = (await Screen.of(page, `model-${viewport.width}x${viewport.height}`)).where(isBright);
        expect([
          body.left > 0,
          body.top > 0,
          body.right < viewport.width - 1,
          body.bottom < viewport.height - 1,
        ]).toEqual([true, true, true, true]);
        expect(body.bottom - body.top).toBeGreaterThan(0.7 * Math.min(viewport.width, viewport.height));
      }
      await page.close();
    });

    test('that moves is framed with the whole of its way', async () => {
      const page = await open(model(await glbBall({}, 4), 'model/gltf-binary'));
      const body = (await Screen.of(page, 'model-moving')).where(isBright);
      // The ball is a third of the way from left to right, so it cannot fill the frame.
      expect(body.bottom - body.top).toBeLessThan(0.6 * LANDSCAPE.height);
      expect(body.count).toBeGreaterThan(500);
      await page.close();
    });

    test.each([
      ['one way', [0, 1, 2]],
      ['the other way', [0, 2, 1]],
    ])('of OBJ is seen from both sides: a face that turns %s', async (_what, indices) => {
      const page = await open(model(objOf([-1, -1, 0, 1, -1, 0, 0, 1, 0], indices), 'model/obj'));
      expect((await Screen.of(page, 'model-face')).where(isBright).count).toBeGreaterThan(5_000);
      await page.close();
    });
  });

  describe('what the browser cannot show', () => {
    const tiff = async (): Promise<NamedFile> => ({
      type: 'image',
      name: 'scan.tiff',
      contentType: 'image/tiff',
      bytes: await sharp({ create: { width: 64, height: 48, channels: 3, background: '#dc1414' } })
        .tiff()
        .toBuffer(),
    });
    const unplayable = async (): Promise<NamedFile> => {
      const bytes = await webmOf(eyeOf(compass, { pixelsPerDegree: 1 }));
      // Another codec's name, of the same length, which nothing plays.
      bytes.write('V_XXX', bytes.indexOf('V_VP8'), 'latin1');
      return { type: 'video', name: 'clip.webm', contentType: 'video/webm', bytes };
    };

    test('is a picture of another type: its thumbnail and a link are there', async () => {
      const page = await open(await tiff());
      expect(await stateOf(page)).toBe('fallback');
      expect(isNear((await Screen.of(page, 'fallback-tiff')).at(0.5, 0.47), RED)).toBe(true);
      expect(await page.locator('a[download]').textContent()).toBe('Download scan.tiff');
      await page.close();
    });

    test.each([
      ['photo.heic', 'image/heic', () => heif('heic', 'mif1', 'heic')],
      ['photo.dng', 'image/x-adobe-dng', async () => (await tiff()).bytes],
    ])('is %s: no broken image stays in the page, and a link is there', async (name, contentType, make) => {
      const page = await open({ type: 'image', name, contentType, bytes: await make() });
      expect(await stateOf(page)).toBe('fallback');
      expect(await page.locator('a[download]').textContent()).toBe(`Download ${name}`);
      const isWhole = '[...document.images].every((image) => image.complete && image.naturalWidth > 0)';
      expect(await page.evaluate(isWhole)).toBe(true);
      await page.close();
    });

    test('is a video of another codec: a link is there instead of a dead player, and it gives the file', async () => {
      const page = await open(await unplayable());
      await page.waitForSelector('html[data-state="fallback"]', { state: 'attached' });
      expect(await page.locator('video').count()).toBe(0);
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator('a[download]').click()]);
      expect(download.suggestedFilename()).toBe('clip.webm');
      await page.close();
    });
  });

  test('a page from a file, as desktop programs have, may hold it in a frame', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taskyard-embed-'));
    const asset = await assetOf({
      type: 'image',
      name: 'a.png',
      contentType: 'image/png',
      bytes: await picture(8, 8, 'png'),
    });
    await writeFile(
      join(folder, 'page.html'),
      `<iframe src="${embedLink(server, asset).replaceAll('&', '&amp;')}"></iframe>`,
    );
    const page = await browser.newPage();
    await page.goto(pathToFileURL(join(folder, 'page.html')).href);
    const frame = await (await page.waitForSelector('iframe')).contentFrame();
    await frame?.waitForSelector('html[data-state="ready"]', { state: 'attached' });
    expect(await frame?.locator('img').count()).toBe(1);
    await page.close();
    await rm(folder, { recursive: true });
  });
});
