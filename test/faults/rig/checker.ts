/** Reads the database and the clients' journals after it is all over, and says what is wrong: nothing, one hopes. */
import { ENDS, LEGAL } from '../run-model.js';
import type { Created } from './creator.js';
import type { JournalLine } from './journal.js';
import type { TakenLease } from './nemesis.js';
import type { Observer } from './observer.js';

export interface Findings {
  violations: string[];
  runs: number;
  byStatus: Record<string, number>;
  appendsAcknowledged: number;
  /** Requests that tried to end a run whose end, or whose lease, was not theirs any more. */
  lateEndsRefused: number;
  refused: number;
  unknown: number;
}

/** Violations told of each kind. */
const TOLD = 10;

export async function check(
  observer: Observer,
  evidence: { created: Created; journal: readonly JournalLine[]; taken: readonly TakenLease[] },
): Promise<Findings> {
  const { created, journal, taken } = evidence;
  const violations = [
    ...(await lostCreates(observer, created)),
    ...(await unsoundRuns(observer)),
    ...(await unsoundRows(observer)),
    ...(await lateWrites(observer, taken)),
    ...(await unsoundAppends(observer, journal)),
    ...toldTwice(journal),
  ];
  const counted = await observer.rows<{ status: string; count: number }>(
    'select status, count(*)::int as count from runs group by 1',
  );
  const outcomes = (state: string, kinds: readonly string[] | null): number =>
    journal.filter((line) => line.state === state && (kinds === null || kinds.includes(line.kind))).length;
  return {
    violations,
    runs: counted.reduce((sum, { count }) => sum + count, 0),
    byStatus: Object.fromEntries(counted.map(({ status, count }) => [status, count])),
    appendsAcknowledged: outcomes('ok', ['append']),
    lateEndsRefused: outcomes('refused', ['complete', 'fail', 'release']),
    refused: outcomes('refused', null),
    unknown: outcomes('unknown', null),
  };
}

function told(what: string, cases: readonly string[]): string[] {
  const more = cases.length > TOLD ? [`${what}: and ${cases.length - TOLD} more`] : [];
  return [...cases.slice(0, TOLD).map((one) => `${what}: ${one}`), ...more];
}

/** What was acknowledged is there once; what nobody knows of, once at most; nothing else is. */
async function lostCreates(observer: Observer, created: Created): Promise<string[]> {
  const rows = await observer.rows<{ title: string; ids: string[]; runs: string[] }>(
    `select t.title, array_agg(distinct t.id::text) as ids, array_remove(array_agg(distinct r.id::text), null) as runs
     from tasks t left join runs r on r.task_id = t.id where t.title like 'run-%' group by t.title`,
  );
  const found = new Map(rows.map((row) => [row.title, row]));
  const asked = new Set([...created.acknowledged.map(({ title }) => title), ...created.unknown]);
  return [
    ...told('refused without reason', created.refused),
    ...told(
      'acknowledged and lost, or there twice',
      created.acknowledged.flatMap(({ title, taskId, runId }) => {
        const row = found.get(title);
        return row?.ids.join() === taskId && row.runs.join() === runId
          ? []
          : [`${title} is ${JSON.stringify(row)}, not ${taskId} ${runId}`];
      }),
    ),
    ...told(
      'there though nobody asked, or twice',
      rows
        .filter(({ title, ids, runs }) => !asked.has(title) || ids.length !== 1 || runs.length !== 1)
        .map(({ title }) => title),
    ),
  ];
}

/** Each run's log: numbered without gaps, along legal paths, with one end where it ended; the task and the attempts agree with it. */
async function unsoundRuns(observer: Observer): Promise<string[]> {
  const runs = await observer.rows<{
    id: string;
    status: string;
    path: string[];
    ends: number;
    gaps: boolean;
    attempts: boolean;
    mirror: boolean;
  }>(`
    with events as (
      select e.run_id, (o.one ->> 'seq')::bigint as seq, o.one ->> 'type' as type, o.one -> 'data' ->> 'status' as status,
        row_number() over (partition by e.run_id order by e.first_seq, o.position) as position
      from run_events e cross join lateral jsonb_array_elements(e.events) with ordinality as o (one, position)
    ), logs as (
      select run_id, array_agg(status order by seq) filter (where type = 'status') as path, count(*) filter (where type = 'end') as ends,
        bool_or(seq <> position) or count(*) <> max(seq) as gaps, max(seq) as last_seq
      from events group by run_id
    ), attempts as (
      select run_id, count(*) as count, max(number) as last, count(*) filter (where finished_at is null) as open from run_attempts group by run_id
    )
    select r.id, r.status, l.path, l.ends::int as ends, coalesce(l.gaps or l.last_seq <> r.last_seq, true) as gaps,
      coalesce(a.count, 0) = r.attempt and coalesce(a.last, 0) = r.attempt and coalesce(a.open, 0) = 0 as attempts,
      t.status = r.status or t.latest_run_id <> r.id as mirror
    from runs r join tasks t on t.id = r.task_id left join logs l on l.run_id = r.id left join attempts a on a.run_id = r.id`);
  const illegal = (path: readonly string[]): boolean =>
    path.slice(1).some((to, index) => LEGAL[path[index] ?? '']?.includes(to) !== true);
  return [
    ...told(
      'left over',
      runs.filter(({ status }) => !ENDS.includes(status)).map(({ id, status }) => `${id} is ${status}`),
    ),
    ...told(
      'ended other than once',
      runs.filter(({ ends }) => ends !== 1).map(({ id, ends }) => `${id} has ${ends} ends`),
    ),
    ...told(
      'on an illegal path',
      runs.filter(({ path }) => illegal(path)).map(({ id, path }) => `${id}: ${path.join(' ')}`),
    ),
    ...told(
      'at another end than its log',
      runs.filter(({ path, status }) => path.at(-1) !== status).map(({ id }) => id),
    ),
    ...told(
      'with gaps in its log',
      runs.filter(({ gaps }) => gaps).map(({ id }) => id),
    ),
    ...told(
      'with attempts that do not add up',
      runs.filter(({ attempts }) => !attempts).map(({ id }) => id),
    ),
    ...told(
      'shown otherwise by its task',
      runs.filter(({ mirror }) => !mirror).map(({ id }) => id),
    ),
  ];
}

