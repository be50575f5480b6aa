import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Schedules fire: what they are set to, where they stand, and the ledger of their slots.
 *
 * **Where a schedule stands.** Every slot up to `cursor_at` is accounted for. `next_at` is the first slot after it, `due_at` the moment that
 * slot is to fire (the slot and the schedule's own jitter). Both are null while nothing is to come: the schedule or its task is not
 * enabled, or no slot is left (`is_over`). Whoever changes what decides the slots moves the cursor; the next slot is always computed
 * from the cursor, never from the clock.
 *
 * **The ledger.** One row a slot, by primary key. It is inserted by the transaction that makes the run and moves the cursor.
 *
 * **Failures in a row** are counted where runs end: by a trigger of `runs`, so that no way to end can be forgotten. Whoever ends a run
 * holds its task's row, and so does whoever changes a schedule, so the schedule's row is free by then. By its name the trigger fires
 * before those that lock slots and counters.
 */
export class ScheduleFiring1764000000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table schedules
        alter column cron drop not null,
        add column every_seconds integer check (every_seconds between 1 and 31622400),
        add column at timestamptz,
        add column starts_at timestamptz,
        add column ends_at timestamptz,
        -- What every_seconds counts from where there is no starts_at.
        add column anchor_at timestamptz not null default date_trunc('second', clock_timestamp()),
        add column overlap text not null default 'allow' check (overlap in ('allow', 'skip', 'queue_one', 'cancel_running')),
        add column catch_up text not null default 'one' check (catch_up in ('skip', 'one', 'all')),
        add column catch_up_window_seconds integer not null default 3600 check (catch_up_window_seconds between 0 and 31622400),
        add column jitter_seconds integer not null default 0 check (jitter_seconds between 0 and 86400),
        add column pause_after_failures integer check (pause_after_failures between 1 and 1000),
        -- Mirror of the task's own switch.
        add column task_enabled boolean not null default true,
        add column cursor_at timestamptz not null default date_trunc('milliseconds', clock_timestamp()),
        add column next_at timestamptz,
        add column due_at timestamptz,
        add column is_over boolean not null default false,
        -- The time zone database the next slot was computed with.
        add column tz_version text,
        -- A slot that waits for the run before it (overlap queue_one).
        add column waiting_slot_at timestamptz,
        -- Slots were coalesced into one that is still to come.
        add column is_coalescing boolean not null default false,
        add column execution_count bigint not null default 0,
        add column last_executed_at timestamptz,
        add column last_slot_at timestamptz,
        add column last_run_id uuid,
        add column failures_in_a_row integer not null default 0,
        add column paused_at timestamptz,
        add column pause_reason text check (length(pause_reason) between 1 and 500),
        -- Paused by failures, and nobody has been told yet.
        add column is_pause_untold boolean not null default false,
        add check (num_nonnulls(cron, every_seconds, at) = 1),
        add check (ends_at > starts_at),
        add check ((next_at is null) = (due_at is null)),
        add check (paused_at is null or not enabled);
      update schedules s set task_enabled = t.enabled from tasks t where t.organization_id = s.organization_id and t.id = s.task_id;

      create index schedules_due on schedules (due_at, id) where due_at is not null;
      create index schedules_unarmed on schedules (id) where enabled and task_enabled and next_at is null and not is_over;
      create index schedules_waiting on schedules (waiting_slot_at) where waiting_slot_at is not null;
      create index schedules_untold on schedules (id) where is_pause_untold;

      create table schedule_slots (
        organization_id uuid not null,
        schedule_id uuid not null,
        scheduled_at timestamptz not null,
        due_at timestamptz not null,
        status text not null check (status in ('fired', 'late', 'skipped', 'missed', 'coalesced', 'backfilled')),
        reason text check (length(reason) between 1 and 64),
        -- No foreign key: runs are deleted by age, and what was fired stays fired.
        run_id uuid,
        decided_at timestamptz not null default clock_timestamp(),
        tz_version text,
        primary key (organization_id, schedule_id, scheduled_at)
      );
      create index schedule_slots_age on schedule_slots using brin (decided_at);

      -- The ledger goes with its schedule; a foreign key would look the schedule up once for every slot that fires.
      create function schedules_drop_slots() returns trigger language plpgsql as $$
      begin
        delete from schedule_slots l using removed s where l.organization_id = s.organization_id and l.schedule_id = s.id;
        return null;
      end $$;
      create trigger schedules_drop_slots after delete on schedules referencing old table as removed
        for each statement execute function schedules_drop_slots();

      -- The zone of a task's last schedule, so that one taken away and given again keeps it.
      create table task_timezones (
        organization_id uuid not null,
        task_id uuid not null,
        timezone text not null check (length(timezone) between 1 and 64),
        primary key (organization_id, task_id),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade
      );

      create function runs_answer_schedule() returns trigger language plpgsql as $$
      begin
        update schedules s set
          failures_in_a_row = case when new.status = 'completed' then 0 else s.failures_in_a_row + 1 end,
          enabled = s.enabled and not f.is_over_the_limit,
          paused_at = case when f.is_over_the_limit then clock_timestamp() else s.paused_at end,
          pause_reason = case when f.is_over_the_limit then format('%s runs in a row failed.', s.failures_in_a_row + 1) else s.pause_reason end,
          is_pause_untold = s.is_pause_untold or f.is_over_the_limit,
          next_at = case when not f.is_over_the_limit then s.next_at end,
          due_at = case when not f.is_over_the_limit then s.due_at end
        from (select coalesce(new.status <> 'completed' and c.enabled and c.failures_in_a_row + 1 >= c.pause_after_failures, false) as is_over_the_limit
          from schedules c where c.organization_id = new.organization_id and c.id = new.schedule_id) f
        where s.organization_id = new.organization_id and s.id = new.schedule_id and (new.status <> 'completed' or s.failures_in_a_row > 0);
        return null;
      end $$;
      create trigger runs_answer_schedule after update of status on runs for each row
        when (new.schedule_id is not null and old.finished_at is null and new.status in ('completed', 'failed', 'timed_out'))
        execute function runs_answer_schedule();

      alter table budgets drop constraint budgets_scope_kind_check;
      alter table budgets add constraint budgets_scope_kind_check
        check (scope_kind in ('organization', 'agent', 'api_key', 'task', 'schedule', 'run'));

      -- The functions that count for budgets learn that a budget can be for a schedule.
      do $do$
      declare
        name text;
        definition text;
      begin
        foreach name in array array['runs_count_created()', 'runs_count_cost()'] loop
          definition := pg_get_functiondef(name::regprocedure);
          if position($$when 'api_key' then r.api_key_id end$$ in definition) = 0 then
            raise exception '% is not as it was made', name;
          end if;
          execute replace(definition, $$when 'api_key' then r.api_key_id end$$,
            $$when 'api_key' then r.api_key_id when 'schedule' then r.schedule_id end$$);
        end loop;
      end $do$;
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
