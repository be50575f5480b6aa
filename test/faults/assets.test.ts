/** The short form of the proof that files cost bounded memory, however slow their readers and senders; `npm run soak -- assets` is the long one. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { blobPrefix } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { seedRun, type SeededRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const MIB = 1024 * 1024;
/** More than the system keeps for a reader that does not read. */
const PIECE = randomBytes(MIB);
const figure = (name: string, short: number): number => Number(process.env[`ASSETS_${name}`] ?? short);
const [readers, senders, sizeMib] = [figure('READERS', 30), figure('SENDERS', 10), figure('MIB', 16)];

let server: TestServer;
let run: SeededRun;
const sockets: Socket[] = [];
beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  run = await seedRun(server);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server.stop();
});

async function announce(): Promise<{ id: string; path: string }> {
  const body = { task_id: run.taskId, name: 'a.bin', content_type: 'application/x-large', size: sizeMib * MIB };
  const reply = await server.call('POST', '/api/v1/assets', { body });
  const { pathname, search } = new URL(reply.body.upload.url);
  return { id: reply.body.asset.id, path: `${pathname}${search}` };
}

function pieces(): ReadableStream {
  return Readable.toWeb(Readable.from(Array.from({ length: sizeMib }, () => PIECE))) as ReadableStream;
}

async function upload(): Promise<{ id: string; sha256: string }> {
  const { path, id } = await announce();
  const headers = { 'content-type': 'application/x-large' };
  const reply = await fetch(`${server.url}${path}`, { method: 'PUT', headers, body: pieces(), duplex: 'half' });
  const { status, sha256 } = (await reply.json()) as { status: string; sha256: string };
  expect([reply.status, status]).toEqual([200, 'ready']);
  return { id, sha256 };
}

async function download(id: string): Promise<string> {
  const headers = { authorization: `Bearer ${BOOTSTRAP_KEY}` };
  const reply = await fetch(`${server.url}/api/v1/assets/${id}/content`, { headers });
  const hash = createHash('sha256');
  for await (const piece of reply.body ?? []) hash.update(piece);
  return hash.digest('hex');
}

async function socketTo(head: string, ...rest: Buffer[]): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`${head}\r\nhost: taskyard\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\n\r\n`);
  for (const bytes of rest) await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
  sockets.push(socket);
  return socket;
}

/** What waits in sockets and files; not the heap, which the tests are in as well. */
function waitingBytes(): number {
  const { external, arrayBuffers } = process.memoryUsage();
  return external + arrayBuffers;
}

async function statusesOf(ids: readonly string[]): Promise<Set<string>> {
  const replies = await Promise.all(ids.map((id) => server.call('GET', `/api/v1/assets/${id}`)));
  return new Set(replies.map(({ body }) => body.status));
}

test('readers that stop reading and senders that stop sending cost little each, and others get theirs whole', async () => {
  const { id, sha256 } = await upload();
  const before = waitingBytes();
  for (let index = 0; index < readers; index += 1) {
    const socket = await socketTo(`GET /api/v1/assets/${id}/content HTTP/1.1`);
    await once(socket, 'data');
    socket.pause();
  }
  const begun: string[] = [];
  for (let index = 0; index < senders; index += 1) {
    const { id: one, path } = await announce();
    const head = `PUT ${path} HTTP/1.1\r\ncontent-type: application/x-large\r\ncontent-length: ${sizeMib * MIB}`;
    await socketTo(head, PIECE);
    begun.push(one);
  }
  while ((await statusesOf(begun)).has('pending'));
  const others = await Promise.all([download(id), download(id), upload()]);
  const costBytes = waitingBytes() - before;
  process.stderr.write(`${JSON.stringify({ readers, senders, sizeMib, costMib: Math.round(costBytes / MIB) })}\n`);
  expect([others[0], others[1], others[2].sha256]).toEqual([sha256, sha256, sha256]);
  // A quarter of a MiB each and what the others had on their way; held whole it would be their number times the size of the file.
  expect(costBytes).toBeLessThan(((readers + senders) / 4 + 32) * MIB);

  for (const socket of sockets) socket.destroy();
  while (!(await statusesOf(begun)).has('pending') || (await statusesOf(begun)).size > 1);
  for (const one of begun) {
    const kept: string[] = [];
    for await (const key of server.app.get(BlobStore).list(blobPrefix(run.organizationId, one))) kept.push(key);
    expect(kept).toEqual([]);
  }
}, 1_200_000);
