/** The statements that queue the first runs of many tasks at once: what `RunsRepository.create` does for one. */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { contributableTask, live } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { QUEUED_EVENT } from '../core/state-change.query.js';

export interface BatchedRun {
  id: string;
  taskId: string;
  runConfig: unknown;
}

/** What decides a new run's configuration. */
export interface BatchSettings {
  agentId: string;
  agentDefault: unknown;
  taskConfig: unknown;
  taskModel: string | null;
  agentDeleted: boolean;
}

export interface BatchedRuns {
  created: number;
  /** How many are of private tasks. */
  createdPrivate: number;
}

@Injectable()
export class RunBatchRepository {
  constructor(private readonly rowLimits: RowLimits) {}

  /** What decides the runs' configurations, by task; what is not this actor's to run is left out. */
  async settings(scope: WriteScope, tx: Tx, taskIds: readonly string[]): Promise<Map<string, BatchSettings>> {
    const rows = await tx.rows<BatchSettings & { taskId: string } & Record<string, unknown>>(sql`
      select t.id as "taskId", a.id as "agentId", a.default_run_config as "agentDefault", t.run_config as "taskConfig",
        t.model as "taskModel", a.deleted_at is not null as "agentDeleted"
      from tasks t join agents a on a.organization_id = t.organization_id and a.id = t.agent_id
      where t.id = any(${taskIds}::uuid[]) and ${contributableTask(scope, 't')} and ${live(scope)}`);
    return new Map(rows.map((row) => [row.taskId, row]));
  }

  /** Queues the first run of each task, in the order given, which is the order they are claimed in. */
  async create(
    scope: WriteScope,
    tx: Tx,
    runs: readonly BatchedRun[],
    options: { batchId: string; idempotencyKey: string | null },
  ): Promise<BatchedRuns> {
    await this.rowLimits.assertRoom(scope, tx, 'openRuns', runs.length);
    const { actor, isSystem } = scope;
    const given = JSON.stringify(
      runs.map(({ id, taskId, runConfig }) => ({ id, task_id: taskId, run_config: runConfig })),
    );
    const created = await tx.row<BatchedRuns & Record<string, unknown>>(sql`
      with given as materialized (
        select g.*, row_number() over () as place from jsonb_to_recordset(${given}::jsonb) as g(id uuid, task_id uuid, run_config jsonb)
      ), task as (
        update tasks t set run_count = t.run_count + 1, latest_run_id = g.id, latest_run_number = t.run_count + 1,
          status = 'queued', updated_at = clock_timestamp()
        from given g where t.id = g.task_id and ${contributableTask(scope, 't')} and ${live(scope)}
        returning t.*, g.id as run_id, g.run_config as resolved, g.place
      ), created as (
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts,
          priority, run_config, payload, tags, metadata, idempotency_key, created_by, api_key_id, queued_at, root_run_id, batch_id, last_seq)
        select t.organization_id, t.run_id, t.id, t.run_count, t.agent_id, 'queued', a.lease_seconds, a.timeout_seconds,
          coalesce(t.max_attempts, a.max_attempts), t.priority, t.resolved, t.payload, t.tags, t.metadata,
          ${options.idempotencyKey}::text, ${isSystem ? null : actor.creatorId}::uuid,
          ${actor.kind === 'api_key' ? actor.principalId : null}::uuid, clock_timestamp(), t.run_id, ${options.batchId}::uuid, 1
        from task t join agents a on a.organization_id = t.organization_id and a.id = t.agent_id order by t.place
        returning organization_id, id, number, last_seq
      ), logged as (
        ${insertServerEvents('created', [QUEUED_EVENT])}
      )
      select count(*)::int as created, (count(*) filter (where t.visibility = 'private'))::int as "createdPrivate" from task t`);
    return created ?? { created: 0, createdPrivate: 0 };
  }
}
