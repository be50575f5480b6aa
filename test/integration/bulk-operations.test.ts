import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { BulkWorker } from '../../src/modules/runs/index.js';
import { builtPath } from '../support/build.js';
import { join, key, makeYard, person, type Yard } from '../support/actors.js';
import { cloneDatabase } from '../support/databases.js';
import { BOOTSTRAP_KEY, startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

const V1 = '/api/v1';

let server: TestServer;
let yard: Yard;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});

afterAll(() => server.stop());

/** An agent of its own with so many queued runs; the tasks' ids. */
async function queued(count: number, task: object = {}, as?: Credential): Promise<{ agent: string; tasks: string[] }> {
  serial += 1;
  const agent = `bulk-${serial}`;
  expect(
    (await server.call('POST', `${V1}/agents`, { body: { slug: agent, name: agent, kind: 'worker' } })).status,
  ).toBe(201);
  const reply = await server.call('POST', `${V1}/tasks/batch`, {
    body: { tasks: Array.from({ length: count }, () => ({ agent, prompt: 'many', ...task })) },
    ...(as === undefined ? {} : { as }),
  });
  return { agent, tasks: reply.body.results.map(({ task_id: id }: { task_id: string }) => id) };
}

function start(body: object, as?: Credential, headers?: Record<string, string>): Promise<Reply> {
  return server.call('POST', `${V1}/bulk-operations`, {
    body,
    ...(as === undefined ? {} : { as }),
    ...(headers === undefined ? {} : { headers }),
  });
}

/** Helps the worker until the operation is over, and answers it as it is then. */
async function finished(id: string): Promise<Reply['body']> {
  const worker = server.app.get(BulkWorker, { strict: false });
  for (;;) {
    // Two at once beside the one that works by itself: what they do must be the same as what one does.
    await Promise.all([worker.turn(), worker.turn()]);
    const { body } = await server.call('GET', `${V1}/bulk-operations/${id}`);
    if (body.status !== 'running') {
      return body;
    }
  }
}

async function statuses(agent: string): Promise<Record<string, number>> {
  const rows = await server.database.rows<{ status: string; n: number }>(sql`
    select r.status, count(*)::int as n from runs r join agents a on a.id = r.agent_id where a.slug = ${agent} group by 1`);
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}

