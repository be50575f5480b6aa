/** Reads of tasks as a board shows them: what is asked for, for whom, when it fires, and its last runs. In our words, one statement each. */
import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { readableTask } from '../../../database/scope.sql.js';
import { type Sql, all, sql } from '../../../database/sql.js';
import { type RunView, childIdsJson, runJson } from '../../runs/index.js';
import { type StoredScheduleInfo, scheduleInfoJson } from '../../schedules/index.js';
import { type BatchContext, type TaskPosition, readTaskBatches } from '../queries/task-batches.query.js';

/** A run with what its agent is called, and the first hundred runs it started. */
export interface RunOverview extends RunView {
  agent: { slug: string; version: string };
  child_run_ids: string[];
}

export interface StoredTaskOverview {
  id: string;
  title: string;
  prompt: string;
  model: string | null;
  enabled: boolean;
  account_id: string | null;
  artist_account_id: string | null;
  /** The account's e-mail, else its creator's; null where neither has one. */
  owner_email: string | null;
  schedule: StoredScheduleInfo | null;
  /** The last root runs, newest first. */
  recent_runs: RunOverview[];
}

export interface TaskOverviewFilter {
  id?: string | undefined;
  account_id?: string | undefined;
  artist_account_id?: string | undefined;
  enabled?: boolean | undefined;
}

const BOARD_RUN = runJson(
  'r',
  sql`, (select json_build_object('slug', a.slug, 'version', a.version) from agents a
    where a.organization_id = r.organization_id and a.id = r.agent_id) as agent, ${childIdsJson('r')} as child_run_ids`,
);

const BOARD_TASK = sql`json_build_object('id', t.id, 'title', t.title, 'prompt', t.prompt, 'model', t.model, 'enabled', t.enabled,
  'account_id', t.account_id, 'artist_account_id', t.artist_account_id,
  'owner_email', coalesce(
    (select a.email from accounts a where a.organization_id = t.organization_id and a.id = t.account_id),
    (select u.email from users u where u.organization_id = t.organization_id and u.id = t.created_by)),
  'schedule', ${scheduleInfoJson('t')},
  'recent_runs', coalesce((select json_agg(${BOARD_RUN} order by r.number desc) from (
      select * from runs n where n.organization_id = t.organization_id and n.task_id = t.id and n.parent_run_id is null
      order by n.number desc limit 5) r), '[]'::json))`;

@Injectable()
export class TaskOverviewsQuery {
  constructor(private readonly database: Database) {}

  /** One task, or null where it is not readable. */
  async find(scope: ReadScope, id: string, tx?: Tx): Promise<StoredTaskOverview | null> {
    return (tx ?? this.database).json<StoredTaskOverview>(
      scope,
      sql`select ${BOARD_TASK} from tasks t where ${all(conditions(scope, { id }))}`,
    );
  }

  /** All that fit the filter, newest first, in batches. */
  async list(
    scope: ReadScope,
    filter: TaskOverviewFilter,
    page: { after: TaskPosition | null; limit: number | null },
  ): Promise<BatchContext<StoredTaskOverview>> {
    if (filter.id !== undefined) {
      return { first: await this.#byId(scope, filter), rest: null, next: null };
    }
    return readTaskBatches(this.database, scope, { item: BOARD_TASK, where: all(conditions(scope, filter)), ...page });
  }

  /** One run of a readable task, or null. */
  async findRun(scope: ReadScope, runId: string): Promise<RunOverview | null> {
    return this.database.json<RunOverview>(
      scope,
      sql`select ${BOARD_RUN} from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.id = ${runId} and ${readableTask(scope, 't')}`,
    );
  }

  async #byId(scope: ReadScope, filter: TaskOverviewFilter): Promise<StoredTaskOverview[]> {
    const found = await this.database.json<StoredTaskOverview>(
      scope,
      sql`select ${BOARD_TASK} from tasks t where ${all(conditions(scope, filter))}`,
    );
    return found === null ? [] : [found];
  }
}

function conditions(scope: ReadScope, filter: TaskOverviewFilter): Sql[] {
  const { id, account_id, artist_account_id, enabled } = filter;
  return [
    readableTask(scope, 't'),
    ...(id === undefined ? [] : [sql`t.id = ${id}`]),
    ...(account_id === undefined ? [] : [sql`t.account_id = ${account_id}`]),
    ...(artist_account_id === undefined ? [] : [sql`t.artist_account_id = ${artist_account_id}`]),
    ...(enabled === undefined ? [] : [sql`t.enabled = ${enabled}::boolean`]),
  ];
}
