import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { migrations } from '../../src/database/migrations.js';
import { cloneDatabase } from '../support/databases.js';
import type { Reply } from '../support/server.js';
import { startProcess, type ServerProcess } from '../support/server-process.js';
import { openSse } from '../support/sse-reader.js';

const KEY = 'a_bootstrap_key_of_the_replicas_0123456789';
const ROOT_KEY = Buffer.alloc(32, 9).toString('base64');

const processes: ServerProcess[] = [];
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const { child, exit } of processes.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exit;
  }
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-replica-'));
  // So that the database's user can walk there where this is root.
  await chmod(folder, 0o755);
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function sharedDatabase(): Promise<string> {
  const database = await cloneDatabase({ empty: true });
  cleanups.push(() => database.drop());
  return database.url;
}

function start(environment: Record<string, string>): ServerProcess {
  const server = startProcess({ LOG_LEVEL: 'info', ...environment });
  processes.push(server);
  return server;
}

async function replica(databaseUrl: string, environment: Record<string, string> = {}): Promise<ServerProcess> {
  return start({
    DATABASE_URL: databaseUrl,
    ROOT_KEY,
    DATA_DIR: await dataFolder(),
    BOOTSTRAP_API_KEY: KEY,
    ROLE: 'api',
    ...environment,
  });
}

async function call(
  base: string,
  method: string,
  path: string,
  body?: object,
  key = KEY,
): Promise<Pick<Reply, 'status' | 'body'>> {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** A task for a worker; its id and its run's. */
async function makeTask(base: string, agent: string): Promise<{ id: string; runId: string }> {
  const made = await call(base, 'POST', '/api/v1/tasks', { prompt: 'Shared', agent });
  expect(made.status).toBe(201);
  return { id: made.body.task.id, runId: made.body.stream.streamId };
}

describe('replicas', () => {
  test('that start at once on an empty database migrate it once, make one organisation and write one key to one file', async () => {
    const databaseUrl = await sharedDatabase();
    const replicas = await Promise.all([1, 2, 3].map(() => replica(databaseUrl, { BOOTSTRAP_API_KEY: '' })));
    const urls = await Promise.all(replicas.map(({ url }) => url));
    const files = replicas.flatMap(({ output }) =>
      [...output().matchAll(/in the file (\S+)/g)].map(([, file]) => file ?? ''),
    );
    expect(files).toHaveLength(1);
    expect(replicas.map(({ output }) => output()).join('')).not.toContain('tyk_');
    const key = (await readFile(files[0] ?? '', 'utf8')).trim();
    for (const url of urls) {
      const me = await call(url, 'GET', '/api/v1/me', undefined, key);
      expect([me.status, me.body.role]).toEqual([200, 'admin']);
    }
    const database = new Client({ connectionString: databaseUrl });
    await database.connect();
    const counts = await database.query(`select (select count(*)::int from schema_migrations) as migrations,
      (select count(*)::int from organizations) as organizations, (select count(*)::int from api_keys) as keys,
      (select count(*)::int from agents) as agents`);
    await database.end();
    expect(counts.rows).toEqual([{ migrations: migrations.length, organizations: 1, keys: 1, agents: 1 }]);
  }, 120_000);

  test('give each run to one worker, and show a stream whole wherever it is read', async () => {
    const databaseUrl = await sharedDatabase();
    const [first, second] = await Promise.all(
      (await Promise.all([replica(databaseUrl), replica(databaseUrl)])).map(({ url }) => url),
    );
    if (first === undefined || second === undefined) throw new Error('two replicas were started');
    expect((await call(first, 'POST', '/api/v1/agents', { slug: 'shared', kind: 'worker' })).status).toBe(201);
    const made = await Promise.all(
      Array.from({ length: 12 }, (_, index) => makeTask(index % 2 === 0 ? first : second, 'shared')),
    );
    const claims = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        call(index % 2 === 0 ? first : second, 'POST', '/api/v1/worker/claim', { agents: ['shared'], max: 2 }),
      ),
    );
    const claimed = claims.flatMap(({ body }) => body.runs);
    expect(claimed.map(({ run }) => run.id).sort()).toEqual(made.map(({ runId }) => runId).sort());

    const [{ run, lease }] = claimed;
    const reader = await openSse(`${second}/api/v1/streams/${run.id}`, { as: KEY });
    for (const text of ['one', 'two']) {
      const appended = await call(first, 'POST', `/api/v1/worker/runs/${run.id}/events`, {
        fence: lease.fence,
        events: [{ type: 'log', data: { text } }],
      });
      expect(appended.status).toBe(200);
    }
    expect(
      (
        await call(second, 'POST', `/api/v1/worker/runs/${run.id}/complete`, {
          fence: lease.fence,
          output: { done: true },
        })
      ).status,
    ).toBe(200);
    const frames = (await reader.until(({ event }) => event === 'end')).filter(({ id }) => id !== null);
    expect(frames.map(({ id }) => Number(id))).toEqual(frames.map((_, index) => index + 1));
    expect(frames.filter(({ event }) => event === 'log').map(({ data }) => data.data.text)).toEqual(['one', 'two']);
    expect((await call(first, 'GET', `/api/v1/runs/${run.id}`)).body.status).toBe('completed');
  }, 120_000);
});

