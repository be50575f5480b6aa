import type { MigrationInterface, QueryRunner } from 'typeorm';

/** True where the budget `b` covers the run `r`, and is counted in counters; a budget of scope `run` needs none, see below. */
const COVERS = `b.organization_id = r.organization_id and (b.scope_kind = 'organization' or b.scope_id = case b.scope_kind
  when 'agent' then r.agent_id when 'task' then r.task_id when 'api_key' then r.api_key_id end)`;

/**
 * Budgets: limits on what runs cost and how many there are, and the counters they are held against.
 *
 * A run is created, and its cost raised, by many statements (a task handed in, a replay, a child, a batch of events, an end), and a
 * count that one of them forgot would be worse than none. So the counting is the table's own: triggers of `runs` that fire in the
 * statement that inserts a run or changes its cost, and in its transaction. Nothing is counted that did not happen, nothing that
 * happened is left out, and no path can go around a limit. Where the organisation has no budget a trigger is one look at an index,
 * and writes nothing.
 *
 * **Counters and shards.** One row a budget, period and shard. Sixteen shards by backend keep those who only count out of each
 * other's way. A limit that must hold exactly among concurrent runs needs an order between them, so what such a limit compares is
 * counted in shard 0, whose row lock is that order: the number of runs where there is `limit_runs`, the cost where a crossing stops
 * the run. What is spent is the sum over the shards, always.
 *
 * **Locks.** Counters are the last rows a statement locks (after task and run), and in the order of the budgets' ids.
 */
