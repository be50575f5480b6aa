import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What lets an organisation's events be followed in an order that no later commit changes, and finished logs be made small. */
export class Streams1764000000009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The transaction that wrote a lifecycle batch; null for what workers say, and for what was there before. Below the oldest
      -- transaction still running, the order by it is final. Two statements: a default given at once would rewrite the table.
      alter table run_events add column xid xid8;
      alter table run_events alter column xid set default pg_current_xact_id();
      create index run_events_lifecycle on run_events (organization_id, xid, run_id, last_seq) where xid is not null;

      -- Logs are compacted in the order their runs finished in; all up to here are done with.
      create table stream_marks (
        organization_id uuid primary key references organizations (id) on delete cascade,
        finished_at timestamptz not null,
        run_id uuid not null
      );
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