describe('the end of a session', () => {
  test('on one replica ends its links and its open streams on every other', async () => {
    const databaseUrl = await sharedDatabase();
    const [first, second] = await Promise.all(
      (await Promise.all([replica(databaseUrl), replica(databaseUrl)])).map(({ url }) => url),
    );
    if (first === undefined || second === undefined) throw new Error('two replicas were started');
    const person = {
      email: 'ada@first.example',
      display_name: 'Ada',
      role: 'member',
      password: 'a long enough password',
    };
    expect((await call(first, 'POST', '/api/v1/users', person)).status).toBe(201);
    const { email, password } = person;
    const session = await call(first, 'POST', '/api/v1/auth/login', { email, password });
    const token: string = session.body.access_token;
    expect((await call(first, 'POST', '/api/v1/agents', { slug: 'shared', kind: 'worker' })).status).toBe(201);
    const made = await call(first, 'POST', '/api/v1/tasks', { prompt: 'Shared', agent: 'shared' }, token);
    const path = `/api/v1/streams/${made.body.stream.streamId}`;
    const link = await call(first, 'POST', `${path}/url`, undefined, token);
    const there = second + path + new URL(link.body.url).search;
    const readers = await Promise.all([openSse(there), openSse(`${second}${path}`, { as: token })]);
    for (const reader of readers) expect(await reader.next()).not.toBeNull();
    expect((await fetch(there, { method: 'HEAD' })).status).toBe(200);

    expect((await call(first, 'POST', '/api/v1/auth/logout', undefined, token)).status).toBe(204);
    expect((await fetch(there, { method: 'HEAD' })).status).toBe(401);
    for (const reader of readers) {
      expect((await reader.until(() => false)).at(-1)).toMatchObject({
        event: 'reconnect',
        data: { reason: 'rights' },
      });
    }
  }, 120_000);
});

