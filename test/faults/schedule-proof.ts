/**
 * Schedules under fault: virtual time runs through the changes of clocks in fourteen awkward zones while several schedulers fire at once,
 * each a little behind the other, and their connections are cut in the middle of transactions. What is in the ledger afterwards, and
 * what runs there are, is held against an oracle that knows no cron library.
 */
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { ScheduleDispatcher } from '../../src/modules/schedules/index.js';
import type { TestServer } from '../support/server.js';
import { drawPattern, type Pattern, slotsOf, wallClock } from './schedule-oracle.js';
import { seededRandom } from './rig/random.js';

export const ZONES = [
  'America/New_York',
  // Their gap in spring ends at midnight.
  'America/Nuuk',
  'America/Scoresbysund',
  'America/St_Johns',
  'America/Santiago',
  'Europe/London',
  'Africa/Cairo',
  'Africa/Casablanca',
  'Asia/Kathmandu',
  'Asia/Tehran',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Pacific/Apia',
  'Antarctica/Troll',
] as const;

export interface Proof {
  server: TestServer;
  seed: number;
  schedules: number;
  from: Date;
  days: number;
  /** How often a connection is cut. */
  kills: number;
  schedulers: number;
}

export interface Outcome {
  slots: number;
  kills: number;
  /** Sentences; none where all is well. */
  wrong: string[];
}

interface Given {
  id: string;
  pattern: Pattern;
  zone: string;
}

const HOUR_MS = 3_600_000;

export async function prove(proof: Proof): Promise<Outcome> {
  const random = seededRandom(proof.seed);
  const fromMs = proof.from.getTime();
  const toMs = fromMs + proof.days * 24 * HOUR_MS;
  const given = await insert(proof, random);
  const firing = proof.server.app.get(ScheduleDispatcher);
  while ((await firing.rearm(proof.from)) > 0);

  const killer = new Client({ connectionString: proof.server.databaseUrl });
  killer.on('error', () => undefined);
  await killer.connect();
  let kills = 0;
  try {
    const killEvery = (toMs - fromMs) / (proof.kills + 1);
    let nextKillMs = fromMs + killEvery;
    // Steps from a minute to two hours: some slots are on time, some late, some several at once.
    for (let nowMs = fromMs; nowMs < toMs; nowMs = Math.min(toMs, nowMs + 60_000 * Math.ceil(random() * 120))) {
      const turns = Array.from({ length: proof.schedulers }, (_, behind) =>
        firing.fire(new Date(nowMs - behind * 90_000)),
      );
      const cut = nowMs >= nextKillMs ? killOne(killer) : Promise.resolve(0);
      nextKillMs += nowMs >= nextKillMs ? killEvery : 0;
      // One that was cut has failed, and that is all right: what it left is as due as before.
      await Promise.allSettled(turns);
      kills += await cut;
    }
    while ((await firing.fire(new Date(toMs))) > 0);
  } finally {
    await killer.end();
  }
  return { ...(await check(proof, given, toMs)), kills };
}

/** Cuts a connection that is firing at this moment, asking until there is one or for long enough. */
async function killOne(killer: Client): Promise<number> {
  for (let tries = 0; tries < 200; tries += 1) {
    const { rowCount } = await killer.query(`
      select pg_terminate_backend(a.pid) from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start is not null
        and (a.query like '%schedule_slots%' or a.query like '%schedule_id%' or a.query like '%cursor_at%') limit 1`);
    if ((rowCount ?? 0) > 0) {
      return 1;
    }
  }
  return 0;
}

