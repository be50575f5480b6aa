import { createServer } from 'node:http';
import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import sharp, { type Metadata } from 'sharp';
import { sql } from '../../src/database/sql.js';
import { blobKey, blobPrefix } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { newId } from '../../src/kernel/ids.js';
import { AssetSweeper } from '../../src/modules/assets/index.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { localLink, settledAsset, uploadAsset } from '../support/assets.js';
import { hasBrowser, NO_BROWSER, openBrowser } from '../support/browser.js';
import { panorama, type Sample, samples } from '../support/media.js';
import { pngBomb } from '../support/png.js';
import { firstOrganizationId } from '../support/seeds.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- tests look into replies of every shape */
let server: TestServer;
let taskId: string;
let organizationId: string;
let files: Sample[];
const ids = new Map<string, string>();

beforeAll(async () => {
  server = await startServer({ EGRESS_ALLOW_CIDRS: '127.0.0.0/8', EGRESS_MEMBER_ALLOW_CIDRS: '127.0.0.0/8' });
  const agent = await AgentAtWork.make(server, 'painter');
  taskId = (await agent.task()).taskId;
  organizationId = await firstOrganizationId(server);
  files = await samples();
  for (const file of files) {
    ids.set(file.type, await upload(file));
  }
});
afterAll(() => server.stop());

const local = (url: string): string => localLink(server, url);
const upload = (file: Omit<Sample, 'type'> & { type: string }): Promise<string> => uploadAsset(server, taskId, file);
const settled = (id: string): Promise<any> => settledAsset(server, id);

async function picture(url: string): Promise<Metadata & { colours: number }> {
  const reply = await fetch(local(url));
  expect([reply.status, reply.headers.get('content-type'), reply.headers.get('x-content-type-options')]).toEqual([
    200,
    'image/webp',
    'nosniff',
  ]);
  const bytes = Buffer.from(await reply.arrayBuffer());
  const { data } = await sharp(bytes).resize(64, 64, { fit: 'fill' }).raw().toBuffer({ resolveWithObject: true });
  const colours = new Set(Array.from({ length: data.length / 3 }, (_, at) => data.readUIntBE(at * 3, 3) >> 4)).size;
  return { ...(await sharp(bytes).metadata()), colours };
}

describe('a picture of every medium', () => {
  const FACTS: Record<string, object> = {
    image: { width: 320, height: 200, format: 'png' },
    '360': { width: 1024, height: 512, format: 'jpeg' },
    video: {
      width: 320,
      height: 180,
      duration_seconds: 2,
      frames: 24,
      frame_rate: expect.closeTo(12, 1),
      video_codec: 'vp8',
    },
    sound: { duration_seconds: 1.5, sample_rate: 16_000, channels: 1 },
    voice: { duration_seconds: 1.2, sample_rate: 16_000, channels: 1 },
    '3d': { vertices: 1037, triangles: 1932, meshes: 2, materials: 2, textures: 0, animations: 0 },
  };

  test.each(Object.keys(FACTS))('is made in the background, with what is known of it: %s', async (type) => {
    const asset = await settled(ids.get(type) ?? '');
    expect(asset.metadata).toMatchObject(FACTS[type] ?? {});
    expect(asset.metadata).not.toHaveProperty('preview');
    const { width, height, colours } = await picture(asset.thumbnail);
    expect(Math.max(width, height)).toBeLessThanOrEqual(640);
    const embed = /src="([^"]+)"/.exec(asset.embed)?.[1]?.replaceAll('&amp;', '&') ?? '';
    expect((await fetch(local(embed))).status).toBe(200);
    if (process.env['SCREENSHOTS'] !== undefined) {
      await mkdir(process.env['SCREENSHOTS'], { recursive: true });
      await sharp(Buffer.from(await (await fetch(local(asset.thumbnail))).arrayBuffer()))
        .png()
        .toFile(join(process.env['SCREENSHOTS'], `thumbnail-${type}.png`));
    }
    // A picture of something: no plain paper.
    expect(colours).toBeGreaterThan(8);
  });

  test('is shown by Neocu’s words too: url, thumbnail and embed of each', async () => {
    await Promise.all(files.map(({ type }) => settled(ids.get(type) ?? '')));
    const { body } = await server.call('GET', `/v1/task/${taskId}`);
    expect(body.asset.map(({ type, name, status, _id }: any) => [type, name, status, _id])).toEqual(
      files.map(({ type, name }) => [type, name, 'completed', ids.get(type)]),
    );
    for (const { url, thumbnail, embed, _id } of body.asset) {
      const page = /^<iframe src="([^"]+)" title="[^"<>]+"/.exec(embed)?.[1]?.replaceAll('&amp;', '&') ?? '';
      const replies = await Promise.all([url, thumbnail, page].map((link: string) => fetch(local(link))));
      expect([_id, ...replies.map(({ status }) => status)]).toEqual([_id, 200, 200, 200]);
      await Promise.all(replies.map((reply) => reply.arrayBuffer()));
    }
  });
});

