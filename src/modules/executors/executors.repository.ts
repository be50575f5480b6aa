import { Injectable } from '@nestjs/common';
import { Database } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import type { Executor } from './executor.js';

export interface DueOrganization {
  organizationId: string;
  /** The organisation's system principal, which claims in its name. */
  principalId: string;
  kind: Executor['kind'];
  /** Slugs of its agents of this kind with due runs. */
  agents: string[];
}

/** Looks for work over every organisation; claiming it is then done inside one, under its own principal. */
@Injectable()
export class ExecutorsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Organisations with due runs of agents of these kinds, in id order; asks each agent's queue index for one row, however long it is.
   * Of command agents only those whose command this process has: another may have the others.
   */
  async dueOrganizations(
    most: number,
    kinds: readonly Executor['kind'][],
    commands: readonly string[],
  ): Promise<DueOrganization[]> {
    return this.database.rows<DueOrganization & Record<string, unknown>>(sql`
      select a.organization_id as "organizationId", p.id as "principalId", a.kind, array_agg(a.slug order by a.slug) as agents
      from agents a join principals p on p.organization_id = a.organization_id and p.kind = 'system' and p.disabled_at is null
      where a.kind = any(${kinds}::text[]) and a.deleted_at is null
        and (a.kind <> 'command' or a.config ->> 'command' = any(${commands}::text[]))
        and exists (select 1 from runs r where r.organization_id = a.organization_id and r.agent_id = a.id
          and r.status in ('queued', 'delayed') and not r.held_back and r.available_at <= clock_timestamp())
        and a.paused_at is null and not exists (select 1 from run_slots s where s.organization_id = a.organization_id
          and s.agent_id = a.id and s.concurrency_key = '' and s.running >= a.concurrency_limit)
      group by a.organization_id, p.id, a.kind order by a.organization_id, a.kind limit ${most}::int * cardinality(${kinds}::text[])`);
  }

  /** Which of these tasks there still are, of whatever organisation: ids are unique in the instance. */
  async livingTasks(taskIds: readonly string[]): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(sql`
      select t.id from tasks t where t.id = any(${taskIds}::uuid[]) and t.deleted_at is null`);
    return rows.map(({ id }) => id);
  }
}