async function insert(proof: Proof, random: () => number): Promise<Given[]> {
  const drawn = Array.from({ length: proof.schedules }, (_, index) => ({
    pattern: drawPattern(random),
    zone: ZONES[index % ZONES.length] ?? 'UTC',
  }));
  const rows = await proof.server.database.rows<{ id: string; place: number }>(sql`
    with given as materialized (
      select g.cron, g.zone, g.place, gen_random_uuid() as task_id, gen_random_uuid() as id
      from unnest(${drawn.map(({ pattern }) => pattern.text)}::text[], ${drawn.map(({ zone }) => zone)}::text[]) with ordinality as g (cron, zone, place)
    ), who as (
      select o.id as organization_id, a.id as agent_id, p.id as created_by from organizations o
        join agents a on a.organization_id = o.id and a.slug = 'digest' join principals p on p.organization_id = o.id and p.kind = 'api_key'
      limit 1
    ), task as (
      insert into tasks (organization_id, id, title, prompt, agent_id, visibility, created_by)
      select w.organization_id, g.task_id, 'Proof', 'Proof', w.agent_id, 'organization', w.created_by from given g cross join who w
    )
    insert into schedules (organization_id, id, task_id, name, cron, timezone, created_by, cursor_at, ends_at, catch_up, catch_up_window_seconds)
    select w.organization_id, g.id, g.task_id, g.place::text, g.cron, g.zone, w.created_by, ${proof.from.toISOString()}::timestamptz,
      ${proof.from.toISOString()}::timestamptz + make_interval(days => ${proof.days}) + interval '1 millisecond', 'all', 31622400
    from given g cross join who w
    returning id, name::int as place`);
  const ids = new Map(rows.map(({ id, place }) => [place - 1, id]));
  return drawn.map((one, index) => ({ ...one, id: ids.get(index) ?? '' }));
}

async function check(proof: Proof, given: readonly Given[], toMs: number): Promise<{ slots: number; wrong: string[] }> {
  const { database } = proof.server;
  const fromMs = proof.from.getTime();
  const rows = await database.rows<{
    id: string;
    slots: number[];
    runs: number;
    distinct: number;
    made: number;
    count: number;
  }>(sql`
    select s.id, coalesce(array_agg((extract(epoch from l.scheduled_at) * 1000)::float8 order by l.scheduled_at)
        filter (where l.status in ('fired', 'late')), '{}') as slots,
      count(r.id)::int as runs, count(distinct r.id)::int as distinct, s.execution_count::int as count,
      (select count(*)::int from runs x where x.organization_id = s.organization_id and x.task_id = s.task_id) as made
    from schedules s left join schedule_slots l on l.organization_id = s.organization_id and l.schedule_id = s.id
      left join runs r on r.organization_id = l.organization_id and r.id = l.run_id and r.schedule_id = s.id
    where s.id = any(${given.map(({ id }) => id)}::uuid[])
    group by s.organization_id, s.id, s.task_id, s.execution_count`);
  const found = new Map(rows.map((row) => [row.id, row]));
  const clocks = new Map(ZONES.map((zone) => [zone, wallClock(zone, fromMs, toMs)]));
  const known = new Map<string, number[]>();
  const wrong: string[] = [];
  let slots = 0;
  for (const { id, pattern, zone } of given) {
    const key = `${pattern.text} ${zone}`;
    const clock = clocks.get(zone as (typeof ZONES)[number]) ?? new Map<number, number>();
    const expected = known.get(key) ?? slotsOf(pattern, clock, fromMs, toMs);
    known.set(key, expected);
    slots += expected.length;
    const row = found.get(id);
    const text = (list: readonly number[]): string => list.map((slot) => new Date(slot).toISOString()).join(' ');
    const missing = expected.filter((slot) => row?.slots.includes(slot) !== true);
    const extra = row?.slots.filter((slot) => !expected.includes(slot)) ?? [];
    if (missing.length + extra.length > 0) {
      wrong.push(`${key}: missing ${text(missing)}; extra ${text(extra)}`);
    }
    const counts = [row?.slots.length, row?.runs, row?.distinct, row?.made, row?.count];
    if (counts.some((count) => count !== expected.length)) {
      wrong.push(
        `${key}: ${expected.length} slots, but ledger, runs, different runs, all runs, count are ${counts.join(', ')}`,
      );
    }
  }
  return { slots, wrong };
}
