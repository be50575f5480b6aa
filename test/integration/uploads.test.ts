import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { blobKey, blobPrefix } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { AssetSweeper } from '../../src/modules/assets/jobs/asset-sweeper.js';
import { UploadsRepository } from '../../src/modules/assets/uploads/uploads.repository.js';
import { makeYard, type Yard } from '../support/actors.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { firstOrganizationId } from '../support/seeds.js';
import { type Credential, type Reply, startServer, type TestServer } from '../support/server.js';

const QUOTA = 3_000_000;
let server: TestServer;
let yard: Yard;
let agent: AgentAtWork;
let taskId: string;
let organizationId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api', ASSET_QUOTA_BYTES: String(QUOTA), ASSET_MAX_BYTES: '2000000' });
  yard = await makeYard(server);
  agent = await AgentAtWork.make(server, 'painter');
  taskId = (await agent.task({ visibility: 'organization' })).taskId;
  organizationId = await firstOrganizationId(server);
});
afterAll(() => server.stop());

/** Begins like a PNG, which is all that the first bytes say. */
const png = (bytes = 5000): Buffer =>
  Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), randomBytes(bytes - 16)]);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const local = (url: string): string => url.replace(/^https?:\/\/[^/]+/, server.url);

function announce(more: object = {}, as?: Credential): Promise<Reply> {
  const body = { task_id: taskId, name: 'a.png', content_type: 'image/png', size: 5000, ...more };
  return server.call('POST', '/api/v1/assets', { body, ...(as === undefined ? {} : { as }) });
}

async function put(url: string, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<Reply> {
  const reply = await fetch(local(url), {
    method: 'PUT',
    body: bytes,
    headers: { 'content-type': 'image/png', ...headers },
  });
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, body: JSON.parse(text), text };
}

/** Sends a body in pieces, each but the first once its step is done; the steps begin once the server has begun to take the first. */
async function inPieces(url: string, bytes: Buffer, ...steps: (() => Promise<void>)[]): Promise<Response> {
  const id = /assets\/([^/]+)/.exec(url)?.[1];
  const size = Math.ceil(bytes.length / (steps.length + 1));
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, size);
    while ((await server.call('GET', `/api/v1/assets/${id}`)).body.status !== 'uploading');
    for (const [index, step] of steps.entries()) {
      await step();
      yield bytes.subarray((index + 1) * size, (index + 2) * size);
    }
  }
  return fetch(local(url), {
    method: 'PUT',
    headers: { 'content-type': 'image/png' },
    body: Readable.toWeb(Readable.from(pieces())) as ReadableStream,
    duplex: 'half',
  });
}

async function keptBytes(id: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of server.app.get(BlobStore).list(blobPrefix(organizationId, id))) {
    keys.push(key.split('/')[2] ?? '');
  }
  return keys.sort();
}

/** What the audit trail tells of an asset, oldest first. */
async function told(id: string): Promise<string[]> {
  const { body } = await server.call('GET', `/api/v1/audit-events?object=${id}&outcome=done&sort=created_at`);
  return body.data.map(({ action }: { action: string }) => action);
}

