import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { live } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';

/** Workers kept an agent: one that gives itself a new name with each request must not fill the table. */
const MAX_WORKERS = 1_000;
const FORGOTTEN_AFTER = sql`interval '7 days'`;

@Injectable()
export class WorkerHeartbeatsRepository {
  constructor(private readonly database: Database) {}

  async note(scope: WriteScope, agentIds: readonly string[], workerId: string, claimed: boolean): Promise<void> {
    await this.database.execute(sql`
      insert into agent_workers as w (organization_id, agent_id, principal_id, worker_id, last_claim_at)
      select a.organization_id, a.id, ${scope.actor.principalId}::uuid, ${workerId}::text,
        case when ${claimed}::boolean then clock_timestamp() end
      from agents a where a.organization_id = ${scope.organizationId} and a.id = any(${agentIds}::uuid[]) and ${live(scope)}
        and (select count(*) from (select 1 from agent_workers o
          where o.organization_id = a.organization_id and o.agent_id = a.id limit ${MAX_WORKERS}::int) kept) < ${MAX_WORKERS}::int
      order by a.id
      on conflict (organization_id, agent_id, principal_id, worker_id) do update
        set last_seen_at = excluded.last_seen_at, last_claim_at = coalesce(excluded.last_claim_at, w.last_claim_at)`);
  }

  /** Forgets up to `most` workers not seen for a week, over every organisation. */
  async sweep(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from agent_workers w using (
        select organization_id, agent_id, principal_id, worker_id from agent_workers
        where last_seen_at < clock_timestamp() - ${FORGOTTEN_AFTER} order by last_seen_at limit ${most}::int for update skip locked
      ) old
      where w.organization_id = old.organization_id and w.agent_id = old.agent_id and w.principal_id = old.principal_id
        and w.worker_id = old.worker_id`);
  }
}