describe('hostile files', () => {
  /** The long form (`npm run soak -- assets`) makes hundreds of them. */
  test('get a card, or none, and never harm the server', async () => {
    const [image, , video, sound, , model] = files.map(({ bytes }) => bytes);
    const bomb = pngBomb(30_000);
    const hostile: [string, string, Buffer][] = [
      ['image', 'image/png', bomb],
      ['image', 'image/png', (image ?? Buffer.alloc(0)).subarray(0, 60)],
      [
        'image',
        'image/svg+xml',
        Buffer.from(
          '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd" width="9" height="9"/></svg>',
        ),
      ],
      ['video', 'video/webm', (video ?? Buffer.alloc(0)).subarray(0, 200)],
      ['sound', 'audio/wav', (sound ?? Buffer.alloc(0)).subarray(0, 40)],
      ['3d', 'model/gltf-binary', (model ?? Buffer.alloc(0)).subarray(0, 100)],
      [
        '3d',
        'model/gltf+json',
        Buffer.from('{"asset":{"version":"2.0"},"buffers":[{"uri":"file:///etc/passwd","byteLength":9}]}'),
      ],
      [
        '3d',
        'model/gltf+json',
        Buffer.from(`{"asset":{"version":"2.0"},"x":${'['.repeat(40_000)}${']'.repeat(40_000)}}`),
      ],
    ];
    const sent = await Promise.all(
      hostile.map(([type, contentType, bytes]) => upload({ type, name: `<b>"'${type}`, contentType, bytes })),
    );
    for (const id of sent) {
      const asset = await settled(id);
      expect([asset.content_type, asset.status, asset.metadata.preview ?? asset.metadata.format]).toEqual([
        asset.content_type,
        'ready',
        expect.any(String),
      ]);
      expect(asset.embed).toContain('title="&lt;b&gt;&quot;&#39;');
      if (asset.thumbnail !== null) await picture(asset.thumbnail);
    }
    expect((await server.call('GET', '/health/ready', { as: null })).status).toBe(200);
  });
});

describe('bytes from elsewhere', () => {
  test('are fetched once, checked, and kept; what cannot be had says why', async () => {
    const bytes = files[0]?.bytes ?? Buffer.alloc(0);
    const elsewhere = createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: 'http://127.0.0.1/secret' }).end();
      else if (request.url === '/page') response.end('<html>');
      else response.end(bytes);
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
    const ask = (more: object): Promise<Reply> =>
      server.call('POST', '/api/v1/assets', { body: { task_id: taskId, name: 'a.png', ...more } });
    try {
      const [good, moved, wrong] = await Promise.all([
        ask({ external_url: `${base}/a.png` }),
        ask({ external_url: `${base}/moved` }),
        ask({ external_url: `${base}/page`, content_type: 'image/png' }),
      ]);
      expect([good.status, good.body.upload, good.body.asset.status]).toEqual([201, null, 'processing']);
      const [kept, gone, refused] = await Promise.all([good, moved, wrong].map(({ body }) => settled(body.asset.id)));
      expect(kept).toMatchObject({ status: 'ready', type: 'image', content_type: 'image/png', size: bytes.length });
      expect(gone).toMatchObject({ status: 'failed', error: 'The address answered 302.' });
      expect(refused).toMatchObject({ status: 'failed', error: expect.stringContaining('image/png was announced') });
    } finally {
      elsewhere.close();
    }
  });
});

