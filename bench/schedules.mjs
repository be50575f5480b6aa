// Many schedules due in one minute: from the moment they are due to the last run inserted, beside the bare limit: the same rows written
// by plain SQL, without us. In each round ours and the bare take turns, each with tasks and schedules of its own.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { BENCH_KEY, median, ROOT_KEY, startDatabase } from './harness.mjs';

const { values } = parseArgs({
  options: {
    /** Due in the one minute. */
    schedules: { type: 'string', default: '20000' },
    /** Different pairs of expression and time zone among them. */
    pairs: { type: 'string', default: '1000' },
    /** Schedules that are not due, beside them. */
    others: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '3' },
    /** Processes that fire. */
    processes: { type: 'string', default: '1' },
  },
});
const [count, pairs, others, rounds, processes] = ['schedules', 'pairs', 'others', 'rounds', 'processes'].map((name) =>
  Number(values[name]),
);
const ZONES = ['UTC', 'Europe/London', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Santiago'];

async function startEngine(environment) {
  const child = fork(join(import.meta.dirname, 'schedules/engine.mjs'), {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return {
    async ask(deed) {
      const told = once(child, 'message');
      child.send(deed);
      return (await told)[0];
    },
    async stop() {
      child.send('close');
      await once(child, 'exit');
    },
  };
}

/** Tasks with a schedule each; `due` in so many seconds, or armed for a far day. */
async function seed(client, { batch, size, dueInSeconds }) {
  const { rows } = await client.query(`select o.id as organization, a.id as agent, p.id as creator from organizations o
    join agents a on a.organization_id = o.id and a.slug = 'benched'
    join principals p on p.organization_id = o.id and p.kind = 'api_key' limit 1`);
  const { organization, agent, creator } = rows[0];
  await client.query(
    `insert into tasks (organization_id, id, title, prompt, agent_id, visibility, created_by)
     select $1, gen_random_uuid(), $4::text || n, 'Sum up what is new', $2, 'organization', $3 from generate_series(1, $5::int) n`,
    [organization, agent, creator, batch, size],
  );
  // Every expression fires each minute of some hours, so all are due in any minute, and the search for the next is a real one.
  await client.query(
    `insert into schedules (organization_id, id, task_id, name, cron, timezone, created_by, cursor_at, next_at, due_at, tz_version)
     select t.organization_id, gen_random_uuid(), t.id, $2, (t.n % 60) || ' ' || ((t.n / 60) % 24) || ' * * *', ($4::text[])[1 + t.n % cardinality($4::text[])],
       t.created_by, m.due - interval '1 day', m.due, m.due, $5
     from (select t.*, (row_number() over ())::int % $3::int as n from tasks t where t.organization_id = $1 and t.title like $2 || '%') t
     cross join (select date_trunc('second', clock_timestamp() + make_interval(secs => $6::float8)) as due) m`,
    [organization, batch, pairs, ZONES, process.versions.tz, dueInSeconds],
  );
  await client.query('vacuum analyze tasks, schedules, runs, run_events, schedule_slots');
  await client.query('checkpoint');
  return organization;
}

async function ours(client, engines, batch) {
  const far = 86_400 * 300;
  await seed(client, { batch, size: count, dueInSeconds: far });
  const due = await client.query(
    `update schedules set next_at = m.due, due_at = m.due, cursor_at = m.due - interval '1 day'
     from (select date_trunc('second', clock_timestamp() + make_interval(secs => 3 + $2::int / 50000.0)) as due) m where name = $1 returning m.due::text as due`,
    [batch, count],
  );
  await client.query('vacuum analyze schedules');
  for (const engine of engines) await engine.ask('watch');
  const at = due.rows[0].due;
  for (;;) {
    const { rows } = await client.query(
      `select count(*)::int as left from schedules s where s.due_at <= $1::timestamptz and s.name = $2`,
      [at, batch],
    );
    if (rows[0].left === 0) break;
    await delay(200);
  }
  const seen = await Promise.all(engines.map((engine) => engine.ask('seen')));
  const { rows } = await client.query(
    `select extract(epoch from max(r.created_at) - $1::timestamptz) * 1000 as ms, count(*)::int as runs,
       percentile_cont(0.5) within group (order by extract(epoch from r.created_at - $1::timestamptz) * 1000) as p50,
       percentile_cont(0.99) within group (order by extract(epoch from r.created_at - $1::timestamptz) * 1000) as p99
     from schedules s join schedule_slots l on l.organization_id = s.organization_id and l.schedule_id = s.id and l.scheduled_at = $1::timestamptz
       join runs r on r.organization_id = l.organization_id and r.id = l.run_id where s.name = $2`,
    [at, batch],
  );
  if (rows[0].runs !== count) throw new Error(`${rows[0].runs} runs of ${count}`);
  return { ...rows[0], ms: Number(rows[0].ms), seen };
}

/** The same rows by one statement a table, in one transaction. */
async function bare(client, batch) {
  await seed(client, { batch, size: count, dueInSeconds: 86_400 * 300 });
  const begun = performance.now();
  await client.query('begin');
  await client.query(
    `create temporary table fired on commit drop as
     select s.organization_id, s.id as schedule_id, s.task_id, s.next_at, s.created_by, gen_random_uuid() as run_id from schedules s where s.name = $1`,
    [batch],
  );
  await client.query(`update tasks t set run_count = t.run_count + 1, latest_run_id = f.run_id, latest_run_number = t.run_count + 1,
    status = 'queued', updated_at = clock_timestamp() from fired f where t.organization_id = f.organization_id and t.id = f.task_id`);
  const inserting = performance.now();
  await client.query(`insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts,
      priority, run_config, tags, metadata, created_by, queued_at, root_run_id, schedule_id, last_seq)
    select f.organization_id, f.run_id, f.task_id, t.run_count, t.agent_id, 'queued', a.lease_seconds, a.timeout_seconds, a.max_attempts, t.priority,
      jsonb_build_object('agent_id', a.id, 'agent_ids', jsonb_build_array(a.id), 'ask_question', true, 'auto_execute', true, 'max_iterations', 5,
        'max_steps', 100, 'model', null, 'sandbox_id', null), t.tags, t.metadata, f.created_by, clock_timestamp(), f.run_id, f.schedule_id, 1
    from fired f join tasks t on t.organization_id = f.organization_id and t.id = f.task_id
      join agents a on a.organization_id = t.organization_id and a.id = t.agent_id`);
  const insertMs = performance.now() - inserting;
  await client.query(`insert into run_events (organization_id, run_id, first_seq, last_seq, events)
    select f.organization_id, f.run_id, 1, 1, jsonb_build_array(jsonb_build_object('seq', 1, 'type', 'status', 'at', iso_utc(clock_timestamp()),
      'data', jsonb_build_object('status', 'queued', 'attempt', 0))) from fired f`);
  await client.query(`insert into schedule_slots (organization_id, schedule_id, scheduled_at, due_at, status, run_id, tz_version)
    select f.organization_id, f.schedule_id, f.next_at, f.next_at, 'fired', f.run_id, '2025c' from fired f`);
  await client.query(`update schedules s set cursor_at = s.next_at, next_at = s.next_at + interval '1 day', due_at = s.due_at + interval '1 day',
    execution_count = s.execution_count + 1, last_executed_at = clock_timestamp(), last_slot_at = s.next_at, last_run_id = f.run_id
    from fired f where s.organization_id = f.organization_id and s.id = f.schedule_id`);
  await client.query('commit');
  return { ms: performance.now() - begun, insertMs };
}

const database = await startDatabase();
const engines = [];
const client = new pg.Client({ connectionString: database.url });
try {
  for (let index = 0; index < processes; index += 1) {
    engines.push(
      await startEngine({
        DATABASE_URL: database.url,
        DATA_DIR: database.folder,
        ROOT_KEY,
        BOOTSTRAP_API_KEY: BENCH_KEY,
        ROLE: 'api',
        LOG_LEVEL: 'warn',
      }),
    );
  }
  await client.connect();
  await client.query(`insert into agents (organization_id, id, slug, name, kind)
    select id, gen_random_uuid(), 'benched', 'Benched', 'worker' from organizations`);
  if (others > 0) await seed(client, { batch: 'other ', size: others, dueInSeconds: 86_400 * 200 });
  const table = [];
  for (let round = 1; round <= rounds; round += 1) {
    const limit = await bare(client, `bare ${round} `);
    const own = await ours(client, engines, `ours ${round} `);
    const of = (name) => Math.round(Math.max(...own.seen.map((one) => one[name])));
    table.push({
      round,
      'ours ms': Math.round(own.ms),
      'same rows, bare ms': Math.round(limit.ms),
      'only the runs, bare ms': Math.round(limit.insertMs),
      ratio: Number((limit.ms / own.ms).toFixed(2)),
      'lag p50 ms': Math.round(own.p50),
      'lag p99 ms': Math.round(own.p99),
      'worst stall ms': of('stallMs'),
      'peak MiB': of('peakMib'),
      'CPU ms': of('cpuMs'),
    });
  }
  console.log(
    `${count} schedules due at once, ${pairs} pairs of expression and zone, ${others} more not due, ${processes} process(es)`,
  );
  console.table(table);
  console.log(
    `median ratio ${median(table.map((row) => row.ratio))}, median ms ${median(table.map((row) => row['ours ms']))}`,
  );
} finally {
  await client.end();
  for (const engine of engines) await engine.stop();
  await database.stop();
}