describe('a bulk operation', () => {
  test('cancels what its filter matches, and nothing else', async () => {
    const { agent } = await queued(70, { tags: ['these'] });
    const { agent: other } = await queued(2);
    const reply = await start({ action: 'cancel', filter: { agent, tag: 'these' } });
    expect([reply.status, reply.headers.get('location')]).toEqual([202, `${V1}/bulk-operations/${reply.body.id}`]);
    expect(reply.body).toMatchObject({
      action: 'cancel',
      filter: { agent, tag: 'these' },
      dry_run: false,
      status: 'running',
      matched: 70,
      done: 0,
      failed: 0,
      failures: {},
      finished_at: null,
    });
    expect(await finished(reply.body.id)).toMatchObject({
      status: 'completed',
      matched: 70,
      done: 70,
      failed: 0,
      finished_at: expect.any(String),
    });
    expect([await statuses(agent), await statuses(other)]).toEqual([{ canceled: 70 }, { queued: 2 }]);
    const left = await server.database.row<{ n: number }>(sql`select count(*)::int as n from bulk_operation_runs`);
    expect(left?.n).toBe(0);
  });

  test('replays each ended run once, and not the runs it makes', async () => {
    const { agent, tasks } = await queued(60);
    await finished((await start({ action: 'cancel', filter: { agent } })).body.id);
    const replay = await start({ action: 'replay', filter: { agent, status: 'canceled' } });
    expect([replay.status, replay.body.matched]).toEqual([202, 60]);
    expect(await finished(replay.body.id)).toMatchObject({ status: 'completed', done: 60, failed: 0 });
    expect(await statuses(agent)).toEqual({ canceled: 60, queued: 60 });
    const { body } = await server.call('GET', `${V1}/tasks/${tasks[0]}/runs`);
    expect(body.data.map(({ replay_of_run_id: of }: { replay_of_run_id: string | null }) => of)).toEqual([
      body.data[1].id,
      null,
    ]);
  });

  test('only counts in a dry run', async () => {
    const { agent } = await queued(3);
    const { body } = await start({ action: 'cancel', filter: { agent }, dry_run: true });
    expect(body).toMatchObject({ status: 'completed', dry_run: true, matched: 3, done: 0, failed: 0 });
    expect((await start({ action: 'replay', filter: { agent }, dry_run: true })).body).toMatchObject({ matched: 0 });
    expect(await statuses(agent)).toEqual({ queued: 3 });
  });

  test('is over at once where nothing matches', async () => {
    const { body } = await start({ action: 'cancel', filter: { agent: 'nobody' } });
    expect(body).toMatchObject({ status: 'completed', matched: 0, finished_at: expect.any(String) });
  });

  test.each([
    ['task_id', (tasks: string[]) => ({ task_id: tasks[1] }), 1],
    ['status', () => ({ status: 'running' }), 0],
    ['created_before', () => ({ created_before: '2020-01-01T00:00:00Z' }), 0],
    ['created_after', () => ({ created_after: '2020-01-01T00:00:00Z' }), 4],
    ['team_id', () => ({ team_id: yard.teams.red }), 4],
    ['another team_id', () => ({ team_id: yard.teams.blue }), 0],
  ])('filters by %s', async (_name, filter, matched) => {
    const { agent, tasks } = await queued(4, { team_id: yard.teams.red });
    const reply = await start({ action: 'cancel', filter: { agent, ...filter(tasks) }, dry_run: true });
    expect([reply.status, reply.body.matched]).toEqual([202, matched]);
  });

  test.each([
    ['an empty filter', { action: 'cancel', filter: {} }, '/filter'],
    ['no filter', { action: 'cancel' }, '/filter'],
    ['an unknown name in it', { action: 'cancel', filter: { colour: 'red' } }, '/filter/colour'],
    ['a status that is none', { action: 'cancel', filter: { status: 'tired' } }, '/filter/status'],
    ['a malformed id', { action: 'cancel', filter: { task_id: 'x' } }, '/filter/task_id'],
    ['a malformed instant', { action: 'cancel', filter: { created_after: 'yesterday' } }, '/filter/created_after'],
    ['another action', { action: 'delete', filter: { agent: 'x' } }, '/action'],
  ])('is refused with %s', async (_name, body, path) => {
    const reply = await start(body);
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, path]);
  });

  test('has one effect under an Idempotency-Key', async () => {
    const { agent } = await queued(2);
    const body = { action: 'cancel', filter: { agent } };
    const first = await start(body, undefined, { 'idempotency-key': 'bulk-1' });
    const again = await start(body, undefined, { 'idempotency-key': 'bulk-1' });
    expect([again.status, again.body, again.headers.get('idempotency-replayed')]).toEqual([202, first.body, 'true']);
  });
});