describe('an announced asset', () => {
  test('is told in the audit trail when it is announced and when its bytes are there, by whoever sent them, and not when they are refused', async () => {
    const bytes = png();
    const { asset, upload } = (await announce({ sha256: sha256(bytes) }, yard.admin.token)).body;
    expect((await put(upload.url, png())).status).toBe(422);
    expect(await told(asset.id)).toEqual(['asset.create']);
    expect((await put(upload.url, bytes)).status).toBe(200);
    expect((await put(upload.url, bytes)).status).toBe(409);
    expect(await told(asset.id)).toEqual(['asset.create', 'asset.content.put']);
    const { data } = (await server.call('GET', `/api/v1/audit-events?object=${asset.id}&action=asset.content.put`))
      .body;
    expect(data).toMatchObject([
      { actor: { user_id: yard.admin.id }, outcome: 'done', route: 'PUT /api/v1/assets/:id/content' },
    ]);
  });

  test('is ready once its bytes are sent to its link, without another credential, and only once', async () => {
    const bytes = png();
    const announced = await announce({ sha256: sha256(bytes) });
    const { asset, upload } = announced.body;
    const sent = await put(upload.url, bytes, upload.headers);
    const again = await put(upload.url, bytes);
    const content = await fetch(local(sent.body.url));

    expect([announced.status, asset.status, asset.url, asset.type]).toEqual([201, 'pending', null, 'image']);
    expect(announced.headers.get('location')).toBe(`/api/v1/assets/${asset.id}`);
    expect([sent.status, sent.body]).toEqual([
      200,
      {
        ...asset,
        status: 'ready',
        size: 5000,
        sha256: sha256(bytes),
        url: expect.any(String),
        thumbnail: null,
        embed: expect.stringContaining('<iframe'),
      },
    ]);
    expect([again.status, again.body.code]).toEqual([409, 'conflict']);
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes)).toBe(true);
    expect((await server.call('POST', `/api/v1/assets/${asset.id}/complete`)).body.status).toBe('ready');
  });

  test.each([
    ['one byte less', (bytes: Buffer) => bytes.subarray(1), {}, 422, 'content-mismatch'],
    ['one byte more', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]), {}, 422, 'content-mismatch'],
    [
      'other bytes',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 4999), Buffer.from([(bytes[4999] ?? 0) ^ 1])]),
      {},
      422,
      'content-mismatch',
    ],
    ['another content type', (bytes: Buffer) => bytes, { 'content-type': 'image/jpeg' }, 422, 'content-mismatch'],
    [
      'a credential that is none',
      (bytes: Buffer) => bytes,
      { authorization: 'Bearer ty_wrong' },
      401,
      'unauthenticated',
    ],
  ])('takes nothing that differs: %s', async (_name, change, headers, status, code) => {
    const bytes = png();
    const { asset, upload } = (await announce({ sha256: sha256(bytes) })).body;
    const refused = await put(upload.url, change(bytes), headers);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
    expect(await keptBytes(asset.id)).toEqual([]);
    expect((await put(upload.url, bytes)).status).toBe(200);
  });

  test.each([
    ['a picture that is a page', 'image/png', Buffer.from('<!doctype html><script>alert(1)</script>')],
    ['a picture that is sound', 'image/png', Buffer.concat([Buffer.from('RIFF\x24\0\0\0WAVEfmt '), Buffer.alloc(60)])],
    ['a program called text', 'text/plain', Buffer.concat([Buffer.from('\x7fELF\x02\x01\x01\0'), randomBytes(500)])],
    ['a picture called JSON', 'application/json', png(500)],
    ['noise called sound', 'audio/mpeg', Buffer.alloc(500, 1)],
    ['nothing called a video', 'video/mp4', Buffer.alloc(0)],
  ])('is what its first bytes say, whatever was announced: %s', async (_name, contentType, bytes) => {
    const { asset, upload } = (await announce({ content_type: contentType, size: bytes.length })).body;
    const refused = await put(upload.url, bytes, upload.headers);
    expect([refused.status, refused.body.code]).toEqual([422, 'content-mismatch']);
    expect(await keptBytes(asset.id)).toEqual([]);
  });

  test.each([
    ['text that begins like a picture', 'text/plain', Buffer.from('BMW builds cars.')],
    ['JSON', 'application/json', Buffer.from('{"a": "é"}')],
    ['an SVG', 'image/svg+xml', Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['an empty text', 'text/plain', Buffer.alloc(0)],
    ['glTF as JSON', 'model/gltf+json', Buffer.from('{"asset":{"version":"2.0"}}')],
    ['a type of one’s own', 'application/x-own', randomBytes(100)],
    [
      'a name with accents under an alias',
      'audio/x-wav',
      Buffer.concat([Buffer.from('RIFF\x24\0\0\0WAVEfmt '), Buffer.alloc(60)]),
    ],
  ])('may be anything that it says it is: %s', async (_name, contentType, bytes) => {
    const { upload } = (await announce({ name: 'naïve “é”.bin', content_type: contentType, size: bytes.length })).body;
    const sent = await put(upload.url, bytes, upload.headers);
    expect([sent.status, sent.body.status]).toEqual([200, 'ready']);
  });

  test.each([
    [{ name: '../../etc/passwd' }, 400, '/name'],
    [{ name: 'a\\b.png' }, 400, '/name'],
    [{ name: 'gnp.‮exe' }, 400, '/name'],
    [{ name: '' }, 400, '/name'],
    [{ size: -1 }, 400, '/size'],
    [{ size: undefined }, 400, '/size'],
    [{ size: 1.5 }, 400, '/size'],
    [{ size: 2_000_001 }, 413, undefined],
    [{ content_type: 'pictures' }, 400, '/content_type'],
    [{ content_type: 'text/html', type: 'image' }, 400, '/content_type'],
    [{ type: 'hologram' }, 400, '/type'],
    [{ sha256: 'ABC' }, 400, '/sha256'],
    [{ part_size: 10 }, 400, '/part_size'],
    [{ fence: '1.x' }, 400, '/run_id'],
    [{ external_url: 'file:///etc/passwd' }, 400, '/external_url'],
    [{ external_url: 'http://169.254.169.254/latest/meta-data' }, 400, '/external_url'],
    [{ task_id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b10' }, 400, '/task_id'],
    [{ run_id: '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b10' }, 400, '/run_id'],
  ])('is refused for %j, by name', async (more, status, path) => {
    const reply = await announce(more);
    expect([reply.status, reply.body.errors[0]?.path]).toEqual([status, path]);
  });

  test('is the same one for the same Idempotency-Key, with a fresh link', async () => {
    const headers = { 'idempotency-key': `announce-${taskId}` };
    const body = { task_id: taskId, name: 'a.png', content_type: 'image/png', size: 5000 };
    const first = await server.call('POST', '/api/v1/assets', { body, headers });
    const second = await server.call('POST', '/api/v1/assets', { body, headers });
    expect(second.body.asset.id).toBe(first.body.asset.id);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect((await put(second.body.upload.url, png())).status).toBe(200);
  });

  test('is nobody else’s to fill: a link is good for its asset, until it expires, and while its issuer may', async () => {
    const { asset, upload } = (await announce()).body;
    const other = (await announce()).body;
    const moved = upload.url.replace(asset.id, other.asset.id);
    const altered = upload.url.replace(
      /expires=(\d)/,
      (_: string, digit: string) => `expires=${(Number(digit) + 1) % 10}`,
    );
    const reading = (await put(upload.url, png())).body.url;
    for (const url of [moved, altered, `${other.upload.url}&more=1`, reading.replace(asset.id, other.asset.id)]) {
      expect((await put(url, png())).status).toBe(401);
    }
    server.clock.advance(16 * 60_000);
    expect((await put(other.upload.url, png())).status).toBe(401);
    server.clock.advance(-16 * 60_000);
    await server.database.execute(
      sql`update assets set upload_expires_at = clock_timestamp() - interval '1 second' where id = ${other.asset.id}`,
    );
    expect((await put(other.upload.url, png())).status).toBe(409);
    expect([(await announce({}, yard.viewer.token)).status, (await announce({}, yard.strangerKey)).status]).toEqual([
      403, 400,
    ]);
    expect((await announce({}, yard.outsider.token)).status).toBe(403);
  });

  test('is won by one of many uploads at once, and is whole', async () => {
    const { upload } = (await announce({ size: 200_000 })).body;
    const bodies = Array.from({ length: 6 }, () => png(200_000));
    const replies = await Promise.all(bodies.map((bytes) => put(upload.url, bytes)));
    const winner = replies.findIndex(({ status }) => status === 200);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409, 409]);
    expect(replies[winner]?.body.sha256).toBe(sha256(bodies[winner] ?? Buffer.alloc(0)));
  });

  test('keeps nothing of an upload that breaks off, and takes the next', async () => {
    const { asset, upload } = (await announce()).body;
    const { pathname, search, port } = new URL(local(upload.url));
    const bytes = png();
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => {
        socket.write(
          `PUT ${pathname}${search} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 5000\r\n\r\n`,
        );
        socket.write(bytes.subarray(0, 3000), () => socket.destroy());
      });
      socket.on('close', () => resolve());
    });
    // Sent in pieces of unknown number, without a length: what counts is what arrives.
    const streamed = await fetch(local(upload.url), {
      method: 'PUT',
      headers: { 'content-type': 'image/png' },
      body: Readable.toWeb(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])) as ReadableStream,
      duplex: 'half',
    });
    expect(streamed.status).toBe(200);
    expect(await keptBytes(asset.id)).toEqual(['original']);
  });

  test('takes its time once it has begun, however long its link is dead', async () => {
    const bytes = png();
    const { asset, upload } = (await announce()).body;
    const sent = inPieces(upload.url, bytes, async () => {
      await server.database.execute(
        sql`update assets set upload_expires_at = clock_timestamp() - interval '1 hour' where id = ${asset.id}`,
      );
      await server.app.get(AssetSweeper).sweepUploads();
    });
    expect([(await sent).status, (await server.call('GET', `/api/v1/assets/${asset.id}`)).body.status]).toEqual([
      200,
      'ready',
    ]);
  });

  test('shows as it comes that it does, and is given up once it has not for five minutes, as a killed process leaves it', async () => {
    const uploads = server.app.get(UploadsRepository);
    const scope = unsafelySystemScope(organizationId, 'an upload whose process was killed');
    const [slow, dead, again] = [(await announce()).body, (await announce()).body, (await announce()).body];
    for (const { asset } of [dead, again]) await uploads.begin(scope, asset.id);
    const sent = await inPieces(
      slow.upload.url,
      png(),
      async () => {
        await server.database.execute(sql`update assets set updated_at = clock_timestamp() - interval '6 minutes',
          upload_expires_at = clock_timestamp() - interval '1 hour' where id in (${slow.asset.id}, ${dead.asset.id})`);
        server.clock.advance(61_000);
      },
      async () => {
        const shown = sql`select 1 from assets where id = ${slow.asset.id} and updated_at > clock_timestamp() - interval '5 minutes'`;
        while ((await server.database.row(shown)) === null);
        await server.app.get(AssetSweeper).sweepUploads();
      },
    );
    const given = await server.call('GET', `/api/v1/assets/${dead.asset.id}`);
    expect([sent.status, given.body.status]).toEqual([200, 'failed']);
    expect((await put(again.upload.url, png())).status).toBe(200);
  });

  test('that is deleted while its bytes come leaves none of them', async () => {
    const { asset, upload } = (await announce()).body;
    const sent = await inPieces(upload.url, png(), async () => {
      expect((await server.call('DELETE', `/api/v1/assets/${asset.id}`)).status).toBe(204);
    });
    expect([sent.status, await keptBytes(asset.id)]).toEqual([409, []]);
  });

  test('adopts bytes whose row was not written when a process died', async () => {
    const bytes = png();
    const { asset, upload } = (await announce()).body;
    await server.app
      .get(BlobStore)
      .put(blobKey(organizationId, asset.id, 'original'), Readable.from([bytes]), { maxBytes: 5000 });
    const sent = await put(upload.url, png());
    expect([sent.status, sent.body.code]).toEqual([409, 'conflict']);
    expect((await server.call('GET', `/api/v1/assets/${asset.id}`)).body).toMatchObject({
      status: 'ready',
      sha256: sha256(bytes),
    });
  });
});

