import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { ConnectionRegistry } from '../../src/modules/streams/index.js';
import { openSse } from '../support/sse-reader.js';
import { appendEvents, logEvents, seedRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

/** A client below HTTP, so that it can stop reading. */
async function request(server: TestServer, path: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nhost: taskyard\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\n\r\n`);
  return socket;
}

test('a stop sends every reader its cursor, ends its stream, and is not held up by who reads nothing', async () => {
  const server = await startServer();
  const run = await seedRun(server);
  await appendEvents(server, run, logEvents(3));
  const readers = await Promise.all(
    [1, 2, 3].map(() => openSse(`${server.url}/api/v1/streams/${run.runId}`, { as: BOOTSTRAP_KEY })),
  );
  for (const reader of readers) {
    await reader.until((frame) => frame.id === '3');
  }
  const stopped = server.stop();
  const last = await Promise.all(readers.map((reader) => reader.until(() => false)));
  await stopped;

  expect(last.map((frames) => frames.at(-1))).toEqual(
    readers.map(() =>
      expect.objectContaining({ event: 'reconnect', id: null, data: { after: 3, reason: 'shutdown' } }),
    ),
  );
});

test('a reader that stops reading is cut after its deadline, having cost no more than a chunk, and others never notice', async () => {
  const server = await startServer();
  try {
    const run = await seedRun(server);
    for (let batch = 0; batch < 16; batch += 1) {
      await appendEvents(server, run, logEvents(500, 'x'.repeat(4000)));
    }
    const stalled = await request(server, `/api/v1/streams/${run.runId}`);
    await once(stalled, 'data');
    stalled.pause();
    const healthy = await openSse(`${server.url}/api/v1/streams/${run.runId}`, { as: BOOTSTRAP_KEY });
    const frames = await healthy.until((frame) => frame.id === '8000');
    expect(frames.filter((frame) => frame.event !== null)).toHaveLength(8000);
    healthy.close();
    const open = server.app.get(ConnectionRegistry);
    while (open.count > 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }

    server.clock.advance(31_000);
    while (open.count > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const closed = once(stalled, 'close');
    stalled.resume();
    await closed;
    expect(open.count).toBe(0);
    expect(stalled.bytesRead).toBeLessThan(8000 * 4000);
  } finally {
    await server.stop();
  }
});

test('a client that goes away leaves nothing behind', async () => {
  const server = await startServer();
  try {
    const run = await seedRun(server);
    const open = server.app.get(ConnectionRegistry);
    for (let visit = 0; visit < 20; visit += 1) {
      const socket = await request(server, `/api/v1/streams/${run.runId}`);
      await once(socket, 'data');
      socket.destroy();
    }
    while (open.count > 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(open.count).toBe(0);
  } finally {
    await server.stop();
  }
});