export class Budgets1764000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table budgets (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        name text not null check (length(name) between 1 and 200),
        scope_kind text not null check (scope_kind in ('organization', 'agent', 'api_key', 'task', 'run')),
        scope_id uuid,
        period text not null check (period in ('day', 'month', 'total')),
        limit_cents numeric(18, 6) check (limit_cents >= 0),
        limit_runs integer check (limit_runs >= 0),
        action text not null check (action in ('refuse', 'stop')),
        enabled boolean not null default true,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check (limit_cents is not null or limit_runs is not null),
        check ((scope_id is null) = (scope_kind in ('organization', 'run'))),
        -- A run's own cost is on its row: no counter, no period, and nothing to refuse at its start.
        check (scope_kind <> 'run' or (period = 'total' and action = 'stop' and limit_runs is null))
      );
      create index budgets_list on budgets (organization_id, created_at, id);

      -- No foreign key to budgets: one deleted while a cost is counted must not fail the worker's append. Leftovers are swept.
      create table budget_counters (
        organization_id uuid not null references organizations (id) on delete cascade,
        budget_id uuid not null,
        period_start date not null,
        shard smallint not null check (shard between 0 and 16),
        cents numeric(24, 6) not null default 0,
        runs bigint not null default 0,
        primary key (organization_id, budget_id, period_start, shard)
      ) with (fillfactor = 50);
      create index budget_counters_age on budget_counters (period_start);

      -- Runs to be ended from outside their worker, with the error that says why; a sweep of the engine does it.
      create table run_stops (
        organization_id uuid not null,
        run_id uuid not null,
        error jsonb not null check (jsonb_typeof(error) = 'object'),
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, run_id),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );
      create index run_stops_age on run_stops (created_at);

      -- The key behind a run, which its creator is not where the key is a person's. A label for counting that outlives the key.
      alter table runs add column api_key_id uuid,
        add column input_tokens bigint not null default 0 check (input_tokens >= 0),
        add column output_tokens bigint not null default 0 check (output_tokens >= 0);

      -- What runs that are gone have used, by the day they were made on; the zero key stands for none.
      create table usage_archive (
        organization_id uuid not null references organizations (id) on delete cascade,
        day date not null,
        agent_id uuid not null,
        api_key_id uuid not null,
        runs bigint not null,
        cost_in_cents numeric(24, 6) not null,
        input_tokens bigint not null,
        output_tokens bigint not null,
        primary key (organization_id, day, agent_id, api_key_id)
      );

      -- Periods are days and months of UTC, by database time.
      create function budget_period_start(period text, moment timestamptz) returns date language sql immutable parallel safe
        return case period when 'day' then (moment at time zone 'UTC')::date
          when 'month' then date_trunc('month', moment at time zone 'UTC')::date else '-infinity'::date end;

      create function budget_period_end(period text, moment timestamptz) returns timestamptz language sql immutable parallel safe
        return case period when 'day' then (date_trunc('day', moment at time zone 'UTC') + interval '1 day') at time zone 'UTC'
          when 'month' then (date_trunc('month', moment at time zone 'UTC') + interval '1 month') at time zone 'UTC' end;

      -- A child counts for the key that started its parent.
      create function runs_inherit_key() returns trigger language plpgsql as $$
      begin
        select p.api_key_id into new.api_key_id from runs p where p.organization_id = new.organization_id and p.id = new.parent_run_id;
        return new;
      end $$;
      create trigger runs_inherit_key before insert on runs for each row
        when (new.parent_run_id is not null and new.api_key_id is null) execute function runs_inherit_key();

      create function runs_count_created() returns trigger language plpgsql as $$
      declare
        moment timestamptz := clock_timestamp();
        used record;
      begin
        if not exists (select 1 from budgets b where b.organization_id in (select r.organization_id from created r)) then
          return null;
        end if;
        insert into budget_counters as c (organization_id, budget_id, period_start, shard, runs)
        select b.organization_id, b.id, budget_period_start(b.period, moment),
          case when b.limit_runs is null then 1 + pg_backend_pid() % 16 else 0 end, count(*)
        from created r join budgets b on ${COVERS}
        group by b.organization_id, b.id order by b.organization_id, b.id
        on conflict (organization_id, budget_id, period_start, shard) do update set runs = c.runs + excluded.runs;

        -- A statement of its own: it sees what others had committed when the lock of shard 0 was given.
        select b.name, b.period, b.limit_runs, b.limit_cents, spent.runs, spent.cents into used
        from budgets b cross join lateral (
          select coalesce(sum(c.runs), 0) as runs, coalesce(sum(c.cents), 0) as cents from budget_counters c
          where c.organization_id = b.organization_id and c.budget_id = b.id and c.period_start = budget_period_start(b.period, moment)
        ) spent
        where b.enabled and exists (select 1 from created r where ${COVERS})
          and (spent.runs > b.limit_runs or spent.cents >= b.limit_cents)
        order by b.id limit 1;
        if found then
          raise exception using errcode = 'TYB01',
            message = format('The budget "%s" is used up: %s. %s', used.name,
              case when used.runs > used.limit_runs then format('it allows %s runs', used.limit_runs)
                else format('%s of %s cents are spent', trim_scale(used.cents), trim_scale(used.limit_cents)) end,
              case when used.period = 'total' then 'It has no period that ends; it can be raised.'
                else format('Its period ends at %s.', iso_utc(budget_period_end(used.period, moment))) end),
            detail = coalesce(ceil(extract(epoch from budget_period_end(used.period, moment) - moment))::text, '');
        end if;
        return null;
      end $$;
      create trigger runs_count_created after insert on runs referencing new table as created
        for each statement execute function runs_count_created();

      create function runs_count_cost() returns trigger language plpgsql as $$
      declare
        moment timestamptz := clock_timestamp();
        r runs := new;
      begin
        if not exists (select 1 from budgets b where b.organization_id = new.organization_id) then
          return null;
        end if;
        insert into budget_counters as c (organization_id, budget_id, period_start, shard, cents)
        select b.organization_id, b.id, budget_period_start(b.period, moment),
          case when b.action = 'stop' and b.limit_cents is not null then 0 else 1 + pg_backend_pid() % 16 end,
          new.cost_in_cents - old.cost_in_cents
        from budgets b where ${COVERS}
        order by b.organization_id, b.id
        on conflict (organization_id, budget_id, period_start, shard) do update set cents = c.cents + excluded.cents;

        if new.finished_at is null then
          insert into run_stops (organization_id, run_id, error)
          select new.organization_id, new.id, jsonb_build_object('name', 'BudgetExceeded', 'message',
            format('The budget "%s" is used up: %s of %s cents are spent.', b.name, trim_scale(spent.cents), trim_scale(b.limit_cents)),
            'stack_trace', null)
          from budgets b cross join lateral (
            select case when b.scope_kind = 'run' then new.cost_in_cents else (
              select coalesce(sum(c.cents), 0) from budget_counters c
              where c.organization_id = b.organization_id and c.budget_id = b.id and c.period_start = budget_period_start(b.period, moment)
            ) end as cents
          ) spent
          where b.enabled and b.action = 'stop' and spent.cents > b.limit_cents
            and ((b.organization_id = new.organization_id and b.scope_kind = 'run') or (${COVERS}))
          order by b.id limit 1
          on conflict (organization_id, run_id) do nothing;
        end if;
        return null;
      end $$;
      create trigger runs_count_cost after update of cost_in_cents on runs for each row
        when (new.cost_in_cents is distinct from old.cost_in_cents) execute function runs_count_cost();

      create function runs_archive_usage() returns trigger language plpgsql as $$
      begin
        insert into usage_archive as u (organization_id, day, agent_id, api_key_id, runs, cost_in_cents, input_tokens, output_tokens)
        select r.organization_id, (r.created_at at time zone 'UTC')::date, r.agent_id,
          coalesce(r.api_key_id, '00000000-0000-0000-0000-000000000000'), count(*), sum(r.cost_in_cents), sum(r.input_tokens), sum(r.output_tokens)
        from removed r group by 1, 2, 3, 4 order by 1, 2, 3, 4
        on conflict (organization_id, day, agent_id, api_key_id) do update set runs = u.runs + excluded.runs,
          cost_in_cents = u.cost_in_cents + excluded.cost_in_cents, input_tokens = u.input_tokens + excluded.input_tokens,
          output_tokens = u.output_tokens + excluded.output_tokens;
        return null;
      end $$;
      create trigger runs_archive_usage after delete on runs referencing old table as removed
        for each statement execute function runs_archive_usage();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
