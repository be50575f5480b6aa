import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Takes off the path of every run what it need not pay for.
 *
 * A task's row is changed by each step of its latest run (status, updated_at). While an index held either, each of these changes wrote
 * the row anew into all its indexes. `task_listing` now holds what tasks are found and ordered by and what changes all the time, so that
 * the changes of `tasks` stay in the page (heap-only tuples, https://www.postgresql.org/docs/current/storage-hot.html). Triggers keep it,
 * once for each statement, in the transaction of the change.
 *
 * What hangs on a run was checked row by row against a run that the same statement had just changed, and so had locked: attempts, events
 * and log lines are inserted in no other way. A run's principals come from the scope whose liveness the statement asks, and are never
 * deleted. These checks go; what they did when a run is deleted, a trigger does for all runs of the statement at once.
 */
export class HotPath1764000000014 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table run_attempts drop constraint run_attempts_organization_id_run_id_fkey, set (fillfactor = 70);
      alter table run_events drop constraint run_events_organization_id_run_id_fkey;
      alter table run_log_lines drop constraint run_log_lines_organization_id_run_id_fkey;
      alter table runs drop constraint runs_organization_id_claimed_by_fkey, drop constraint runs_organization_id_created_by_fkey;

      create function runs_take_along() returns trigger language plpgsql as $$
      begin
        delete from run_log_lines l using removed r where l.organization_id = r.organization_id and l.run_id = r.id;
        delete from run_events e using removed r where e.organization_id = r.organization_id and e.run_id = r.id;
        delete from run_attempts a using removed r where a.organization_id = r.organization_id and a.run_id = r.id;
        return null;
      end $$;
      create trigger runs_take_along after delete on runs referencing old table as removed
        for each statement execute function runs_take_along();

      drop index tasks_status;
      drop index tasks_updated;
      drop index tasks_shown;
      drop index tasks_shown_private;
      -- Room in each page for the versions that the steps of a run leave behind.
      alter table tasks set (fillfactor = 75);
      -- What an index may be about, where latest_run_id may not: it stays as it is from the first run on.
      -- Since its minor releases of November 2026, PostgreSQL does not rewrite a table whose row type a function with a parsed body uses.
      drop function outbox_task(tasks);
      alter table tasks add column has_run boolean not null generated always as (latest_run_id is not null) stored;
      create function outbox_task(t tasks) returns jsonb language sql stable as $$
        select jsonb_build_object('id', t.id, 'title', t.title, 'status', t.status, 'agent_id', t.agent_id, 'model', t.model,
          'project_id', t.project_id, 'team_id', t.team_id, 'visibility', t.visibility, 'account_id', t.account_id,
          'artist_account_id', t.artist_account_id, 'created_by', t.created_by, 'tags', to_jsonb(t.tags), 'metadata', t.metadata,
          'enabled', t.enabled, 'run_count', t.run_count, 'latest_run_id', t.latest_run_id, 'created_at', iso_utc(t.created_at),
          'updated_at', iso_utc(t.updated_at))
      $$;
      create index tasks_shown on tasks (organization_id, created_at, id)
        include (visibility, created_by, team_id, project_id) where deleted_at is null and has_run;
      create index tasks_shown_private on tasks (organization_id, created_by) where deleted_at is null and has_run and visibility = 'private';

      -- Of tasks that are not deleted.
      create table task_listing (
        organization_id uuid not null,
        id uuid not null,
        status text not null,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        primary key (organization_id, id)
      );
      insert into task_listing (organization_id, id, status, created_at, updated_at)
        select organization_id, id, status, created_at, updated_at from tasks where deleted_at is null;
      create index task_listing_status on task_listing (organization_id, status, created_at, id);
      create index task_listing_updated on task_listing (organization_id, updated_at, id);

      create function tasks_list_made() returns trigger language plpgsql as $$
      begin
        insert into task_listing (organization_id, id, status, created_at, updated_at)
          select m.organization_id, m.id, m.status, m.created_at, m.updated_at from made m where m.deleted_at is null;
        return null;
      end $$;
      create trigger tasks_list_made after insert on tasks referencing new table as made
        for each statement execute function tasks_list_made();

      create function tasks_list_changed() returns trigger language plpgsql as $$
      begin
        update task_listing l set status = c.status, updated_at = c.updated_at from changed c
          where l.organization_id = c.organization_id and l.id = c.id and c.deleted_at is null;
        if exists (select 1 from changed c where c.deleted_at is not null) then
          delete from task_listing l using changed c
            where l.organization_id = c.organization_id and l.id = c.id and c.deleted_at is not null;
        end if;
        return null;
      end $$;
      create function tasks_list_removed() returns trigger language plpgsql as $$
      begin
        delete from task_listing l using removed r where l.organization_id = r.organization_id and l.id = r.id;
        return null;
      end $$;
      create trigger tasks_list_removed after delete on tasks referencing old table as removed
        for each statement execute function tasks_list_removed();
      create trigger tasks_list_changed after update on tasks referencing new table as changed
        for each statement execute function tasks_list_changed();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
