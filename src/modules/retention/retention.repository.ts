import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import { DEFAULT_RETENTION, type Retention } from './retention.schema.js';

@Injectable()
export class RetentionRepository {
  constructor(private readonly database: Database) {}

  /** What the organisation has set, or the defaults. */
  async policy(scope: ReadScope, reader: Pick<Tx, 'json'> = this.database): Promise<Retention> {
    const stored = await reader.json<Retention>(
      scope,
      sql`select json_build_object('events_days', p.events_days, 'logs_days', p.logs_days, 'payloads_days', p.payloads_days,
          'runs_days', p.runs_days, 'assets_days', p.assets_days)
        from retention_policies p where p.organization_id = ${scope.organizationId}`,
    );
    return stored ?? DEFAULT_RETENTION;
  }

  /** Makes two changes at once follow one another, whether or not there is a row yet. */
  async lock(scope: WriteScope, tx: Tx): Promise<void> {
    await tx.rows(sql`select 1 from organizations o where o.id = ${scope.organizationId} for no key update of o`);
  }

  async put(scope: WriteScope, tx: Tx, policy: Retention): Promise<void> {
    await tx.execute(sql`
      insert into retention_policies as p (organization_id, events_days, logs_days, payloads_days, runs_days, assets_days)
      values (${scope.organizationId}, ${policy.events_days}, ${policy.logs_days}, ${policy.payloads_days}, ${policy.runs_days}, ${policy.assets_days})
      on conflict (organization_id) do update set events_days = excluded.events_days, logs_days = excluded.logs_days,
        payloads_days = excluded.payloads_days, runs_days = excluded.runs_days, assets_days = excluded.assets_days,
        updated_at = clock_timestamp()`);
  }
}
