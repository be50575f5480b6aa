import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { AssetSweeper } from '../../src/modules/assets/jobs/asset-sweeper.js';
import { AssetJobsRepository } from '../../src/modules/assets/jobs/asset-jobs.repository.js';
import { UploadsRepository } from '../../src/modules/assets/uploads/uploads.repository.js';
import { firstOrganizationId, seedRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, type Reply, startServer, type TestServer } from '../support/server.js';

const QUOTA = 3_000_000;
let server: TestServer;
let taskId: string;
let organizationId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api', ASSET_QUOTA_BYTES: String(QUOTA), ASSET_MAX_BYTES: '2500000' });
  ({ taskId } = await seedRun(server));
  organizationId = await firstOrganizationId(server);
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.database.execute(sql`delete from assets`);
});

/** Begins like a PNG, which is all that the first bytes say. */
const png = (bytes = 5000): Buffer =>
  Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), randomBytes(bytes - 16)]);
const local = (url: string): string => url.replace(/^https?:\/\/[^/]+/, server.url);

function announce(size: number, more: object = {}): Promise<Reply> {
  const body = { task_id: taskId, name: 'a.png', content_type: 'image/png', size, ...more };
  return server.call('POST', '/api/v1/assets', { body });
}

async function put(url: string, body: Uint8Array | ReadableStream): Promise<Response> {
  return fetch(local(url), { method: 'PUT', body, headers: { 'content-type': 'image/png' }, duplex: 'half' });
}

async function usage(): Promise<{ count: number; bytes: number; reserved_bytes: number }> {
  return (await server.call('GET', '/api/v1/asset-usage')).body;
}

/** A body that halts after its first bytes until it is told to go on. */
function halting(bytes: Buffer): { body: ReadableStream; goOn: () => void } {
  let goOn = (): void => undefined;
  const told = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1000);
    await told;
    yield bytes.subarray(1000);
  }
  return { body: Readable.toWeb(Readable.from(pieces())) as ReadableStream, goOn };
}

