/** Tasks in every state, put straight into the database: for tests of how the surfaces show them. Imports nothing of the sources. */
import sql, { type Sql } from 'sql-template-tag';
import { v7 } from 'uuid';
import type { TestServer } from '../../support/server.js';

export type State =
  'delayed' | 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'timed_out' | 'expired' | 'canceled';

export const STATES: readonly State[] = [
  'delayed',
  'queued',
  'running',
  'waiting',
  'completed',
  'failed',
  'timed_out',
  'expired',
  'canceled',
];

export interface AssetRow {
  name?: string;
  type?: string;
  status?: 'pending' | 'uploading' | 'processing' | 'ready' | 'failed';
}

export interface TaskRow {
  organizationId: string;
  createdBy: string;
  title?: string;
  visibility?: 'private' | 'team' | 'organization';
  teamId?: string;
  enabled?: boolean;
  accountId?: string;
  artistAccountId?: string;
  /** Runs of the task, oldest first; none leaves it idle. */
  runs?: readonly RunRow[];
  assets?: readonly AssetRow[];
}

export interface RunRow {
  status: State;
  /** Log lines, one array for each appended batch. */
  lines?: readonly (readonly string[])[];
  output?: Record<string, unknown>;
  error?: { message: string; name: string; stack_trace: string | null };
  attempts?: readonly { status: 'running' | 'completed' | 'failed' | 'timed_out' | 'canceled' | 'lost' }[];
}

export interface AddedTask {
  id: string;
  runIds: string[];
  assetIds: string[];
}

/** The first organisation, its bootstrap key's principal, and its default agent. */
export async function firstOrganization(server: TestServer): Promise<{ id: string; keyId: string; agentId: string }> {
  const row = await server.database.row<{ id: string; keyId: string; agentId: string }>(sql`
    select o.id, k.id as "keyId", o.default_agent_id as "agentId"
    from organizations o join api_keys k on k.organization_id = o.id and k.is_bootstrap where o.operates_instance`);
  if (row === null) {
    throw new Error('the server made no organisation');
  }
  return row;
}

const ENDED: readonly State[] = ['completed', 'failed', 'timed_out', 'expired', 'canceled'];

/** Adds a task as the services would have left it, counters included. */
export async function addTask(server: TestServer, task: TaskRow): Promise<AddedTask> {
  const id = v7();
  const runs = (task.runs ?? []).map((run) => ({ ...run, id: v7() }));
  const latest = runs.at(-1);
  const visibility = task.visibility ?? 'organization';
  await execute(
    server,
    sql`
    insert into tasks (organization_id, id, title, prompt, agent_id, visibility, team_id, created_by, enabled, account_id, artist_account_id)
    select o.id, ${id}::uuid, ${task.title ?? 'A task'}, 'Do it.', o.default_agent_id, ${visibility}, ${task.teamId ?? null}::uuid,
      ${task.createdBy}::uuid, ${task.enabled ?? true}::boolean, ${task.accountId ?? null}::uuid, ${task.artistAccountId ?? null}::uuid
    from organizations o where o.id = ${task.organizationId}`,
  );
  for (const [index, run] of runs.entries()) {
    await addRun(server, task.organizationId, id, run, index + 1);
  }
  if (latest !== undefined) {
    await execute(
      server,
      sql`update tasks set status = ${latest.status}, latest_run_id = ${latest.id}, latest_run_number = ${runs.length},
      run_count = ${runs.length} where organization_id = ${task.organizationId} and id = ${id}`,
    );
    await execute(
      server,
      sql`insert into task_counters as c (organization_id, shard, shown, shown_private)
      values (${task.organizationId}, 3, 1, ${visibility === 'private' ? 1 : 0})
      on conflict (organization_id, shard) do update set shown = c.shown + 1, shown_private = c.shown_private + excluded.shown_private`,
    );
  }
  const assetIds: string[] = [];
  for (const asset of task.assets ?? []) {
    assetIds.push(await addAsset(server, task.organizationId, id, latest?.id ?? null, asset));
  }
  return { id, runIds: runs.map((run) => run.id), assetIds };
}

/** As many completed tasks as asked for, in two statements; answers their ids, newest first. */
export async function addManyTasks(server: TestServer, task: TaskRow, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => v7());
  const runIds = ids.map(() => v7());
  const visibility = task.visibility ?? 'organization';
  await execute(
    server,
    sql`
    insert into tasks (organization_id, id, title, prompt, agent_id, visibility, team_id, created_by, status, latest_run_id, latest_run_number, run_count, artist_account_id, created_at)
    select o.id, n.id, 'Task ' || n.place, 'Do it.', o.default_agent_id, ${visibility}, ${task.teamId ?? null}::uuid, ${task.createdBy}::uuid,
      'completed', n.run_id, 1, 1, ${task.artistAccountId ?? null}::uuid, clock_timestamp() + make_interval(secs => n.place / 3)
    from organizations o, unnest(${ids}::uuid[], ${runIds}::uuid[]) with ordinality as n (id, run_id, place)
    where o.id = ${task.organizationId}`,
  );
  await execute(
    server,
    sql`
    insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config, root_run_id, finished_at)
    select t.organization_id, t.latest_run_id, t.id, 1, t.agent_id, 'completed', 60, 60, 3, '{}', t.latest_run_id, clock_timestamp()
    from tasks t where t.organization_id = ${task.organizationId} and t.id = any(${ids}::uuid[])`,
  );
  await execute(
    server,
    sql`insert into task_counters as c (organization_id, shard, shown, shown_private)
    values (${task.organizationId}, 5, ${count}, ${visibility === 'private' ? count : 0})
    on conflict (organization_id, shard) do update set shown = c.shown + excluded.shown, shown_private = c.shown_private + excluded.shown_private`,
  );
  const ordered = await server.database.rows<{ id: string }>(
    sql`select id from tasks where id = any(${ids}::uuid[]) order by created_at desc, id desc`,
  );
  return ordered.map((row) => row.id);
}

