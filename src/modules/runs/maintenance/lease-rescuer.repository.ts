import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { backOffSeconds } from '../core/back-off.js';
import type { RunStatus } from '../core/run.state.js';
import { END_EVENT, syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

export interface RescuedRun {
  id: string;
  organizationId: string;
  status: RunStatus;
}

/** Statements over every organisation: the one place in this module without a scope, since no caller is behind a sweep. */
@Injectable()
export class LeaseRescuerRepository {
  constructor(private readonly database: Database) {}

  /**
   * Takes up to `most` runs whose lease or attempt time is over from their workers, in one commit; what is tried again waits for its
   * back-off, as after any failure. The fence is raised with the
   * next claim; until then no nonce matches. Mirrors `afterLostLease` of run.state.ts, which a test holds this against.
   */
  async reap(most: number): Promise<RescuedRun[]> {
    return this.database.rows<RescuedRun & Record<string, unknown>>(sql`
      with due as materialized (
        select r.organization_id, r.id,
          case
            when r.cancel_requested_at is not null then 'canceled'
            when r.deadline_at <= clock_timestamp() then 'timed_out'
            when r.attempt < r.max_attempts then 'queued'
            else 'failed'
          end as outcome
        from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.status = 'running' and (r.lease_expires_at <= clock_timestamp() or r.deadline_at <= clock_timestamp())
        order by r.lease_expires_at limit ${most}::int
        for no key update of t, r skip locked
      ), moved as (
        update runs r set status = d.outcome,
          finished_at = case when d.outcome = 'queued' then null else clock_timestamp() end,
          error = case d.outcome
            when 'failed' then jsonb_build_object('name', 'LostWorker', 'message',
              format('No worker finished this run: %s of %s attempts ended with a lost lease.', r.attempt, r.max_attempts), 'stack_trace', null)
            when 'timed_out' then jsonb_build_object('name', 'TimedOut', 'message',
              format('The attempt took longer than %s seconds.', r.timeout_seconds), 'stack_trace', null)
            else r.error end,
          queued_at = case when d.outcome = 'queued' then clock_timestamp() else r.queued_at end,
          available_at = case when d.outcome = 'queued' then clock_timestamp() + make_interval(secs => ${backOffSeconds('a', 'r')})
            else r.available_at end,
          leased_ms = case when d.outcome = 'queued' then null else r.leased_ms end,
          lease_expires_at = null, deadline_at = null, fence_nonce = null, updated_at = clock_timestamp(),
          last_seq = r.last_seq + case when d.outcome = 'queued' then 1 else 2 end
        from due d, agents a where r.organization_id = d.organization_id and r.id = d.id
          and a.organization_id = r.organization_id and a.id = r.agent_id
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.output, r.error, r.last_seq, r.timeout_seconds
      ), attempts as (
        update run_attempts a set finished_at = clock_timestamp(),
          status = case when m.status = 'queued' or m.status = 'failed' then 'lost' else m.status end,
          error = case when m.status in ('queued', 'failed') then jsonb_build_object('name', 'LostWorker', 'message',
            'The worker was not heard of before its lease ran out.', 'stack_trace', null) else m.error end
        from moved m where a.organization_id = m.organization_id and a.run_id = m.id and a.finished_at is null
      ), mirror as (
        ${syncTaskStatus('moved')}
      ), requeued as (
        ${insertServerEvents('moved', [STATUS_EVENT], sql`s.status = 'queued'`)}
      ), ended as (
        ${insertServerEvents('moved', [STATUS_EVENT, END_EVENT], sql`s.status <> 'queued'`)}
      )
      select id, organization_id as "organizationId", status from moved`);
  }
}
