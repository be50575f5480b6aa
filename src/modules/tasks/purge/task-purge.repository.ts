/** Statements of the purger: system work over every organisation, on tasks that nobody can see any more. */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { tenant } from '../../../database/scope.sql.js';
import { sql } from '../../../database/sql.js';

export interface DeletedTask {
  organizationId: string;
  id: string;
}

/** A task may have a million events; its rows go in one statement that requests' own limit would break off, for ever again. */
const STATEMENT_TIMEOUT = '10min';

@Injectable()
export class TaskPurgeRepository {
  constructor(private readonly database: Database) {}

  /** Deleted tasks of any organisation, longest gone first. */
  async findDeleted(most: number): Promise<DeletedTask[]> {
    return this.database.rows<DeletedTask & Record<string, unknown>>(sql`
      select t.organization_id as "organizationId", t.id from tasks t where t.deleted_at is not null order by t.deleted_at limit ${most}`);
  }

  /** Removes a deleted task and, by the tables' own rules, all that hangs on it. */
  async purge(scope: WriteScope, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.rows(sql`select set_config('statement_timeout', ${STATEMENT_TIMEOUT}, true)`);
      await tx.execute(
        sql`delete from tasks t where ${tenant(scope, 't')} and t.id = ${id} and t.deleted_at is not null`,
      );
    });
  }
}