async function addRun(
  server: TestServer,
  organizationId: string,
  taskId: string,
  run: RunRow & { id: string },
  number: number,
): Promise<void> {
  const isRunning = run.status === 'running';
  const started = run.status !== 'queued' && run.status !== 'delayed' && run.status !== 'expired';
  await execute(
    server,
    sql`
    insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config,
      root_run_id, available_at, wait_kind, fence, fence_nonce, lease_expires_at, started_at, finished_at, output, error, cost_in_cents)
    select t.organization_id, ${run.id}::uuid, t.id, ${number}::int, t.agent_id, ${run.status}, 60, 60, 3, '{}', ${run.id}::uuid, 'infinity',
      ${run.status === 'waiting' ? 'question' : null}::text, 1, ${isRunning ? 'nonce' : null}::text,
      ${isRunning ? sql`clock_timestamp() + interval '1 hour'` : sql`null::timestamptz`}, ${started ? sql`clock_timestamp()` : sql`null::timestamptz`},
      ${ENDED.includes(run.status) ? sql`clock_timestamp() + interval '1.25 seconds'` : sql`null::timestamptz`},
      ${run.output === undefined ? null : JSON.stringify(run.output)}::jsonb, ${run.error === undefined ? null : JSON.stringify(run.error)}::jsonb, 1.5
    from tasks t where t.organization_id = ${organizationId} and t.id = ${taskId}`,
  );
  let next = 1;
  for (const lines of run.lines ?? []) {
    await execute(
      server,
      sql`insert into run_log_lines (organization_id, run_id, first_seq, lines) values (${organizationId}, ${run.id}, ${next}, ${lines}::text[])`,
    );
    next += lines.length;
  }
  for (const [index, attempt] of (run.attempts ?? []).entries()) {
    await execute(
      server,
      sql`insert into run_attempts (organization_id, run_id, number, status, worker_id, started_at, finished_at)
      values (${organizationId}, ${run.id}, ${index + 1}, ${attempt.status}, 'w', clock_timestamp(),
        ${attempt.status === 'running' ? sql`null::timestamptz` : sql`clock_timestamp()`})`,
    );
  }
}

async function addAsset(
  server: TestServer,
  organizationId: string,
  taskId: string,
  runId: string | null,
  asset: AssetRow,
): Promise<string> {
  const id = v7();
  const isReady = (asset.status ?? 'ready') === 'ready';
  await execute(
    server,
    sql`
    insert into assets (organization_id, id, task_id, run_id, name, type, content_type, status, size_bytes, sha256)
    values (${organizationId}, ${id}, ${taskId}, ${runId}::uuid, ${asset.name ?? 'chart.png'}, ${asset.type ?? 'image'}, 'image/png',
      ${asset.status ?? 'ready'}, ${isReady ? 3 : null}::bigint, ${isReady ? 'ab'.repeat(32) : null}::text)`,
  );
  return id;
}

async function execute(server: TestServer, statement: Sql): Promise<void> {
  await server.database.execute(statement);
}

const TRIES = 8;

/**
 * The fewest statements that one of several equal calls took, of those that ask for a key or in the name of an organisation: a caller's do,
 * the sweeps of the server over all of them do not. What is left of its own work (sealing a trail) can only add to a count.
 */
export async function countingQueries<Value>(
  server: TestServer,
  work: () => Promise<Value>,
): Promise<{ value: Value; count: number }> {
  const organizations = await server.database.rows<{ id: string }>(sql`select id from organizations`);
  const counts: number[] = [];
  const observer = (text: string, values: readonly unknown[]): void => {
    if (/\bapi_keys\b/.test(text) || organizations.some(({ id }) => values.includes(id))) {
      counts[counts.length - 1] = (counts.at(-1) ?? 0) + 1;
    }
  };
  server.database.observers.add(observer);
  try {
    counts.push(0);
    let value = await work();
    while (counts.length < TRIES) {
      counts.push(0);
      value = await work();
    }
    return { value, count: Math.min(...counts) };
  } finally {
    server.database.observers.delete(observer);
  }
}

/** Makes the database fail from the n-th read that builds a reply on, while `work` runs; sweeps go on undisturbed. */
export async function failingFrom<Value>(server: TestServer, nth: number, work: () => Promise<Value>): Promise<Value> {
  let seen = 0;
  const observer = (text: string): void => {
    if (!text.includes(' as body')) {
      return;
    }
    seen += 1;
    if (seen >= nth) {
      throw new Error('secret detail: select * from principals');
    }
  };
  server.database.observers.add(observer);
  try {
    return await work();
  } finally {
    server.database.observers.delete(observer);
  }
}
