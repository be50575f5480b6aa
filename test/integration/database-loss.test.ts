import { afterEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { DomainError } from '../../src/kernel/errors.js';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';
import { proxyTo, type TcpProxy } from '../support/tcp-proxy.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server whose database can be cut off. */
async function serverBehindProxy(
  environment: Record<string, string> = {},
): Promise<{ server: TestServer; proxy: TcpProxy; database: TestDatabase }> {
  const database = await cloneDatabase();
  const proxy = await proxyTo(database.url);
  const server = await startServer({ ROLE: 'api', ...environment, DATABASE_URL: proxy.url });
  cleanups.push(
    () => database.drop(),
    () => proxy.close(),
    () => server.stop(),
  );
  return { server, proxy, database };
}

/** A connection of somebody else's. */
async function outsider(databaseUrl: string): Promise<Client> {
  const client = new Client({ connectionString: databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  cleanups.push(() => client.end());
  return client;
}

/** Asks until the answer is as wished; the test's own time limit ends what never comes. */
async function until(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function makeTask(server: TestServer): Promise<string> {
  const agent = await server.call('POST', '/api/v1/agents', { body: { slug: 'kept', kind: 'worker' } });
  const task = await server.call('POST', '/api/v1/tasks', { body: { prompt: 'Kept', agent: 'kept' } });
  expect([agent.status, task.status]).toEqual([201, 201]);
  return task.body.task.id;
}

/** What a refused request may say: in the surface’s own words, when to come back, and nothing of the database. */
function expectUnavailable(reply: Reply, body: unknown): void {
  expect([reply.status, reply.body]).toEqual([503, body]);
  expect(Number(reply.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(reply.text).not.toMatch(/ECONN|127\.0\.0\.1|postgres|Connection terminated/i);
}

const PROBLEM = expect.objectContaining({ status: 503, code: 'unavailable' });
const SYSTEM_ERROR = { error: 'System Error. Please try again' };

describe('a database that is gone', () => {
  test('makes every surface answer 503 in its own words, and is served again by itself when it is back', async () => {
    const { server, proxy } = await serverBehindProxy();
    const id = await makeTask(server);
    const requests: [method: string, path: string, body: object | null, unavailable: unknown][] = [
      ['GET', '/v1/task', null, SYSTEM_ERROR],
      ['GET', `/v1/task/${id}`, null, SYSTEM_ERROR],
      ['GET', '/api/v1/task', null, { error: expect.any(String) }],
      ['GET', `/api/v1/task/${id}`, null, { error: expect.any(String) }],
      ['GET', '/api/tasks', null, { status: 'error', tasks: [], error: expect.any(String) }],
      ['GET', `/api/tasks/runs?runId=${id}`, null, { status: 'error', runs: [], error: expect.any(String) }],
      ['GET', `/api/v1/tasks/${id}`, null, PROBLEM],
      ['GET', '/api/v1/tasks', null, PROBLEM],
      ['POST', '/api/v1/tasks', { prompt: 'Lost', agent: 'kept' }, PROBLEM],
      ['PATCH', `/api/v1/tasks/${id}`, { title: 'Lost' }, PROBLEM],
      ['POST', '/api/v1/worker/claim', { agents: ['kept'] }, PROBLEM],
      ['POST', '/api/v1/auth/login', { email: 'a@b.example', password: 'x' }, PROBLEM],
    ];

    for (const round of [1, 2]) {
      await proxy.cut();
      for (const [method, path, body, unavailable] of requests) {
        expectUnavailable(await server.call(method, path, body === null ? {} : { body }), unavailable);
      }
      const unknown = await server.call('GET', '/api/v1/tasks', { as: 'tyk_nobody_knows' });
      expect([round, [401, 503].includes(unknown.status)]).toEqual([round, true]);
      server.clock.advance(2_000);
      const ready = await server.call('GET', '/health/ready', { as: null });
      expect([ready.status, ready.body]).toEqual([503, { status: 'unavailable' }]);
      expect((await server.call('GET', '/health/live', { as: null })).status).toBe(200);
      expect((await server.call('GET', '/nowhere', { as: null })).status).toBe(404);

      await proxy.restore();
      for (const path of ['/v1/task', '/api/v1/task', '/api/tasks', `/api/v1/tasks/${id}`]) {
        await until(async () => (await server.call('GET', path)).status === 200);
      }
      server.clock.advance(2_000);
      expect((await server.call('GET', '/health/ready', { as: null })).status).toBe(200);
    }
    const { body } = await server.call('GET', '/api/v1/tasks');
    expect(body.data.map(({ title }: { title: string }) => title)).toEqual(['Kept']);
  });

  test('under load loses no acknowledged write and keeps none that was refused before it was tried', async () => {
    const { server, proxy } = await serverBehindProxy();
    await makeTask(server);
    const acknowledged: string[] = [];
    const unknown: string[] = [];
    const odd: string[] = [];
    let writing = true;
    const writer = async (name: number): Promise<void> => {
      for (let count = 0; writing; count += 1) {
        const title = `${name}-${count}`;
        const reply = await server.call('POST', '/api/v1/tasks', {
          body: { prompt: 'x', title, agent: 'kept', start: false },
        });
        if (reply.status !== 201 && reply.status !== 503) odd.push(`${reply.status} ${reply.text}`);
        (reply.status === 201 ? acknowledged : unknown).push(title);
      }
    };
    const writers = Promise.all([1, 2, 3, 4].map(writer));
    try {
      for (const enough of [20, 40, 60]) {
        await until(() => Promise.resolve(acknowledged.length >= enough));
        await proxy.cut();
        const failures = unknown.length;
        await until(() => Promise.resolve(unknown.length > failures));
        await proxy.restore();
      }
    } finally {
      writing = false;
      await writers;
    }
    const stored = await server.database.rows<{ title: string }>(sql`select title from tasks`);
    const titles = new Set(stored.map(({ title }) => title));
    expect(odd).toEqual([]);
    expect(acknowledged.filter((title) => !titles.has(title))).toEqual([]);
    expect(titles.size).toBe(stored.length);
    // A refusal may hide a commit whose answer was lost: at most one for each writer and cut.
    expect(unknown.filter((title) => titles.has(title)).length).toBeLessThanOrEqual(12);
  });

  test('while the process starts is told at once, not waited for', async () => {
    const database = await cloneDatabase();
    const proxy = await proxyTo(database.url);
    cleanups.push(() => database.drop());
    await proxy.cut();
    await expect(startServer({ DATABASE_URL: proxy.url })).rejects.toThrow();
  });
});

describe('a database that is slow or full', () => {
  test('with one connection serves 50 requests at once, reads and writes, without a deadlock', async () => {
    const server = await startServer({ ROLE: 'api', DATABASE_POOL_SIZE: '1' });
    cleanups.push(() => server.stop());
    const id = await makeTask(server);
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) => {
        switch (index % 5) {
          case 0:
            return server.call('POST', '/api/v1/tasks', {
              body: { prompt: 'x', agent: 'kept' },
              headers: { 'idempotency-key': `k${index}` },
            });
          case 1:
            return server.call('PATCH', `/api/v1/tasks/${id}`, { body: { title: `T${index}` } });
          case 2:
            return server.call('GET', '/api/tasks');
          case 3:
            return server.call('POST', '/api/v1/worker/claim', { body: { agents: ['kept'], max: 1 } });
          default:
            return server.call('GET', '/v1/task');
        }
      }),
    );
    expect(
      replies.filter(({ status }) => status !== 200 && status !== 201).map(({ status, text }) => [status, text]),
    ).toEqual([]);
  });

  test('whose connections are all taken answers 503 after a short wait, and serves again once one is free', async () => {
    const server = await startServer({ ROLE: 'api', DATABASE_POOL_SIZE: '1' });
    cleanups.push(() => server.stop());
    const id = await makeTask(server);
    const blocker = await outsider(server.databaseUrl);
    await blocker.query('begin; lock table tasks in access exclusive mode');
    const blocked = server.call('GET', `/api/v1/tasks/${id}`);
    await until(async () => (await blocker.query(`select 1 from pg_locks where not granted`)).rowCount === 1);
    expectUnavailable(await server.call('GET', '/v1/task'), SYSTEM_ERROR);
    await blocker.query('rollback');
    expect([200, 503]).toContain((await blocked).status);
    expect((await server.call('GET', `/api/v1/tasks/${id}`)).status).toBe(200);
  });

  test('that ends a statement for its time, or a connection in mid-transaction, makes a 503 and stores nothing', async () => {
    const server = await startServer({ ROLE: 'api' });
    cleanups.push(() => server.stop());
    const id = await makeTask(server);
    const blocker = await outsider(server.databaseUrl);
    const observer = await outsider(server.databaseUrl);
    for (const end of ['pg_cancel_backend', 'pg_terminate_backend']) {
      await blocker.query('begin; lock table tasks in access exclusive mode');
      const blocked = server.call('PATCH', `/api/v1/tasks/${id}`, { body: { title: 'Never' } });
      await until(async () => (await observer.query('select 1 from pg_locks where not granted')).rowCount === 1);
      // The code of a cancelled statement is that of a statement timeout.
      await observer.query(`select ${end}(pid) from pg_locks where not granted`);
      expectUnavailable(await blocked, PROBLEM);
      await blocker.query('rollback');
      const after = await server.call('GET', `/api/v1/tasks/${id}`);
      expect([after.status, after.body.task.title]).toEqual([200, 'Kept']);
    }
  });

  test('is told by the statement timeout itself in the same words', async () => {
    const server = await startServer({ ROLE: 'api' });
    cleanups.push(() => server.stop());
    const failure = await server.database
      .transaction(async (tx) => {
        await tx.execute(sql`set local statement_timeout = 20`);
        await tx.execute(sql`select pg_sleep(30)`);
      })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DomainError);
    expect(failure).toMatchObject({ code: 'unavailable', retryAfterSeconds: expect.any(Number) });
    expect(await server.database.row(sql`select 1 as one`)).toEqual({ one: 1 });
  });
});
