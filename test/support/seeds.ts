import { EventBus, streamTopic } from '../../src/infrastructure/event-bus/event-bus.js';
import { jsonb, sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import type { TestServer } from './server.js';

/** A task with one run that no worker will ever take, put straight into the database: for tests of what is read of it. */
export interface SeededRun {
  organizationId: string;
  agentId: string;
  creatorId: string;
  taskId: string;
  runId: string;
}

export interface SeedOptions {
  visibility?: 'private' | 'team' | 'organization';
  teamId?: string;
  /** Another organisation than the first; made with `seedOrganization`. */
  organizationId?: string;
}

export async function firstOrganizationId(server: TestServer): Promise<string> {
  const row = await server.database.row<{ id: string }>(sql`select id from organizations where operates_instance`);
  if (row === null) {
    throw new Error('the server made no organisation');
  }
  return row.id;
}

export async function seedOrganization(server: TestServer): Promise<string> {
  const id = newId();
  await server.database.execute(
    sql`insert into organizations (id, slug, name) values (${id}, ${`seed-${id}`}, 'Seed')`,
  );
  return id;
}

/** A principal of its own, without a credential: a creator, or the issuer of links. */
export async function seedPrincipal(server: TestServer, organizationId: string, role = 'member'): Promise<string> {
  const id = newId();
  await server.database.execute(
    sql`insert into principals (organization_id, id, kind, role) values (${organizationId}, ${id}, 'api_key', ${role})`,
  );
  await server.database.execute(
    sql`insert into api_keys (organization_id, id, name) values (${organizationId}, ${id}, 'seed')`,
  );
  return id;
}

export async function seedRun(server: TestServer, options: SeedOptions = {}): Promise<SeededRun> {
  const { database } = server;
  const organizationId = options.organizationId ?? (await firstOrganizationId(server));
  const [agentId, taskId, runId] = [newId(), newId(), newId()];
  const creatorId = await seedPrincipal(server, organizationId);
  await database.execute(sql`insert into agents (organization_id, id, slug, name, kind)
    values (${organizationId}, ${agentId}, ${`seed-${agentId}`}, 'Seed', 'worker')`);
  await database.execute(sql`insert into tasks (organization_id, id, title, prompt, agent_id, visibility, team_id, created_by)
    values (${organizationId}, ${taskId}, 'Seed', 'Seed', ${agentId}, ${options.visibility ?? 'organization'}, ${options.teamId ?? null}, ${creatorId})`);
  await database.execute(sql`insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds,
      max_attempts, run_config, available_at, root_run_id)
    values (${organizationId}, ${runId}, ${taskId}, 1, ${agentId}, 'queued', 60, 60, 3, '{}', 'infinity', ${runId})`);
  await database.execute(sql`update tasks set status = 'queued', latest_run_id = ${runId}, latest_run_number = 1, run_count = 1
    where organization_id = ${organizationId} and id = ${taskId}`);
  return { organizationId, agentId, creatorId, taskId, runId };
}

export interface SeededEvent {
  type: string;
  data: Record<string, unknown>;
}

/** Appends one batch to the run's log and hints at it, as the run engine does. Answers the last number. */
export async function appendEvents(
  server: TestServer,
  run: SeededRun,
  events: readonly SeededEvent[],
  ends = false,
): Promise<number> {
  const count = events.length;
  const lastSeq = await server.database.transaction(async (tx) => {
    const counter = await tx.row<{ last_seq: string }>(sql`update runs set last_seq = last_seq + ${count}::int
      where organization_id = ${run.organizationId} and id = ${run.runId} returning last_seq`);
    const last = Number(counter?.last_seq);
    const numbered = events.map((event, index) => ({
      seq: last - count + 1 + index,
      type: event.type,
      at: '2030-01-31T09:00:00.000Z',
      data: event.data,
    }));
    await tx.execute(sql`insert into run_events (organization_id, run_id, first_seq, last_seq, events)
      values (${run.organizationId}, ${run.runId}, ${last - count + 1}, ${last}, ${jsonb(numbered)})`);
    if (ends) {
      await tx.execute(sql`update runs set status = 'completed', finished_at = clock_timestamp()
        where organization_id = ${run.organizationId} and id = ${run.runId}`);
      await tx.execute(
        sql`update tasks set status = 'completed' where organization_id = ${run.organizationId} and id = ${run.taskId}`,
      );
    }
    return last;
  });
  server.app.get(EventBus).publish(streamTopic(run.runId));
  return lastSeq;
}

/** Ends the run with its `end` event. */
export async function endRun(server: TestServer, run: SeededRun): Promise<number> {
  return appendEvents(server, run, [{ type: 'end', data: { status: 'completed', output: {}, error: null } }], true);
}

/** As many `log` events as asked for, each its own number in words. */
export function logEvents(count: number, text = 'line'): SeededEvent[] {
  return Array.from({ length: count }, (_, index) => ({ type: 'log', data: { text: `${text} ${index + 1}` } }));
}
