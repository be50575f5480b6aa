// Rows to read: tasks with a finished run, three messages, two assets and ten log lines each.
import pg from 'pg';

export async function seed(url, count) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    `select o.id as organization, a.id as agent, k.id as creator from organizations o
       join agents a on a.organization_id = o.id and a.slug = 'digest'
       join principals k on k.organization_id = o.id and k.kind = 'api_key' limit 1`,
  );
  const { organization, agent, creator } = rows[0];
  const steps = [
    `insert into tasks (organization_id, id, title, prompt, agent_id, visibility, created_by, status, latest_run_id, latest_run_number, run_count, created_at)
     select $1, gen_random_uuid(), 'Task ' || n, 'Digest the text number ' || n, $2, 'organization', $3, 'completed', gen_random_uuid(), 1, 1,
       clock_timestamp() - make_interval(secs => n) from generate_series(1, $4::int) n`,
    `insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config, output,
       root_run_id, created_by, created_at, started_at, finished_at, attempt, last_seq)
     select organization_id, latest_run_id, id, 1, agent_id, 'completed', 60, 3600, 3, jsonb_build_object('agent_id', $2::uuid, 'agent_ids', jsonb_build_array($2::uuid),
       'ask_question', true, 'auto_execute', true, 'max_iterations', 0, 'max_steps', 100, 'model', null, 'sandbox_id', null),
       '{"summary": "short"}', latest_run_id, $3, created_at, created_at, created_at + interval '2 seconds', 1, 12
     from tasks where organization_id = $1 and latest_run_id is not null and $4::int > 0`,
    `insert into run_attempts (organization_id, run_id, number, status, worker_id, started_at, finished_at)
     select organization_id, id, 1, 'completed', 'bench', started_at, finished_at from runs where organization_id = $1 and $2::uuid is not null and $3::uuid is not null and $4::int > 0`,
    `insert into run_log_lines (organization_id, run_id, first_seq, lines)
     select organization_id, id, 3, array(select 'line ' || l from generate_series(1, 10) l) from runs where organization_id = $1 and $2::uuid is not null and $3::uuid is not null and $4::int > 0`,
    `insert into messages (organization_id, id, task_id, run_id, role, parts, created_by, created_at)
     select t.organization_id, gen_random_uuid(), t.id, t.latest_run_id, case when m = 1 then 'user' else 'assistant' end,
       jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Message ' || m || ' of some length, as people write them.')), $3, t.created_at + make_interval(secs => m)
     from tasks t, generate_series(1, 3) m where t.organization_id = $1 and $2::uuid is not null and $4::int > 0`,
    `insert into assets (organization_id, id, task_id, run_id, name, type, content_type, size_bytes, sha256, status, created_by, created_at)
     select t.organization_id, gen_random_uuid(), t.id, t.latest_run_id, 'chart-' || m || '.png', 'image', 'image/png', 1000, repeat('ab', 32), 'ready', $3, t.created_at
     from tasks t, generate_series(1, 2) m where t.organization_id = $1 and $2::uuid is not null and $4::int > 0`,
    `insert into task_counters (organization_id, shard, shown, shown_private) select $1, 0, $4::int, 0 where $2::uuid is not null and $3::uuid is not null
     on conflict (organization_id, shard) do update set shown = task_counters.shown + excluded.shown`,
  ];
  for (const step of steps) {
    await client.query(step, [organization, agent, creator, count]);
  }
  await client.query('vacuum analyze');
  const task = await client.query(
    `select id from tasks where organization_id = $1 order by created_at desc offset 5 limit 1`,
    [organization],
  );
  await client.end();
  return { organization, taskId: task.rows[0].id };
}
