import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { statesBefore } from '../core/run.state.js';
import { FAILED_END_EVENT, syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

@Injectable()
export class BudgetEnforcerRepository {
  constructor(private readonly database: Database) {}

  /**
   * Fails up to `most` runs that are to be stopped, under their workers, whose fences are void from then on; one commit. What has ended
   * by itself is forgotten; one that is back in the queue is stopped once a worker has it. Over every organisation.
   */
  async stop(most: number): Promise<{ id: string; organizationId: string }[]> {
    return this.database.rows<{ id: string; organizationId: string }>(sql`
      with due as materialized (
        select r.organization_id, r.id, s.error from run_stops s join runs r on r.organization_id = s.organization_id and r.id = s.run_id
          join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.status = any(${statesBefore('failed')})
        order by s.created_at limit ${most}::int
        for no key update of t, r skip locked
      ), ended as (
        update runs r set status = 'failed', wait_kind = null, wait = null, wait_since = null, wait_due_at = null,
          wait_assignee_id = null, error = d.error, fence = r.fence + 1, fence_nonce = null,
          lease_expires_at = null, deadline_at = null, finished_at = clock_timestamp(), updated_at = clock_timestamp(), last_seq = r.last_seq + 2
        from due d where r.organization_id = d.organization_id and r.id = d.id
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.error, r.last_seq
      ), attempts as (
        update run_attempts a set status = 'failed', error = e.error, finished_at = clock_timestamp() from ended e
        where a.organization_id = e.organization_id and a.run_id = e.id and a.finished_at is null
      ), mirror as (
        ${syncTaskStatus('ended')}
      ), logged as (
        ${insertServerEvents('ended', [STATUS_EVENT, FAILED_END_EVENT])}
      ), done as (
        delete from run_stops s using runs r where r.organization_id = s.organization_id and r.id = s.run_id
          and (r.finished_at is not null or exists (select 1 from ended e where e.organization_id = r.organization_id and e.id = r.id))
      )
      select id, organization_id as "organizationId" from ended`);
  }
}
