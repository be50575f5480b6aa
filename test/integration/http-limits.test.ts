import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fastify } from 'fastify';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { cutStalledReplies } from '../../src/http/connections/stalled-replies.js';
import { ParsingBudget } from '../../src/http/body/json/parsing-budget.js';
import { KeyedLimiter } from '../../src/kernel/concurrency/keyed-limiter.js';
import { makeYard, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const MIB = 1024 * 1024;

let server: TestServer;
let yard: Yard;
beforeAll(async () => {
  server = await startServer({ ROLE: 'api', DATABASE_POOL_SIZE: '16' });
  yard = await makeYard(server);
});
afterAll(() => server.stop());

const ROUNDS = 10;
/** Posts 8 MiB with Node's own fetch, in a thread of its own, so that client and server do not take turns; the statuses, or what went wrong. */
async function sentFromAnotherThread(input: { url: string; headers: Record<string, string> }): Promise<unknown[]> {
  const worker = new Worker(
    `const { parentPort, workerData: { url, headers, rounds } } = require('node:worker_threads');
    (async () => {
      const seen = [];
      for (let round = 0; round < rounds; round += 1) {
        await fetch(url, { method: 'POST', headers, body: Buffer.alloc(8 * 1024 * 1024, 'x') }).then(
          async (reply) => seen.push((await reply.text()) === '' ? 'no text' : reply.status),
          (error) => seen.push(String(error.cause?.code ?? error)),
        );
      }
      parentPort.postMessage(seen);
    })();`,
    { eval: true, workerData: { ...input, rounds: ROUNDS } },
  );
  try {
    const [seen] = (await once(worker, 'message')) as [unknown[]];
    return seen;
  } finally {
    await worker.terminate();
  }
}

describe('a refusal that is sent before the body has arrived', () => {
  const json = { 'content-type': 'application/json' };
  test.each<[status: number, what: string, path: string, as: string | null, headers: Record<string, string>]>([
    [413, 'a body over the limit', '/api/v1/teams', BOOTSTRAP_KEY, json],
    [413, 'a body over the small limit, of a stranger', '/api/v1/auth/login', null, json],
    [401, 'no credential', '/api/v1/teams', null, json],
    [403, 'a role that does not allow it', '/api/v1/teams', 'viewer', json],
    [415, 'a type that is not taken', '/api/v1/teams', BOOTSTRAP_KEY, { 'content-type': 'text/plain' }],
    [404, 'an unknown path', '/nowhere', BOOTSTRAP_KEY, { 'content-type': 'text/plain' }],
    [
      401,
      'an upload without a credential',
      '/api/v1/assets/upload',
      null,
      { 'content-type': 'multipart/form-data; boundary=x' },
    ],
  ])('reaches clients as %i: %s', async (status, _, path, as, headers) => {
    const credential = as === 'viewer' ? yard.viewer.token : as;
    const seen = await sentFromAnotherThread({
      url: `${server.url}${path}`,
      headers: { ...headers, ...(credential === null ? {} : { authorization: `Bearer ${credential}` }) },
    });
    expect(seen).toEqual(Array.from({ length: ROUNDS }, () => status));
  });

  test('is sent while a body without an end goes on, and the sender is cut off after a bounded number of bytes', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    let said = '';
    socket.on('data', (bytes: Buffer) => (said += bytes.toString('latin1')));
    socket.write(
      `POST /api/v1/teams HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB, ' '), Buffer.from('\r\n')]);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    while (!socket.destroyed) {
      if (!socket.write(chunk)) {
        await Promise.race([new Promise<void>((resolve) => socket.once('drain', resolve)), closed]);
      }
    }
    await closed;
    expect(said).toMatch(/^HTTP\/1\.1 413 /);
    expect(said).toContain('"code":"payload-too-large"');
    expect(socket.bytesWritten).toBeLessThan(90 * MIB);
  });
});

describe('time for parsing bodies', () => {
  test('that a principal has used up is refused with when to come back, before the body is read, and nobody else is', async () => {
    const budget = server.app.get(ParsingBudget);
    const limits = { ...budget.limits };
    const send = (as: string): ReturnType<TestServer['call']> =>
      server.call('POST', '/api/v1/teams', { as, body: { nothing: 1 } });
    Object.assign(budget.limits, { burstMs: 0.000_001, msPerSecond: 0.000_1 });
    try {
      expect((await send(yard.admin.token)).status).toBe(400);
      const refused = await send(yard.admin.token);
      expect([refused.status, refused.body.code]).toEqual([429, 'rate-limited']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect((await server.call('GET', '/api/v1/me', { as: yard.admin.token })).status).toBe(200);
      expect((await send(yard.strangerKey)).status).toBe(400);
      budget.limits.msPerSecond = limits.msPerSecond;
      server.clock.advance(1_000);
      expect((await send(yard.admin.token)).status).toBe(400);
    } finally {
      Object.assign(budget.limits, limits);
    }
  });
});

describe('places of one key', () => {
  test('are few, others wait in order, more are refused, and another key does not notice', async () => {
    const limiter = new KeyedLimiter({ concurrent: 2, waiting: 1 }, 'Too many.');
    const leave = [await limiter.enter('a'), await limiter.enter('a')];
    const third = limiter.enter('a');
    await expect(limiter.enter('a')).rejects.toMatchObject({ code: 'rate-limited', retryAfterSeconds: 1 });
    await limiter.run('b', () => Promise.resolve());
    leave[0]?.();
    leave[0]?.();
    const next = await third;
    const fourth = limiter.enter('a');
    await expect(limiter.enter('a')).rejects.toMatchObject({ code: 'rate-limited' });
    leave[1]?.();
    const last = await fourth;
    last();
    next();
    await expect(Promise.all([limiter.enter('a'), limiter.enter('a')])).resolves.toHaveLength(2);
  });
});

describe('reads of one principal', () => {
  /** Holds every read of tasks up while `work` runs. */
  async function whileTasksAreLocked(work: (waiting: () => Promise<number>) => Promise<void>): Promise<void> {
    const [client, observer] = [0, 1].map(() => new Client({ connectionString: server.databaseUrl })) as [
      Client,
      Client,
    ];
    await Promise.all([client.connect(), observer.connect()]);
    try {
      await client.query('begin');
      await client.query('lock table tasks in access exclusive mode');
      await work(async () => {
        const { rows } = await observer.query<{ count: number }>(
          `select count(*)::int as count from pg_locks l join pg_stat_activity a using (pid)
            where a.datname = current_database() and l.relation = 'tasks'::regclass and not l.granted and a.query like '%t.page_at%'`,
        );
        return rows[0]?.count ?? 0;
      });
    } finally {
      await Promise.all([client.end(), observer.end()]);
    }
  }

  async function until(holds: () => Promise<boolean>): Promise<void> {
    while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
  }

  test('take half of the database’s connections at most, so that others are served meanwhile', async () => {
    const lists: ReturnType<TestServer['call']>[] = [];
    await whileTasksAreLocked(async (waiting) => {
      for (let at = 0; at < 20; at += 1) lists.push(server.call('GET', '/api/v1/tasks', { as: yard.viewer.token }));
      await until(async () => (await waiting()) === 8);
      expect((await server.call('GET', '/api/v1/teams', { as: yard.member.token })).status).toBe(200);
      expect(await waiting()).toBe(8);
    });
    expect((await Promise.all(lists)).map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
  });

  test('that search texts are two at once and eight in line; the next is 429 with when to come back', async () => {
    const searches: ReturnType<TestServer['call']>[] = [];
    await whileTasksAreLocked(async (waiting) => {
      for (let at = 0; at < 11; at += 1)
        searches.push(server.call('GET', '/api/v1/tasks?q=x', { as: yard.viewer.token }));
      const first = await Promise.race(searches);
      expect([first.status, first.body.code, first.headers.get('retry-after')]).toEqual([429, 'rate-limited', '1']);
      await until(async () => (await waiting()) === 2);
      // A page without a search is not in that line.
      const page = server.call('GET', '/api/v1/tasks', { as: yard.viewer.token });
      await until(async () => (await waiting()) === 3);
      searches.push(page);
    });
    const statuses = (await Promise.all(searches)).map(({ status }) => status).sort((one, other) => one - other);
    expect(statuses).toEqual([...Array.from({ length: 11 }, () => 200), 429]);
  });

  test('of whole lists are two at once, for as long as their clients read, and eight in line; the next is 429', async () => {
    const { token } = yard.maintainer;
    const tasks = Array.from({ length: 30 }, (_, at) => ({ prompt: `Task ${String(at)}`, start: false }));
    expect((await server.call('POST', '/api/v1/tasks/batch', { as: token, body: { tasks } })).status).toBe(200);
    await server.database.execute(
      sql`update tasks set prompt = repeat(md5(id::text), 30000) where title like 'Task %'`,
    );
    const statuses: number[] = [];
    let told: () => void = () => undefined;
    const sockets: Socket[] = [];
    const reading: Socket[] = [];
    const statusesAre = async (count: number): Promise<void> => {
      while (statuses.length < count) await new Promise<void>((resolve) => (told = resolve));
    };
    for (let at = 0; at < 11; at += 1) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.once('data', (bytes: Buffer) => {
        socket.pause();
        const status = Number(bytes.toString('latin1').slice(9, 12));
        statuses.push(status);
        if (status === 200) reading.push(socket);
        told();
      });
      socket.write(`GET /api/tasks HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\n\r\n`);
    }
    await statusesAre(3);
    expect([...statuses].sort()).toEqual([200, 200, 429]);
    // Those in line are served when the ones before have gone.
    for (let served = 3; served < 11; served += 1) {
      reading.shift()?.destroy();
      await statusesAre(served + 1);
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(10);
    for (const socket of sockets) socket.destroy();
  });
});

describe('a client that stops reading', () => {
  test('a reply is cut off, and one that is only slow to come is waited for', async () => {
    const app = fastify();
    cutStalledReplies(app, 200);
    app.get('/large', () => Buffer.alloc(64 * MIB));
    let answer: () => void = () => undefined;
    app.get('/late', () => new Promise((resolve) => (answer = () => resolve({ is: 'late' }))));
    await app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = new URL(app.listeningOrigin);
    const gone = new Promise<void>((resolve) => {
      app.server.once('connection', (socket: Socket) => socket.once('close', () => resolve()));
    });
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /large HTTP/1.1\r\nhost: a\r\n\r\n');
    const late = fetch(`http://127.0.0.1:${port}/late`);
    // The first is cut by the timer that the second, begun later, outlives.
    await gone;
    answer();
    expect(await (await late).json()).toEqual({ is: 'late' });
    socket.destroy();
    await app.close();
  });
});

describe('connections', () => {
  test('of callers past the limit of an address are closed at once, and one that ends makes room', async () => {
    const small = await startServer({ ROLE: 'api', MAX_CONNECTIONS_PER_ADDRESS: '2' });
    const port = Number(new URL(small.url).port);
    const open = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    };
    const live = (socket: Socket): Promise<string> =>
      new Promise((resolve) => {
        socket.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1').slice(0, 12)));
        socket.once('close', () => resolve('closed'));
        socket.write(`GET /api/v1/me HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\n\r\n`);
      });
    try {
      const [first, second] = [await open(), await open()];
      expect(await live(first)).toBe('HTTP/1.1 200');
      expect(await live(second)).toBe('HTTP/1.1 200');
      expect(await live(await open())).toBe('closed');
      first.end();
      await once(first, 'close');
      const again = await open();
      expect(await live(again)).toBe('HTTP/1.1 200');
      again.destroy();
      second.destroy();
    } finally {
      await small.stop();
    }
  });

  test('of callers past the limit in all are closed, also those of a trusted proxy, which has no limit of its own', async () => {
    const small = await startServer({
      ROLE: 'api',
      MAX_CONNECTIONS: '10',
      MAX_CONNECTIONS_PER_ADDRESS: '1',
      TRUST_PROXY: '127.0.0.1',
    });
    const sockets: Socket[] = [];
    try {
      const outcomes: string[] = [];
      for (let at = 0; at < 11; at += 1) {
        const socket = connect(Number(new URL(small.url).port), '127.0.0.1');
        sockets.push(socket);
        outcomes.push(
          await new Promise((resolve) => {
            socket.on('error', () => undefined);
            socket.once('data', () => resolve('served'));
            socket.once('close', () => resolve('closed'));
            socket.write(`GET /api/v1/me HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\n\r\n`);
          }),
        );
      }
      expect(outcomes).toEqual([...Array.from({ length: 10 }, () => 'served'), 'closed']);
    } finally {
      for (const socket of sockets) socket.destroy();
      await small.stop();
    }
  });
});
