import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Agents, tasks, runs, and all that a run leaves: its log, messages and assets. */
export class Work1764000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table agents (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
        name text not null check (length(name) between 1 and 200),
        kind text not null check (kind in ('worker', 'http', 'command', 'builtin')),
        version text not null default '1' check (length(version) between 1 and 64),
        description text not null default '' check (length(description) <= 4000),
        config jsonb not null default '{}' check (jsonb_typeof(config) = 'object'),
        max_attempts smallint not null default 3 check (max_attempts between 1 and 100),
        timeout_seconds integer not null default 3600 check (timeout_seconds between 1 and 604800),
        lease_seconds integer not null default 60 check (lease_seconds between 5 and 3600),
        default_run_config jsonb not null default '{}' check (jsonb_typeof(default_run_config) = 'object'),
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        deleted_at timestamptz,
        primary key (organization_id, id)
      );
      create unique index agents_slug on agents (organization_id, slug) where deleted_at is null;
      create index agents_list on agents (organization_id, created_at, id) where deleted_at is null;

      alter table organizations add foreign key (id, default_agent_id) references agents (organization_id, id) on delete restrict;

      create table api_key_agents (
        organization_id uuid not null,
        api_key_id uuid not null,
        agent_id uuid not null,
        primary key (organization_id, api_key_id, agent_id),
        foreign key (organization_id, api_key_id) references api_keys (organization_id, id) on delete cascade,
        foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade
      );

      create table tasks (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        title text not null check (length(title) <= 500),
        prompt text not null check (octet_length(prompt) <= 1048576),
        payload jsonb,
        model text check (length(model) between 1 and 200),
        run_config jsonb not null default '{}' check (jsonb_typeof(run_config) = 'object'),
        agent_id uuid not null,
        project_id uuid,
        team_id uuid,
        visibility text not null check (visibility in ('private', 'team', 'organization')),
        account_id uuid,
        artist_account_id uuid,
        created_by uuid not null,
        is_isolated boolean not null default false,
        secret_names text[] not null default '{}',
        callback text check (length(callback) <= 2048),
        tags text[] not null default '{}' check (cardinality(tags) <= 10),
        metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
        enabled boolean not null default true,
        max_attempts smallint check (max_attempts between 1 and 100),
        priority smallint not null default 0 check (priority between -100 and 100),
        -- The next four mirror the latest root run and are written by the runs module, in the run's transaction.
        status text not null default 'idle'
          check (status in ('idle', 'delayed', 'queued', 'running', 'waiting', 'completed', 'failed', 'timed_out', 'canceled', 'expired')),
        latest_run_id uuid,
        latest_run_number integer,
        run_count integer not null default 0 check (run_count >= 0),
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        deleted_at timestamptz,
        primary key (organization_id, id),
        check (visibility <> 'team' or team_id is not null),
        check ((latest_run_id is null) = (status = 'idle')),
        foreign key (organization_id, agent_id) references agents (organization_id, id) on delete restrict,
        foreign key (organization_id, project_id) references projects (organization_id, id) on delete restrict,
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete restrict,
        foreign key (organization_id, account_id) references accounts (organization_id, id) on delete restrict,
        foreign key (organization_id, artist_account_id) references accounts (organization_id, id) on delete restrict,
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create index tasks_list on tasks (organization_id, created_at, id) where deleted_at is null;
      create index tasks_shown on tasks (organization_id, created_at, id)
        include (visibility, created_by, team_id, project_id) where deleted_at is null and latest_run_id is not null;
      -- What an organisation-wide key adds of its own to the counted total of what is not private.
      create index tasks_shown_private on tasks (organization_id, created_by)
        where deleted_at is null and latest_run_id is not null and visibility = 'private';
      create index tasks_updated on tasks (organization_id, updated_at, id) where deleted_at is null;
      create index tasks_status on tasks (organization_id, status, created_at, id) where deleted_at is null;
      create index tasks_agent on tasks (organization_id, agent_id, created_at, id) where deleted_at is null;
      create index tasks_creator on tasks (organization_id, created_by, created_at, id) where deleted_at is null;
      create index tasks_team on tasks (organization_id, team_id, created_at, id) where deleted_at is null and team_id is not null;
      create index tasks_project on tasks (organization_id, project_id, created_at, id) where deleted_at is null and project_id is not null;
      create index tasks_account on tasks (organization_id, account_id, created_at, id) where deleted_at is null and account_id is not null;
      create index tasks_artist on tasks (organization_id, artist_account_id, created_at, id) where deleted_at is null and artist_account_id is not null;
      create index tasks_tags on tasks using gin (tags) where deleted_at is null and tags <> '{}';
      create index tasks_deleted on tasks (deleted_at) where deleted_at is not null;

      create table task_shares (
        organization_id uuid not null,
        task_id uuid not null,
        team_id uuid not null,
        access text not null check (access in ('read', 'write')),
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, task_id, team_id),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade,
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete cascade
      );
      create index task_shares_team on task_shares (organization_id, team_id, task_id);

      -- Tasks that have been run, counted where they are inserted; sharded so that inserts do not queue on one row.
      create table task_counters (
        organization_id uuid not null references organizations (id) on delete cascade,
        shard smallint not null check (shard between 0 and 15),
        shown bigint not null default 0,
        shown_private bigint not null default 0,
        primary key (organization_id, shard)
      );

      create table runs (
        organization_id uuid not null,
        id uuid not null,
        task_id uuid not null,
        number integer not null check (number > 0),
        agent_id uuid not null,
        status text not null
          check (status in ('delayed', 'queued', 'running', 'waiting', 'completed', 'failed', 'timed_out', 'canceled', 'expired')),
        wait_kind text check (wait_kind in ('question', 'approval', 'children')),
        fence bigint not null default 0 check (fence >= 0),
        fence_nonce text,
        claimed_by uuid,
        worker_id text check (length(worker_id) between 1 and 200),
        lease_seconds integer not null,
        lease_expires_at timestamptz,
        timeout_seconds integer not null,
        deadline_at timestamptz,
        attempt smallint not null default 0 check (attempt >= 0),
        max_attempts smallint not null check (max_attempts between 1 and 100),
        priority smallint not null default 0 check (priority between -100 and 100),
        run_config jsonb not null check (jsonb_typeof(run_config) = 'object'),
        payload jsonb,
        output jsonb check (jsonb_typeof(output) = 'object'),
        error jsonb check (jsonb_typeof(error) = 'object'),
        tags text[] not null default '{}',
        metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
        idempotency_key text,
        is_test boolean not null default false,
        cost_in_cents numeric(18, 6) not null default 0 check (cost_in_cents >= 0),
        base_cost_in_cents numeric(18, 6) not null default 0 check (base_cost_in_cents >= 0),
        created_by uuid,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        queued_at timestamptz,
        available_at timestamptz not null default clock_timestamp(),
        delayed_until timestamptz,
        ttl text,
        expires_at timestamptz,
        expired_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        parent_run_id uuid,
        root_run_id uuid not null,
        depth smallint not null default 0 check (depth between 0 and 16),
        batch_id uuid,
        concurrency_key text,
        schedule_id uuid,
        last_seq bigint not null default 0 check (last_seq >= 0),
        cancel_requested_at timestamptz,
        cancel_requested_by uuid,
        -- How the last lease ended, so that the same request repeated gets the same answer: {fence, kind, result}.
        release jsonb,
        primary key (organization_id, id),
        unique (organization_id, task_id, number),
        check ((status = 'running') = (lease_expires_at is not null)),
        check ((status = 'running') = (fence_nonce is not null)),
        check ((status = 'waiting') = (wait_kind is not null)),
        check ((status in ('completed', 'failed', 'timed_out', 'canceled', 'expired')) = (finished_at is not null)),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade,
        foreign key (organization_id, agent_id) references agents (organization_id, id) on delete restrict,
        foreign key (organization_id, parent_run_id) references runs (organization_id, id) on delete cascade,
        foreign key (organization_id, claimed_by) references principals (organization_id, id) on delete restrict,
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create index runs_due on runs (organization_id, agent_id, priority desc, available_at, id) where status in ('queued', 'delayed');
      create index runs_lease on runs (lease_expires_at) where status = 'running';
      create index runs_deadline on runs (deadline_at) where status = 'running';
      create index runs_list on runs (organization_id, created_at, id);
      create index runs_parent on runs (organization_id, parent_run_id) where parent_run_id is not null;

      create table run_attempts (
        organization_id uuid not null,
        run_id uuid not null,
        number smallint not null check (number > 0),
        status text not null check (status in ('running', 'completed', 'failed', 'timed_out', 'canceled', 'lost')),
        worker_id text,
        error jsonb,
        started_at timestamptz not null,
        finished_at timestamptz,
        primary key (organization_id, run_id, number),
        check ((status = 'running') = (finished_at is null)),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );

      -- The log: one row per appended batch, numbered by the run's counter.
      create table run_events (
        organization_id uuid not null,
        run_id uuid not null,
        first_seq bigint not null check (first_seq > 0),
        last_seq bigint not null,
        events jsonb not null check (jsonb_typeof(events) = 'array' and jsonb_array_length(events) = last_seq - first_seq + 1),
        fence bigint,
        batch_id text,
        batch_digest bytea,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, run_id, first_seq),
        check ((batch_id is null) = (batch_digest is null)),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );
      create unique index run_events_batch on run_events (organization_id, run_id, fence, batch_id) where batch_id is not null;
      -- An end is written once, whatever races.
      create unique index run_events_end on run_events (organization_id, run_id) where (events -> -1 ->> 'type') = 'end';

      -- Log lines apart from the log, one row per batch, so that a page of tasks shows the last of each without reading streams.
      create table run_log_lines (
        organization_id uuid not null,
        run_id uuid not null,
        first_seq bigint not null,
        lines text[] not null check (cardinality(lines) > 0),
        primary key (organization_id, run_id, first_seq),
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );

      create table messages (
        organization_id uuid not null,
        id uuid not null,
        task_id uuid not null,
        run_id uuid,
        role text not null check (role in ('user', 'assistant', 'system', 'tool')),
        parts jsonb not null check (jsonb_typeof(parts) = 'array'),
        -- The worker's own name for it, so that a message it sends again replaces nothing and is kept once.
        external_id text check (length(external_id) between 1 and 200),
        created_by uuid,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade,
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );
      create index messages_task on messages (organization_id, task_id, created_at, id);
      create unique index messages_external on messages (organization_id, run_id, external_id) where external_id is not null;

      create table assets (
        organization_id uuid not null,
        id uuid not null,
        task_id uuid not null,
        run_id uuid,
        name text not null check (length(name) between 1 and 255),
        type text not null check (type in ('voice', 'image', 'sound', 'video', '360', '3d', 'file')),
        content_type text not null check (length(content_type) between 3 and 255),
        size_bytes bigint check (size_bytes >= 0),
        sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
        status text not null check (status in ('pending', 'uploading', 'processing', 'ready', 'failed')),
        metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
        error text,
        fence bigint,
        created_by uuid,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check (status <> 'ready' or (size_bytes is not null and sha256 is not null)),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade,
        foreign key (organization_id, run_id) references runs (organization_id, id) on delete cascade
      );
      create index assets_task on assets (organization_id, task_id, created_at, id);
      create index assets_list on assets (organization_id, created_at, id);
      create index assets_updated on assets (organization_id, updated_at, id);
      create index assets_run on assets (organization_id, run_id) where run_id is not null;

      create table schedules (
        organization_id uuid not null,
        id uuid not null,
        task_id uuid not null,
        name text not null check (length(name) between 1 and 200),
        cron text not null check (length(cron) between 1 and 200),
        timezone text not null check (length(timezone) between 1 and 64),
        enabled boolean not null default true,
        created_by uuid not null,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        foreign key (organization_id, task_id) references tasks (organization_id, id) on delete cascade,
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      -- One schedule a task for now; a task with several is a later migration.
      create unique index schedules_task on schedules (organization_id, task_id);
      create index schedules_list on schedules (organization_id, created_at, id);

      -- What a creating request was answered, stored in the commit of its effect.
      create table idempotency_records (
        organization_id uuid not null references organizations (id) on delete cascade,
        principal_id uuid not null,
        route text not null,
        key text not null check (length(key) between 1 and 255),
        fingerprint bytea not null check (octet_length(fingerprint) = 32),
        body jsonb not null,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, principal_id, route, key),
        foreign key (organization_id, principal_id) references principals (organization_id, id) on delete cascade
      );
      create index idempotency_records_age on idempotency_records (created_at);
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
