/**
 * A process whose clock is stepped while runs are leased, delayed and about to expire: nothing may happen early or late, since all of it
 * is decided by the database's clock. What counts is what is stored.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { builtPath } from '../support/build.js';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';
import type { ClockStep } from './rig/clock-step.js';
import type { Reply } from '../support/server.js';

const KEY = 'clock_key_clock_key_clock_key_clock_key_0001';
const HOUR_MS = 3_600_000;
const LOADED = ['test/faults/rig/orphan.ts', 'test/faults/rig/clock-step.ts'];

let database: TestDatabase;
let observer: Client;
let server: ChildProcess;
let folder: string;
let base: string;

beforeAll(async () => {
  database = await cloneDatabase();
  observer = new Client({ connectionString: database.url });
  await observer.connect();
  folder = await mkdtemp(join(tmpdir(), 'taskyard-clock-'));
  await chmod(folder, 0o755);
  server = spawn(
    process.execPath,
    [...LOADED.flatMap((file) => ['--import', builtPath(file)]), builtPath('src/main.ts')],
    {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        ROLE: 'api',
        PORT: '0',
        DATA_DIR: folder,
        DATABASE_URL: database.url,
        ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
        BOOTSTRAP_API_KEY: KEY,
        LOG_LEVEL: 'warn',
      },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    },
  );
  base = await new Promise<string>((resolve, reject) => {
    let text = '';
    server.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const url = /answers at (\S+)/.exec(text)?.[1];
      if (url !== undefined) resolve(url);
    });
    server.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)));
  });
  expect(
    (
      await call('POST', '/api/v1/agents', {
        slug: 'timed',
        kind: 'worker',
        max_attempts: 9,
        retry: { min_seconds: 0, max_seconds: 0 },
      })
    ).status,
  ).toBe(201);
}, 120_000);

afterAll(async () => {
  server.kill('SIGTERM');
  await once(server, 'exit');
  await observer.end();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function call(method: string, path: string, body?: object): Promise<{ status: number; body: Reply['body'] }> {
  const reply = await fetch(`${base}${path}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  return { status: reply.status, body: text === '' ? null : JSON.parse(text) };
}

async function step(clock: ClockStep): Promise<void> {
  const told = once(server, 'message');
  server.send(clock);
  await told;
}

async function task(more: object = {}): Promise<string> {
  const made = await call('POST', '/api/v1/tasks', { agent: 'timed', prompt: 'x', ...more });
  expect([made.status, made.body.code]).toEqual([201, undefined]);
  return made.body.stream.streamId;
}

async function claim(): Promise<{ runId: string; fence: string }> {
  const reply = await call('POST', '/api/v1/worker/claim', { agents: ['timed'], wait_seconds: 5 });
  expect([reply.status, reply.body.runs?.length]).toEqual([200, 1]);
  return { runId: reply.body.runs[0].run.id, fence: reply.body.runs[0].lease.fence };
}

/** One whose lease did run out is taken by the sweep; by then the sweep has looked at all others, under the clock as it is now. */
async function sweptOnce(): Promise<void> {
  const runId = await task();
  const { fence } = await claim();
  await observer.query(`update runs set lease_expires_at = clock_timestamp() where id = $1`, [runId]);
  const again = await claim();
  expect([again.runId, again.fence === fence]).toEqual([runId, false]);
  expect((await call('POST', `/api/v1/worker/runs/${runId}/complete`, { fence: again.fence, output: {} })).status).toBe(
    200,
  );
}

