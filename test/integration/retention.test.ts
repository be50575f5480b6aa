import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { blobKey } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { newId } from '../../src/kernel/ids.js';
import { RetentionSweeper } from '../../src/modules/retention/index.js';
import { BulkWorker } from '../../src/modules/runs/index.js';
import { key, person } from '../support/actors.js';
import { firstOrganizationId } from '../support/seeds.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

const DEFAULTS = { events_days: 30, logs_days: 30, payloads_days: 90, runs_days: 365, assets_days: 365 };
const FOR_EVER = { events_days: null, logs_days: null, payloads_days: null, runs_days: null, assets_days: null };

let server: TestServer;
let organizationId: string;
let serial = 0;
let agent: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  organizationId = await firstOrganizationId(server);
});

afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  agent = `agent-${serial}`;
  await server.call('POST', '/api/v1/agents', { body: { slug: agent, name: agent, kind: 'worker' } });
  await server.call('PATCH', '/api/v1/retention', { body: DEFAULTS });
  // Runs finish in the order of time; tests age them in theirs.
  await server.database.execute(sql`delete from retention_marks`);
  await server.database.execute(
    sql`delete from runs r using tasks t where t.id = r.task_id and t.latest_run_id <> r.id`,
  );
  await server.database.execute(sql`update runs set finished_at = clock_timestamp() where finished_at is not null`);
  await server.database.execute(sql`update assets set created_at = clock_timestamp()`);
});

async function task(): Promise<{ taskId: string; runId: string }> {
  const made = await server.call('POST', '/api/v1/tasks', { body: { agent, prompt: 'work', payload: { in: 1 } } });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return { taskId: made.body.task.id, runId: made.body.stream.streamId };
}

/** Resolves once a statement waits for another's lock. */
async function untilBlocked(): Promise<void> {
  const isBlocked = sql`select 1 from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0`;
  while ((await server.database.row(isBlocked)) === null);
}

/** Helps the worker until the bulk operation is over, and answers it as it is then. */
async function finishedBulk(id: string): Promise<Reply['body']> {
  for (;;) {
    await server.app.get(BulkWorker, { strict: false }).turn();
    const { body } = await server.call('GET', `/api/v1/bulk-operations/${id}`);
    if (body.status !== 'running') {
      return body;
    }
  }
}

async function again(taskId: string): Promise<string> {
  const made = await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
  expect(made.status).toBe(201);
  return made.body.id;
}

async function claim(): Promise<{ runId: string; fence: string }> {
  const { body } = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent] } });
  return { runId: body.runs[0].run.id, fence: body.runs[0].lease.fence };
}

/** Runs what is queued to its end, with two events in its log and a line. */
async function finish(): Promise<string> {
  const { runId, fence } = await claim();
  const events = [
    { type: 'log', data: { text: 'a line' } },
    { type: 'delta', data: { text: 'word' } },
  ];
  await server.call('POST', `/api/v1/worker/runs/${runId}/events`, { body: { fence, events } });
  const ended = await server.call('POST', `/api/v1/worker/runs/${runId}/complete`, {
    body: { fence, output: { out: 1 } },
  });
  expect(ended.status).toBe(200);
  return runId;
}

async function age(runId: string, days: number): Promise<void> {
  await server.database.execute(
    sql`update runs set finished_at = clock_timestamp() - make_interval(days => ${days}) where id = ${runId}`,
  );
}

async function asset(taskId: string, runId: string | null, days: number): Promise<string> {
  const id = newId();
  const bytes = Readable.from([Buffer.from('bytes')]);
  const { sizeBytes, sha256 } = await server.app
    .get(BlobStore)
    .put(blobKey(organizationId, id, 'original'), bytes, { maxBytes: 100 });
  await server.database.execute(sql`
    insert into assets (organization_id, id, task_id, run_id, name, type, content_type, size_bytes, sha256, status, created_at)
    values (${organizationId}, ${id}, ${taskId}, ${runId}, 'a.txt', 'file', 'text/plain', ${sizeBytes}, ${sha256}, 'ready',
      clock_timestamp() - make_interval(days => ${days}))`);
  return id;
}

async function keeps(assetId: string): Promise<{ row: boolean; bytes: boolean }> {
  const row = (await server.call('GET', `/api/v1/assets/${assetId}`)).status === 200;
  return { row, bytes: (await server.app.get(BlobStore).stat(blobKey(organizationId, assetId, 'original'))) !== null };
}

