import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How long what runs leave is kept, how far the sweeps have come, and the indexes that let them look only at what is due. */
export class Retention1764000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- An organisation without a row has the defaults; in a row, null keeps for ever.
      create table retention_policies (
        organization_id uuid primary key references organizations (id) on delete cascade,
        events_days integer check (events_days between 1 and 36500),
        logs_days integer check (logs_days between 1 and 36500),
        payloads_days integer check (payloads_days between 1 and 36500),
        runs_days integer check (runs_days between 1 and 36500),
        assets_days integer check (assets_days between 1 and 36500),
        updated_at timestamptz not null default clock_timestamp()
      );

      -- Runs are swept in the order they finished in; all up to here are done with, so that no sweep looks at them again.
      create table retention_marks (
        organization_id uuid not null references organizations (id) on delete cascade,
        class text not null check (class in ('events', 'logs', 'payloads', 'runs')),
        finished_at timestamptz not null,
        run_id uuid not null,
        primary key (organization_id, class)
      );

      create index runs_finished on runs (organization_id, finished_at, id) where finished_at is not null;
      -- Whether a task has a run under way, however many it has had.
      create index runs_live on runs (organization_id, task_id) where finished_at is null;

      -- A file outlives its run: it belongs to the task, and its row is all that knows of its bytes.
      alter table assets drop constraint assets_organization_id_run_id_fkey;
      alter table assets add constraint assets_organization_id_run_id_fkey
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete set null (run_id);
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
