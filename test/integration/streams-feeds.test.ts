import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { ConnectionRegistry, StreamCompactor } from '../../src/modules/streams/index.js';
import { key, makeYard, type Yard } from '../support/actors.js';
import { TestQueue } from '../support/queue.js';
import { appendEvents, endRun, logEvents, seedRun, type SeededRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, type Credential, type Reply, startServer, type TestServer } from '../support/server.js';
import { type Frame, openSse, type SseReader } from '../support/sse-reader.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
}, 120_000);
afterAll(async () => {
  await server.stop();
});

const follow = (
  path: string,
  as: Credential = BOOTSTRAP_KEY,
  headers: Record<string, string> = {},
): Promise<SseReader> => openSse(`${server.url}/api/v1${path}`, { as, headers });

const get = (path: string, as: Credential = BOOTSTRAP_KEY, headers: Record<string, string> = {}): Promise<Reply> =>
  server.call('GET', `/api/v1${path}`, { as, headers });

/** What is there now, as text. */
async function download(path: string, as: string = BOOTSTRAP_KEY): Promise<string> {
  const headers = { authorization: `Bearer ${as}`, accept: 'application/x-ndjson' };
  return (await fetch(`${server.url}/api/v1${path}`, { headers })).text();
}

const told = (frames: readonly Frame[]): Frame[] => frames.filter(({ event }) => event !== null && event !== 'ready');
const cursors = (frames: readonly Frame[]): string[] => told(frames).map(({ id }) => id ?? '');

/** Another run of the same task. */
async function anotherRun(first: SeededRun, number: number): Promise<SeededRun> {
  const runId = newId();
  await server.database
    .execute(sql`insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds,
      max_attempts, run_config, available_at, root_run_id)
    values (${first.organizationId}, ${runId}, ${first.taskId}, ${number}, ${first.agentId}, 'queued', 60, 60, 3, '{}', 'infinity', ${runId})`);
  await server.database
    .execute(sql`update tasks set latest_run_id = ${runId}, latest_run_number = ${number}, run_count = ${number}
    where organization_id = ${first.organizationId} and id = ${first.taskId}`);
  return { ...first, runId };
}

