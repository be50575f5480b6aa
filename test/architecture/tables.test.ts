import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { cloneDatabase, type TestDatabase } from '../support/databases.js';
import { sources } from './sources.js';

/** Who writes which table. Anybody may join any table; only its owners write it. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  organizations: ['modules/organizations', 'modules/agents'],
  principals: ['modules/organizations', 'modules/auth'],
  users: ['modules/organizations'],
  teams: ['modules/organizations'],
  team_members: ['modules/organizations'],
  projects: ['modules/organizations'],
  project_shares: ['modules/organizations'],
  accounts: ['modules/organizations'],
  api_keys: ['modules/auth'],
  api_key_secrets: ['modules/auth'],
  api_key_teams: ['modules/auth'],
  api_key_agents: ['modules/auth'],
  refresh_families: ['modules/auth'],
  refresh_tokens: ['modules/auth'],
  login_throttles: ['modules/auth'],
  sealed_keys: ['infrastructure/keyring'],
  agents: ['modules/agents'],
  secrets: ['modules/secrets'],
  secret_versions: ['modules/secrets'],
  run_secrets: ['modules/secrets'],
  // Inserted with what it tells of; sealed, and in the end deleted, by the module.
  audit_events: ['infrastructure/audit-trail', 'modules/audit'],
  // Filled by a trigger of audit_events.
  audit_unsealed: ['modules/audit'],
  audit_seals: ['modules/audit'],
  audit_heads: ['modules/audit'],
  audit_checkpoints: ['modules/audit'],
  // The mirror of the latest run (status, latest_run_*, run_count, updated_at) is the run engine's, in the run's transaction.
  tasks: ['modules/tasks', 'modules/runs'],
  // Written by triggers of tasks only.
  task_listing: [],
  task_shares: ['modules/tasks'],
  task_counters: ['modules/runs'],
  // What is too old goes in the sweeps of retention, which change nothing else of these.
  runs: ['modules/runs', 'modules/retention'],
  run_attempts: ['modules/runs'],
  run_child_batches: ['modules/runs'],
  bulk_operations: ['modules/runs'],
  bulk_operation_runs: ['modules/runs'],
  // Slots are taken by claims and given back by a trigger of runs.
  run_slots: ['modules/runs'],
  agent_workers: ['modules/runs'],
  run_events: ['modules/streams', 'modules/retention'],
  run_log_lines: ['modules/streams', 'modules/retention'],
  stream_marks: ['modules/streams'],
  run_stops: ['modules/runs'],
  budgets: ['modules/budgets'],
  budget_counters: ['modules/budgets'],
  // Written by a trigger of runs only.
  usage_archive: [],
  retention_policies: ['modules/retention'],
  retention_marks: ['modules/retention'],
  messages: ['modules/messages'],
  assets: ['modules/assets'],
  asset_parts: ['modules/assets'],
  // Written by a trigger of assets only.
  asset_totals: [],
  schedules: ['modules/schedules'],
  webhook_endpoints: ['modules/webhooks'],
  signing_secrets: ['modules/webhooks'],
  // Filled by triggers of what is told of.
  outbox_messages: ['modules/webhooks'],
  deliveries: ['modules/webhooks'],
  delivery_lanes: ['modules/webhooks'],
  delivery_hosts: ['modules/webhooks'],
  schedule_slots: ['modules/schedules'],
  task_timezones: ['modules/schedules'],
  idempotency_records: ['database'],
};

const WRITES = /\b(?:insert\s+into|delete\s+from|(?<!\bfor\s+)(?<!\bkey\s+)(?<!\bdo\s+)update)\s+([a-z_]+)\b/gi;

let database: TestDatabase;
let client: Client;

beforeAll(async () => {
  database = await cloneDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

test('every table of the schema has an owner', async () => {
  const { rows } = await client.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'schema_migrations' order by 1`,
  );
  expect(rows.map((row) => row.name)).toEqual(Object.keys(OWNERS).sort());
});

test('only its owners write a table', () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const file of sources('src')) {
    const code = file.text.replaceAll(/\/\*[\s\S]*?\*\//g, '');
    for (const match of code.matchAll(WRITES)) {
      const table = (match[1] ?? '').toLowerCase();
      const owners = OWNERS[table];
      if (owners === undefined) {
        continue;
      }
      seen += 1;
      if (!owners.some((owner) => file.path.startsWith(`src/${owner}/`))) {
        wrong.push(`${file.path} writes ${table}`);
      }
    }
  }
  expect(wrong).toEqual([]);
  // The pattern must really find statements, or the check above could not fail.
  expect(seen).toBeGreaterThan(30);
});

test('every table of a tenant has the organisation first in its primary key', async () => {
  const { rows } = await client.query<{ name: string; first: string }>(`
    select c.relname as name, a.attname as first from pg_constraint k
      join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
    where k.contype = 'p' and n.nspname = 'public' and c.relname <> 'schema_migrations' order by 1`);
  const INSTANCE_WIDE = ['login_throttles', 'organizations', 'sealed_keys'];
  expect(rows.filter((row) => row.first !== 'organization_id').map((row) => row.name)).toEqual(INSTANCE_WIDE);
});

test('every foreign key between tables of a tenant carries the organisation', async () => {
  const { rows } = await client.query<{ name: string; columns: string[] }>(`
    select k.conname as name, array(select a.attname::text from unnest(k.conkey) with ordinality u (num, pos)
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num order by u.pos) as columns
    from pg_constraint k join pg_class f on f.oid = k.confrelid
    where k.contype = 'f' and f.relname <> 'organizations'`);
  expect(rows.length).toBeGreaterThan(20);
  const without = rows.filter(
    (row) => row.columns[0] !== 'organization_id' && row.name !== 'organizations_id_default_agent_id_fkey',
  );
  expect(without).toEqual([]);
});