describe('the sweep', () => {
  test('removes bytes that no row names once they are a day old, and fails rows whose bytes are gone', async () => {
    const store = server.app.get(BlobStore);
    const sweeper = server.app.get(AssetSweeper);
    const [orphan, fresh] = [blobKey(organizationId, newId(), 'original'), blobKey(newId(), newId(), 'original')];
    await store.put(orphan, Readable.from([Buffer.from('x')]), { maxBytes: 1 });
    const id = await upload({ ...(files[0] as Sample), name: 'lost.png' });
    await settled(id);
    const stray = blobKey(organizationId, id, 'part-7');
    await store.put(stray, Readable.from([Buffer.from('x')]), { maxBytes: 1 });
    expect(await sweeper.sweepBytes()).toBe(0);
    server.clock.advance(25 * 60 * 60_000);
    expect(await sweeper.sweepBytes()).toBe(2);
    server.clock.advance(-25 * 60 * 60_000);
    await store.put(fresh, Readable.from([Buffer.from('x')]), { maxBytes: 1 });
    expect([await store.stat(orphan), await store.stat(stray)]).toEqual([null, null]);

    await store.remove(blobKey(organizationId, id, 'original'));
    await server.database.execute(
      sql`update assets set updated_at = clock_timestamp() - interval '2 hours' where status = 'ready'`,
    );
    expect(await sweeper.sweepRows()).toBe(1);
    expect((await server.call('GET', `/api/v1/assets/${id}`)).body).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('lost'),
    });

    const announced = await server.call('POST', '/api/v1/assets', {
      body: { task_id: taskId, name: 'never.png', content_type: 'image/png', size: 9 },
    });
    const never = announced.body.asset.id;
    await server.database.execute(
      sql`update assets set upload_expires_at = clock_timestamp() - interval '1 hour' where id = ${never}`,
    );
    await sweeper.sweepUploads();
    expect((await server.call('GET', `/api/v1/assets/${never}`)).body).toMatchObject({
      status: 'failed',
      error: 'The bytes did not arrive in time.',
    });
  });

  test('finds nothing of an asset that is deleted: bytes and picture go with it', async () => {
    const id = await upload({ type: '360', name: 'gone.jpg', contentType: 'image/jpeg', bytes: await panorama(256) });
    await settled(id);
    expect((await server.call('DELETE', `/api/v1/assets/${id}`)).status).toBe(204);
    const keys: string[] = [];
    for await (const key of server.app.get(BlobStore).list(blobPrefix(organizationId, id))) keys.push(key);
    expect(keys).toEqual([]);
  });
});

(hasBrowser ? describe : describe.skip)(`the embed, in a real browser${NO_BROWSER}`, () => {
  let browser: Browser;
  let host: ReturnType<typeof createServer>;
  let html = '';
  beforeAll(async () => {
    browser = await openBrowser([
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--ignore-gpu-blocklist',
      '--autoplay-policy=no-user-gesture-required',
    ]);
    host = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(html));
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await browser.close();
    host.close();
  });

  test('plays or shows all six media in a page of another origin, under a policy that is never broken', async () => {
    const page = await browser.newPage({ viewport: { width: 700, height: 440 } });
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    for (const { type } of files) {
      const { embed } = await settled(ids.get(type) ?? '');
      html = `<!doctype html><title>elsewhere</title>${embed.replaceAll(/https?:\/\/[^/"]+/g, server.url)}`;
      await page.goto(`http://127.0.0.1:${(host.address() as AddressInfo).port}/${type}`);
      const frame = await (await page.waitForSelector('iframe')).contentFrame();
      if (frame === null) throw new Error('no frame');
      await frame.waitForSelector('html[data-state]', { timeout: 40_000, state: 'attached' });
      expect([type, await frame.locator('html').getAttribute('data-state')]).toEqual([type, 'ready']);
      expect([type, await shows(type, page, frame)]).toEqual([type, true]);
      if (process.env['SCREENSHOTS'] !== undefined) {
        await page.screenshot({ path: join(process.env['SCREENSHOTS'], `embed-${type}.png`) });
      }
    }
    expect(complaints).toEqual([]);
    await page.close();
  }, 180_000);

  type Frame = NonNullable<
    Awaited<ReturnType<NonNullable<Awaited<ReturnType<Page['waitForSelector']>>>['contentFrame']>>
  >;

  /** Looks, listens, drags: what a person would. Nothing is evaluated inside the page, whose policy forbids it. */
  async function shows(type: string, page: Page, frame: Frame): Promise<boolean> {
    if (type === 'image') {
      await until(() => frame.evaluate<boolean>('document.querySelector("img").complete'));
      return (await frame.evaluate('document.querySelector("img").naturalWidth')) === 320;
    }
    if (type === '360' || type === '3d') {
      const name = type === '3d' ? 'data-azimuth' : 'data-longitude';
      const stage = frame.locator('#stage');
      const before = await stage.getAttribute(name);
      const box = await page.locator('iframe').boundingBox();
      const [x, y] = [(box?.x ?? 0) + 320, (box?.y ?? 0) + 200];
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move(x + 120, y + 10, { steps: 4 });
      await page.mouse.up();
      await until(async () => (await stage.getAttribute(name)) !== before);
      return true;
    }
    const player = `document.querySelector('${type === 'video' ? 'video' : 'audio'}')`;
    await frame.evaluate(`(${player}.muted = true, ${player}.play())`);
    await until(() => frame.evaluate<boolean>(`${player}.currentTime > 0.1`));
    return true;
  }

  async function until(isSo: () => Promise<boolean>): Promise<void> {
    while (!(await isSo())) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});
