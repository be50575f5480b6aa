import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { RowLimits } from '../../database/row-limits.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { tenant } from '../../database/scope.sql.js';
import { type Sql, assignments, join, sql } from '../../database/sql.js';
import { BudgetEntity } from './budget.entity.js';
import type { BudgetKind, BudgetListQuery, BudgetPatch, BudgetView } from './budgets.schema.js';

type Reader = Pick<Tx, 'json'>;

export interface BudgetRow {
  id: string;
  name: string;
  scopeKind: BudgetKind;
  scopeId: string | null;
  period: BudgetView['period'];
  limitCents: number | null;
  limitRuns: number | null;
  action: BudgetView['action'];
  enabled: boolean;
}

/** Counters of periods longer ago than this are of no use to anybody. */
const COUNTERS_KEPT_DAYS = 400;

/** The budget row `b` as the API shows it, with what the counters of its present period add up to. */
export const BUDGET_JSON = sql`(select json_build_object('id', b.id, 'name', b.name,
    'scope', json_build_object('kind', b.scope_kind, 'id', b.scope_id), 'period', b.period, 'limit_cents', b.limit_cents::float8,
    'limit_runs', b.limit_runs, 'action', b.action, 'enabled', b.enabled,
    'standing', json_build_object(
      'spent_cents', case when b.scope_kind <> 'run' then spent.cents::float8 end,
      'spent_runs', case when b.scope_kind <> 'run' then spent.runs end,
      'period_start', iso_utc(case when b.period = 'total' then b.created_at
        else budget_period_start(b.period, now())::timestamp at time zone 'UTC' end),
      'period_end', iso_utc(budget_period_end(b.period, now())),
      'exceeded', b.scope_kind <> 'run' and (coalesce(spent.cents >= b.limit_cents, false) or coalesce(spent.runs >= b.limit_runs, false))),
    'created_at', iso_utc(b.created_at), 'updated_at', iso_utc(b.updated_at))
  from (select coalesce(sum(c.cents), 0) as cents, coalesce(sum(c.runs), 0) as runs from budget_counters c
    where c.organization_id = b.organization_id and c.budget_id = b.id and c.period_start = budget_period_start(b.period, now())) spent)`;

@Injectable()
export class BudgetsRepository {
  constructor(
    private readonly database: Database,
    private readonly rowLimits: RowLimits,
  ) {}

  async list(scope: ReadScope, page: KeysetPage, query: BudgetListQuery): Promise<KeysetRow<BudgetView>[]> {
    const ofKind = query.kind === undefined ? sql`true` : sql`b.scope_kind = ${query.kind}`;
    const where = sql`${tenant(scope, 'b')} and ${ofKind} and ${createdBetween('b', query)}`;
    const select = keysetRows('b', page, { item: BUDGET_JSON, from: sql`budgets b`, where });
    return (await this.database.json<KeysetRow<BudgetView>[]>(scope, select)) ?? [];
  }

  async find(scope: ReadScope, id: string, reader: Reader = this.database): Promise<BudgetView | null> {
    return reader.json<BudgetView>(
      scope,
      sql`select ${BUDGET_JSON} from budgets b where b.id = ${id} and ${tenant(scope, 'b')}`,
    );
  }

  /** What a patch is held against; the row stays locked until the transaction ends. */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<BudgetRow | null> {
    return tx.row<BudgetRow & Record<string, unknown>>(sql`
      select b.id, b.name, b.scope_kind as "scopeKind", b.scope_id as "scopeId", b.period, b.limit_cents::float8 as "limitCents",
        b.limit_runs as "limitRuns", b.action, b.enabled
      from budgets b where b.id = ${id} and ${tenant(scope, 'b')} for no key update of b`);
  }

  /** True where what the scope names is there. */
  async subjectExists(scope: WriteScope, tx: Tx, kind: BudgetKind, id: string): Promise<boolean> {
    return (await tx.row(sql`select 1 from ${subjects(kind)} where s.id = ${id} and ${tenant(scope, 's')}`)) !== null;
  }

  async insert(scope: WriteScope, tx: Tx, budget: BudgetRow): Promise<void> {
    await this.rowLimits.assertRoom(scope, tx, 'budgets');
    const { limitCents, ...rest } = budget;
    await tx.manager.insert(BudgetEntity, {
      organizationId: scope.organizationId,
      ...rest,
      limitCents: limitCents === null ? null : String(limitCents),
    });
  }

  async update(scope: WriteScope, tx: Tx, id: string, patch: BudgetPatch): Promise<void> {
    const columns = assignments({
      name: patch.name === undefined ? undefined : sql`${patch.name}`,
      limit_cents: patch.limit_cents === undefined ? undefined : sql`${patch.limit_cents}::numeric`,
      limit_runs: patch.limit_runs === undefined ? undefined : sql`${patch.limit_runs}::integer`,
      action: patch.action === undefined ? undefined : sql`${patch.action}`,
      enabled: patch.enabled === undefined ? undefined : sql`${patch.enabled}`,
      updated_at: sql`clock_timestamp()`,
    });
    await tx.execute(sql`update budgets b set ${join(columns)} where b.id = ${id} and ${tenant(scope, 'b')}`);
  }

  /** Deletes a budget with its counters; false where there is none. */
  async remove(scope: WriteScope, tx: Tx, id: string): Promise<boolean> {
    const removed = await tx.execute(sql`delete from budgets b where b.id = ${id} and ${tenant(scope, 'b')}`);
    await tx.execute(sql`delete from budget_counters c where c.budget_id = ${id} and ${tenant(scope, 'c')}`);
    return removed === 1;
  }

  /** Deletes counters of periods long past, and of budgets that are gone; some at once. Over every organisation. */
  async sweepCounters(most: number): Promise<number> {
    return this.database.execute(sql`
      delete from budget_counters c using (
        select x.organization_id, x.budget_id, x.period_start, x.shard from budget_counters x
        where (x.period_start < (now() at time zone 'UTC')::date - ${COUNTERS_KEPT_DAYS}::int and x.period_start > '-infinity')
          or not exists (select 1 from budgets b where b.organization_id = x.organization_id and b.id = x.budget_id)
        limit ${most} for update skip locked
      ) old
      where c.organization_id = old.organization_id and c.budget_id = old.budget_id and c.period_start = old.period_start and c.shard = old.shard`);
  }
}

function subjects(kind: BudgetKind): Sql {
  switch (kind) {
    case 'agent':
      return sql`(select a.organization_id, a.id from agents a where a.deleted_at is null) s`;
    case 'api_key':
      return sql`api_keys s`;
    case 'task':
      return sql`(select t.organization_id, t.id from tasks t where t.deleted_at is null) s`;
    case 'schedule':
      return sql`schedules s`;
    case 'organization':
    case 'run':
      return sql`(select null::uuid as organization_id, null::uuid as id) s`;
  }
}