async function sweep(): Promise<void> {
  while (await server.app.get(RetentionSweeper).sweep());
}

async function dryRun(body: object = {}): Promise<Reply['body']> {
  const reply = await server.call('POST', '/api/v1/retention/dry-run', { body });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.body;
}

async function count(table: 'run_events' | 'run_log_lines', runId: string): Promise<number> {
  const rows = table === 'run_events' ? sql`run_events` : sql`run_log_lines`;
  return (await server.database.rows(sql`select 1 from ${rows} where run_id = ${runId}`)).length;
}

describe('how long things are kept', () => {
  test('has defaults, is patched, keeps for ever where null, and is each organization’s own', async () => {
    const other = await server.call('POST', '/api/v1/organizations', {
      body: {
        name: 'Elsewhere',
        slug: 'elsewhere',
        owner: { email: 'o@elsewhere.example', password: 'correct horse battery staple' },
      },
    });
    expect(other.status).toBe(201);
    const login = await server.call('POST', '/api/v1/auth/login', {
      as: null,
      body: { email: 'o@elsewhere.example', password: 'correct horse battery staple' },
    });
    const stranger = await key(server, { name: 'stranger', role: 'admin' }, login.body.access_token);
    const patched = await server.call('PATCH', '/api/v1/retention', { body: { events_days: 7, assets_days: null } });
    expect([patched.status, patched.body]).toEqual([200, { ...DEFAULTS, events_days: 7, assets_days: null }]);
    expect((await server.call('GET', '/api/v1/retention')).body).toEqual(patched.body);
    expect((await server.call('GET', '/api/v1/retention', { as: stranger })).body).toEqual(DEFAULTS);
  });

  test.each([
    [{ events_days: 0 }],
    [{ runs_days: 36_501 }],
    [{ logs_days: 1.5 }],
    [{ payloads_days: '30' }],
    [{ messages_days: 1 }],
  ])('refuses what cannot be: %j', async (body) => {
    expect((await server.call('PATCH', '/api/v1/retention', { body })).status).toBe(400);
    expect((await server.call('POST', '/api/v1/retention/dry-run', { body })).status).toBe(400);
  });

  test('is for admins only', async () => {
    const member = await person(server, 'retention-member', 'member');
    const statuses = await Promise.all([
      server.call('GET', '/api/v1/retention', { as: member.token }),
      server.call('PATCH', '/api/v1/retention', { as: member.token, body: {} }),
      server.call('POST', '/api/v1/retention/dry-run', { as: member.token, body: {} }),
    ]);
    expect(statuses.map((reply) => reply.status)).toEqual([403, 403, 403]);
  });
});

