import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../access/index.js';
import type { Tx } from './database.js';
import { type Sql, sql } from './sql.js';

/** What an operator can limit, as rows `x`; all of them are found by an index that begins with the organization. */
const ROWS = {
  tasks: sql`tasks x where x.deleted_at is null`,
  openRuns: sql`runs x where x.finished_at is null`,
  schedules: sql`schedules x where true`,
  assets: sql`assets x where true`,
  agents: sql`agents x where x.deleted_at is null`,
  users: sql`users x where x.deleted_at is null`,
  teams: sql`teams x where true`,
  projects: sql`projects x where true`,
  accounts: sql`accounts x where true`,
  apiKeys: sql`principals x where x.kind = 'api_key' and x.disabled_at is null`,
  secrets: sql`secrets x where true`,
  webhooks: sql`webhook_endpoints x where true`,
  budgets: sql`budgets x where true`,
  bulkOperations: sql`bulk_operations x where x.status = 'running'`,
} satisfies Record<string, Sql>;

export type LimitedRows = keyof typeof ROWS;

@Injectable()
export class RowLimitsQuery {
  /** How many of its rows the transaction sees; at most `most`. */
  async count(scope: WriteScope, tx: Tx, kind: LimitedRows, most: number): Promise<number> {
    const counted = await tx.row<{ count: number }>(sql`
      select count(*)::int as count from (
        select 1 from ${ROWS[kind]} and x.organization_id = ${scope.organizationId} limit ${most}::int) counted`);
    return counted?.count ?? 0;
  }

  /** Lets no other transaction past this until the end of this one: the next to count sees what this one makes. */
  async lockOrganization(scope: WriteScope, tx: Tx): Promise<void> {
    await tx.rows(sql`select 1 from organizations o where o.id = ${scope.organizationId} for no key update of o`);
  }
}
