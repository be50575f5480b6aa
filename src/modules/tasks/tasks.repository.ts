/** The statements that change tasks. Lock order is task, then run, everywhere. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { RowLimits } from '../../database/row-limits.js';
import { contributableTask, manageableTask, readableTask, tenant } from '../../database/scope.sql.js';
import { type Sql, any, assignments, join, jsonb, sql } from '../../database/sql.js';
import { readableAccount, readableProject, readableTeam } from '../organizations/index.js';
import type { Visibility } from './tasks.schema.js';

/** What decides a task, as far as its makers decide it. */
export interface TaskValues {
  title: string;
  prompt: string;
  payload: unknown;
  model: string | null;
  runConfig: Record<string, unknown>;
  agentId: string;
  projectId: string | null;
  teamId: string | null;
  visibility: Visibility;
  accountId: string | null;
  artistAccountId: string | null;
  isIsolated: boolean;
  callback: string | null;
  secretNames: readonly string[];
  tags: readonly string[];
  metadata: Record<string, unknown>;
  enabled: boolean;
  maxAttempts: number | null;
  priority: number;
  /** Of every run that names no other. */
  concurrencyKey: string | null;
}

/** A task locked for a change, with what the actor may do to it. */
export interface LockedTask {
  mayContribute: boolean;
  mayManage: boolean;
  hasRun: boolean;
  enabled: boolean;
  teamId: string | null;
  visibility: Visibility;
  model: string | null;
  runConfig: Record<string, unknown>;
  payload: unknown;
  metadata: Record<string, unknown>;
  secretNames: string[];
  agentId: string;
}

/** What a task may refer to, as this actor stands to it. */
export interface References {
  teamId: string | null;
  projectId: string | null;
  accountId: string | null;
  artistAccountId: string | null;
}

/** `absent` is also what the actor may not know of; `seen` may be read, but not worked in. */
export type TaskAccess = 'absent' | 'seen' | 'open';

export interface ReferenceAccess {
  team: TaskAccess;
  project: TaskAccess;
  hasAccount: boolean;
  hasArtistAccount: boolean;
  /** The account of the person behind the actor. */
  ownAccountId: string | null;
}

