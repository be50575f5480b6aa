import { Readable } from 'node:stream';
import { blobKey } from '../../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../../src/infrastructure/blob-store/blob-store.js';
import { join, jsonb, sql } from '../../../src/database/sql.js';
import { newId } from '../../../src/kernel/ids.js';
import type { TestServer } from '../../support/server.js';

/** What a request is about, by what its path and body call it. */
export type Ids = Record<string, string>;

/** The things of one organisation that objects refer to. */
export interface Ground {
  organizationId: string;
  agentId: string;
  /** Made everything that is nobody's own. */
  creatorId: string;
  /** A team that tasks and projects are to be shared with, and one that they are shared with already. */
  shareTeamId: string;
  sharedTeamId: string;
}

export interface TaskShape {
  createdBy: string;
  teamId?: string | null;
  projectId?: string | null;
  visibility: 'private' | 'team' | 'organization';
  share?: { teamId: string; access: 'read' | 'write' } | null;
  /** Whom a run of it asks, and waits for. */
  asksId?: string;
}

/** The tool call that a run waits with which is to be approved. */
export const CALL_ID = 'matrix-call';

export interface TaskState {
  /** Its one run is over; else it is queued, and no worker will ever take it. */
  ended: boolean;
  withSchedule: boolean;
  /** Its run waits for that, whether it is to have ended or not. */
  waits?: 'question' | 'approval' | undefined;
}

/** Bytes of every asset here. */
export const BYTES = Buffer.from('seven bytes or so');
const SHA256 = 'a'.repeat(64);

/** A task with a run, its log, a message, an asset, a share with `sharedTeamId`, and perhaps a schedule: one statement. */
export async function insertTask(server: TestServer, ground: Ground, shape: TaskShape, state: TaskState): Promise<Ids> {
  const { organizationId: organization } = ground;
  const [task, run, asking, asset, schedule] = [newId(), newId(), newId(), newId(), newId()];
  const waits = state.waits ?? null;
  const ended = state.ended && waits === null;
  // Beside a run that waits for something else, or does not wait at all, one that asks.
  const asks = shape.asksId !== undefined && waits !== 'question';
  const status = waits === null ? (ended ? 'completed' : 'queued') : 'waiting';
  const wait = {
    id: run,
    question: 'Matrix?',
    options: null,
    default: null,
    call_id: CALL_ID,
    name: 'matrix',
    input: null,
  };
  const end = { seq: 1, type: 'end', at: '2030-01-31T09:00:00.000Z', data: { status, output: {}, error: null } };
  const shares = [{ teamId: ground.sharedTeamId, access: 'read' }, ...(shape.share == null ? [] : [shape.share])];
  await server.database.execute(sql`
    with a_task as (
      insert into tasks (organization_id, id, title, prompt, agent_id, team_id, project_id, visibility, created_by, status,
        latest_run_id, latest_run_number, run_count)
      values (${organization}, ${task}, 'Matrix', 'Matrix', ${ground.agentId}, ${shape.teamId ?? null}, ${shape.projectId ?? null},
        ${shape.visibility}, ${shape.createdBy}, ${status}, ${run}, 1, ${asks ? 2 : 1})
    ), a_run as (
      insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config,
        available_at, root_run_id, last_seq, finished_at, wait_kind, wait, wait_since, wait_assignee_id)
      values (${organization}, ${run}, ${task}, 1, ${ground.agentId}, ${status}, 60, 60, 3, '{}', 'infinity', ${run}, 1,
        ${ended ? sql`clock_timestamp()` : sql`null`}, ${waits}::text, ${waits === null ? null : JSON.stringify(wait)}::jsonb,
        ${waits === null ? sql`null` : sql`clock_timestamp()`}, ${waits === 'question' ? (shape.asksId ?? null) : null}::uuid)
    ), another_run as (
      insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config,
        root_run_id, last_seq, wait_kind, wait, wait_since, wait_assignee_id)
      select ${organization}::uuid, ${asking}::uuid, ${task}::uuid, 2, ${ground.agentId}::uuid, 'waiting', 60, 60, 3, '{}', ${asking}::uuid, 0,
        'question', ${JSON.stringify(wait)}::jsonb, clock_timestamp(), ${shape.asksId ?? null}::uuid
      where ${asks}
    ), a_log as (
      insert into run_events (organization_id, run_id, first_seq, last_seq, events)
      values (${organization}, ${run}, 1, 1, ${jsonb([ended ? end : { ...end, type: 'status' }])})
    ), a_message as (
      insert into messages (organization_id, id, task_id, run_id, role, parts)
      values (${organization}, ${newId()}, ${task}, ${run}, 'user', '[{"type":"text","text":"Matrix"}]')
    ), an_asset as (
      insert into assets (organization_id, id, task_id, run_id, name, type, content_type, size_bytes, sha256, status)
      values (${organization}, ${asset}, ${task}, ${run}, 'matrix.png', 'image', 'image/png', ${BYTES.length}, ${SHA256}, 'ready')
    ), a_schedule as (
      insert into schedules (organization_id, id, task_id, name, cron, timezone, created_by, next_at, due_at)
      select ${organization}::uuid, ${schedule}::uuid, ${task}::uuid, 'Matrix', '0 9 * * *', 'UTC', ${shape.createdBy}::uuid, '2100-01-01Z', '2100-01-01Z'
      where ${state.withSchedule}
    )
    insert into task_shares (organization_id, task_id, team_id, access)
    values ${join(shares.map(({ teamId, access }) => sql`(${organization}, ${task}, ${teamId}, ${access})`))}`);
  return {
    task,
    run,
    asset,
    schedule,
    share_team: ground.shareTeamId,
    shared_team: ground.sharedTeamId,
    organization,
  };
}