test.each<[string, ClockStep]>([
  ['an hour ahead', { offsetMs: HOUR_MS, isFrozen: false }],
  ['an hour back', { offsetMs: -HOUR_MS, isFrozen: false }],
  ['a day ahead', { offsetMs: 24 * HOUR_MS, isFrozen: false }],
  ['a day back', { offsetMs: -24 * HOUR_MS, isFrozen: false }],
  ['and stands still', { offsetMs: 0, isFrozen: true }],
])(
  'a clock that is stepped %s takes no lease early, starts and expires nothing early, and keeps nothing late',
  async (_, clock) => {
    const held = await task();
    const { runId, fence } = await claim();
    expect(runId).toBe(held);
    const delayed = await task({ delay: 1800 });
    const perishable = await task({ delay: 600, ttl: 600 });
    const scheduled = await call('POST', '/api/v1/tasks', {
      agent: 'timed',
      prompt: 'x',
      enabled: true,
      schedule: { every_seconds: 1800, catch_up: 'all' },
    });
    const scheduleId: string = scheduled.body.task.schedule_info.schedule_id;

    await step(clock);
    await sweptOnce();
    expect((await call('POST', `/api/v1/worker/runs/${held}/heartbeat`, { fence })).status).toBe(200);
    await sweptOnce();

    const rows = await observer.query(
      `select id, status, attempt, extract(epoch from lease_expires_at - clock_timestamp())::float8 as lease,
       extract(epoch from delayed_until - created_at)::float8 as delay, extract(epoch from expires_at - delayed_until)::float8 as ttl,
       abs(extract(epoch from created_at - clock_timestamp())) < 120 as "isDatedByDatabase"
     from runs where id = any($1) order by created_at`,
      [[held, delayed, perishable]],
    );
    const [one, two, three] = rows.rows;
    expect(one).toMatchObject({ id: held, status: 'running', attempt: 1, isDatedByDatabase: true });
    expect(one.lease).toBeGreaterThan(0);
    expect(one.lease).toBeLessThanOrEqual(60);
    expect(two).toMatchObject({ id: delayed, status: 'delayed', attempt: 0 });
    expect(Math.round(two.delay)).toBe(1800);
    expect(three).toMatchObject({ id: perishable, status: 'delayed', attempt: 0 });
    expect([Math.round(three.delay), Math.round(three.ttl)]).toEqual([600, 600]);

    // A slot half an hour ahead is not fired by a clock that is a day ahead, and one that has come is, once, whatever the clock says.
    expect((await call('GET', `/api/v1/schedules/${scheduleId}/slots`)).body.data).toEqual([]);
    await observer.query(
      `update schedules s set anchor_at = m.slot, next_at = m.slot, due_at = m.slot
       from (select date_trunc('milliseconds', clock_timestamp()) as slot) m where s.id = $1`,
      [scheduleId],
    );
    for (let left = 1; left > 0;) {
      left = (
        await observer.query(`select 1 from schedules where id = $1 and due_at <= clock_timestamp()`, [scheduleId])
      ).rows.length;
    }
    const fired = await observer.query(
      `select l.status, s.due_at = l.scheduled_at + interval '30 minutes' as "isNext", count(r.id)::int as runs
       from schedule_slots l join schedules s on s.id = l.schedule_id left join runs r on r.schedule_id = s.id
       where s.id = $1 group by 1, 2`,
      [scheduleId],
    );
    expect(fired.rows).toEqual([{ status: 'fired', isNext: true, runs: 1 }]);
    const fire = await claim();
    expect(
      (await call('POST', `/api/v1/worker/runs/${fire.runId}/complete`, { fence: fire.fence, output: {} })).status,
    ).toBe(200);

    // What is due by the database's clock happens, whatever this clock says.
    await observer.query(
      `update runs set delayed_until = clock_timestamp(), available_at = clock_timestamp() where id = $1`,
      [delayed],
    );
    const begun = await claim();
    expect(begun.runId).toBe(delayed);
    for (const [id, held] of [
      [delayed, begun.fence],
      [runId, fence],
    ]) {
      expect((await call('POST', `/api/v1/worker/runs/${id}/complete`, { fence: held, output: {} })).status).toBe(200);
    }
    await step({ offsetMs: 0, isFrozen: false });
  },
  120_000,
);
