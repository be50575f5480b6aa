import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * No run for an agent that is deleted. Deleting an agent looks for runs that have not ended; a run that was made at the same time was not
 * seen, and nobody ever did it. Now whatever makes runs holds the agent's row, which a deletion waits for, and finds a deletion that came
 * first. Runs that were left behind are canceled here, so that their parents go on.
 */
export class DeletedAgents1764000000019 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create function runs_need_agents() returns trigger language plpgsql as $$
      declare
        wanted bigint;
        present bigint;
      begin
        select count(*) into wanted from (select distinct m.organization_id, m.agent_id from made m) w;
        select count(*) into present from (
          select 1 from agents a where a.deleted_at is null
            and (a.organization_id, a.id) in (select m.organization_id, m.agent_id from made m)
          order by a.organization_id, a.id for key share of a) p;
        if present < wanted then
          raise exception using errcode = 'TYA01', message = 'The agent has been deleted; choose another one.';
        end if;
        return null;
      end $$;
      create trigger runs_need_agents after insert on runs referencing new table as made
        for each statement execute function runs_need_agents();

      with left_behind as materialized (
        select r.organization_id, r.id from runs r join agents a on a.organization_id = r.organization_id and a.id = r.agent_id
        where r.finished_at is null and r.status in ('queued', 'delayed', 'waiting') and a.deleted_at is not null
        for no key update of r
      ), ended as (
        update runs r set status = 'canceled', wait_kind = null, wait = null, wait_since = null, wait_due_at = null,
          wait_assignee_id = null, held_back = false, fence = r.fence + 1, finished_at = clock_timestamp(), updated_at = clock_timestamp(),
          cancel_requested_at = coalesce(r.cancel_requested_at, clock_timestamp()), last_seq = r.last_seq + 2
        from left_behind l where r.organization_id = l.organization_id and r.id = l.id
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), attempts as (
        update run_attempts a set status = 'canceled', finished_at = clock_timestamp() from ended e
        where a.organization_id = e.organization_id and a.run_id = e.id and a.finished_at is null
      ), mirror as (
        update tasks t set status = e.status, updated_at = clock_timestamp() from ended e
        where t.organization_id = e.organization_id and t.id = e.task_id and t.latest_run_id = e.id
      )
      insert into run_events (organization_id, run_id, first_seq, last_seq, events)
      select e.organization_id, e.id, e.last_seq - 1, e.last_seq, jsonb_build_array(
        jsonb_build_object('seq', e.last_seq - 1, 'type', 'status', 'at', iso_utc(clock_timestamp()),
          'data', jsonb_build_object('status', e.status, 'attempt', e.attempt)),
        jsonb_build_object('seq', e.last_seq, 'type', 'end', 'at', iso_utc(clock_timestamp()),
          'data', jsonb_build_object('status', e.status, 'output', null, 'error', null)))
      from ended e;
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
