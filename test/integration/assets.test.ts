import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { blobPrefix } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { DomainError } from '../../src/kernel/errors.js';
import { newId } from '../../src/kernel/ids.js';
import { AssetsService, type RunAsset } from '../../src/modules/assets/index.js';
import { key } from '../support/actors.js';
import { seedOrganization, type SeededRun, seedRun } from '../support/seeds.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let viewerKey: string;

beforeAll(async () => {
  server = await startServer({ CORS_ORIGINS: 'https://app.example' });
  viewerKey = await key(server, { name: 'viewer', role: 'viewer' });
});
afterAll(async () => {
  await server.stop();
});

function pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  const starts = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, index) => index * 1000);
  return Readable.from(starts.map((start) => bytes.subarray(start, start + 1000)));
}

const systemScope = (run: SeededRun) => unsafelySystemScope(run.organizationId, 'a test stands for a worker');

async function leave(
  run: SeededRun,
  bytes: Uint8Array,
  asset: Partial<RunAsset> = {},
  commit: () => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const { id } = await server.app.get(AssetsService).addFromRun(
    systemScope(run),
    {
      taskId: run.taskId,
      runId: run.runId,
      name: 'chart.png',
      type: 'image',
      contentType: 'image/png',
      bytes: pieces(bytes),
      metadata: { width: 3 },
      ...asset,
    },
    commit,
  );
  return id;
}

