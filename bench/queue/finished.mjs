// Finished runs to have in the table: a task, an attempt and two batches of events each. Answers how many there were before.
import pg from 'pg';

/** Rows of one statement, so that none takes the disk for long. */
const SLICE = 50_000;

export async function finished(url, count) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows: before } = await client.query('select count(*)::int as count from runs where finished_at is not null');
  const { rows } = await client.query(
    `select a.organization_id as organization, a.id as agent, p.id as creator from agents a
       join principals p on p.organization_id = a.organization_id and p.kind = 'api_key' where a.slug = 'benched' limit 1`,
  );
  const { organization, agent, creator } = rows[0];
  for (let made = 0; made < count; made += SLICE) {
    const slice = Math.min(SLICE, count - made);
    await client.query(
      `with made as (
         select gen_random_uuid() as task, gen_random_uuid() as run, clock_timestamp() - interval '30 days' + make_interval(secs => n) as at
         from generate_series(1, $4::int) n
       ), t as (
         insert into tasks (organization_id, id, title, prompt, agent_id, visibility, created_by, status, latest_run_id, latest_run_number, run_count, created_at)
         select $1, task, 'Old', 'x', $2, 'organization', $3, 'completed', run, 1, 1, at from made
       ), r as (
         insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config, output,
           root_run_id, created_by, created_at, queued_at, available_at, started_at, finished_at, attempt, last_seq)
         select $1, run, task, 1, $2, 'completed', 60, 3600, 3, '{}', '{}', run, $3, at, at, at, at, at + interval '2 seconds', 1, 4 from made
       ), a as (
         insert into run_attempts (organization_id, run_id, number, status, worker_id, started_at, finished_at)
         select $1, run, 1, 'completed', 'bench', at, at + interval '2 seconds' from made
       )
       insert into run_events (organization_id, run_id, first_seq, last_seq, events)
       select $1, run, first, first + 1, jsonb_build_array(jsonb_build_object('seq', first, 'type', 'status', 'at', '2030-01-31T09:00:00.000Z',
         'data', jsonb_build_object('status', 'running', 'attempt', 1)), jsonb_build_object('seq', first + 1, 'type', case first when 3 then 'end' else 'status' end,
         'at', '2030-01-31T09:00:00.000Z', 'data', jsonb_build_object('status', 'completed')))
       from made, (values (1), (3)) as s (first)`,
      [organization, agent, creator, slice],
    );
  }
  if (count > 0) {
    await client.query('vacuum analyze');
  }
  await client.end();
  return before[0].count;
}