describe('a stop', () => {
  test('lets every request under way end whole, says goodbye to streams, and exits with 0', async () => {
    const databaseUrl = await sharedDatabase();
    const server = await replica(databaseUrl, { SHUTDOWN_SECONDS: '60' });
    const base = await server.url;
    expect((await call(base, 'POST', '/api/v1/agents', { slug: 'shared', kind: 'worker' })).status).toBe(201);
    expect((await call(base, 'POST', '/api/v1/agents', { slug: 'idle', kind: 'worker' })).status).toBe(201);
    const { runId } = await makeTask(base, 'shared');
    const streams = await Promise.all(
      Array.from({ length: 50 }, () => openSse(`${base}/api/v1/streams/${runId}`, { as: KEY })),
    );
    for (const stream of streams) expect(await stream.next()).not.toBeNull();

    // Begun, and so accepted, but not sent to the end.
    const begun = await Promise.all(Array.from({ length: 20 }, (_, index) => beginRequest(base, `Begun ${index}`)));
    const waiting = call(base, 'POST', '/api/v1/worker/claim', { agents: ['idle'], wait_seconds: 30 });
    const hammer = hammerUntilRefused(base);
    await hammer.warm;
    server.child.kill('SIGTERM');
    await hammer.done;
    for (const one of begun) one.finish();
    const statuses = await Promise.all(begun.map((one) => one.status));
    expect(statuses.filter((status) => status !== 201 && status !== 503)).toEqual([]);
    expect(statuses).toContain(201);
    expect(await waiting).toEqual({ status: 200, body: { runs: [] } });
    for (const stream of streams) {
      const last = (await stream.until(() => false)).at(-1);
      expect(last?.event).toBe('reconnect');
    }
    expect(hammer.cut).toEqual([]);
    expect(await server.exit).toBe(0);
    expect(server.output()).not.toContain('cut off');
    expect(server.output()).toContain('"stopped"');
  }, 120_000);

  test('by kill -9 loses nothing that was acknowledged, and the next start serves it', async () => {
    const folder = await dataFolder();
    const environment = { DATA_DIR: folder, BOOTSTRAP_API_KEY: KEY, ROLE: 'api' };
    const first = start(environment);
    const base = await first.url;
    expect(
      (await call(base, 'POST', '/api/v1/agents', { slug: 'shared', kind: 'worker', lease_seconds: 5 })).status,
    ).toBe(201);
    const { id, runId } = await makeTask(base, 'shared');
    const { body } = await call(base, 'POST', '/api/v1/worker/claim', { agents: ['shared'] });
    const { fence } = body.runs[0].lease;
    expect(
      (
        await call(base, 'POST', `/api/v1/worker/runs/${runId}/events`, {
          fence,
          events: [{ type: 'log', data: { text: 'before' } }],
        })
      ).status,
    ).toBe(200);
    first.child.kill('SIGKILL');
    await first.exit;

    const second = start(environment);
    const again = await second.url;
    const detail = await call(again, 'GET', `/api/v1/tasks/${id}`);
    expect([detail.status, detail.body.task.prompt]).toEqual([200, 'Shared']);
    const events = await call(again, 'GET', `/api/v1/streams/${runId}/events`);
    expect(events.body.data.map(({ data }: { data: { text?: string } }) => data.text)).toContain('before');
    const beat = await call(again, 'POST', `/api/v1/worker/runs/${runId}/complete`, { fence, output: {} });
    // The lease is as good as it was, unless the restart outlasted it.
    expect([200, 409]).toContain(beat.status);
    expect((await call(again, 'GET', '/v1/task')).body.totalTasks).toBe(1);
    second.child.kill('SIGTERM');
    expect(await second.exit).toBe(0);
  }, 120_000);
});

/** A POST whose head has arrived, since the server asked for the rest, and whose body is finished later. */
async function beginRequest(base: string, prompt: string): Promise<{ finish: () => void; status: Promise<number> }> {
  const body = JSON.stringify({ prompt, agent: 'shared', start: false });
  const sent = request(`${base}/api/v1/tasks`, {
    method: 'POST',
    agent: false,
    headers: {
      authorization: `Bearer ${KEY}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      expect: '100-continue',
    },
  });
  const status = new Promise<number>((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (response) => {
      response.on('error', reject);
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.resume();
    });
  });
  sent.flushHeaders();
  await once(sent, 'continue');
  sent.write(body.slice(0, 5));
  return { finish: () => sent.end(body.slice(5)), status };
}

/** Requests without end, each on a connection of its own, until the server takes no more; `cut` names replies that broke off. */
function hammerUntilRefused(base: string): { warm: Promise<void>; done: Promise<void>; cut: string[] } {
  const cut: string[] = [];
  const agent = new Agent({ keepAlive: false });
  let answered = 0;
  let warmed: () => void = () => undefined;
  const warm = new Promise<void>((resolve) => {
    warmed = resolve;
  });
  const one = (): Promise<boolean> =>
    new Promise((resolve) => {
      const sent = request(`${base}/v1/task`, { agent, headers: { 'api-key': KEY } });
      // No reply had begun: the connection was not taken any more.
      sent.on('error', () => resolve(false));
      sent.on('response', (response) => {
        const status = response.statusCode ?? 0;
        response.on('error', () => cut.push(`a reply of ${status} broke off`));
        response.on('close', () => {
          answered += 1;
          if (answered >= 50) warmed();
          if (!response.complete) cut.push('a reply ended too soon');
          if (status !== 200 && status !== 503) cut.push(`status ${status}`);
          resolve(true);
        });
        response.resume();
      });
      sent.end();
    });
  const sender = async (): Promise<void> => {
    while (await one());
  };
  const done = Promise.all(Array.from({ length: 6 }, sender)).then(() => undefined);
  return { warm, done, cut };
}
