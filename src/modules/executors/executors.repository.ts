import { Injectable } from '@nestjs/common';
import { Database } from '../../database/database.js';
import { type Sql, sql } from '../../database/sql.js';
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
   * For each kind, organisations with due runs of agents of it that are neither paused nor at their limit: up to `most`, those that come
   * after the one that was served last, then from the first again, so that however many there are each has its turn. Asks each
   * agent's queue index for one row, however long it is. Of command agents only those whose command this process has: another may
   * have the others.
   */
  async dueOrganizations(
    most: number,
    lanes: readonly { kind: Executor['kind']; lastServed: string }[],
    commands: readonly string[],
  ): Promise<DueOrganization[]> {
    const ofPart = (part: Sql): Sql => sql`
      select a.organization_id, p.id as principal_id, array_agg(a.slug order by a.slug) as agents
      from agents a join principals p on p.organization_id = a.organization_id and p.kind = 'system' and p.disabled_at is null
      where a.kind = lane.kind and ${part} and a.deleted_at is null and a.paused_at is null
        and (a.kind <> 'command' or a.config ->> 'command' = any(${commands}::text[]))
        and not exists (select 1 from run_slots s where s.organization_id = a.organization_id
          and s.agent_id = a.id and s.concurrency_key = '' and s.running >= a.concurrency_limit)
        and exists (select 1 from runs r where r.organization_id = a.organization_id and r.agent_id = a.id
          and r.status in ('queued', 'delayed') and not r.held_back and r.available_at <= clock_timestamp())
      group by a.organization_id, p.id order by a.organization_id limit ${most}::int`;
    return this.database.rows<DueOrganization & Record<string, unknown>>(sql`
      select due.organization_id as "organizationId", due.principal_id as "principalId", lane.kind, due.agents
      from unnest(${lanes.map(({ kind }) => kind)}::text[], ${lanes.map(({ lastServed }) => lastServed)}::uuid[])
        with ordinality as lane (kind, last_served, place)
        cross join lateral (
          select parts.*, row_number() over () as turn from (
            (${ofPart(sql`a.organization_id > lane.last_served`)}) union all (${ofPart(sql`a.organization_id <= lane.last_served`)})
          ) parts limit ${most}::int
        ) due
      order by lane.place, due.turn`);
  }

  /** Which of these tasks there still are, of whatever organisation: ids are unique in the instance. */
  async livingTasks(taskIds: readonly string[]): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(sql`
      select t.id from tasks t where t.id = any(${taskIds}::uuid[]) and t.deleted_at is null`);
    return rows.map(({ id }) => id);
  }
}
