import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { ParsingBudget } from '../../src/http/body/json/parsing-budget.js';
import { makeYard, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const MIB = 1024 * 1024;

let server: TestServer;
let yard: Yard;
beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});
afterAll(() => server.stop());

async function opened(url: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** What comes back until `enough`, or until the connection is closed. */
function said(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const done = (): void => {
      socket.off('data', onData).off('close', done);
      resolve(text);
    };
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1');
      if (enough(text)) done();
    };
    socket.on('data', onData).once('close', done);
  });
}

async function asks(socket: Socket, as: string | null): Promise<string> {
  const credential = as === null ? '' : `authorization: Bearer ${as}\r\n`;
  const path = as === null ? '/health/live' : '/api/v1/me';
  const reply = said(socket, (text) => text.includes('\r\n\r\n'));
  if (!socket.destroyed) socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n${credential}\r\n`);
  return (await reply).slice(0, 12);
}

describe('connections of strangers', () => {
  test('make way for new ones at the limit, oldest first, and connections of callers with a credential do not', async () => {
    const small = await startServer({ ROLE: 'api', MAX_CONNECTIONS_PER_ADDRESS: '3' });
    const sockets: Socket[] = [];
    const open = async (): Promise<Socket> => {
      const socket = await opened(small.url);
      sockets.push(socket);
      return socket;
    };
    try {
      const known = await open();
      expect(await asks(known, BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
      const [first, second] = [await open(), await open()];
      expect(await asks(first, null)).toBe('HTTP/1.1 200');
      expect(await asks(second, null)).toBe('HTTP/1.1 200');
      const closed = once(first, 'close');
      const third = await open();
      expect(await asks(third, BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
      await closed;
      for (let at = 0; at < 10; at += 1) expect(await asks(await open(), null)).toBe('HTTP/1.1 200');
      expect(await asks(known, BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
      expect(await asks(third, BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
      // Where all carry requests of callers, there is nobody to make way.
      expect(await asks(await open(), BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
      expect(await asks(await open(), BOOTSTRAP_KEY)).toBe('');
      expect(await asks(known, BOOTSTRAP_KEY)).toBe('HTTP/1.1 200');
    } finally {
      for (const socket of sockets) socket.destroy();
      await small.stop();
    }
  });
});

describe('replies that are not read', () => {
  test('are a few of each principal: further requests of theirs are refused until some are read, and others are served', async () => {
    const { token } = yard.maintainer;
    const tasks = Array.from({ length: 12 }, (_, at) => ({ prompt: `Large ${String(at)}`, start: false }));
    expect((await server.call('POST', '/api/v1/tasks/batch', { as: token, body: { tasks } })).status).toBe(200);
    await server.database.execute(
      sql`update tasks set payload = to_jsonb(repeat(md5(id::text), 30000)) where title like 'Large %'`,
    );
    const sockets: Socket[] = [];
    try {
      let status = 200;
      for (let at = 0; at < 40 && status === 200; at += 1) {
        const socket = await opened(server.url);
        sockets.push(socket);
        const head = new Promise<void>((resolve) => {
          socket.once('data', () => {
            socket.pause();
            resolve();
          });
        });
        socket.write(`GET /api/v1/tasks HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\n\r\n`);
        await head;
        ({ status } = await server.call('GET', '/api/v1/me', { as: token }));
      }
      const refused = await server.call('GET', '/api/v1/me', { as: token });
      expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([
        429,
        'rate-limited',
        '5',
      ]);
      // Each of these holds about 7 MiB.
      expect(sockets.length).toBeLessThan(10);
      expect((await server.call('GET', '/api/v1/me', { as: yard.member.token })).status).toBe(200);
      for (const socket of sockets) socket.resume();
      while ((await server.call('GET', '/api/v1/me', { as: token })).status !== 200) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});

describe('bodies of one principal that have arrived at once', () => {
  test('are refused unparsed when those before them have used up the time for parsing', async () => {
    const budget = server.app.get(ParsingBudget);
    const limits = { ...budget.limits };
    const socket = await opened(server.url);
    const body = '{"nothing": 1}';
    const send = (): ReturnType<TestServer['call']> =>
      server.call('POST', '/api/v1/teams', { as: yard.admin.token, body: { nothing: 1 } });
    try {
      // Admitted while there is time left; the rest of its body comes when there is none.
      socket.write(
        `POST /api/v1/teams HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${yard.admin.token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n{`,
      );
      expect((await send()).status).toBe(400);
      Object.assign(budget.limits, { burstMs: 0.000_001, msPerSecond: 0.000_1 });
      const reply = said(socket, (text) => text.includes('"code"'));
      socket.write(body.slice(1));
      expect(await reply).toMatch(/^HTTP\/1\.1 429 [^]*"code":"rate-limited"/);
    } finally {
      Object.assign(budget.limits, limits);
      socket.destroy();
    }
  });
});

describe('a connection', () => {
  test('goes on after a refused body of ordinary size was dropped, for the requests that were sent behind it', async () => {
    const socket = await opened(server.url);
    const body = JSON.stringify({ name: 'x'.repeat(100_000) });
    const replies = said(socket, (text) => text.split('HTTP/1.1 ').length > 3 && text.includes('"user"'));
    const refused = `POST /api/v1/teams HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const served = `GET /api/v1/me HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${yard.member.token}\r\nconnection: close\r\n\r\n`;
    // One write, so that all of them are there before the first is answered.
    socket.write(refused + refused + served);
    const statuses = [...(await replies).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status);
    expect(statuses).toEqual(['401', '401', '200']);
    socket.destroy();
  });

  test.each([
    ['a stranger', null, 401],
    ['a viewer', 'viewer', 403],
  ] as const)(
    'that waits for 100 Continue is told the refusal instead, and sends no body: %s',
    async (_, who, expected) => {
      const agent = new Agent();
      const request = httpRequest(`${server.url}/api/v1/teams`, {
        agent,
        method: 'POST',
        headers: {
          expect: '100-continue',
          'content-type': 'application/json',
          'content-length': String(MIB),
          ...(who === null ? {} : { authorization: `Bearer ${yard.viewer.token}` }),
        },
      });
      let isContinued = false;
      request.on('continue', () => (isContinued = true));
      request.on('error', () => undefined);
      request.flushHeaders();
      const [response] = await once(request, 'response');
      expect([response.statusCode, isContinued]).toEqual([expected, false]);
      request.destroy();
      agent.destroy();
    },
  );

  test('that waits for 100 Continue is told it where the body is wanted', async () => {
    const agent = new Agent();
    const body = JSON.stringify({ name: 'Continued', slug: 'continued' });
    const request = httpRequest(`${server.url}/api/v1/teams`, {
      agent,
      method: 'POST',
      headers: {
        expect: '100-continue',
        authorization: `Bearer ${BOOTSTRAP_KEY}`,
        'content-type': 'application/json',
        'content-length': String(body.length),
      },
    });
    request.flushHeaders();
    await once(request, 'continue');
    request.end(body);
    const [response] = await once(request, 'response');
    expect(response.statusCode).toBe(201);
    agent.destroy();
  });
});