describe('a sweep', () => {
  test('takes the events and lines of old runs, whose streams then tell of a gap, and nothing of young ones', async () => {
    const { taskId, runId: old } = await task();
    await finish();
    const { runId: young } = await task();
    await finish();
    await age(old, 31);
    await age(young, 29);
    expect(await dryRun()).toMatchObject({
      events: { count: 6, more: false },
      logs: { count: 1, more: false },
      payloads: { count: 0 },
    });
    await sweep();
    expect([await count('run_events', old), await count('run_log_lines', old)]).toEqual([0, 0]);
    expect([await count('run_events', young), await count('run_log_lines', young)]).toEqual([4, 1]);
    expect((await server.call('GET', `/api/v1/runs/${old}`)).body).toMatchObject({
      status: 'completed',
      output: { out: 1 },
      last_seq: 6,
    });
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).status).toBe(200);

    const page = (await server.call('GET', `/api/v1/streams/${old}/events?after=0&limit=100`)).body;
    expect(page).toMatchObject({ data: [], ended: true, last_seq: 6, gap: { from: 1, to: 6, oldest_seq: 7 } });
    const stream = await server.call('GET', `/api/v1/streams/${old}`);
    expect(stream.text).toContain('event: gap');
    expect(stream.text).toContain('"from":1,"to":6');
    expect(await dryRun()).toMatchObject({ events: { count: 0 }, logs: { count: 0 } });
  });

  test('takes payload and output of old runs, also out of their last event, and leaves the task its own', async () => {
    await server.call('PATCH', '/api/v1/retention', { body: { events_days: null } });
    const { taskId, runId } = await task();
    await finish();
    await age(runId, 91);
    expect(await dryRun()).toMatchObject({ events: { count: 0 }, payloads: { count: 1 }, runs: { count: 0 } });
    await sweep();
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).body).toMatchObject({
      payload: null,
      output: null,
      status: 'completed',
    });
    const { data } = (await server.call('GET', `/api/v1/streams/${runId}/events?after=0&limit=100`)).body;
    expect(data.at(-1)).toMatchObject({ type: 'end', data: { status: 'completed', output: null } });
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.payload).toEqual({ in: 1 });
    const replay = await server.call('POST', `/api/v1/runs/${runId}/replay`, { body: {} });
    expect([replay.status, replay.body.code]).toEqual([409, 'conflict']);
    expect(replay.body.detail).toContain('payloads_days');
    const bulk = await server.call('POST', '/api/v1/bulk-operations', {
      body: { action: 'replay', filter: { agent } },
    });
    expect([bulk.status, bulk.body.matched]).toEqual([202, 1]);
    expect(await finishedBulk(bulk.body.id)).toMatchObject({ status: 'completed', done: 0, failed: 1 });
    expect((await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data).toHaveLength(1);
  });

  test('that takes the payload of a run while it is replayed makes the replay a conflict, not a run without one', async () => {
    const { taskId, runId } = await task();
    await finish();
    const sweeping = new Client({ connectionString: server.databaseUrl });
    await sweeping.connect();
    try {
      await sweeping.query('begin');
      await sweeping.query('update runs set payload_deleted = true, payload = null where id = $1', [runId]);
      const replaying = server.call('POST', `/api/v1/runs/${runId}/replay`, { body: {} });
      await Promise.race([replaying, untilBlocked()]);
      await sweeping.query('commit');
      expect((await replaying).status).toBe(409);
    } finally {
      await sweeping.end();
    }
    expect((await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data).toHaveLength(1);
  });

  test('takes old runs with what hangs on them, but the latest of each task, and later that one too', async () => {
    const { taskId, runId: first } = await task();
    await finish();
    const second = await again(taskId);
    await finish();
    await age(first, 400);
    await age(second, 390);
    expect(await dryRun()).toMatchObject({ runs: { count: 1, more: false } });
    await sweep();
    const runs = async () =>
      (await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data.map(({ id }: { id: string }) => id);
    expect(await runs()).toEqual([second]);
    expect(await count('run_events', first)).toBe(0);
    expect((await server.call('GET', `/api/v1/runs/${first}`)).status).toBe(404);

    const third = await again(taskId);
    await finish();
    await age(third, 366);
    await sweep();
    expect(await runs()).toEqual([third]);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task).toMatchObject({
      id: taskId,
      status: 'completed',
    });
  });

  test('keeps a tree of runs together until all of it is old', async () => {
    const { taskId, runId: root } = await task();
    await finish();
    const child = await again(taskId);
    await finish();
    const latest = await again(taskId);
    await finish();
    await server.database.execute(
      sql`update runs set parent_run_id = ${root}, root_run_id = ${root}, depth = 1 where id = ${child}`,
    );
    await age(root, 400);
    await age(child, 300);
    await sweep();
    expect((await server.call('GET', `/api/v1/runs/${root}`)).status).toBe(200);
    await age(child, 366);
    await sweep();
    expect((await server.call('GET', `/api/v1/runs/${root}`)).status).toBe(404);
    expect((await server.call('GET', `/api/v1/runs/${child}`)).status).toBe(404);
    expect((await server.call('GET', `/api/v1/runs/${latest}`)).status).toBe(200);
  });

  test('takes old files, bytes and rows, but of no task with a run under way', async () => {
    const { taskId, runId } = await task();
    await finish();
    const old = await asset(taskId, runId, 366);
    const young = await asset(taskId, runId, 364);
    const busy = await task();
    const needed = await asset(busy.taskId, null, 500);
    expect(await dryRun()).toMatchObject({ assets: { count: 1, bytes: 5, more: false } });
    await sweep();
    expect(await keeps(old)).toEqual({ row: false, bytes: false });
    expect(await keeps(young)).toEqual({ row: true, bytes: true });
    expect(await keeps(needed)).toEqual({ row: true, bytes: true });
    await finish();
    await sweep();
    expect(await keeps(needed)).toEqual({ row: false, bytes: false });
  });

  test('leaves a file that is to be kept to its task when its run goes', async () => {
    await server.call('PATCH', '/api/v1/retention', { body: { assets_days: null } });
    const { taskId, runId } = await task();
    await finish();
    const file = await asset(taskId, runId, 1_000);
    await again(taskId);
    await finish();
    await age(runId, 1_000);
    await sweep();
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).status).toBe(404);
    expect(await keeps(file)).toEqual({ row: true, bytes: true });
    expect((await server.call('GET', `/api/v1/assets/${file}`)).body).toMatchObject({ task_id: taskId, run_id: null });
  });

  test('takes nothing of a run that has not ended, however old it is', async () => {
    const { runId } = await task();
    const lease = await claim();
    await server.call('POST', `/api/v1/worker/runs/${runId}/events`, {
      body: { fence: lease.fence, events: [{ type: 'log', data: { text: 'still here' } }] },
    });
    await server.database
      .execute(sql`update runs set created_at = created_at - interval '3 years', started_at = started_at - interval '3 years'
      where id = ${runId}`);
    await server.database.execute(
      sql`update run_events set created_at = created_at - interval '3 years' where run_id = ${runId}`,
    );
    await sweep();
    expect([await count('run_events', runId), await count('run_log_lines', runId)]).toEqual([3, 1]);
    expect((await server.call('GET', `/api/v1/runs/${runId}`)).body.payload).toEqual({ in: 1 });
  });

  test('takes nothing where all is kept for ever, and a dry run can be tried with other days', async () => {
    await server.call('PATCH', '/api/v1/retention', { body: FOR_EVER });
    const { runId } = await task();
    await finish();
    await age(runId, 10_000);
    await sweep();
    expect(await count('run_events', runId)).toBe(4);
    expect(await dryRun()).toMatchObject({
      policy: FOR_EVER,
      events: { count: 0 },
      logs: { count: 0 },
      payloads: { count: 0 },
    });
    expect(await dryRun({ events_days: 1, payloads_days: 1 })).toMatchObject({
      policy: { ...FOR_EVER, events_days: 1, payloads_days: 1 },
      events: { count: 6 },
      payloads: { count: 1 },
    });
    expect(await count('run_events', runId)).toBe(4);
  });

  test('by several at once, over more rows than one batch, takes all of it once', async () => {
    const { runId } = await task();
    await finish();
    await server.database.execute(sql`
      insert into run_events (organization_id, run_id, first_seq, last_seq, events)
      select ${organizationId}, ${runId}, n, n, jsonb_build_array(jsonb_build_object('seq', n, 'type', 'delta', 'at', 'then', 'data', '{}'::jsonb))
      from generate_series(1001, 2300) n`);
    await age(runId, 40);
    expect((await dryRun()).events.count).toBe(1_306);
    await Promise.all(Array.from({ length: 4 }, () => sweep()));
    await sweep();
    expect(await count('run_events', runId)).toBe(0);
  });

  test('looks at what is due through an index, past what is done with', async () => {
    const { runId } = await task();
    await finish();
    await age(runId, 40);
    await sweep();
    // As of a table that is large: the mark is part of what the index is asked for, so that a probe reads only what is behind it.
    const plan = await server.database.transaction(async (tx) => {
      await tx.execute(sql`set local enable_seqscan = off`);
      await tx.execute(sql`set local enable_bitmapscan = off`);
      const lines = await tx.rows<
        Record<string, string>
      >(sql`explain select r.id from runs r where r.organization_id = ${organizationId}
        and r.finished_at < now() - make_interval(days => 30) and (r.finished_at, r.id) > (
          coalesce((select m.finished_at from retention_marks m where m.organization_id = ${organizationId} and m.class = 'events'), '-infinity'),
          coalesce((select m.run_id from retention_marks m where m.organization_id = ${organizationId} and m.class = 'events'), ${runId}::uuid))
        order by r.finished_at, r.id limit 200`);
      return lines.map((line) => line['QUERY PLAN']).join('\n');
    });
    expect(plan).toMatch(/Index (Only )?Scan using runs_finished/);
    expect(plan).toMatch(/Index Cond: .*finished_at < .*ROW\(finished_at, id\) >/);
    const marks = await server.database.rows(
      sql`select class from retention_marks where organization_id = ${organizationId} order by class`,
    );
    expect(marks).toEqual([{ class: 'events' }, { class: 'logs' }]);
  });
});
