/**
 * Bulk operations, and what is left to do of each. The runs that match are written down when the operation is made: that is what
 * "matched" means from then on, whatever becomes of the runs, and a replay never meets the runs it has made. What is done is taken
 * from the list by the statement that counts it.
 */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { RowLimits } from '../../../database/row-limits.js';
import { createdBetween, type KeysetPage, type KeysetRow, keysetRows } from '../../../database/keyset.sql.js';
import { contributableTask, tenant } from '../../../database/scope.sql.js';
import { type Sql, all, jsonb, sql } from '../../../database/sql.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import type { ErrorCode } from '../../../kernel/errors.js';
import { ENDED_STATUSES } from '../core/run.state.js';
import type { BulkAction, BulkFilter, BulkOperation } from './bulk.schema.js';

export interface NewOperation {
  id: string;
  action: BulkAction;
  filter: BulkFilter;
  dryRun: boolean;
}

/** An operation that a replica has taken up for a while. */
export interface ClaimedOperation {
  organizationId: string;
  id: string;
  action: BulkAction;
  principalId: string;
}

/** What became of one run; `error` is null where the action was done. */
export interface Settled {
  runId: string;
  error: ErrorCode | null;
}

const OPERATION = sql`jsonb_build_object('id', o.id, 'action', o.action, 'filter', o.filter, 'dry_run', o.dry_run, 'status', o.status,
  'matched', o.matched, 'done', o.done, 'failed', o.failed, 'failures', o.failures, 'created_by', o.created_by,
  'created_at', iso_utc(o.created_at), 'updated_at', iso_utc(o.updated_at), 'finished_at', iso_utc(o.finished_at))`;