describe('a large asset', () => {
  test('comes in parts, in any order, and goes on where it broke off', async () => {
    const bytes = png(150_000);
    const { asset, upload } = (await announce({ size: 150_000, part_size: 65_536, sha256: sha256(bytes) })).body;
    expect([upload.part_size, upload.part_count]).toEqual([65_536, 3]);
    const part = (number: number, from = bytes): Promise<Reply> =>
      put(upload.url.replace('{number}', String(number)), from.subarray((number - 1) * 65_536, number * 65_536), {
        'content-type': 'application/octet-stream',
      });
    const complete = (): Promise<Reply> => server.call('POST', `/api/v1/assets/${asset.id}/complete`);

    expect((await part(3)).status).toBe(200);
    expect([(await part(3)).status, (await part(4)).status]).toEqual([409, 404]);
    expect((await put(upload.url.replace('{number}', '1'), bytes.subarray(0, 100))).status).toBe(422);
    expect((await part(1)).body).toEqual({ number: 1, size: 65_536, sha256: sha256(bytes.subarray(0, 65_536)) });
    expect([(await complete()).status, (await complete()).body.detail]).toEqual([
      409,
      '1 of 3 parts are not here yet, the first of them 2.',
    ]);
    expect((await server.call('GET', `/api/v1/assets/${asset.id}/parts`)).body).toEqual({
      part_size: 65_536,
      part_count: 3,
      parts: [1, 3],
      received: [1, 3].map((number) => {
        const piece = bytes.subarray((number - 1) * 65_536, number * 65_536);
        return { number, size: piece.length, sha256: sha256(piece) };
      }),
    });
    expect((await part(2)).status).toBe(200);
    const completed = await complete();
    expect([completed.status, completed.body.status, completed.body.sha256]).toEqual([200, 'ready', sha256(bytes)]);
    expect((await complete()).status).toBe(200);
    expect(await keptBytes(asset.id)).toEqual(['original']);
    expect(await told(asset.id)).toEqual(['asset.create', 'asset.complete']);
  });

  test('whose parts are of another kind than was announced is refused for good, and nothing is kept', async () => {
    const { asset, upload } = (await announce({ size: 70_000, part_size: 65_536 })).body;
    const bytes = Buffer.alloc(70_000, 1);
    await put(upload.url.replace('{number}', '1'), bytes.subarray(0, 65_536));
    await put(upload.url.replace('{number}', '2'), bytes.subarray(65_536));
    const refused = await server.call('POST', `/api/v1/assets/${asset.id}/complete`);
    expect([refused.status, refused.body.code]).toEqual([422, 'content-mismatch']);
    expect((await server.call('GET', `/api/v1/assets/${asset.id}`)).body).toMatchObject({ status: 'failed' });
    expect(await keptBytes(asset.id)).toEqual([]);
  });

  test('whose checksum is wrong keeps its parts and lists their digests, so that the wrong one is replaced and the rest is not sent again', async () => {
    const bytes = png(70_000);
    const parts = [bytes.subarray(0, 65_536), bytes.subarray(65_536)];
    const digests = parts.map(sha256);
    const wrong = Buffer.from(parts[1] ?? []).fill(0, 100, 120);
    const { asset, upload } = (await announce({ size: 70_000, part_size: 65_536, sha256: sha256(bytes) })).body;
    const part = (number: number, from: Uint8Array, headers = {}): Promise<Reply> =>
      put(upload.url.replace('{number}', String(number)), from, headers);
    const complete = (body?: object): Promise<Reply> =>
      server.call('POST', `/api/v1/assets/${asset.id}/complete`, body === undefined ? {} : { body });

    await part(1, parts[0] ?? bytes);
    expect((await part(2, wrong)).headers.get('etag')).toBe(`"${sha256(wrong)}"`);
    const refused = await complete();
    const issues = [
      { path: '/parts/1', message: `This part has the SHA-256 ${digests[0]}.` },
      { path: '/parts/2', message: `This part has the SHA-256 ${sha256(wrong)}.` },
    ];
    expect([refused.status, refused.body.code, refused.body.errors]).toEqual([422, 'content-mismatch', issues]);
    const named = await complete({ parts: digests.map((digest, index) => ({ number: index + 1, sha256: digest })) });
    expect([named.status, named.body.errors]).toEqual([422, [issues[1]]]);
    expect((await server.call('GET', `/api/v1/assets/${asset.id}/parts`)).body.received).toEqual([
      { number: 1, size: 65_536, sha256: digests[0] },
      { number: 2, size: 4464, sha256: sha256(wrong) },
    ]);

    const here = await part(2, parts[1] ?? bytes);
    const stale = await part(2, parts[1] ?? bytes, { 'if-match': `"${digests[0]}"` });
    const mended = await part(2, parts[1] ?? bytes, { 'if-match': `"${sha256(wrong)}"` });
    expect([here.status, here.body.detail.includes(sha256(wrong)), stale.status, mended.status]).toEqual([
      409,
      true,
      412,
      200,
    ]);
    expect([(await complete()).body.status, await keptBytes(asset.id)]).toEqual(['ready', ['original']]);
  });

  test('goes on from a part whose bytes were stored when its process died, before it was recorded', async () => {
    const bytes = png(70_000);
    const { asset, upload } = (await announce({ size: 70_000, part_size: 65_536, sha256: sha256(bytes) })).body;
    await server.app
      .get(BlobStore)
      .put(blobKey(organizationId, asset.id, 'part-1'), Readable.from([bytes.subarray(0, 65_536)]), {
        maxBytes: 65_536,
      });
    expect((await put(upload.url.replace('{number}', '1'), bytes.subarray(0, 65_536))).status).toBe(409);
    expect((await put(upload.url.replace('{number}', '2'), bytes.subarray(65_536))).status).toBe(200);
    expect((await server.call('GET', `/api/v1/assets/${asset.id}/parts`)).body.parts).toEqual([1, 2]);
    expect((await server.call('POST', `/api/v1/assets/${asset.id}/complete`)).body.sha256).toBe(sha256(bytes));
  });
});