export async function keepBytes(server: TestServer, { organization = '', asset = '' }: Ids): Promise<void> {
  await server.app
    .get(BlobStore)
    .put(blobKey(organization, asset, 'original'), Readable.from([BYTES]), { maxBytes: 1024 });
}

/** A webhook, and something that could not be delivered to it. */
export async function insertWebhook(server: TestServer, organizationId: string, creatorId: string): Promise<Ids> {
  const [webhook, delivery, message] = [newId(), newId(), newId()];
  await server.database.execute(sql`
    with an_endpoint as (
      insert into webhook_endpoints (organization_id, id, url, events, created_by)
      values (${organizationId}, ${webhook}, 'https://hooks.example.com/', '{schedule.missed}', ${creatorId})
    ), a_secret as (
      insert into signing_secrets (organization_id, id, endpoint_id, version, sealed, root_key_id, last_four)
      select ${organizationId}::uuid, ${newId()}::uuid, ${webhook}::uuid, 1, '\\x00', k.root_key_id, 'none' from sealed_keys k limit 1
    ), a_message as (
      insert into outbox_messages (organization_id, id, kind, type, body)
      values (${organizationId}, ${message}, 'test', 'webhook.test', '{}')
    )
    insert into deliveries (organization_id, id, message_id, endpoint_id, lane_id, status, next_attempt_at)
    values (${organizationId}, ${delivery}, ${message}, ${webhook}, ${webhook}, 'failed', null)`);
  return { webhook, delivery };
}

export async function insertTeam(server: TestServer, organizationId: string): Promise<string> {
  const id = newId();
  await server.database.execute(
    sql`insert into teams (organization_id, id, name, slug) values (${organizationId}, ${id}, 'Matrix', ${`m-${id}`})`,
  );
  return id;
}

export async function joinTeam(
  server: TestServer,
  organizationId: string,
  teamId: string,
  userId: string,
): Promise<void> {
  await server.database.execute(sql`
    insert into team_members (organization_id, team_id, user_id, role) values (${organizationId}, ${teamId}, ${userId}, 'viewer')
    on conflict do nothing`);
}

export async function insertProject(
  server: TestServer,
  organizationId: string,
  createdBy: string,
  options: { teamId?: string | null; shares?: readonly { teamId: string; access: 'read' | 'write' }[] },
): Promise<string> {
  const id = newId();
  await server.database.execute(sql`insert into projects (organization_id, id, name, team_id, created_by)
    values (${organizationId}, ${id}, 'Matrix', ${options.teamId ?? null}, ${createdBy})`);
  for (const { teamId, access } of options.shares ?? []) {
    await server.database.execute(sql`insert into project_shares (organization_id, project_id, team_id, access)
      values (${organizationId}, ${id}, ${teamId}, ${access})`);
  }
  return id;
}

/** An account; of a person, it takes the place of the one they have. */
export async function insertAccount(
  server: TestServer,
  organizationId: string,
  createdBy: string | null,
  userId: string | null,
): Promise<string> {
  const id = newId();
  await server.database.execute(
    sql`delete from accounts where organization_id = ${organizationId} and user_id = ${userId}`,
  );
  await server.database.execute(sql`insert into accounts (organization_id, id, name, kind, user_id, created_by)
    values (${organizationId}, ${id}, 'Matrix', 'artist', ${userId}, ${createdBy})`);
  return id;
}

export async function insertUser(server: TestServer, organizationId: string, role: string): Promise<string> {
  const id = newId();
  await insertPrincipal(server, organizationId, id, 'user', role);
  await server.database.execute(sql`insert into users (organization_id, id, email, display_name)
    values (${organizationId}, ${id}, ${`${id}@matrix.example`}, 'Matrix')`);
  return id;
}

export async function insertKey(server: TestServer, organizationId: string, role: string): Promise<string> {
  const id = newId();
  await insertPrincipal(server, organizationId, id, 'api_key', role);
  await server.database.execute(
    sql`insert into api_keys (organization_id, id, name) values (${organizationId}, ${id}, 'Matrix')`,
  );
  return id;
}

/** With a slug a worker's; without one an http agent, of which every route about an agent has something to say. */
/** A bulk operation that is over. */
export async function insertOperation(server: TestServer, organizationId: string, createdBy: string): Promise<string> {
  const id = newId();
  await server.database.execute(sql`
    insert into bulk_operations (organization_id, id, action, filter, dry_run, status, principal_id, created_by, matched, finished_at)
    values (${organizationId}, ${id}, 'cancel', '{"agent":"matrix"}', true, 'completed', ${createdBy}, ${createdBy}, 0, clock_timestamp())`);
  return id;
}

export async function insertAgent(server: TestServer, organizationId: string, slug?: string): Promise<string> {
  const id = newId();
  const [kind, config] = slug === undefined ? ['http', '{"url": "https://agents.example.com/"}'] : ['worker', '{}'];
  await server.database.execute(sql`insert into agents (organization_id, id, slug, name, kind, config)
    values (${organizationId}, ${id}, ${slug ?? `m-${id}`}, 'Matrix', ${kind}, ${config}::jsonb)`);
  return id;
}

async function insertPrincipal(
  server: TestServer,
  organizationId: string,
  id: string,
  kind: string,
  role: string,
): Promise<void> {
  await server.database.execute(
    sql`insert into principals (organization_id, id, kind, role) values (${organizationId}, ${id}, ${kind}, ${role})`,
  );
}