/** What is counted is what counting finds. */
async function unsoundRows(observer: Observer): Promise<string[]> {
  const [row] = await observer.rows<{ slots: number; shown: number; unlisted: number; strays: number }>(`
    select (select count(*)::int from run_slots s where s.running <> (select count(*) from runs r
        where r.agent_id = s.agent_id and r.status = 'running' and r.agent_slot)) as slots,
      (select coalesce(sum(shown), 0) from task_counters)::int
        - (select count(*) from tasks where latest_run_id is not null and deleted_at is null)::int as shown,
      (select count(*)::int from (select id, status, created_at, updated_at from tasks where deleted_at is null) t
        full join task_listing l on (l.id, l.status, l.created_at, l.updated_at) = (t.id, t.status, t.created_at, t.updated_at)
        where l.id is null or t.id is null) as unlisted,
      (select count(*)::int from (select run_id from run_attempts union all select run_id from run_events union all
        select run_id from run_log_lines) x where not exists (select 1 from runs r where r.id = x.run_id)) as strays`);
  return [
    ...(row?.slots === 0 ? [] : [`slots that do not agree with counting: ${row?.slots}`]),
    ...(row?.shown === 0 ? [] : [`tasks counted too many: ${row?.shown}`]),
    ...(row?.unlisted === 0 ? [] : [`tasks that are listed otherwise than they are: ${row?.unlisted}`]),
    ...(row?.strays === 0 ? [] : [`attempts, events and lines of runs that are gone: ${row?.strays}`]),
  ];
}

/** Nothing of a lease that was taken was accepted after it was taken. */
async function lateWrites(observer: Observer, taken: readonly TakenLease[]): Promise<string[]> {
  const values = [taken.map(({ runId }) => runId), taken.map(({ fence }) => fence), taken.map(({ at }) => at)];
  const late = await observer.rows<{ what: string }>(
    `with taken as (select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) as t (run_id, fence, at))
     select 'events of ' || t.run_id as what from taken t join run_events e on e.run_id = t.run_id and e.fence = t.fence and e.created_at > t.at
     union all
     select 'the end of ' || t.run_id from taken t join runs r on r.id = t.run_id and r.release ->> 'fence' like t.fence || '.%'
       and coalesce(r.finished_at, r.queued_at) > t.at and r.fence = t.fence
     union all
     select 'an asset of ' || t.run_id from taken t join assets a on a.run_id = t.run_id and a.fence = t.fence and a.created_at > t.at`,
    values,
  );
  return told(
    'accepted from a frozen worker',
    late.map(({ what }) => what),
  );
}

/** Acknowledged batches are there once, under the number they were told, in the order they were sent. */
async function unsoundAppends(observer: Observer, journal: readonly JournalLine[]): Promise<string[]> {
  const rows = await observer.rows<{ key: string; count: number; last: number; texts: string[] }>(`
    select e.run_id || ' ' || e.fence || ' ' || e.batch_id as key, count(*)::int as count, max(e.last_seq)::int as last,
      array(select jsonb_array_elements_text(jsonb_path_query_array(jsonb_agg(e.events) -> 0, '$[*].data.text'))) as texts
    from run_events e join runs r on r.id = e.run_id join tasks t on t.id = r.task_id
    where e.batch_id is not null and t.title like 'run-%' group by e.run_id, e.fence, e.batch_id`);
  const found = new Map(rows.map((row) => [row.key, row]));
  const appends = journal.filter(({ kind }) => kind === 'append');
  const key = ({ runId, fence, batch }: JournalLine): string =>
    `${runId} ${fence.split('.', 1)[0] ?? ''} ${batch ?? ''}`;
  const asked = new Set(appends.map(key));
  const acknowledged = appends.filter(({ state }) => state === 'ok');
  const numbers = new Map<string, number>();
  const disordered = acknowledged.filter((line) => {
    const before = numbers.get(line.fence) ?? 0;
    numbers.set(line.fence, line.lastSeq ?? 0);
    return (line.lastSeq ?? 0) <= before;
  });
  return [
    ...told(
      'acknowledged append lost or changed',
      acknowledged
        .filter((line) => {
          const row = found.get(key(line));
          return row === undefined || row.last !== line.lastSeq || row.texts.join() !== line.texts?.join();
        })
        .map(key),
    ),
    ...told(
      'append there twice',
      rows.filter(({ count }) => count !== 1).map((row) => row.key),
    ),
    ...told(
      'append that nobody sent',
      rows.filter((row) => !asked.has(row.key)).map((row) => row.key),
    ),
    ...told('appends out of order', disordered.map(key)),
  ];
}

/** No two leases of a run were both told that they completed it. */
function toldTwice(journal: readonly JournalLine[]): string[] {
  const completed = new Map<string, Set<string>>();
  for (const { kind, state, runId, fence } of journal) {
    if (kind === 'complete' && state === 'ok') {
      completed.set(runId, (completed.get(runId) ?? new Set()).add(fence));
    }
  }
  return told(
    'told to two workers that it was theirs to end',
    [...completed].filter(([, fences]) => fences.size > 1).map(([runId]) => runId),
  );
}