describe('whoever starts a bulk operation', () => {
  test('reaches the runs they may contribute to, and no others they can read', async () => {
    const { agent } = await queued(2, { team_id: yard.teams.red });
    const own = await server.call('POST', `${V1}/tasks`, { body: { agent, prompt: 'mine' }, as: yard.member.token });
    const filter = { agent };
    const matched = async (as: Credential): Promise<number> =>
      (await start({ action: 'cancel', filter, dry_run: true }, as)).body.matched;
    expect(await matched(yard.member.token)).toBe(1);
    expect(await matched(yard.maintainer.token)).toBe(2);
    expect(await matched(yard.admin.token)).toBe(3);
    expect(await matched(yard.outsider.token)).toBe(0);
    expect(await matched(yard.stranger.token)).toBe(0);
    expect((await start({ action: 'cancel', filter }, yard.viewer.token)).status).toBe(403);
    const made = await start({ action: 'cancel', filter }, yard.member.token);
    await finished(made.body.id);
    expect((await server.call('GET', `${V1}/tasks/${own.body.task.id}`)).body.task.status).toBe('canceled');
    expect(await statuses(agent)).toEqual({ canceled: 1, queued: 2 });
  });

  test('sees it, and so do admins, and nobody else', async () => {
    const { agent } = await queued(1);
    const { body } = await start({ action: 'cancel', filter: { agent } }, yard.member.token);
    const seen = async (as: Credential): Promise<[number, boolean]> => {
      const one = await server.call('GET', `${V1}/bulk-operations/${body.id}`, { as });
      const list = await server.call('GET', `${V1}/bulk-operations`, { as });
      return [one.status, list.body.data.some(({ id }: { id: string }) => id === body.id)];
    };
    expect(await seen(yard.member.token)).toEqual([200, true]);
    expect(await seen(yard.admin.token)).toEqual([200, true]);
    expect(await seen(yard.maintainer.token)).toEqual([404, false]);
    expect(await seen(yard.stranger.token)).toEqual([404, false]);
  });

  // The worker would be faster than the test; its operation rests as if a replica had it.
  const rest = (id: string, seconds: number): Promise<number> =>
    server.database.execute(
      sql`update bulk_operations set leased_until = clock_timestamp() + make_interval(secs => ${seconds}) where id = ${id}`,
    );
  const insertOperation = async (creator: string, agent: string): Promise<string> => {
    const row = await server.database.row<{ id: string }>(sql`
      with operation as (
        insert into bulk_operations (organization_id, id, action, filter, dry_run, status, principal_id, created_by, matched, leased_until)
        select p.organization_id, gen_random_uuid(), 'cancel', '{"agent":"x"}', false, 'running', p.id, p.id,
          (select count(*) from runs r join agents a on a.id = r.agent_id where a.slug = ${agent}), clock_timestamp() + interval '1 hour'
        from principals p where p.id = ${creator} returning organization_id, id
      ), listed as (
        insert into bulk_operation_runs (organization_id, operation_id, run_id)
        select o.organization_id, o.id, r.id from operation o, runs r join agents a on a.id = r.agent_id where a.slug = ${agent}
      ) select id from operation`);
    return row?.id ?? '';
  };

  test('is stopped by losing their key', async () => {
    const { agent } = await queued(3);
    const secret = await key(server, { name: 'short-lived', role: 'admin' });
    const me = await server.call('GET', `${V1}/me`, { as: secret });
    const id = await insertOperation(me.body.api_key.id, agent);
    expect((await server.call('DELETE', `${V1}/api-keys/${me.body.api_key.id}`)).status).toBe(204);
    await rest(id, -1);
    expect(await finished(id)).toMatchObject({ status: 'stopped', matched: 3, done: 0, failed: 0 });
    expect(await statuses(agent)).toEqual({ queued: 3 });
  });

  test('is stopped by becoming a viewer', async () => {
    const { agent } = await queued(2);
    const demoted = await person(server, 'demoted', 'admin');
    const id = await insertOperation(demoted.id, agent);
    expect((await server.call('PATCH', `${V1}/users/${demoted.id}`, { body: { role: 'viewer' } })).status).toBe(200);
    await rest(id, -1);
    expect(await finished(id)).toMatchObject({ status: 'stopped', done: 0 });
  });

  test('has, for each run, the rights of the moment it is reached', async () => {
    const { agent } = await queued(2, { team_id: yard.teams.red });
    const leaver = await person(server, 'leaver', 'member');
    await join(server, yard.teams.red, leaver, 'maintainer');
    const id = await insertOperation(leaver.id, agent);
    await join(server, yard.teams.red, leaver, 'member');
    await rest(id, -1);
    expect(await finished(id)).toMatchObject({ status: 'completed', done: 0, failed: 2, failures: { forbidden: 2 } });
    expect(await statuses(agent)).toEqual({ queued: 2 });
  });

  test('is told what could not be done, and why', async () => {
    const { agent, tasks } = await queued(3);
    const me = await server.call('GET', `${V1}/me`);
    const id = await insertOperation(me.body.api_key.id, agent);
    await server.call('DELETE', `${V1}/tasks/${tasks[0]}`);
    const claim = await server.call('POST', `${V1}/worker/claim`, { body: { agents: [agent] } });
    const [{ run, lease }] = claim.body.runs;
    await server.call('POST', `${V1}/worker/runs/${run.id}/complete`, { body: { fence: lease.fence, output: {} } });
    await rest(id, -1);
    expect(await finished(id)).toMatchObject({
      status: 'completed',
      done: 1,
      failed: 2,
      failures: { 'not-found': 1, 'run-ended': 1 },
    });
  });
});

