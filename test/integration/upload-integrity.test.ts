import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { seedRun } from '../support/seeds.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let taskId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  ({ taskId } = await seedRun(server));
});
afterAll(() => server.stop());

const BYTES = Buffer.from('words '.repeat(5000));
const digest = (algorithm: string, bytes: Uint8Array = BYTES): string =>
  createHash(algorithm).update(bytes).digest('base64');
const local = (url: string): string => url.replace(/^https?:\/\/[^/]+/, server.url);

function announce(more: object = {}): Promise<Reply> {
  const body = { task_id: taskId, name: 'a.txt', content_type: 'text/plain', size: BYTES.length, ...more };
  return server.call('POST', '/api/v1/assets', { body });
}

async function put(url: string, headers: Record<string, string>, body: Uint8Array = BYTES): Promise<Response> {
  return fetch(local(url), { method: 'PUT', body, headers: { 'content-type': 'text/plain', ...headers } });
}

describe('a digest in a header', () => {
  test.each([
    ['content-md5', digest('md5')],
    ['content-digest', `sha-256=:${digest('sha256')}:`],
    ['content-digest', `sha-512=:${digest('sha512')}:, unknown=:YQ==:`],
    ['repr-digest', `sha-256=:${digest('sha256')}:`],
    ['x-amz-checksum-sha256', digest('sha256')],
  ])('%s lets the bytes in that it is of, and no others, whole or as a part', async (name, value) => {
    const wrong = value.replaceAll(/[A-Za-z0-9+/]{8}(?=[A-Za-z0-9+/]*=)/g, 'AAAAAAAA');
    for (const more of [{}, { part_size: 65_536 }]) {
      const { asset, upload } = (await announce(more)).body;
      const url = upload.url.replace('{number}', '1');
      const refused = await put(url, { [name]: wrong });
      expect([refused.status, await refused.text()]).toEqual([422, expect.stringContaining('content-mismatch')]);
      expect((await put(url, { [name]: value })).status).toBe(200);
      expect((await server.call('POST', `/api/v1/assets/${asset.id}/complete`)).body.status).toBe('ready');
    }
  });

  test.each([
    ['content-md5', 'short'],
    ['content-digest', 'sha-256=nonsense'],
    ['content-digest', 'sha-256=:YQ==:'],
  ])('that is malformed is refused by its name: %s: %s', async (name, value) => {
    const { upload } = (await announce()).body;
    const refused = await put(upload.url, { [name]: value });
    expect([refused.status, (await refused.text()).toLowerCase()]).toEqual([400, expect.stringContaining(name)]);
    expect((await put(upload.url, {})).status).toBe(200);
  });
});

