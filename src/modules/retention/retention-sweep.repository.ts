/** The statements that delete what is due: in small batches, each a short transaction of its own. */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import { type DueRun, RetentionDueQuery, type RunClass } from './retention-due.query.js';

/** Runs looked at, and rows deleted, by one transaction. */
const BATCH_RUNS = 200;
const BATCH_ROWS = 500;

@Injectable()
export class RetentionSweepRepository {
  constructor(
    private readonly database: Database,
    private readonly due: RetentionDueQuery,
  ) {}

  /**
   * One batch of a class of one organisation. True where there may be more at once; false where all is done, or where another replica
   * is at it just now.
   */
  async sweep(scope: WriteScope, kind: RunClass, days: number): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      if (!(await this.#takeMark(tx, scope, kind))) {
        return false;
      }
      const due = await this.due.runs(scope, kind, days, BATCH_RUNS, tx);
      const last = due.at(-1);
      if (last === undefined) {
        return false;
      }
      if (!(await this.#delete(tx, scope, kind, due, days))) {
        return true;
      }
      await tx.execute(sql`update retention_marks m set finished_at = ${last.finishedAt}::timestamptz, run_id = ${last.id}
        where m.organization_id = ${scope.organizationId} and m.class = ${kind}`);
      return due.length === BATCH_RUNS;
    });
  }

  /** Locks the mark, or says that somebody else has it. */
  async #takeMark(tx: Tx, scope: WriteScope, kind: RunClass): Promise<boolean> {
    await tx.execute(sql`insert into retention_marks (organization_id, class, finished_at, run_id)
      select ${scope.organizationId}, ${kind}, '-infinity', '00000000-0000-0000-0000-000000000000'
      where not exists (select 1 from retention_marks m where m.organization_id = ${scope.organizationId} and m.class = ${kind})
      on conflict do nothing`);
    const taken = await tx.row(sql`select 1 from retention_marks m
      where m.organization_id = ${scope.organizationId} and m.class = ${kind} for update skip locked`);
    return taken !== null;
  }

  /** Deletes of the class what hangs on these runs; true once nothing is left of it. */
  async #delete(tx: Tx, scope: WriteScope, kind: RunClass, due: readonly DueRun[], days: number): Promise<boolean> {
    const ids = due.map((run) => run.id);
    switch (kind) {
      case 'events':
        return this.#deleteEvents(tx, scope, ids);
      case 'logs':
        return this.#deleteLogLines(tx, scope, ids);
      case 'payloads':
        await this.#clearPayloads(tx, scope, ids);
        return true;
      case 'runs': {
        const doomed = await this.due.doomed(scope, due, days, tx);
        // What a run has most of goes first and in batches: a cascade over a million rows would be one long statement.
        const bare = (await this.#deleteEvents(tx, scope, doomed)) && (await this.#deleteLogLines(tx, scope, doomed));
        if (bare) {
          await tx.execute(sql`delete from runs r where r.organization_id = ${scope.organizationId} and r.id = any(${doomed}::uuid[])
            and r.finished_at is not null`);
        }
        return bare;
      }
    }
  }

  async #deleteEvents(tx: Tx, scope: WriteScope, ids: readonly string[]): Promise<boolean> {
    const deleted = await tx.execute(sql`
      delete from run_events e using (
        select x.organization_id, x.run_id, x.first_seq from run_events x
        where x.organization_id = ${scope.organizationId} and x.run_id = any(${ids}::uuid[]) limit ${BATCH_ROWS}
      ) old where e.organization_id = old.organization_id and e.run_id = old.run_id and e.first_seq = old.first_seq`);
    return deleted < BATCH_ROWS;
  }

  async #deleteLogLines(tx: Tx, scope: WriteScope, ids: readonly string[]): Promise<boolean> {
    const deleted = await tx.execute(sql`
      delete from run_log_lines l using (
        select x.organization_id, x.run_id, x.first_seq from run_log_lines x
        where x.organization_id = ${scope.organizationId} and x.run_id = any(${ids}::uuid[]) limit ${BATCH_ROWS}
      ) old where l.organization_id = old.organization_id and l.run_id = old.run_id and l.first_seq = old.first_seq`);
    return deleted < BATCH_ROWS;
  }

  /** The output is also in the last event, which may be kept longer. */
  async #clearPayloads(tx: Tx, scope: WriteScope, ids: readonly string[]): Promise<void> {
    await tx.execute(sql`update runs r set payload_deleted = payload_deleted or payload is not null, payload = null, output = null
      where r.organization_id = ${scope.organizationId} and r.id = any(${ids}::uuid[]) and (r.payload is not null or r.output is not null)`);
    await tx.execute(sql`
      update run_events e set events = jsonb_set(e.events, '{-1,data,output}', 'null', false)
      where e.organization_id = ${scope.organizationId} and e.run_id = any(${ids}::uuid[]) and (e.events -> -1 ->> 'type') = 'end'
        and e.events #> '{-1,data,output}' <> 'null'`);
  }
}
