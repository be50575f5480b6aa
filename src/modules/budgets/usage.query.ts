import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { readableTask, tenant } from '../../database/scope.sql.js';
import { type Sql, raw, sql } from '../../database/sql.js';
import { BUDGET_JSON } from './budgets.repository.js';
import type { BudgetView } from './budgets.schema.js';
import { MAX_GROUPS, type CountedUsage, type UsageGroup } from './usage.schema.js';

const NO_KEY = '00000000-0000-0000-0000-000000000000';
const AMOUNTS = sql`sum(u.runs) as runs, sum(u.cost) as cost, sum(u.input_tokens) as input_tokens, sum(u.output_tokens) as output_tokens`;

@Injectable()
export class UsageQuery {
  constructor(private readonly database: Database) {}

  /**
   * What runs made from `from` up to `to` (days of UTC) have used, of readable tasks; one round trip. Who sees everything also sees
   * what runs used that are gone, by task or by age.
   */
  async count(scope: ReadScope, from: string, to: string, group: UsageGroup): Promise<CountedUsage | null> {
    const { key, archiveKey, named } = GROUPS[group];
    const name = named(scope);
    const order = group === 'day' ? sql`g.key` : sql`g.cost desc, g.runs desc, g.key`;
    const most = group === 'day' ? sql`null::bigint` : sql`${MAX_GROUPS}::bigint`;
    const amounts = (alias: string): Sql => {
      const a = raw(alias);
      return sql`'runs', coalesce(${a}.runs, 0), 'cost_in_cents', coalesce(${a}.cost, 0)::float8,
        'input_tokens', coalesce(${a}.input_tokens, 0), 'output_tokens', coalesce(${a}.output_tokens, 0)`;
    };
    return this.database.json<CountedUsage>(
      scope,
      sql`with used as materialized (
          select u.key, ${AMOUNTS} from (${this.#living(scope, from, to, key)} ${this.#archived(scope, from, to, archiveKey)}) u group by u.key
        ), shown as (select g.* from used g order by ${order} limit ${most})
        select json_build_object(
          'totals', (select json_build_object(${amounts('u')}) from (select ${AMOUNTS} from used u) u),
          'groups', (select coalesce(json_agg(json_build_object('key', g.key, 'name', ${name}, ${amounts('g')}) order by ${order}), '[]') from shown g),
          'more', (select count(*) from used) > (select count(*) from shown))`,
    );
  }

  /** Every budget of the organisation, first made first. */
  async budgets(scope: ReadScope): Promise<BudgetView[]> {
    return (
      (await this.database.json<BudgetView[]>(
        scope,
        sql`select coalesce(json_agg(${BUDGET_JSON} order by b.created_at, b.id), '[]') from budgets b where ${tenant(scope, 'b')}`,
      )) ?? []
    );
  }

  #living(scope: ReadScope, from: string, to: string, key: Sql): Sql {
    // Who sees everything is not asked about tasks, so that a task's deletion hides nothing before the archive has it.
    const readable =
      scope.reach === 'all'
        ? sql`true`
        : sql`exists (select 1 from tasks t where t.organization_id = r.organization_id and t.id = r.task_id and ${readableTask(scope, 't')})`;
    return sql`select ${key} as key, count(*) as runs, sum(r.cost_in_cents) as cost, sum(r.input_tokens) as input_tokens,
        sum(r.output_tokens) as output_tokens
      from runs r where ${tenant(scope, 'r')} and r.created_at >= ${from}::date::timestamp at time zone 'UTC'
        and r.created_at < ${to}::date::timestamp at time zone 'UTC' and ${readable} group by 1`;
  }

  #archived(scope: ReadScope, from: string, to: string, key: Sql): Sql {
    return scope.reach !== 'all'
      ? sql``
      : sql`union all select ${key}, r.runs, r.cost_in_cents, r.input_tokens, r.output_tokens from usage_archive r
          where ${tenant(scope, 'r')} and r.day >= ${from}::date and r.day < ${to}::date`;
  }
}

/** By group: its key of a run `r`, of an archived row `r`, and the name of a key of the group `g`. */
const GROUPS: Readonly<Record<UsageGroup, { key: Sql; archiveKey: Sql; named: (scope: ReadScope) => Sql }>> = {
  day: {
    key: sql`to_char(r.created_at at time zone 'UTC', 'YYYY-MM-DD')`,
    archiveKey: sql`to_char(r.day, 'YYYY-MM-DD')`,
    named: () => sql`null::text`,
  },
  agent: {
    key: sql`r.agent_id::text`,
    archiveKey: sql`r.agent_id::text`,
    named: (scope) =>
      sql`(select a.name from agents a where a.organization_id = ${scope.organizationId} and a.id = g.key::uuid)`,
  },
  api_key: {
    key: sql`r.api_key_id::text`,
    archiveKey: sql`nullif(r.api_key_id, ${NO_KEY}::uuid)::text`,
    // Only those who may list keys are told their names; to others a key is its id, as in what it created.
    named: (scope) =>
      scope.reach === 'all'
        ? sql`(select k.name from api_keys k where k.organization_id = ${scope.organizationId} and k.id = g.key::uuid)`
        : sql`null::text`,
  },
  task: {
    key: sql`r.task_id::text`,
    archiveKey: sql`null::text`,
    named: (scope) =>
      sql`(select t.title from tasks t where t.organization_id = ${scope.organizationId} and t.id = g.key::uuid)`,
  },
};