describe('the aws-chunked coding of S3 clients', () => {
  const CODING = {
    'content-encoding': 'aws-chunked',
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': String(BYTES.length),
    'x-amz-trailer': 'x-amz-checksum-crc32',
  };
  const sum = (bytes: Buffer): string => {
    const four = Buffer.alloc(4);
    four.writeUInt32BE(crc32(bytes));
    return four.toString('base64');
  };
  const coded = (bytes: Buffer, checksum: string): Buffer => {
    const signature = `chunk-signature=${'a'.repeat(64)}`;
    const chunks = [bytes.subarray(0, 10_000), bytes.subarray(10_000)];
    return Buffer.concat([
      ...chunks.flatMap((chunk) => [
        Buffer.from(`${chunk.length.toString(16)};${signature}\r\n`),
        chunk,
        Buffer.from('\r\n'),
      ]),
      Buffer.from(
        `0;${signature}\r\nx-amz-checksum-crc32:${checksum}\r\nx-amz-trailer-signature:${'b'.repeat(64)}\r\n\r\n`,
      ),
    ]);
  };

  test('is decoded, and its checksum held to, whole and as a part', async () => {
    for (const more of [{}, { part_size: 65_536 }]) {
      const { asset, upload } = (await announce(more)).body;
      const url = upload.url.replace('{number}', '1');
      expect((await put(url, CODING, coded(BYTES, sum(Buffer.from('other'))))).status).toBe(422);
      expect((await put(url, CODING, coded(BYTES, sum(BYTES)))).status).toBe(200);
      const { body } = await server.call('POST', `/api/v1/assets/${asset.id}/complete`);
      expect([body.status, body.size, Buffer.from(body.sha256, 'hex').toString('base64')]).toEqual([
        'ready',
        BYTES.length,
        digest('sha256'),
      ]);
    }
  });

  test.each([
    ['cut short', (body: Buffer) => body.subarray(0, 20_000)],
    ['without lengths', () => BYTES],
    ['with a length that is none', (body: Buffer) => Buffer.concat([Buffer.from('xyz\r\n'), body])],
    ['with more behind its end', (body: Buffer) => Buffer.concat([body, Buffer.from('more')])],
    ['with a line without an end', () => Buffer.alloc(BYTES.length, 'a')],
  ])('that is malformed is refused, and leaves nothing: %s', async (_name, change) => {
    const { upload } = (await announce()).body;
    expect((await put(upload.url, CODING, change(coded(BYTES, sum(BYTES))))).status).toBe(400);
    expect((await put(upload.url, {})).status).toBe(200);
  });

  test('comes from the stock client, which streams to the presigned link', async () => {
    const { asset, upload } = (await announce()).body;
    const link = new URL(local(upload.url));
    const client = new S3Client({
      region: 'us-east-1',
      endpoint: server.url,
      forcePathStyle: true,
      credentials: { accessKeyId: 'unused', secretAccessKey: 'unused' },
      // The link is the credential.
      signer: { sign: async (request) => Promise.resolve(request) },
    });
    client.middlewareStack.add(
      (next) => async (args) => {
        Object.assign(args.request as object, { path: link.pathname, query: Object.fromEntries(link.searchParams) });
        return next(args);
      },
      { step: 'finalizeRequest', priority: 'low' },
    );
    const body = Readable.from([BYTES.subarray(0, 7000), BYTES.subarray(7000)]);
    const sent = await client.send(
      new PutObjectCommand({
        Bucket: 'b',
        Key: 'k',
        Body: body,
        ContentLength: BYTES.length,
        ContentType: 'text/plain',
      }),
    );
    client.destroy();
    const { body: kept } = await server.call('GET', `/api/v1/assets/${asset.id}`);
    expect([kept.status, kept.size, sent.ETag]).toEqual(['ready', BYTES.length, `"${kept.sha256}"`]);
  });
});

test('content of another version than If-Match names is 412, and a HEAD with a range is answered for the whole', async () => {
  const { asset, upload } = (await announce()).body;
  await put(upload.url, {});
  const path = `/api/v1/assets/${asset.id}/content`;
  const tag = `"${Buffer.from(digest('sha256'), 'base64').toString('hex')}"`;
  const statuses = [];
  for (const header of [tag, '*', `"x", ${tag}`, '"x"', `W/${tag}`]) {
    statuses.push((await server.call('GET', path, { headers: { 'if-match': header } })).status);
  }
  expect(statuses).toEqual([200, 200, 200, 412, 412]);
  const heads = [];
  for (const range of ['bytes=0-9', 'bytes=999999-']) {
    const { status, headers } = await server.call('HEAD', path, { headers: { range } });
    heads.push([status, headers.get('content-length'), headers.get('content-range')]);
  }
  expect(heads).toEqual(Array(2).fill([200, String(BYTES.length), null]));
  expect((await put(upload.url, { 'if-match': tag })).status).toBe(412);
});

test.each([
  ['content-range', 'bytes 0-1/10', 400],
  ['content-encoding', 'gzip', 415],
  ['content-encoding', 'identity', 200],
])('an upload with %s: %s is answered %i, and leaves nothing that was not meant', async (name, value, status) => {
  const { asset, upload } = (await announce()).body;
  expect((await put(upload.url, { [name]: value })).status).toBe(status);
  const { body } = await server.call('GET', `/api/v1/assets/${asset.id}`);
  expect(body.status === 'ready').toBe(status === 200);
});