describe('the stream of a task', () => {
  const summary = (frames: readonly Frame[]): string[] =>
    told(frames).map(({ event, data }) => `${data.run_number}.${data.seq} ${event}`);

  test('tells every run of it, each in its order and once, also those that begin later, and resumes from any frame', async () => {
    const first = await seedRun(server);
    await appendEvents(server, first, logEvents(3));
    const reader = await follow(`/tasks/${first.taskId}/stream`);
    const frames = await reader.until(({ data }) => data?.seq === 3);
    await endRun(server, first);
    const second = await anotherRun(first, 2);
    const third = await anotherRun(first, 3);
    await appendEvents(server, third, logEvents(2));
    await appendEvents(server, second, logEvents(1));
    frames.push(...(await reader.until(({ data }) => data?.run_number === 2)));
    await appendEvents(server, second, logEvents(1));
    await endRun(server, third);
    const seen = (): Set<string> => new Set(summary(frames));
    while (!seen().has('2.2 log') || !seen().has('3.3 end')) {
      const frame = await reader.next();
      if (frame !== null) frames.push(frame);
    }
    reader.close();

    expect(summary(frames).slice(0, 4)).toEqual(['1.1 log', '1.2 log', '1.3 log', '1.4 end']);
    expect([...summary(frames)].sort()).toEqual(
      ['1.1 log', '1.2 log', '1.3 log', '1.4 end', '2.1 log', '2.2 log', '3.1 log', '3.2 log', '3.3 end'].sort(),
    );
    expect(told(frames)[0]?.data).toEqual({
      run_id: first.runId,
      run_number: 1,
      seq: 1,
      type: 'log',
      at: expect.any(String),
      data: { text: 'line 1' },
    });
    // What was before a cursor and what comes after it are the whole, wherever it is cut.
    for (const [index, cursor] of cursors(frames).entries()) {
      const rest = await download(`/tasks/${first.taskId}/stream?after=${encodeURIComponent(cursor)}`);
      const lines = rest.split('\n').filter((line) => line !== '');
      const after = lines
        .map((line) => JSON.parse(line))
        .map(({ run_number: run, seq, type }) => `${run}.${seq} ${type}`);
      expect([...summary(frames).slice(0, index + 1), ...after].sort()).toEqual([...summary(frames)].sort());
    }
  });

  test('has cursors of bounded length however many runs there are, and misses none of forty at once', async () => {
    const first = await seedRun(server);
    const runs = [first];
    for (let number = 2; number <= 40; number += 1) runs.push(await anotherRun(first, number));
    for (const run of runs) await appendEvents(server, run, logEvents(1));
    const reader = await follow(`/tasks/${first.taskId}/stream`);
    const frames: Frame[] = [];
    const numbers = (): number[] => told(frames).map(({ data }) => data.run_number);
    while (new Set(numbers()).size < 32) {
      const frame = await reader.next();
      if (frame !== null) frames.push(frame);
    }
    for (const run of runs) await endRun(server, run);
    while (told(frames).filter(({ event }) => event === 'end').length < 40) {
      const frame = await reader.next();
      if (frame !== null) frames.push(frame);
    }
    reader.close();

    expect(told(frames)).toHaveLength(80);
    expect(new Set(told(frames).map(({ data }) => `${data.run_number}.${data.seq}`)).size).toBe(80);
    expect(Math.max(...cursors(frames).map(({ length }) => length))).toBeLessThanOrEqual(1024);
  });

  test('tells what was dropped for its age, and people which run a line is of', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(2));
    await appendEvents(server, run, logEvents(1, 'kept'));
    await server.database.execute(sql`delete from run_events where run_id = ${run.runId} and first_seq = 1`);
    const lines = (await download(`/tasks/${run.taskId}/stream`))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const reader = await fetch(`${server.url}/api/v1/tasks/${run.taskId}/stream`, {
      headers: { authorization: `Bearer ${BOOTSTRAP_KEY}`, accept: 'text/plain' },
    });
    const body = reader.body?.getReader();
    const text = new TextDecoder().decode((await body?.read())?.value);
    await body?.cancel();

    expect(lines[0]).toEqual({ type: 'gap', data: { run_id: run.runId, from: 1, to: 2, oldest_seq: 3 } });
    expect(lines[1]).toMatchObject({ seq: 3 });
    expect(text).toContain('--  events 1 to 2 are no longer kept\n--  run 1\n');
    expect(text).toContain('kept 1\n');
  });

  test('is not there for who may not read the task, and no cursor but its own is one', async () => {
    const run = await seedRun(server, { visibility: 'private' });
    const other = await seedRun(server);
    await appendEvents(server, other, logEvents(1));
    const reader = await follow(`/tasks/${other.taskId}/stream`);
    const cursor = cursors(await reader.until(({ id }) => id !== null))[0] ?? '';
    reader.close();
    const statuses = async (given: string): Promise<[number, string][]> => {
      const replies = [
        await get(`/tasks/${run.taskId}/stream?after=${encodeURIComponent(given)}`),
        await get(`/tasks/${run.taskId}/stream`, BOOTSTRAP_KEY, { 'last-event-id': given }),
      ];
      return replies.map(({ status, body }) => [status, body.code]);
    };

    expect((await get(`/tasks/${run.taskId}/stream`, yard.outsider.token)).status).toBe(404);
    expect((await get(`/tasks/${run.taskId}/stream`, yard.strangerKey)).status).toBe(404);
    expect((await get(`/tasks/${newId()}/stream`)).status).toBe(404);
    expect((await get('/tasks/none/stream')).status).toBe(404);
    expect((await get(`/tasks/${run.taskId}/stream`, null)).status).toBe(401);
    expect(await download(`/tasks/${other.taskId}/stream?after=0`)).toContain(other.runId);
    for (const bad of [cursor, `${cursor}x`, '1', '-2', '99999999999999999999', 'x'.repeat(1024)]) {
      expect(await statuses(bad)).toEqual([
        [400, 'invalid-cursor'],
        [400, 'invalid-cursor'],
      ]);
    }
    expect((await get(`/tasks/${run.taskId}/stream?after=${'x'.repeat(1025)}`)).status).toBe(400);
    for (const start of ['', '-1']) {
      expect(await download(`/tasks/${other.taskId}/stream?after=${start}`)).toContain(other.runId);
    }
    // Of this very feed, but of a history in which the run was further on.
    await server.database.execute(sql`delete from run_events where run_id = ${other.runId}`);
    await server.database.execute(sql`update runs set last_seq = 0 where id = ${other.runId}`);
    const ahead = await get(`/tasks/${other.taskId}/stream?after=${encodeURIComponent(cursor)}`);
    expect([ahead.status, ahead.body.code]).toEqual([409, 'cursor-ahead']);
  });
});

