/** An agent's queue as people see and stop it. Who claims is written by the engine (runs), and read here. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';
import type { AgentWorker } from './agent-queue.schema.js';

/** Workers shown of an agent: those heard of last. */
export const MAX_WORKERS = 200;

@Injectable()
export class AgentQueueRepository {
  constructor(private readonly database: Database) {}

  /** Paused again stays paused since the first time; the reason is the last one given. */
  async pause(scope: WriteScope, tx: Tx, id: string, reason: string | null): Promise<void> {
    await tx.execute(sql`
      update agents a set paused_at = coalesce(a.paused_at, clock_timestamp()), pause_reason = ${reason}::text, updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.deleted_at is null`);
  }

  async resume(scope: WriteScope, tx: Tx, id: string): Promise<void> {
    await tx.execute(sql`
      update agents a set paused_at = null, pause_reason = null, updated_at = clock_timestamp()
      where ${tenant(scope, 'a')} and a.id = ${id} and a.deleted_at is null and a.paused_at is not null`);
  }

  /** Who claims this agent's runs, last heard of first; null where there is no such agent. A heartbeat is being heard of too. */
  async workers(scope: ReadScope, id: string): Promise<AgentWorker[] | null> {
    return this.database.json<AgentWorker[]>(
      scope,
      sql`select coalesce((
        select json_agg(json_build_object('worker_id', w.worker_id, 'principal', json_build_object('id', w.principal_id, 'kind', w.kind),
            'running', w.running, 'last_seen_at', iso_utc(w.seen_at), 'last_claim_at', iso_utc(w.last_claim_at))
          order by w.seen_at desc, w.worker_id, w.principal_id)
        from (
          select k.worker_id, k.principal_id, p.kind, coalesce(b.running, 0) as running, k.last_claim_at,
            greatest(k.last_seen_at, b.beat_at) as seen_at
          from (
            select * from agent_workers n where n.organization_id = a.organization_id and n.agent_id = a.id
            order by n.last_seen_at desc limit ${MAX_WORKERS}::int
          ) k join principals p on p.organization_id = k.organization_id and p.id = k.principal_id
            left join lateral (
              select count(*)::int as running, max(r.lease_expires_at - make_interval(secs => r.lease_seconds)) as beat_at from runs r
              where r.organization_id = a.organization_id and r.agent_id = a.id and r.status = 'running'
                and r.claimed_by = k.principal_id and r.worker_id = k.worker_id
            ) b on true
        ) w), '[]')
        from agents a where a.id = ${id} and ${tenant(scope, 'a')} and a.deleted_at is null`,
    );
  }
}