describe('the quota of an organization', () => {
  test('is held at once by what is announced, and freed where that is deleted, and where it never comes', async () => {
    expect(await usage()).toEqual({
      count: 0,
      bytes: 0,
      reserved_bytes: 0,
      quota_bytes: QUOTA,
      max_asset_bytes: 2_500_000,
    });
    const first = (await announce(1_400_000)).body.asset;
    const second = (await announce(1_400_000, { part_size: 100_000 })).body.asset;
    const refused = await announce(1_400_000);
    expect([refused.status, refused.body.code, Number(refused.headers.get('retry-after'))]).toEqual([
      429,
      'limit-reached',
      30,
    ]);
    expect(await usage()).toMatchObject({ count: 0, bytes: 0, reserved_bytes: 2_800_000 });

    expect((await server.call('DELETE', `/api/v1/assets/${first.id}`)).status).toBe(204);
    expect(await usage()).toMatchObject({ reserved_bytes: 1_400_000 });
    await server.database.execute(
      sql`update assets set upload_expires_at = clock_timestamp() - interval '2 minutes' where id = ${second.id}`,
    );
    await server.app.get(AssetSweeper).sweepUploads();
    expect(await usage()).toMatchObject({ reserved_bytes: 0 });
    expect((await announce(2_400_000)).status).toBe(201);
  });

  test('is held to the byte among announcements at once, and counts what is kept as it arrived', async () => {
    const announced = await Promise.all([1, 2, 3].map(() => announce(1_400_000)));
    expect(announced.map(({ status }) => status).sort()).toEqual([201, 201, 429]);
    const urls = announced.flatMap(({ body }) => (body.upload === undefined ? [] : [body.upload.url]));
    const sent = await Promise.all(urls.map((url) => put(url, png(1_400_000))));
    expect(sent.map(({ status }) => status)).toEqual([200, 200]);
    expect(await usage()).toMatchObject({ count: 2, bytes: 2_800_000, reserved_bytes: 0 });
    const { id } = (await server.call('GET', '/api/v1/assets')).body.data[0];
    expect((await server.call('DELETE', `/api/v1/assets/${id}`)).status).toBe(204);
    expect(await usage()).toMatchObject({ count: 1, bytes: 1_400_000, reserved_bytes: 0 });
  });

  test('counts parts that were sent, and does not count them twice when they are put together', async () => {
    const bytes = png(2_000_000);
    const { asset, upload } = (await announce(2_000_000, { part_size: 1_000_000 })).body;
    for (const number of [1, 2]) {
      const part = bytes.subarray((number - 1) * 1_000_000, number * 1_000_000);
      expect((await put(upload.url.replace('{number}', String(number)), part)).status).toBe(200);
    }
    expect([await usage(), (await announce(1_100_000)).status]).toMatchObject([{ reserved_bytes: 2_000_000 }, 429]);
    expect((await server.call('POST', `/api/v1/assets/${asset.id}/complete`)).status).toBe(200);
    expect(await usage()).toMatchObject({ count: 1, bytes: 2_000_000, reserved_bytes: 0 });
  });

  test.each([
    ['the whole', {}, ''],
    ['a part', { part_size: 1_200_000 }, '1'],
  ])(
    'counts a further copy of %s that is sent at the same time, and refuses it where there is no room',
    async (_name, more, number) => {
      const { asset, upload } = (await announce(1_200_000, more)).body;
      const url = upload.url.replace('{number}', number);
      const uploads = server.app.get(UploadsRepository);
      const scope = unsafelySystemScope(organizationId, 'a test counts');
      const reserved = async (bytes: number): Promise<void> => {
        while ((await uploads.totals(scope)).reserved_bytes !== bytes);
      };
      const first = halting(png(1_200_000));
      const firstSent = put(url, first.body);
      while ((await server.call('GET', `/api/v1/assets/${asset.id}`)).body.status !== 'uploading');
      const second = halting(png(1_200_000));
      const secondSent = put(url, second.body);
      await reserved(2_400_000);
      const third = await put(url, png(1_200_000));
      expect([third.status, await third.text()]).toEqual([429, expect.stringContaining('limit-reached')]);
      first.goOn();
      expect((await firstSent).status).toBe(200);
      second.goOn();
      expect((await secondSent).status).toBe(409);
      await reserved(number === '' ? 0 : 1_200_000);
    },
  );

  test('counts a form of unknown size as its bytes come, and leaves nothing of one that is too much', async () => {
    const send = (bytes: Buffer): Promise<Response> => {
      const data = new FormData();
      data.append('task_id', taskId);
      data.append('file', new Blob([bytes], { type: 'image/png' }), 'a.png');
      return fetch(`${server.url}/api/v1/assets/upload`, {
        method: 'POST',
        body: data,
        headers: { authorization: `Bearer ${BOOTSTRAP_KEY}` },
      });
    };
    await announce(1_000_000);
    expect((await send(png(2_000_001))).status).toBe(429);
    expect(await usage()).toMatchObject({ count: 0, bytes: 0, reserved_bytes: 1_000_000 });
    expect((await send(png(2_000_000))).status).toBe(201);
    expect(await usage()).toMatchObject({ count: 1, bytes: 2_000_000, reserved_bytes: 1_000_000 });
  });

  test('leaves to others the room that a form of unknown size has not filled, however long it halts', async () => {
    const head = `--x\r\ncontent-disposition: form-data; name="task_id"\r\n\r\n${taskId}\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n`;
    const file = png(200_000);
    let goOn = (): void => undefined;
    const told = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield Buffer.concat([Buffer.from(head), file.subarray(0, 100_000)]);
      await told;
      yield Buffer.concat([file.subarray(100_000), Buffer.from('\r\n--x--\r\n')]);
    }
    const form = fetch(`${server.url}/api/v1/assets/upload`, {
      method: 'POST',
      body: Readable.toWeb(Readable.from(pieces())) as ReadableStream,
      headers: { authorization: `Bearer ${BOOTSTRAP_KEY}`, 'content-type': 'multipart/form-data; boundary=x' },
      duplex: 'half',
    });
    let { reserved_bytes: reserved } = await usage();
    for (const deadline = Date.now() + 60_000; reserved === 0 && Date.now() < deadline;) {
      ({ reserved_bytes: reserved } = await usage());
    }
    expect([reserved > 0, reserved <= 100_000 + 65_536]).toEqual([true, true]);
    expect((await announce(2_400_000)).status).toBe(201);
    goOn();
    expect((await form).status).toBe(201);
    expect(await usage()).toMatchObject({ count: 1, bytes: 200_000, reserved_bytes: 2_400_000 });
  });

  test('tells to come back soon where unfinished uploads hold the room, and late where stored files do', async () => {
    const { upload } = (await announce(1_400_000)).body;
    const refused = async (): Promise<unknown> => {
      const { status, headers } = await announce(1_700_000);
      return [status, headers.get('retry-after')];
    };
    expect(await refused()).toEqual([429, '30']);
    expect((await put(upload.url, png(1_400_000))).status).toBe(200);
    expect(await refused()).toEqual([429, '3600']);
  });

  test('counts pictures that are made of files, and has no picture made where there is no room for it', async () => {
    const jobs = server.app.get(AssetJobsRepository);
    const scope = unsafelySystemScope(organizationId, 'a test makes a picture');
    const { asset, upload } = (await announce(5000)).body;
    await put(upload.url, png());
    const job = { id: asset.id, type: 'image' as const, contentType: 'image/png' };
    expect(await jobs.previewed(scope, job, { thumbnailBytes: 700, metadata: {} }, QUOTA)).toBe('kept');
    expect(await usage()).toMatchObject({ bytes: 5700 });
    await announce(2_400_000);
    await announce(594_001);
    expect(await jobs.previewed(scope, job, { thumbnailBytes: 1000, metadata: {} }, QUOTA)).toBe('no-room');
    expect([await usage(), (await server.call('GET', `/api/v1/assets/${asset.id}`)).body]).toMatchObject([
      { bytes: 5000 },
      { thumbnail: null, metadata: { preview: expect.stringContaining('quota') } },
    ]);
  });
});
