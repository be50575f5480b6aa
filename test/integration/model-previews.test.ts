import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { AgentAtWork } from '../support/agent-at-work.js';
import { localLink, settledAsset, uploadAsset } from '../support/assets.js';
import { hasBrowser, NO_BROWSER, openBrowser } from '../support/browser.js';
import { ring } from '../support/media.js';
import { COMPRESSIONS, compressedModel } from '../support/models.js';
import { Screen } from '../support/screen.js';
import { startServer, type TestServer } from '../support/server.js';
import type { Rgb } from '../support/spheres.js';

let server: TestServer;
let taskId: string;
let plain: Buffer;
const ids = new Map<string, string>();

beforeAll(async () => {
  server = await startServer();
  taskId = (await (await AgentAtWork.make(server, 'modeler')).task()).taskId;
  const add = (name: string, bytes: Buffer): Promise<string> =>
    uploadAsset(server, taskId, { type: '3d', name: `${name}.glb`, contentType: 'model/gltf-binary', bytes });
  plain = await pixels((await settledAsset(server, await add('plain', await ring()))).thumbnail);
  for (const compression of COMPRESSIONS) {
    ids.set(compression, await add(compression, await compressedModel(compression)));
  }
});
afterAll(() => server.stop());

async function pixels(link: string): Promise<Buffer> {
  const bytes = Buffer.from(await (await fetch(localLink(server, link))).arrayBuffer());
  return sharp(bytes).resize(64, 40, { fit: 'fill' }).greyscale().raw().toBuffer();
}

test.each([...COMPRESSIONS])(
  'a model that is %s has the thumbnail and the numbers of the plain one',
  async (compression) => {
    const asset = await settledAsset(server, ids.get(compression) ?? '');
    expect(asset.metadata).toMatchObject({ triangles: 1932, meshes: 2, materials: 2 });
    expect(asset.metadata).not.toHaveProperty('preview');
    const drawn = await pixels(asset.thumbnail);
    const difference = drawn.reduce((sum, value, at) => sum + Math.abs(value - (plain[at] ?? 0)), 0) / drawn.length;
    // Textures are not drawn, so nothing but rounded positions may differ.
    expect(difference).toBeLessThan(3);
  },
);

(hasBrowser ? describe : describe.skip)(`the viewer, in a real browser${NO_BROWSER}`, () => {
  let browser: Browser;
  let host: Server;
  let html = '';
  beforeAll(async () => {
    browser = await openBrowser(['--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist']);
    host = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(html));
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await browser.close();
    host.close();
  });

  const isLit = ([red, green, blue]: Rgb): boolean =>
    Math.max(red, green, blue) > 150 && Math.min(red, green, blue) < 240;

  test.each([...COMPRESSIONS])('shows a model that is %s, and its policy is not broken', async (compression) => {
    const page = await browser.newPage({ viewport: { width: 700, height: 440 } });
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    const { embed } = await settledAsset(server, ids.get(compression) ?? '');
    html = `<!doctype html><title>elsewhere</title>${embed.replaceAll(/https?:\/\/[^/"]+/g, server.url)}`;
    await page.goto(`http://127.0.0.1:${(host.address() as AddressInfo).port}/`);
    const frame = await (await page.waitForSelector('iframe')).contentFrame();
    await frame?.waitForSelector('html[data-state]', { state: 'attached' });
    expect([await frame?.locator('html').getAttribute('data-state'), complaints]).toEqual(['ready', []]);
    // The ring is lit; what is around it is darker than this.
    const body = (await Screen.of(page, `compressed-${compression}`)).where(isLit);
    expect(body.count).toBeGreaterThan(5_000);
    await page.close();
  });
});
