import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Bulk operations: one action on all runs that a filter matches. */
export class Bulk1764000000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table bulk_operations (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        action text not null check (action in ('cancel', 'replay')),
        filter jsonb not null check (jsonb_typeof(filter) = 'object' and filter <> '{}'),
        dry_run boolean not null,
        status text not null check (status in ('running', 'completed', 'stopped')),
        -- In whose name it works: the credential's principal, whose rights are looked up afresh; and who is shown as its creator.
        principal_id uuid not null,
        created_by uuid not null,
        matched integer not null check (matched >= 0),
        done integer not null default 0 check (done >= 0),
        failed integer not null default 0 check (failed >= 0),
        -- Why runs failed: how often by error code.
        failures jsonb not null default '{}' check (jsonb_typeof(failures) = 'object'),
        -- While a replica works on it; only saves others the trouble, nothing depends on it.
        leased_until timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        finished_at timestamptz,
        primary key (organization_id, id),
        check (done + failed <= matched),
        check ((status = 'running') = (finished_at is null)),
        check (not dry_run or done + failed = 0),
        foreign key (organization_id, principal_id) references principals (organization_id, id) on delete restrict,
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create index bulk_operations_list on bulk_operations (organization_id, created_at, id);
      create index bulk_operations_due on bulk_operations (leased_until nulls first, created_at) where status = 'running';

      -- What is left to do of each, in the order of the runs' ids. A row goes in the transaction that counts its run, so none is counted
      -- twice. No foreign key to runs: one that is deleted meanwhile is to be counted as failed.
      create table bulk_operation_runs (
        organization_id uuid not null,
        operation_id uuid not null,
        run_id uuid not null,
        primary key (organization_id, operation_id, run_id),
        foreign key (organization_id, operation_id) references bulk_operations (organization_id, id) on delete cascade
      );
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