describe('a worker', () => {
  test('sends what its run made under its fence, with an event in the run’s log', async () => {
    const { taskId: task, runId } = await agent.task();
    const { fence } = await claimOf(runId);
    const bytes = png();
    const announced = await announce({ task_id: task, run_id: runId, fence }, yard.workerKey);
    const sent = await put(announced.body.upload.url, bytes);
    expect([announced.status, sent.status, sent.body.status, sent.body.url]).toEqual([201, 200, 'ready', null]);
    const events = await server.call('GET', `/api/v1/streams/${runId}/events`);
    expect(events.body.data.at(-1)).toMatchObject({
      type: 'asset',
      data: { asset_id: sent.body.id, name: 'a.png', type: 'image', status: 'ready' },
    });
    expect((await server.call('GET', `/api/v1/assets/${sent.body.id}`)).body).toMatchObject({
      run_id: runId,
      task_id: task,
    });
  });

  test('that lost its run leaves nothing, however far it got', async () => {
    const { taskId: task, runId } = await agent.task();
    const { fence } = await claimOf(runId);
    const announced = await announce({ task_id: task, run_id: runId, fence }, yard.workerKey);
    await server.database.execute(sql`update runs set lease_expires_at = clock_timestamp() where id = ${runId}`);
    const late = await put(announced.body.upload.url, png());
    const later = await announce({ task_id: task, run_id: runId, fence }, yard.workerKey);
    const foreign = await announce({ task_id: taskId, run_id: runId, fence }, yard.workerKey);
    const withoutFence = await announce({ task_id: task, run_id: runId }, yard.workerKey);
    expect([late, later, foreign].map(({ status, body }) => [status, body.code])).toEqual(
      Array(3).fill([409, 'lease-lost']),
    );
    expect(withoutFence.status).toBe(400);
    expect(await keptBytes(announced.body.asset.id)).toEqual([]);
    expect((await server.call('GET', `/api/v1/assets/${announced.body.asset.id}`)).body.status).toBe('failed');
  });

  async function claimOf(runId: string): Promise<{ fence: string }> {
    for (;;) {
      const reply = await server.call('POST', '/api/v1/worker/claim', {
        as: yard.workerKey,
        body: { agents: [agent.slug], max: 100 },
      });
      const found = reply.body.runs.find((one: { run: { id: string } }) => one.run.id === runId);
      if (found !== undefined) return { fence: found.lease.fence };
      if (reply.body.runs.length === 0) throw new Error('nothing to claim');
    }
  }
});