describe('the feed of an organisation', () => {
  const words = (frames: readonly Frame[]): string[] =>
    told(frames).map(({ event, data }) => `${data.task_id} ${event}`);

  /** A task that is worked to its end; its id. */
  async function workOne(queue: TestQueue, body: object): Promise<string> {
    const made = await queue.hand(body);
    expect(made.status).toBe(201);
    const lease = await queue.one();
    expect(
      (await queue.act(lease, 'events', { events: [{ type: 'log', data: { text: 'no part of it' } }] })).status,
    ).toBe(200);
    expect((await queue.complete(lease)).status).toBe(200);
    return made.body.task.id;
  }

  test('tells each change of every run that its reader may see, and nothing of others; resumes from any frame', async () => {
    const queue = await TestQueue.make(server, 'lifecycle');
    const admin = await follow('/streams');
    const member = await follow('/streams', yard.member.token);
    const stranger = await follow('/streams', yard.strangerKey);
    const ready = [
      await admin.until(({ event }) => event === 'ready'),
      await member.until(({ event }) => event === 'ready'),
    ];
    await stranger.until(({ event }) => event === 'ready');
    const shown = await workOne(queue, { visibility: 'organization' });
    const hidden = await workOne(queue, { visibility: 'private' });
    const last = await workOne(queue, { visibility: 'organization' });
    const isLast = ({ event, data }: Frame): boolean => event === 'run.completed' && data.task_id === last;
    const all = await admin.until(isLast);
    const some = await member.until(isLast);
    const life = (id: string): string[] => [`${id} run.queued`, `${id} run.started`, `${id} run.completed`];

    expect(words(all)).toEqual([...life(shown), ...life(hidden), ...life(last)]);
    expect(words(some)).toEqual([...life(shown), ...life(last)]);
    expect(all.find(({ event }) => event === 'run.started')?.data).toEqual({
      type: 'run.started',
      at: expect.any(String),
      task_id: shown,
      run_id: expect.any(String),
      run_number: 1,
      seq: 2,
      data: { status: 'running', attempt: 1 },
    });
    const places = [ready[1]?.at(-1)?.id ?? '', ...cursors(some)];
    for (const [index, cursor] of places.entries()) {
      const again = await follow('/streams', yard.member.token, { 'last-event-id': cursor });
      const rest = index === places.length - 1 ? [] : await again.until(isLast);
      again.close();
      expect(words(rest)).toEqual(words(some).slice(index));
    }
    // Whoever may read more gets more from the same cursor: it is a place, not a permission.
    const wider = await download(`/streams?after=${encodeURIComponent(ready[1]?.at(-1)?.id ?? '')}`);
    expect(wider).toContain(hidden);
    const whole = await download('/streams?after=0', yard.strangerKey);
    expect(whole).not.toContain('task_id');
    for (const reader of [admin, member, stranger]) reader.close();
  });

  test('never passes over what a transaction that began earlier commits later', async () => {
    const [slow, fast] = [await seedRun(server), await seedRun(server)];
    const reader = await follow('/streams');
    await reader.until(({ event }) => event === 'ready');
    const status = (run: SeededRun): [string, unknown[]] => [
      `insert into run_events (organization_id, run_id, first_seq, last_seq, events) values ($1, $2, 1, 1,
        jsonb_build_array(jsonb_build_object('seq', 1, 'type', 'status', 'at', '2030-01-31T09:00:00.000Z', 'data', '{"status": "running"}'::jsonb)))`,
      [run.organizationId, run.runId],
    ];
    const client = new Client({ connectionString: server.databaseUrl });
    await client.connect();
    await client.query('begin');
    await client.query(...status(slow));
    await appendEvents(server, fast, [{ type: 'status', data: { status: 'running' } }]);
    const during = await download('/streams?after=0');
    await client.query('commit');
    await client.end();
    const frames = await reader.until(({ data }) => data?.run_id === fast.runId);
    reader.close();

    expect(during).not.toContain(fast.runId);
    expect(told(frames).map(({ data }) => data.run_id)).toEqual([slow.runId, fast.runId]);
  });

  test('ends when its reader may no longer read, and shows nothing of a task that was taken away', async () => {
    const issued = await key(server, { name: 'dashboard', role: 'viewer' });
    const run = await seedRun(server);
    const reader = await follow('/streams', issued);
    await reader.until(({ event }) => event === 'ready');
    await server.database.execute(sql`update tasks set visibility = 'private' where id = ${run.taskId}`);
    await appendEvents(server, run, [{ type: 'status', data: { status: 'running' } }]);
    const open = await seedRun(server);
    await appendEvents(server, open, [{ type: 'status', data: { status: 'running' } }]);
    const frames = await reader.until(({ data }) => data?.run_id === open.runId);
    const keys = await server.call('GET', '/api/v1/api-keys?limit=100');
    const { id } = keys.body.data.find(({ name }: { name: string }) => name === 'dashboard');
    expect((await server.call('DELETE', `/api/v1/api-keys/${id}`)).status).toBe(204);
    const rest = await reader.until(() => false);

    expect(told(frames).map(({ data }) => data.run_id)).toEqual([open.runId]);
    expect(rest.at(-1)).toMatchObject({ event: 'reconnect', data: { reason: 'rights' } });
    expect((await get('/streams', issued)).status).toBe(401);
  });

  test('says so where a cursor is too old to be sure of, and knows no cursor that it did not give', async () => {
    const reader = await follow('/streams');
    const cursor = (await reader.until(({ event }) => event === 'ready')).at(-1)?.id ?? '';
    reader.close();
    server.clock.advance(25 * 60 * 60 * 1000);
    const late = await openSse(`${server.url}/api/v1/streams`, {
      as: await freshKey(),
      headers: { 'last-event-id': cursor },
    });
    const gap = await late.until(({ event }) => event === 'gap');
    late.close();
    expect(gap.at(-1)?.data).toEqual({ since: expect.any(String), until: expect.any(String) });
    for (const bad of ['1', '-2', `${cursor}x`, 'x'.repeat(1024)]) {
      expect((await get(`/streams?after=${encodeURIComponent(bad)}`)).body.code).toBe('invalid-cursor');
    }
    expect(await download('/streams?after=-1')).toContain('run.queued');
    expect(await download('/streams?after=')).not.toContain('run.queued');
    expect((await get('/streams?since=1')).status).toBe(400);
    expect((await get('/streams', null)).status).toBe(401);
    expect((await get('/streams', BOOTSTRAP_KEY, { accept: 'application/json' })).status).toBe(406);
    expect((await get('/streams', yard.workerKey)).status).toBe(403);
    const open = server.app.get(ConnectionRegistry);
    while (open.count > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(open.count).toBe(0);
  });

  /** The clock was moved: what was signed in with before may have run out. */
  async function freshKey(): Promise<string> {
    return key(server, { name: `fresh ${newId()}`, role: 'viewer' });
  }
});

test('a day after its end a log is kept in fewer rows, and reads the same from every cursor', async () => {
  const run = await seedRun(server);
  for (let batch = 0; batch < 30; batch += 1) await appendEvents(server, run, logEvents(3, 'x'.repeat(batch * 100)));
  await endRun(server, run);
  // Two rows that retention has taken, in the middle.
  await server.database.execute(sql`delete from run_events where run_id = ${run.runId} and first_seq in (31, 34)`);
  const read = async (): Promise<string[]> => {
    const pages = [];
    for (const after of [0, 1, 29, 31, 40, 90]) {
      pages.push(await download(`/streams/${run.runId}?after=${after}`));
    }
    return pages;
  };
  const rows = async (): Promise<number> => {
    const row = await server.database.row<{ count: string }>(
      sql`select count(*) as count from run_events where run_id = ${run.runId}`,
    );
    return Number(row?.count);
  };
  const before = await read();
  await server.app.get(StreamCompactor).sweep();
  expect(await rows()).toBe(29);
  await server.database.execute(
    sql`update runs set finished_at = finished_at - interval '2 days' where id = ${run.runId}`,
  );
  await server.app.get(StreamCompactor).sweep();

  expect(await rows()).toBeLessThan(10);
  expect(await read()).toEqual(before);
  expect(await server.app.get(StreamCompactor).sweep()).toBe(false);
});
