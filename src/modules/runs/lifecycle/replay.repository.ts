import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import type { Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { contributableTask, live } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import type { KeySettings } from './run-enqueuer.js';
import { QUEUED_EVENT } from '../core/state-change.query.js';

export interface ReplaySource extends KeySettings {
  agentDeleted: boolean;
  payloadDeleted: boolean;
  concurrencyKey: string | null;
}

@Injectable()
export class ReplayRepository {
  constructor(private readonly rowLimits: RowLimits) {}

  /** Whether the agent or the payload of a run is gone; null where the run is not there for this actor to run again. Locks its task, and the run
   * against retention, which may be about to delete the payload. */
  async source(scope: WriteScope, tx: Tx, runId: string): Promise<ReplaySource | null> {
    return tx.row<ReplaySource & Record<string, unknown>>(sql`
      select a.id as "agentId", a.deleted_at is not null as "agentDeleted", r.payload_deleted as "payloadDeleted",
        r.concurrency_key as "concurrencyKey",
        a.concurrency_key_limit as "concurrencyKeyLimit", a.concurrency_strategy as "concurrencyStrategy"
      from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        join agents a on a.organization_id = r.organization_id and a.id = r.agent_id
      where r.id = ${runId} and ${contributableTask(scope, 't')} and ${live(scope)}
      for no key update of t for share of r`);
  }

  /**
   * Queues a run that gets what another got: agent, payload, configuration, priority, attempts, concurrency key, in whose line it takes
   * its place. It is a root of its own, whatever the other was. The task is locked.
   */
  async replay(
    scope: WriteScope,
    tx: Tx,
    runId: string,
    replay: { id: string; idempotencyKey: string | null },
  ): Promise<{ number: number } | null> {
    await this.rowLimits.assertRoom(scope, tx, 'openRuns');
    return tx.row<{ number: number }>(sql`
      with old as (
        select r.* from runs r where r.organization_id = ${scope.organizationId} and r.id = ${runId}
      ), task as (
        update tasks t set run_count = t.run_count + 1, latest_run_id = ${replay.id}, latest_run_number = t.run_count + 1,
          status = 'queued', updated_at = clock_timestamp()
        from old where t.organization_id = old.organization_id and t.id = old.task_id and t.deleted_at is null
        returning t.organization_id, t.id, t.run_count
      ), slot as (
        insert into run_slots as s (organization_id, agent_id, concurrency_key)
        select old.organization_id, old.agent_id, old.concurrency_key from old, task where old.concurrency_key is not null
        on conflict (organization_id, agent_id, concurrency_key) do update set used_at = clock_timestamp()
        returning s.running
      ), created as (
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, priority,
          run_config, payload, tags, metadata, idempotency_key, is_test, created_by, api_key_id, queued_at, root_run_id, concurrency_key,
          held_back, replay_of_run_id, last_seq)
        select t.organization_id, ${replay.id}::uuid, t.id, t.run_count, old.agent_id, 'queued', a.lease_seconds, a.timeout_seconds,
          old.max_attempts, old.priority, old.run_config, old.payload, old.tags, old.metadata, ${replay.idempotencyKey}::text, old.is_test,
          ${scope.isSystem ? null : scope.actor.creatorId}::uuid,
          ${scope.actor.kind === 'api_key' ? scope.actor.principalId : null}::uuid, clock_timestamp(), ${replay.id}::uuid,
          old.concurrency_key, coalesce((select s.running >= a.concurrency_key_limit from slot s), false), old.id, 1
        from task t cross join old join agents a on a.organization_id = old.organization_id and a.id = old.agent_id
        returning organization_id, id, number, last_seq
      ), logged as (
        ${insertServerEvents('created', [QUEUED_EVENT])}
      )
      select number from created`);
  }
}
