import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Runs that wait for people and for other runs: questions, approvals, children; and where a replay came from.
 *
 * **The last child wakes its parent.** A child ends by many statements: completed, failed, timed out, canceled, stopped, expired. One that
 * forgot the parent would leave it waiting for good; so waking is the table's own: a trigger of `runs`, in the transaction of the
 * end. It locks the parent before it looks at the other children, and its look is a statement of its own: of two last children that
 * end at once, the second waits for the first and then sees it ended. Who lets the parent wait holds the same lock and looks after it.
 * By its name it fires before the triggers that lock slots and counters, as the order of locks wants it.
 */
export class People1764000000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table runs
        add column replay_of_run_id uuid,
        -- What a waiting run waits for: {id, question, options, default}, {call_id, name, input} or {children: [id]}.
        add column wait jsonb check (jsonb_typeof(wait) = 'object'),
        add column wait_since timestamptz,
        add column wait_due_at timestamptz,
        add column wait_assignee_id uuid,
        -- What its last wait ended with, told with every claim until it waits again.
        add column resume jsonb check (jsonb_typeof(resume) = 'object'),
        add foreign key (organization_id, wait_assignee_id) references users (organization_id, id) on delete restrict;

      -- The inbox.
      create index runs_waiting on runs (organization_id, created_at, id) where status = 'waiting';
      create index runs_wait_due on runs (wait_due_at) where status = 'waiting' and wait_due_at is not null;
      -- Whose open question makes a task readable to them.
      create index runs_wait_assignee on runs (organization_id, wait_assignee_id, task_id)
        where status = 'waiting' and wait_assignee_id is not null;
      create index runs_open_children on runs (organization_id, parent_run_id) where parent_run_id is not null and finished_at is null;
      create index runs_family on runs (organization_id, root_run_id, number) where parent_run_id is not null;

      -- What a run started under a name of its own, so that the same name again starts nothing twice, in later attempts neither.
      create table run_child_batches (
        organization_id uuid not null,
        run_id uuid not null,
        batch_id text not null check (length(batch_id) between 1 and 200),
        digest bytea not null check (octet_length(digest) = 32),
        child_ids uuid[] not null,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, run_id, batch_id),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );

      create function runs_announce_end() returns trigger language plpgsql as $$
      declare
        parent runs%rowtype;
      begin
        perform 1 from runs where organization_id = new.organization_id and id = new.parent_run_id for no key update;
        update runs r set status = 'queued', wait_kind = null, wait = null, wait_since = null, wait_due_at = null, wait_assignee_id = null,
          resume = '{"children": true}', queued_at = clock_timestamp(), available_at = clock_timestamp(), updated_at = clock_timestamp(),
          last_seq = r.last_seq + 1
        where r.organization_id = new.organization_id and r.id = new.parent_run_id and r.status = 'waiting' and r.wait_kind = 'children'
          and not exists (select 1 from runs c
            where c.organization_id = r.organization_id and c.parent_run_id = r.id and c.finished_at is null)
        returning r.* into parent;
        if found then
          update tasks set status = 'queued', updated_at = clock_timestamp()
          where organization_id = parent.organization_id and id = parent.task_id and latest_run_id = parent.id;
          insert into run_events (organization_id, run_id, first_seq, last_seq, events)
          values (parent.organization_id, parent.id, parent.last_seq, parent.last_seq, jsonb_build_array(jsonb_build_object(
            'seq', parent.last_seq, 'type', 'status', 'at', iso_utc(clock_timestamp()),
            'data', jsonb_build_object('status', 'queued', 'attempt', parent.attempt))));
        end if;
        return null;
      end $$;
      create trigger runs_announce_end after update of status on runs for each row
        when (new.parent_run_id is not null and new.finished_at is not null and old.finished_at is null)
        execute function runs_announce_end();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
