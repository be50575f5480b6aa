import { Injectable } from '@nestjs/common';
import { Database } from '../../database/database.js';
import { sql } from '../../database/sql.js';

export interface DueOrganization {
  organizationId: string;
  /** The organisation's system principal, which claims in its name. */
  principalId: string;
  /** Slugs of its builtin agents with due runs. */
  agents: string[];
}

/** Looks for work over every organisation; claiming it is then done inside one, under its own principal. */
@Injectable()
export class ExecutorsRepository {
  constructor(private readonly database: Database) {}

  /** Organisations with due runs of builtin agents, in id order; asks each agent's queue index for one row, however long it is. */
  async dueOrganizations(most: number): Promise<DueOrganization[]> {
    return this.database.rows<DueOrganization & Record<string, unknown>>(sql`
      select a.organization_id as "organizationId", p.id as "principalId", array_agg(a.slug order by a.slug) as agents
      from agents a join principals p on p.organization_id = a.organization_id and p.kind = 'system' and p.disabled_at is null
      where a.kind = 'builtin' and a.deleted_at is null
        and exists (select 1 from runs r where r.organization_id = a.organization_id and r.agent_id = a.id
          and r.status in ('queued', 'delayed') and r.available_at <= clock_timestamp())
      group by a.organization_id, p.id order by a.organization_id limit ${most}::int`);
  }
}