@Injectable()
export class TasksRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /** How the actor stands to what a task is to refer to; null ids are answered for as if given and found. */
  async standings(
    scope: WriteScope,
    tx: Tx,
    { teamId, projectId, accountId, artistAccountId }: References,
  ): Promise<ReferenceAccess | null> {
    const account = (id: string | null): Sql =>
      id === null
        ? sql`true`
        : sql`exists (select 1 from accounts a where ${readableAccount(scope, 'a')} and a.id = ${id})`;
    return tx.row<ReferenceAccess & Record<string, unknown>>(sql`
      select
        ${
          teamId === null
            ? sql`'open'`
            : sql`coalesce((select case when ${worksInTeam(scope, sql`m.id`)} then 'open' else 'seen' end
                from teams m where ${readableTeam(scope, 'm')} and m.id = ${teamId}), 'absent')`
        } as team,
        ${
          projectId === null
            ? sql`'open'`
            : sql`coalesce((select case when ${worksInProject(scope)} then 'open' else 'seen' end
                from projects p where ${readableProject(scope, 'p')} and p.id = ${projectId}), 'absent')`
        } as project,
        ${account(accountId)} as "hasAccount",
        ${account(artistAccountId)} as "hasArtistAccount",
        (select a.id from accounts a where ${tenant(scope, 'a')} and a.user_id = ${scope.actor.userId}::uuid) as "ownAccountId"`);
  }

  /** Inserts tasks, in the order given; one statement, however many. */
  async insert(scope: WriteScope, tx: Tx, tasks: readonly (TaskValues & { id: string })[]): Promise<void> {
    await this.rowLimits.assertRoom(scope, tx, 'tasks', tasks.length);
    const rows = tasks.map((task) => ({
      id: task.id,
      title: task.title,
      prompt: task.prompt,
      payload: task.payload,
      model: task.model,
      run_config: task.runConfig,
      agent_id: task.agentId,
      project_id: task.projectId,
      team_id: task.teamId,
      visibility: task.visibility,
      account_id: task.accountId,
      artist_account_id: task.artistAccountId,
      is_isolated: task.isIsolated,
      callback: task.callback,
      secret_names: task.secretNames,
      tags: task.tags,
      metadata: task.metadata,
      enabled: task.enabled,
      max_attempts: task.maxAttempts,
      priority: task.priority,
      concurrency_key: task.concurrencyKey,
    }));
    // One parameter of JSON: the statement is the same for any number, so that it stays prepared.
    await tx.execute(sql`
      insert into tasks (organization_id, id, title, prompt, payload, model, run_config, agent_id, project_id, team_id, visibility,
        account_id, artist_account_id, created_by, is_isolated, secret_names, callback, tags, metadata, enabled, max_attempts, priority, concurrency_key)
      select ${scope.organizationId}::uuid, g.id, g.title, g.prompt, g.payload, g.model, g.run_config, g.agent_id, g.project_id, g.team_id,
        g.visibility, g.account_id, g.artist_account_id, ${scope.actor.creatorId}::uuid, g.is_isolated, g.secret_names, g.callback, g.tags, g.metadata, g.enabled,
        g.max_attempts, g.priority, g.concurrency_key
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as g (id uuid, title text, prompt text, payload jsonb, model text,
        run_config jsonb, agent_id uuid, project_id uuid, team_id uuid, visibility text, account_id uuid, artist_account_id uuid,
        is_isolated boolean, secret_names text[], callback text, tags text[], metadata jsonb, enabled boolean, max_attempts smallint, priority smallint, concurrency_key text)`);
  }

  /** Locks a task; null where it is not there for this actor. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<LockedTask | null> {
    return tx.row<LockedTask & Record<string, unknown>>(sql`
      select ${contributableTask(scope, 't')} as "mayContribute", ${manageableTask(scope, 't')} as "mayManage",
        t.latest_run_id is not null as "hasRun", t.enabled, t.team_id as "teamId", t.visibility, t.model, t.run_config as "runConfig", t.payload, t.metadata,
        t.secret_names as "secretNames", t.agent_id as "agentId"
      from tasks t where t.id = ${id} and ${readableTask(scope, 't')} for no key update of t`);
  }

  /** Sets what is given of a locked task, in the scope's rights; false where it is not this actor's to change. */
  async update(scope: WriteScope, tx: Tx, id: string, change: Partial<TaskValues>): Promise<boolean> {
    const given = <Value>(
      value: Value | undefined,
      expression: (value: Value) => Sql = (known) => sql`${known}`,
    ): Sql | undefined => (value === undefined ? undefined : expression(value));
    const set = assignments({
      title: given(change.title),
      prompt: given(change.prompt),
      payload: given(change.payload, jsonb),
      model: given(change.model),
      run_config: given(change.runConfig, jsonb),
      agent_id: given(change.agentId),
      project_id: given(change.projectId),
      team_id: given(change.teamId),
      visibility: given(change.visibility),
      account_id: given(change.accountId),
      artist_account_id: given(change.artistAccountId),
      is_isolated: given(change.isIsolated),
      callback: given(change.callback),
      secret_names: given(change.secretNames, (names) => sql`${names}::text[]`),
      tags: given(change.tags, (tags) => sql`${tags}::text[]`),
      metadata: given(change.metadata, jsonb),
      enabled: given(change.enabled),
      max_attempts: given(change.maxAttempts),
      priority: given(change.priority),
    });
    const changed = await tx.execute(sql`
      update tasks t set ${join([...set, sql`updated_at = clock_timestamp()`])} where t.id = ${id} and ${contributableTask(scope, 't')}`);
    return changed > 0;
  }

  /** From the commit on, nobody sees the task; its rows are the purger's. False where it is not this actor's to delete. */
  async markDeleted(scope: WriteScope, tx: Tx, id: string): Promise<boolean> {
    const changed = await tx.execute(sql`
      update tasks t set deleted_at = clock_timestamp(), updated_at = clock_timestamp() where t.id = ${id} and ${manageableTask(scope, 't')}`);
    return changed > 0;
  }

  /** True where the actor may read the task. */
  async isReadable(scope: ReadScope, id: string): Promise<boolean> {
    const found = await this.database.json<boolean>(
      scope,
      sql`select true from tasks t where t.id = ${id} and ${readableTask(scope, 't')}`,
    );
    return found === true;
  }
}

/** The actor may put tasks into the team: more than a viewer there, or standing above or beside all teams. */
function worksInTeam(scope: WriteScope, teamId: Sql): Sql {
  return scope.reach === 'teams' ? sql`${teamId} = any(${scope.activeTeamIds}::uuid[])` : sql`true`;
}

/** The actor may put tasks into the project `p`: their own, of nobody's team, of a team they work in, or shared with one for writing. */
function worksInProject(scope: WriteScope): Sql {
  if (scope.reach !== 'teams') {
    return sql`true`;
  }
  const shared = sql`exists (select 1 from project_shares s where s.organization_id = p.organization_id and s.project_id = p.id
    and s.access = 'write' and s.team_id = any(${scope.activeTeamIds}::uuid[]))`;
  return any([
    sql`p.created_by = ${scope.actor.creatorId}`,
    sql`p.team_id is null`,
    worksInTeam(scope, sql`p.team_id`),
    shared,
  ]);
}