describe('a server killed in the middle', () => {
  const RUNS = 400;
  const children: ChildProcess[] = [];

  afterAll(async () => {
    for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  async function serve(
    databaseUrl: string,
    folder: string,
  ): Promise<{ child: ChildProcess; call: (method: string, path: string, body?: object) => Promise<Reply['body']> }> {
    const child = spawn(process.execPath, [builtPath('src/main.ts')], {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        PORT: '0',
        LOG_LEVEL: 'info',
        ROLE: 'api',
        DATA_DIR: folder,
        DATABASE_URL: databaseUrl,
        ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
        BOOTSTRAP_API_KEY: BOOTSTRAP_KEY,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    const url = await new Promise<string>((resolve, reject) => {
      let text = '';
      const look = (chunk: Buffer): void => {
        text += chunk.toString();
        const match = /answers at (\S+)/.exec(text);
        if (match !== null) resolve(match[1] ?? '');
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('exit', () => reject(new Error(text)));
    });
    const call = async (method: string, path: string, body?: object): Promise<Reply['body']> => {
      const reply = await fetch(`${url}${V1}${path}`, {
        method,
        headers: { 'api-key': BOOTSTRAP_KEY, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return reply.json();
    };
    return { child, call };
  }

  test('loses no run of a bulk operation, and does none twice', async () => {
    const database = await cloneDatabase();
    const folder = await mkdtemp(joinPath(tmpdir(), 'taskyard-bulk-'));
    const client = new Client({ connectionString: database.url });
    await client.connect();
    let { child, call } = await serve(database.url, folder);
    await call('POST', '/agents', { slug: 'bulk', name: 'Bulk', kind: 'worker' });
    await call('POST', '/tasks/batch', { tasks: Array.from({ length: RUNS }, () => ({ agent: 'bulk', prompt: 'x' })) });

    /** Starts an operation, kills the server while it works on it, and lets another bring it to its end. */
    const through = async (body: object): Promise<{ doneAtDeath: number; end: Reply['body'] }> => {
      const { id, matched } = await call('POST', '/bulk-operations', body);
      expect(matched).toBe(RUNS);
      let seen = { done: 0 };
      while (seen.done === 0) {
        seen = await call('GET', `/bulk-operations/${id}`);
      }
      child.kill('SIGKILL');
      await once(child, 'exit');
      const dead = await client.query<{ done: number }>('select done from bulk_operations where id = $1', [id]);
      // As if the lease of the dead had run out.
      await client.query('update bulk_operations set leased_until = null where id = $1', [id]);
      ({ child, call } = await serve(database.url, folder));
      for (;;) {
        const end = await call('GET', `/bulk-operations/${id}`);
        if (end.status !== 'running') {
          return { doneAtDeath: dead.rows[0]?.done ?? 0, end };
        }
      }
    };

    const canceled = await through({ action: 'cancel', filter: { agent: 'bulk' } });
    expect(canceled.doneAtDeath).toBeLessThan(RUNS);
    expect(canceled.end).toMatchObject({ status: 'completed', matched: RUNS, done: RUNS, failed: 0 });
    const replayed = await through({ action: 'replay', filter: { agent: 'bulk', status: 'canceled' } });
    expect(replayed.doneAtDeath).toBeLessThan(RUNS);
    expect(replayed.end).toMatchObject({ status: 'completed', matched: RUNS, done: RUNS, failed: 0 });
    const { rows } = await client.query<{ times: number; tasks: number }>(`
      select n as times, count(*)::int as tasks from (
        select t.id, count(r.replay_of_run_id)::int as n from tasks t join runs r on r.task_id = t.id group by t.id) x group by n`);
    expect(rows).toEqual([{ times: 1, tasks: RUNS }]);

    child.kill('SIGTERM');
    await once(child, 'exit');
    await client.end();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  }, 240_000);
});
