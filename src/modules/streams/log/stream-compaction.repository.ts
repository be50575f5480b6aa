import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { LIFECYCLE_HOURS } from '../sources/lifecycle.query.js';

/** Nobody resumes a feed over them any more, and no worker sends a batch again. */
const AGE_HOURS = LIFECYCLE_HOURS + 1;
/** About what one row holds afterwards: one page. */
const ROW_BYTES = 64 * 1024;
/** A log with more than this is left as it is, for its rows are not small ones. */
const MAX_BYTES = 16 * 1024 * 1024;

@Injectable()
export class StreamCompactionRepository {
  constructor(private readonly database: Database) {}

  /** Organisations with runs that ended long enough ago and were not looked at yet. */
  async dueOrganizations(most: number): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(sql`
      select o.id from organizations o left join stream_marks m on m.organization_id = o.id
      where exists (select 1 from runs r where r.organization_id = o.id
        and (r.finished_at, r.id) > (coalesce(m.finished_at, '-infinity'), coalesce(m.run_id, '00000000-0000-0000-0000-000000000000'))
        and r.finished_at < clock_timestamp() - make_interval(hours => ${AGE_HOURS}))
      order by o.id limit ${most}`);
    return rows.map(({ id }) => id);
  }

  /**
   * Joins the small rows of the next runs' logs, in one transaction; no event and no number of one changes. Answers how many runs it
   * looked at: none where there are none, or somebody else is at it.
   */
  async compactNext(scope: WriteScope, most: number): Promise<number> {
    const { organizationId } = scope;
    return this.database.transaction(async (tx) => {
      await tx.execute(sql`insert into stream_marks (organization_id, finished_at, run_id)
        values (${organizationId}, '-infinity', '00000000-0000-0000-0000-000000000000') on conflict do nothing`);
      const due = await tx.rows<{ id: string }>(sql`
        with mark as materialized (
          select m.finished_at, m.run_id from stream_marks m where m.organization_id = ${organizationId} for update skip locked
        )
        select r.id from mark m join runs r on r.organization_id = ${organizationId} and (r.finished_at, r.id) > (m.finished_at, m.run_id)
          and r.finished_at < clock_timestamp() - make_interval(hours => ${AGE_HOURS})
        order by r.finished_at, r.id limit ${most}`);
      for (const { id } of due) {
        await tx.execute(sql`
          with fit as materialized (
            select 1 from run_events e where e.organization_id = ${organizationId} and e.run_id = ${id}
            having count(*) > 1 and sum(pg_column_size(e.events)) <= ${MAX_BYTES}
          ), taken as (
            delete from run_events e where e.organization_id = ${organizationId} and e.run_id = ${id} and exists (select 1 from fit)
            returning e.first_seq, e.last_seq, e.events, e.created_at
          ), sized as materialized (
            select t.*, (sum(octet_length(t.events::text)) over (order by t.first_seq) - octet_length(t.events::text)) / ${ROW_BYTES} as part,
              -- Rows with nothing missing between them have one and the same.
              t.last_seq - sum(t.last_seq - t.first_seq + 1) over (order by t.first_seq) as island
            from taken t
          )
          insert into run_events (organization_id, run_id, first_seq, last_seq, events, created_at, xid)
          select ${organizationId}::uuid, ${id}::uuid, min(s.first_seq), max(s.last_seq),
            jsonb_agg(one.event order by s.first_seq, one.position), min(s.created_at), null
          from sized s cross join lateral jsonb_array_elements(s.events) with ordinality as one (event, position)
          group by s.island, s.part`);
      }
      const last = due.at(-1);
      if (last !== undefined) {
        await tx.execute(sql`update stream_marks m set finished_at = r.finished_at, run_id = r.id from runs r
          where m.organization_id = ${organizationId} and r.organization_id = m.organization_id and r.id = ${last.id}`);
      }
      return due.length;
    });
  }
}