@Injectable()
export class BulkOperationsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  /**
   * Makes the operation and writes down what it matches of the runs that the actor may contribute to. Answers how many those are; past
   * `most` it answers `most + 1`, and the transaction is to be given up.
   */
  async insert(scope: WriteScope, tx: Tx, operation: NewOperation, most: number): Promise<number> {
    const { id, action, filter, dryRun } = operation;
    if (!dryRun) {
      await this.rowLimits.assertRoom(scope, tx, 'bulkOperations');
    }
    const made = await tx.row<{ matched: number }>(sql`
      with matched as materialized (
        select r.id from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where ${tenant(scope, 'r')} and ${contributableTask(scope, 't')} and ${isFor(action)} and ${matches(scope, filter)}
        limit ${most + 1}
      ), counted as (
        select count(*)::int as matched, count(*) = 0 or ${dryRun}::boolean as over from matched
      ), operation as (
        insert into bulk_operations (organization_id, id, action, filter, dry_run, status, principal_id, created_by, matched, finished_at)
        select ${scope.organizationId}::uuid, ${id}::uuid, ${action}, ${jsonb(filter)}, ${dryRun}::boolean,
          case when c.over then 'completed' else 'running' end, ${scope.actor.principalId}::uuid, ${scope.actor.creatorId}::uuid, c.matched,
          case when c.over then clock_timestamp() end
        from counted c returning organization_id, id, matched, status
      ), listed as (
        insert into bulk_operation_runs (organization_id, operation_id, run_id)
        select o.organization_id, o.id, m.id from operation o cross join matched m where o.status = 'running'
      )
      select matched from operation`);
    return made?.matched ?? 0;
  }

  /** One operation of the actor's own, or of anybody's for who sees all; null where it is not there for them. */
  async find(scope: ReadScope, id: string, reader: Pick<Tx, 'json'> = this.database): Promise<BulkOperation | null> {
    return reader.json<BulkOperation>(
      scope,
      sql`select ${OPERATION} from bulk_operations o where o.id = ${id} and ${readable(scope)}`,
    );
  }

  async list(scope: ReadScope, query: ListQuery, page: KeysetPage): Promise<KeysetRow<BulkOperation>[]> {
    const where = sql`${readable(scope)} and ${createdBetween('o', query)}`;
    const select = keysetRows('o', page, { item: OPERATION, from: sql`bulk_operations o`, where });
    return (await this.database.json<KeysetRow<BulkOperation>[]>(scope, select)) ?? [];
  }

  /** Takes up the operation that has waited longest and nobody is at, for so many seconds; null where there is none. */
  async claim(leaseSeconds: number): Promise<ClaimedOperation | null> {
    return this.database.row<ClaimedOperation & Record<string, unknown>>(sql`
      update bulk_operations o set leased_until = clock_timestamp() + make_interval(secs => ${leaseSeconds})
      where (o.organization_id, o.id) = (
        select w.organization_id, w.id from bulk_operations w
        where w.status = 'running' and (w.leased_until is null or w.leased_until <= clock_timestamp())
        order by w.leased_until nulls first, w.created_at limit 1 for no key update skip locked)
      returning o.organization_id as "organizationId", o.id, o.action, o.principal_id as "principalId"`);
  }

  /** The first runs that are left of an operation. */
  async left(scope: WriteScope, id: string, most: number): Promise<string[]> {
    const rows = await this.database.rows<{ run_id: string }>(sql`
      select b.run_id from bulk_operation_runs b where ${tenant(scope, 'b')} and b.operation_id = ${id} order by b.run_id limit ${most}`);
    return rows.map((row) => row.run_id);
  }

  /** Locks what is left to do of one run; false where it is done, by another replica perhaps. */
  async hold(scope: WriteScope, tx: Tx, id: string, runId: string): Promise<boolean> {
    const held = await tx.row(sql`
      select 1 from bulk_operation_runs b where ${tenant(scope, 'b')} and b.operation_id = ${id} and b.run_id = ${runId} for update`);
    return held !== null;
  }

  /** Takes runs off the list and counts them; what is off it already is not counted again. */
  async settle(scope: WriteScope, writer: Pick<Tx, 'execute'>, id: string, settled: readonly Settled[]): Promise<void> {
    const given = JSON.stringify(settled.map(({ runId, error }) => ({ run_id: runId, error })));
    await writer.execute(sql`
      with gone as (
        delete from bulk_operation_runs b using jsonb_to_recordset(${given}::jsonb) as g (run_id uuid, error text)
        where ${tenant(scope, 'b')} and b.operation_id = ${id} and b.run_id = g.run_id returning g.error
      ), told as (
        select count(*) filter (where g.error is null) as done, count(g.error) as failed from gone g
      )
      update bulk_operations o set done = o.done + told.done, failed = o.failed + told.failed, updated_at = clock_timestamp(),
        failures = case when told.failed = 0 then o.failures else (
          select jsonb_object_agg(f.error, f.times) from (
            select e.error, sum(e.times) as times from (
              select p.key as error, p.value::int as times from jsonb_each_text(o.failures) p
              union all select g.error, 1 from gone g where g.error is not null) e group by e.error) f) end
      from told where ${tenant(scope, 'o')} and o.id = ${id}`);
  }

  /** Lets go of an operation: completed where nothing is left of it, else to be taken up again when the others had their turn. */
  async release(scope: WriteScope, id: string): Promise<void> {
    const isOver = sql`not exists (select 1 from bulk_operation_runs b where b.organization_id = o.organization_id and b.operation_id = o.id)`;
    await this.database.execute(sql`
      update bulk_operations o set leased_until = clock_timestamp(), status = case when ${isOver} then 'completed' else o.status end,
        finished_at = case when ${isOver} then clock_timestamp() end,
        updated_at = case when ${isOver} then clock_timestamp() else o.updated_at end
      where ${tenant(scope, 'o')} and o.id = ${id} and o.status = 'running'`);
  }

  /** Ends an operation with what is left undone. */
  async stop(scope: WriteScope, id: string): Promise<void> {
    await this.database.execute(sql`
      with stopped as (
        update bulk_operations o set status = 'stopped', finished_at = clock_timestamp(), updated_at = clock_timestamp()
        where ${tenant(scope, 'o')} and o.id = ${id} and o.status = 'running' returning o.organization_id, o.id
      )
      delete from bulk_operation_runs b using stopped s where b.organization_id = s.organization_id and b.operation_id = s.id`);
  }
}

function readable(scope: ReadScope): Sql {
  return scope.reach === 'all'
    ? tenant(scope, 'o')
    : sql`${tenant(scope, 'o')} and o.created_by = ${scope.actor.creatorId}`;
}

/** Runs that the action can do anything for. */
function isFor(action: BulkAction): Sql {
  return action === 'cancel'
    ? sql`r.status <> all(${ENDED_STATUSES}::text[])`
    : sql`r.status = any(${ENDED_STATUSES}::text[])`;
}

function matches(scope: WriteScope, filter: BulkFilter): Sql {
  const conditions = [createdBetween('r', filter)];
  const add = (value: string | undefined, condition: (value: string) => Sql): void => {
    if (value !== undefined) {
      conditions.push(condition(value));
    }
  };
  add(filter.status, (status) => sql`r.status = ${status}`);
  add(
    filter.agent,
    (slug) =>
      sql`r.agent_id = (select a.id from agents a where ${tenant(scope, 'a')} and a.slug = ${slug} and a.deleted_at is null)`,
  );
  add(filter.task_id, (id) => sql`r.task_id = ${id}`);
  add(filter.team_id, (id) => sql`t.team_id = ${id}`);
  add(filter.tag, (tag) => sql`${tag} = any(r.tags)`);
  return all(conditions);
}