async function keptBytes(run: SeededRun): Promise<string[]> {
  const keys: string[] = [];
  for await (const one of server.app.get(BlobStore).list(blobPrefix(run.organizationId))) {
    keys.push(one);
  }
  return keys;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const local = (url: string): string => url.replace(/^https?:\/\/[^/]+/, server.url);

/** The bytes of an asset, with the bootstrap key. */
async function content(id: string, headers: Record<string, string> = {}): Promise<Reply> {
  return server.call('GET', `/api/v1/assets/${id}/content`, { headers });
}

describe('what a run leaves', () => {
  test('is kept with its size and digest, and shown with links', async () => {
    const run = await seedRun(server);
    const bytes = randomBytes(5000);
    const told: unknown[] = [];
    const id = await server.app.get(AssetsService).addFromRun(
      systemScope(run),
      {
        ...run,
        name: 'chart.png',
        type: 'image',
        contentType: 'image/png',
        bytes: pieces(bytes),
        metadata: { width: 3 },
      },
      (_tx, asset) => {
        told.push(asset);
        return Promise.resolve();
      },
    );
    const reply = await server.call('GET', `/api/v1/assets/${id.id}`);

    expect(told).toEqual([{ id: id.id, name: 'chart.png', type: 'image', status: 'ready' }]);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      id: id.id,
      task_id: run.taskId,
      run_id: run.runId,
      name: 'chart.png',
      type: 'image',
      content_type: 'image/png',
      size: 5000,
      sha256: sha256(bytes),
      status: 'ready',
      url: expect.stringContaining(`/api/v1/assets/${id.id}/content?expires=`),
      thumbnail: null,
      embed: expect.stringContaining('<iframe'),
      metadata: { width: 3 },
      error: null,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  test('leaves neither row nor bytes where the lease is lost or the task is gone', async () => {
    const run = await seedRun(server, { organizationId: await seedOrganization(server) });
    const lost = leave(run, randomBytes(10), {}, () => Promise.reject(new DomainError('lease-lost', 'lost')));
    await expect(lost).rejects.toMatchObject({ code: 'lease-lost' });
    await server.database.execute(sql`update tasks set deleted_at = clock_timestamp() where id = ${run.taskId}`);
    await expect(leave(run, randomBytes(10))).rejects.toMatchObject({ code: 'not-found' });

    const rows = await server.database.rows(sql`select 1 from assets where task_id = ${run.taskId}`);
    expect({ rows: rows.length, bytes: await keptBytes(run) }).toEqual({ rows: 0, bytes: [] });
  });

  test('is purged with its task, some at a time, bytes before rows', async () => {
    const run = await seedRun(server, { organizationId: await seedOrganization(server) });
    for (let index = 0; index < 3; index += 1) {
      await leave(run, randomBytes(10));
    }
    const assets = server.app.get(AssetsService);
    const counts = [
      await assets.removeBytesOfTask(systemScope(run), run.taskId, 2),
      await assets.removeBytesOfTask(systemScope(run), run.taskId, 2),
      await assets.removeBytesOfTask(systemScope(run), run.taskId, 2),
    ];
    const rows = await server.database.rows(sql`select 1 from assets where task_id = ${run.taskId}`);

    expect(counts).toEqual([2, 1, 0]);
    expect({ rows: rows.length, bytes: await keptBytes(run) }).toEqual({ rows: 0, bytes: [] });
  });
});

describe('the list', () => {
  test('is narrowed by task, run, type and status, and pages without holes', async () => {
    const run = await seedRun(server);
    const ids = [];
    for (const type of ['image', 'file', 'sound'] as const) {
      ids.push(await leave(run, randomBytes(5), { type }));
    }
    await leave(await seedRun(server), randomBytes(5));
    const list = async (query: string): Promise<string[]> =>
      (await server.call('GET', `/api/v1/assets?task_id=${run.taskId}${query}`)).body.data.map(
        (asset: { id: string }) => asset.id,
      );
    const first = await server.call('GET', `/api/v1/assets?task_id=${run.taskId}&limit=2&sort=created_at`);
    const second = await server.call(
      'GET',
      `/api/v1/assets?task_id=${run.taskId}&limit=2&sort=created_at&cursor=${first.body.next_cursor}`,
    );

    expect(await list('')).toEqual([...ids].reverse());
    expect(await list('&type=file')).toEqual([ids[1]]);
    expect(await list(`&run_id=${run.runId}&status=ready&sort=updated_at`)).toEqual(ids);
    expect(await list('&status=failed')).toEqual([]);
    expect([...first.body.data, ...second.body.data].map((asset: { id: string }) => asset.id)).toEqual(ids);
    expect(second.body.next_cursor).toBeNull();
    expect((await server.call('GET', `/api/v1/assets?task_id=x`)).status).toBe(400);
    expect((await server.call('GET', `/api/v1/assets?task=x`)).status).toBe(400);
  });

  test('shows nothing of tasks the actor may not read', async () => {
    const foreign = await seedRun(server, { organizationId: await seedOrganization(server) });
    await leave(foreign, randomBytes(5));
    const hidden = await seedRun(server, { visibility: 'private' });
    await leave(hidden, randomBytes(5));

    for (const run of [foreign, hidden]) {
      const reply = await server.call('GET', `/api/v1/assets?task_id=${run.taskId}`, { as: viewerKey });
      expect({ status: reply.status, data: reply.body.data }).toEqual({ status: 200, data: [] });
    }
  });
});

describe('bytes', () => {
  test('are served whole with length, digest and headers that keep them harmless', async () => {
    const bytes = randomBytes(5000);
    const id = await leave(await seedRun(server), bytes);
    const { url } = (await server.call('GET', `/api/v1/assets/${id}`)).body;
    const byLink = await fetch(local(url), { headers: { origin: 'https://app.example' } });
    const byKey = await content(id);

    expect(Buffer.from(await byLink.arrayBuffer()).equals(bytes)).toBe(true);
    expect(Object.fromEntries([...byLink.headers].filter(([name]) => EXPECTED.includes(name)))).toEqual({
      'access-control-allow-origin': 'https://app.example',
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-cache',
      'content-disposition': 'inline; filename="chart.png"',
      'content-length': '5000',
      'content-security-policy': "sandbox; default-src 'none'",
      'content-type': 'image/png',
      'cross-origin-resource-policy': 'cross-origin',
      etag: `"${sha256(bytes)}"`,
      'x-content-type-options': 'nosniff',
    });
    expect(byKey.headers.get('cross-origin-resource-policy')).toBe('same-origin');
  });

  test.each([
    ['bytes=0-99', 206, 0, 100],
    ['bytes=100-', 206, 100, 1000],
    ['bytes=-10', 206, 990, 1000],
    ['bytes=-5000', 206, 0, 1000],
    ['bytes=990-5000', 206, 990, 1000],
    ['bytes=5-4', 200, 0, 1000],
    ['bytes=0-1,3-4', 200, 0, 1000],
    ['lines=0-1', 200, 0, 1000],
    ['bytes=-', 200, 0, 1000],
    ['bytes=99999999999999999999-', 200, 0, 1000],
  ])('Range: %s is answered with %i', async (range, status, from, to) => {
    const bytes = randomBytes(1000);
    const id = await leave(await seedRun(server), bytes);
    const { url } = (await server.call('GET', `/api/v1/assets/${id}`)).body;
    const reply = await fetch(local(url), { headers: { range } });
    const body = Buffer.from(await reply.arrayBuffer());

    expect(reply.status).toBe(status);
    expect(body.equals(bytes.subarray(from, to))).toBe(true);
    expect(reply.headers.get('content-range')).toBe(status === 206 ? `bytes ${from}-${to - 1}/1000` : null);
  });

  test('a range past the end is 416 with the size; a range of another version is the whole file', async () => {
    const bytes = randomBytes(1000);
    const id = await leave(await seedRun(server), bytes);
    const past = await content(id, { range: 'bytes=1000-' });
    const nothing = await content(id, { range: 'bytes=-0' });
    const same = await content(id, { range: 'bytes=0-0', 'if-range': `"${sha256(bytes)}"` });
    const other = await content(id, { range: 'bytes=0-0', 'if-range': '"other"' });

    expect([past.status, nothing.status, same.status, other.status]).toEqual([416, 416, 206, 200]);
    expect(past.body.code).toBe('range-not-satisfiable');
    expect(past.headers.get('content-range')).toBe('bytes */1000');
    expect(past.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  });

  test('a client that has them is told so, and their head can be asked for alone', async () => {
    const bytes = randomBytes(1000);
    const id = await leave(await seedRun(server), bytes);
    const tag = `"${sha256(bytes)}"`;
    const statuses = [];
    for (const header of [tag, `W/${tag}`, `"x", ${tag}`, '*', '"x"']) {
      statuses.push((await content(id, { 'if-none-match': header })).status);
    }
    const head = await server.call('HEAD', `/api/v1/assets/${id}/content`);

    expect(statuses).toEqual([304, 304, 304, 304, 200]);
    expect({ status: head.status, length: head.headers.get('content-length'), text: head.text }).toEqual({
      status: 200,
      length: '1000',
      text: '',
    });
  });

  test('an empty file is served as such', async () => {
    const id = await leave(await seedRun(server), new Uint8Array(0), {
      name: 'empty.txt',
      type: 'file',
      contentType: 'text/plain',
    });
    const reply = await content(id);

    expect({ status: reply.status, length: reply.headers.get('content-length'), text: reply.text }).toEqual({
      status: 200,
      length: '0',
      text: '',
    });
    expect((await content(id, { range: 'bytes=0-' })).status).toBe(416);
  });

  test.each([
    ['text/html', 'page.html', 'attachment; filename="page.html"', 'text/html'],
    ['image/svg+xml', 'x.svg', 'attachment; filename="x.svg"', 'image/svg+xml'],
    ['application/pdf', 'x.pdf', 'attachment; filename="x.pdf"', 'application/pdf'],
    ['text/javascript', 'x.js', 'attachment; filename="x.js"', 'text/plain'],
    ['application/x-javascript', 'x.js', 'attachment; filename="x.js"', 'text/plain'],
    ['text/css', 'x.css', 'attachment; filename="x.css"', 'text/plain'],
    ['video/mp4; codecs="avc1"', 'x.mp4', 'inline; filename="x.mp4"', 'video/mp4'],
    ['IMAGE/PNG', '../../etc/passwd', 'inline; filename="passwd"', 'image/png'],
    ['text/html\r\nx: y', 'a"b\\c', 'attachment; filename="c"', 'application/octet-stream'],
    ['text/plain', 'a"b%c', `attachment; filename="a_b_c"; filename*=UTF-8''a%22b%25c`, 'text/plain'],
    [
      'text/plain',
      'Übersicht €.txt',
      `attachment; filename="Ubersicht _.txt"; filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.txt`,
      'text/plain',
    ],
    [
      'text/plain',
      'new\r\nline.txt',
      `attachment; filename="new__line.txt"; filename*=UTF-8''new__line.txt`,
      'text/plain',
    ],
    ['text/plain', 'dir/', 'attachment; filename="file"', 'text/plain'],
  ])('%s named %j is served as %s', async (contentType, name, disposition, servedType) => {
    // No text, so that no charset is told.
    const id = await leave(await seedRun(server), Buffer.from([0, 1, 2]), { name, contentType, type: 'file' });
    const reply = await content(id);

    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-disposition')).toBe(disposition);
    expect(reply.headers.get('content-type')).toBe(servedType);
  });

  test('of a text that a run leaves are served with the charset that was found, beside its own metadata', async () => {
    const text = Buffer.from('Gr\xf6\xdfe;Stra\xdfe;\xdcbung;M\xfcller\n', 'latin1');
    const id = await leave(await seedRun(server), text, { name: 'a.csv', contentType: 'text/csv', type: 'file' });
    const shown = await server.call('GET', `/api/v1/assets/${id}`);
    const reply = await content(id);

    expect(shown.body.metadata).toMatchObject({ charset: 'windows-1252' });
    expect(reply.headers.get('content-type')).toBe('text/csv; charset=windows-1252');
  });

  test('that are not there yet, or were lost, are 404, and no link is shown for the former', async () => {
    const run = await seedRun(server);
    const pending = newId();
    await server.database
      .execute(sql`insert into assets (organization_id, id, task_id, name, type, content_type, status)
      values (${run.organizationId}, ${pending}, ${run.taskId}, 'a', 'image', 'image/png', 'uploading')`);
    const lost = await leave(run, randomBytes(3));
    await server.app.get(AssetsService).removeBytesOfTask(systemScope(run), newId(), 1);
    for await (const blob of server.app.get(BlobStore).list(blobPrefix(run.organizationId, lost))) {
      await server.app.get(BlobStore).remove(blob);
    }
    const shown = await server.call('GET', `/api/v1/assets/${pending}`);
    const replies = [await content(pending), await content(lost)];

    expect(shown.body).toMatchObject({ status: 'uploading', url: null, thumbnail: null, embed: null, size: null });
    expect(replies.map((reply) => [reply.status, reply.body.code])).toEqual([
      [404, 'not-found'],
      [404, 'not-found'],
    ]);
    expect(replies[1]?.headers.get('etag')).toBeNull();
  });
});

describe('who may', () => {
  test('an asset of another organisation is not to be told from none at all, for reading and for deleting', async () => {
    const foreign = await seedRun(server, { organizationId: await seedOrganization(server) });
    const id = await leave(foreign, randomBytes(3));
    const blank = ({ status, body }: Reply): unknown => ({ status, body: { ...body, instance: '', request_id: '' } });
    for (const [method, rest] of [
      ['GET', ''],
      ['GET', '/content'],
      ['DELETE', ''],
    ] as const) {
      const hidden = await server.call(method, `/api/v1/assets/${id}${rest}`);
      const absent = await server.call(method, `/api/v1/assets/${newId()}${rest}`);
      expect(hidden.status).toBe(404);
      expect(blank(hidden)).toEqual(blank(absent));
    }
  });

  test('a viewer reads but does not delete; who may write deletes, and links end at once', async () => {
    const run = await seedRun(server);
    const id = await leave(run, randomBytes(3));
    const seen = await server.call('GET', `/api/v1/assets/${id}`, { as: viewerKey });
    const refused = await server.call('DELETE', `/api/v1/assets/${id}`, { as: viewerKey });
    const link = local(seen.body.url);
    expect((await fetch(link)).status).toBe(200);
    const deleted = await server.call('DELETE', `/api/v1/assets/${id}`);

    expect([seen.status, refused.status, deleted.status]).toEqual([200, 403, 204]);
    expect((await fetch(link)).status).toBe(404);
    expect((await server.call('GET', `/api/v1/assets/${id}`)).status).toBe(404);
    expect((await keptBytes(run)).filter((one) => one.includes(id))).toEqual([]);
    expect((await server.call('DELETE', `/api/v1/assets/${id}`)).status).toBe(404);
  });

  test('a link is good for its one asset, for an hour, as long as its issuer may read', async () => {
    const run = await seedRun(server);
    const [id, other] = [await leave(run, randomBytes(3)), await leave(run, randomBytes(3))];
    const url = new URL(local((await server.call('GET', `/api/v1/assets/${id}`, { as: viewerKey })).body.url));
    const status = async (path: string, query: string): Promise<number> => {
      const reply = await fetch(`${server.url}${path}?${query}`);
      await reply.arrayBuffer();
      return reply.status;
    };
    const query = url.search.slice(1);

    expect(await status(url.pathname, query)).toBe(200);
    expect(await status(`/api/v1/assets/${other}/content`, query)).toBe(401);
    expect(await status(url.pathname, query.replace(/signature=./, 'signature=~'))).toBe(401);
    expect(await status(url.pathname, `${query}&inline=1`)).toBe(401);
    expect(await status(`/api/v1/assets/${id}`, query)).toBe(401);
    await server.database.execute(sql`update tasks set visibility = 'private' where id = ${run.taskId}`);
    expect(await status(url.pathname, query)).toBe(404);
    await server.database.execute(sql`update tasks set visibility = 'organization' where id = ${run.taskId}`);
    server.clock.advance(60 * 60 * 1000);
    expect(await status(url.pathname, query)).toBe(401);
  });
});

const EXPECTED = [
  'access-control-allow-origin',
  'accept-ranges',
  'cache-control',
  'content-disposition',
  'content-length',
  'content-security-policy',
  'content-type',
  'cross-origin-resource-policy',
  'etag',
  'x-content-type-options',
];
