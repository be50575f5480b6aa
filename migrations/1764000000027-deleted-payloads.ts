import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Says of a run that retention has deleted its payload, which a null payload does not: a run may never have had one. Of runs whose payload
 * was deleted before, nothing is known but that retention has passed them; those that had none of their own then count as if they had.
 */
export class DeletedPayloads1764000000027 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- With quoted bodies: PostgreSQL's minor releases of November 2026 do not add a column with a default to a table whose row type a function
      -- with a parsed body uses.
      create or replace function outbox_run(r runs) returns jsonb language sql stable as $$
        select jsonb_build_object('id', r.id, 'task_id', r.task_id, 'number', r.number, 'agent_id', r.agent_id, 'status', r.status,
            'wait_kind', r.wait_kind, 'attempt', r.attempt, 'max_attempts', r.max_attempts, 'priority', r.priority, 'output', r.output,
            'error', r.error, 'tags', to_jsonb(r.tags), 'metadata', r.metadata, 'is_test', r.is_test,
            'cost_in_cents', r.cost_in_cents::float8, 'base_cost_in_cents', r.base_cost_in_cents::float8,
            'duration_ms', (extract(epoch from r.finished_at - r.started_at) * 1000)::bigint)
          || jsonb_build_object('created_at', iso_utc(r.created_at), 'queued_at', iso_utc(r.queued_at), 'started_at', iso_utc(r.started_at),
            'finished_at', iso_utc(r.finished_at), 'expired_at', iso_utc(r.expired_at), 'parent_run_id', r.parent_run_id,
            'root_run_id', r.root_run_id, 'depth', r.depth, 'batch_id', r.batch_id, 'concurrency_key', r.concurrency_key,
            'schedule_id', r.schedule_id, 'stream_id', r.id, 'last_seq', r.last_seq)
      $$;
      create or replace function outbox_task(t tasks) returns jsonb language sql stable as $$
        select jsonb_build_object('id', t.id, 'title', t.title, 'status', t.status, 'agent_id', t.agent_id, 'model', t.model,
          'project_id', t.project_id, 'team_id', t.team_id, 'visibility', t.visibility, 'account_id', t.account_id,
          'artist_account_id', t.artist_account_id, 'created_by', t.created_by, 'tags', to_jsonb(t.tags), 'metadata', t.metadata,
          'enabled', t.enabled, 'run_count', t.run_count, 'latest_run_id', t.latest_run_id, 'created_at', iso_utc(t.created_at),
          'updated_at', iso_utc(t.updated_at))
      $$;
      alter table runs add column payload_deleted boolean not null default false;
      update runs r set payload_deleted = true from retention_marks m
      where m.organization_id = r.organization_id and m.class = 'payloads' and r.payload is null
        and (r.finished_at, r.id) <= (m.finished_at, m.run_id);
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
