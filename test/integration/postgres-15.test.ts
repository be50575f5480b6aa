/** The oldest PostgreSQL that DATABASE_URL may name: Debian's 15, where it is installed (PG15_BIN names its folder of programs). */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import {
  asUser,
  chooseDatabaseUser,
  DATABASE_ENVIRONMENT,
  runningAsRoot,
} from '../../src/database/embedded/database-user.js';
import { person, PASSWORD, signIn } from '../support/actors.js';
import { openSse } from '../support/sse-reader.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const BIN = process.env['PG15_BIN'] ?? '/usr/lib/postgresql/15/bin';
const isInstalled = existsSync(join(BIN, 'postgres'));
const run = promisify(execFile);

interface Cluster {
  url: string;
  stop: () => Promise<void>;
}

async function startCluster(): Promise<Cluster> {
  const user = runningAsRoot() ? await chooseDatabaseUser() : null;
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-pg15-'));
  if (user !== null) await chown(folder, user.uid, user.gid);
  await chmod(folder, 0o700);
  const options = { ...asUser(user), cwd: '/', env: DATABASE_ENVIRONMENT };
  const data = join(folder, 'data');
  await run(
    join(BIN, 'initdb'),
    ['-D', data, '-U', 'owner', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
    options,
  );
  const server: ChildProcess = spawn(
    join(BIN, 'postgres'),
    ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'max_connections=60'],
    { ...options, stdio: 'ignore' },
  );
  const ended = once(server, 'exit');
  const url = (name: string): string =>
    `postgresql://owner@localhost/${name}?host=${encodeURIComponent(folder)}&port=5432`;
  for (;;) {
    const client = new Client({ connectionString: url('postgres') });
    try {
      await client.connect();
      await client.query('create database taskyard');
      await client.end();
      break;
    } catch (error) {
      await client.end().catch(() => undefined);
      if (server.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    url: url('taskyard'),
    stop: async () => {
      server.kill('SIGINT');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const withPostgres15 = isInstalled ? describe : describe.skip;
withPostgres15(`on PostgreSQL 15${isInstalled ? '' : ` (skipped: there is none at ${BIN}; set PG15_BIN)`}`, () => {
  let cluster: Cluster;
  let server: TestServer;
  let key: string;

  beforeAll(async () => {
    cluster = await startCluster();
    server = await startServer({ DATABASE_URL: cluster.url });
  }, 120_000);
  afterAll(async () => {
    await server.stop();
    await cluster.stop();
  });

  test('the server migrates an empty database and bootstraps', async () => {
    const client = new Client({ connectionString: cluster.url });
    await client.connect();
    const { rows } = await client.query<{ version: number }>(
      `select current_setting('server_version_num')::int / 10000 as version`,
    );
    const count = await client.query<{ count: number }>('select count(*)::int from organizations');
    await client.end();
    expect([rows[0]?.version, count.rows[0]?.count]).toEqual([15, 1]);
    expect((await server.call('GET', '/health/ready', { as: null })).status).toBe(200);
  });

  test('people sign in, and keys are made, rotated and revoked', async () => {
    const ada = await person(server, 'ada', 'member');
    expect((await server.call('GET', '/api/v1/me', { as: ada.token })).body.user.email).toBe(ada.email);
    expect(await signIn(server, ada.email, PASSWORD)).toEqual(expect.any(String));
    const made = await server.call('POST', '/api/v1/api-keys', { body: { name: 'pg15', role: 'worker' } });
    const rotated = await server.call('POST', `/api/v1/api-keys/${made.body.id}/rotate`, { body: {} });
    expect([made.status, rotated.status]).toEqual([201, 200]);
    expect((await server.call('GET', '/api/v1/me', { as: made.body.key })).status).toBe(401);
    key = rotated.body.key;
  });

  test('a worker claims a run, reports, and completes it, and every surface shows the result', async () => {
    await server.call('POST', '/api/v1/agents', { body: { slug: 'fifteen', kind: 'worker' } });
    const handIn = () =>
      server.call('POST', '/api/v1/tasks', {
        body: {
          prompt: 'Say hello',
          title: 'Hello',
          agent: 'fifteen',
          visibility: 'organization',
          tags: ['pg'],
          schedule: { cron: '0 9 * * *' },
          start: true,
        },
        headers: { 'idempotency-key': 'pg15' },
      });
    const task = await handIn();
    const replay = await handIn();
    expect([task.status, replay.status, replay.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true']);
    const { id } = task.body.task;
    expect(replay.body.task.id).toBe(id);

    const claim = await server.call('POST', '/api/v1/worker/claim', { as: key, body: { agents: ['fifteen'], max: 5 } });
    expect([claim.status, claim.body.runs?.length]).toEqual([200, 1]);
    const [{ run: claimed, lease }] = claim.body.runs;
    const act = (action: string, body: object) =>
      server.call('POST', `/api/v1/worker/runs/${claimed.id}/${action}`, {
        as: key,
        body: { fence: lease.fence, ...body },
      });
    expect((await act('heartbeat', {})).status).toBe(200);
    const batch = {
      batch_id: 'one',
      events: [
        { type: 'log', data: { text: 'hello' } },
        { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'Hello.' }] } },
      ],
    };
    const appended = await act('events', batch);
    expect([appended.status, (await act('events', batch)).body]).toEqual([200, appended.body]);
    expect((await act('complete', { output: { said: 'hello' } })).status).toBe(200);
    expect((await act('fail', { error: { message: 'too late' } })).status).toBe(409);

    const stream = await openSse(`${server.url}/api/v1/streams/${claimed.id}`, { as: BOOTSTRAP_KEY });
    const frames = await stream.until(({ event }) => event === 'end');
    expect(frames.at(-1)?.data.data).toMatchObject({ status: 'completed', output: { said: 'hello' } });

    const neo = await server.call('GET', `/api/v1/tasks/${id}`);
    const neocu = await server.call('GET', '/v1/task');
    const recoupable = await server.call('GET', `/api/tasks?id=${id}`);
    const nla = await server.call('GET', `/api/v1/task/${id}`);
    expect([neo.status, neocu.status, recoupable.status, nla.status]).toEqual([200, 200, 200, 200]);
    expect(neo.body.stream.streamStatus).toBe('completed');
    expect(neocu.body.taskList[0].task).toMatchObject({ status: 'completed', message: ['hello'] });
    expect(recoupable.body.tasks[0]).toMatchObject({
      title: 'Hello',
      schedule: '0 9 * * *',
      recent_runs: [{ status: 'COMPLETED' }],
    });
    expect(nla.body).toMatchObject({ status: 'complete', output: { said: 'hello' }, logs: ['hello'] });
    expect((await server.call('GET', '/api/v1/task')).body.map((one: { id: string }) => one.id)).toEqual([id]);
  });

  test('lists, shares, edits and deletions work as they do on the newest', async () => {
    const team = await server.call('POST', '/api/v1/teams', { body: { name: 'Fifteen', slug: 'fifteen' } });
    const { data } = (await server.call('GET', '/api/v1/tasks?q=hello&tag=pg&limit=1&sort=-updated_at')).body;
    expect(data).toHaveLength(1);
    const [{ id }] = data;
    expect(
      (await server.call('PUT', `/api/v1/tasks/${id}/shares/${team.body.id}`, { body: { access: 'write' } })).status,
    ).toBe(200);
    expect(
      (await server.call('PATCH', `/api/v1/tasks/${id}`, { body: { title: 'Changed', metadata: { a: 1 } } })).status,
    ).toBe(200);
    expect((await server.call('GET', `/api/v1/runs?status=completed&agent=fifteen`)).body.data).toHaveLength(1);
    expect((await server.call('DELETE', `/api/v1/task/${id}`)).status).toBe(200);
    expect((await server.call('GET', `/api/v1/tasks/${id}`)).status).toBe(404);
    expect((await server.call('GET', '/v1/task')).body.totalTasks).toBe(0);
  });

  test('a builtin agent works through its own claim path', async () => {
    const task = await server.call('POST', '/api/v1/tasks', {
      body: { prompt: 'Taskyard keeps tasks. Agents do them. People read the results.' },
    });
    expect(task.status).toBe(201);
    const stream = await openSse(`${server.url}/api/v1/streams/${task.body.stream.streamId}`, { as: BOOTSTRAP_KEY });
    const frames = await stream.until(({ event }) => event === 'end');
    expect(frames.at(-1)?.data.data.status).toBe('completed');
  });
});
