/** What a reply may look like and still be heard. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from '@jest/globals';
import { parseNetwork } from '../../src/infrastructure/egress/address.js';
import type { EgressRules } from '../../src/infrastructure/egress/destination.js';
import { EgressError, type EgressReply, type EgressRequest } from '../../src/infrastructure/egress/egress.js';
import { NodeEgress } from '../../src/infrastructure/egress/node-egress.js';

const LOOPBACK_ALLOWED: EgressRules = { allowed: [parseNetwork('127.0.0.1/32')], own: [] };

function request(url: string, more: Partial<EgressRequest> = {}): EgressRequest {
  return {
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
    totalTimeoutMs: 20_000,
    replyLimitBytes: 1_000_000,
    signal: new AbortController().signal,
    ...more,
  };
}

async function text(reply: EgressReply): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reply.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function kindOf(error: unknown): string {
  return error instanceof EgressError ? error.kind : String(error);
}

describe('a reply', () => {
  const servers: HttpServer[] = [];
  const sockets: Server[] = [];
  afterEach(() => {
    for (const server of sockets.splice(0)) server.close();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function far(
    handler: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<{ url: string; server: HttpServer }> {
    const server = createServer(handler);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
  }

  const egress = new NodeEgress({ rules: LOOPBACK_ALLOWED });

  test('is answered by the status, whatever the encoding of the reply says', async () => {
    for (const [status, encoding] of [
      [200, 'gzip'],
      [204, 'br'],
      [410, 'zstd'],
      [422, 'gzip, aes128gcm'],
    ] as const) {
      const { url } = await far((_incoming, response) =>
        response.writeHead(status, { 'content-encoding': encoding, 'retry-after': '7' }).end(),
      );
      const reply = await egress.send(request(url));
      expect([reply.status, reply.headers.get('retry-after')]).toEqual([status, '7']);
      await reply.drain(20_000);
    }
  });

  test('reads a compressed reply decoded, and limits what it decodes to', async () => {
    const said = 'grüße '.repeat(1000);
    for (const [encoding, encode] of [
      ['gzip', gzipSync],
      ['X-GZIP', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
      ['identity', (bytes: Buffer) => bytes],
      ['deflate, gzip', (bytes: Buffer) => gzipSync(deflateSync(bytes))],
    ] as const) {
      const { url } = await far((_incoming, response) =>
        response.writeHead(200, { 'content-encoding': encoding }).end(encode(Buffer.from(said))),
      );
      expect(await text(await egress.send(request(url)))).toBe(said);
      const small = await egress.send(request(url, { replyLimitBytes: 1000 }));
      expect(await text(small).catch(kindOf)).toBe('too-large');
    }
    const { url } = await far((_incoming, response) =>
      response.writeHead(200, { 'content-encoding': 'zstd' }).end('x'),
    );
    const unknown = await egress.send(request(url));
    expect([unknown.unsupportedEncoding, await text(unknown).catch(kindOf)]).toEqual(['zstd', 'broken']);
    const { url: liar } = await far((_incoming, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip'),
    );
    expect(await text(await egress.send(request(liar))).catch(kindOf)).toBe('broken');
  });

  async function raw(...pieces: string[]): Promise<string> {
    const server = createSocketServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        const next = (): void => {
          const piece = pieces[sent++];
          if (piece === undefined) socket.end();
          else socket.write(piece, () => setImmediate(next));
        };
        let sent = 0;
        next();
      });
    });
    sockets.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('is answered by the status of a head that is long or not quite HTTP', async () => {
    const long = await raw(`HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(60_000)}\r\ncontent-length: 2\r\n\r\nok`);
    expect(await text(await egress.send(request(long)))).toBe('ok');
    for (const pieces of [
      ['HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
      ['HTTP/1.1 42', '9 Slow\r\nretry-after: 9\r\ncontent-length: 2\r\n', 'content-length: 2\r\n\r\nok'],
      ['HTTP/1.1 429 Slow\r\nretry-after: 9\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok'],
      ['HTTP/1.1 429 Slow\r\nretry-after: 9\r\nbad name: 2\r\n\r\n'],
      ['HTTP/1.1 429 Slow\r\nretry-after: 9\r\ncontent-length: many\r\n\r\n'],
      [`HTTP/1.1 429 Slow\r\nretry-after: 9\r\nx: ${'x'.repeat(300_000)}\r\n\r\n`],
    ]) {
      const reply = await egress.send(request(await raw(...pieces)));
      expect([reply.status, reply.headers.get('retry-after')]).toEqual([429, '9']);
      expect(await text(reply).catch(kindOf)).toBe('broken');
    }
    for (const nonsense of ['SSH-2.0-OpenSSH_9.6\r\n', 'HTTP/1.1 2000 OK\r\n\r\n', '<html>429</html>']) {
      expect(await egress.send(request(await raw(nonsense))).catch(kindOf)).toBe('broken');
    }
  });

  test('does not wait for a body that never ends: it is closed when the time for it is over', async () => {
    const { url, server } = await far((_incoming, response) => response.writeHead(200).write('begun'));
    const gone = new Promise<void>((resolve) =>
      server.once('connection', (socket) => socket.once('close', () => resolve())),
    );
    const reply = await egress.send(request(url, { totalTimeoutMs: 2_000_000 }));
    expect(await reply.drain(10).catch(kindOf)).toBe('timed-out');
    await gone;
  });

  test('tells a host that cannot be connected to from one that fails afterwards', async () => {
    const phaseOf = (error: unknown): unknown => (error instanceof EgressError ? error.phase : error);
    const { url, server } = await far((_incoming, response) => response.destroy());
    expect(await egress.send(request(url)).catch(phaseOf)).toBe('exchange');
    const silent = await far(() => undefined);
    expect(await egress.send(request(silent.url, { totalTimeoutMs: 50 })).catch(phaseOf)).toBe('exchange');
    // A server that speaks no TLS.
    expect(await egress.send(request(silent.url.replace('http:', 'https:'))).catch(phaseOf)).toBe('connect');
    server.close();
    await once(server, 'close');
    expect(await egress.send(request(url)).catch(phaseOf)).toBe('connect');
    const nameless = new NodeEgress({ rules: LOOPBACK_ALLOWED, resolve: () => Promise.reject(new Error('NXDOMAIN')) });
    expect(await nameless.send(request('https://gone.example/')).catch(phaseOf)).toBe('connect');
  });
});
