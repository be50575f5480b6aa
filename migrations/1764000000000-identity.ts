import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Organisations, principals (users, keys, the system's own worker), teams, projects, accounts, and what signs people in. */
export class Identity1764000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- The one way a moment leaves the database: ISO 8601, UTC, milliseconds.
      create function iso_utc(moment timestamptz) returns text language sql stable parallel safe
        return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

      create table organizations (
        id uuid primary key,
        slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
        name text not null check (length(name) between 1 and 200),
        operates_instance boolean not null default false,
        default_agent_id uuid,
        settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp()
      );
      -- One organisation operates the instance: the first.
      create unique index organizations_operator on organizations (operates_instance) where operates_instance;

      -- Whoever can act. Every scoped statement asks this table whether the caller still may: id, epoch, not disabled, not expired.
      create table principals (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        kind text not null check (kind in ('user', 'api_key', 'system')),
        role text not null check (role in ('owner', 'admin', 'member', 'viewer', 'worker')),
        epoch integer not null default 1 check (epoch > 0),
        disabled_at timestamptz,
        expires_at timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check (kind <> 'user' or role <> 'worker')
      );
      create unique index principals_system on principals (organization_id) where kind = 'system';

      create table users (
        organization_id uuid not null,
        id uuid not null,
        email text not null check (length(email) between 3 and 320),
        display_name text not null check (length(display_name) between 1 and 200),
        password_hash text,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        deleted_at timestamptz,
        primary key (organization_id, id),
        foreign key (organization_id, id) references principals (organization_id, id) on delete cascade
      );
      -- An e-mail names one person in the whole instance, whatever its case.
      create unique index users_email on users (lower(email)) where deleted_at is null;
      create index users_list on users (organization_id, created_at, id) where deleted_at is null;

      create table teams (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        name text not null check (length(name) between 1 and 200),
        slug text not null check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        unique (organization_id, slug)
      );

      create table team_members (
        organization_id uuid not null,
        team_id uuid not null,
        user_id uuid not null,
        role text not null check (role in ('maintainer', 'member', 'viewer')),
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, team_id, user_id),
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete cascade,
        foreign key (organization_id, user_id) references users (organization_id, id) on delete cascade
      );
      create index team_members_user on team_members (organization_id, user_id);

      create table projects (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        name text not null check (length(name) between 1 and 200),
        team_id uuid,
        created_by uuid not null,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete restrict,
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create index projects_list on projects (organization_id, created_at, id);
      create index projects_team on projects (organization_id, team_id) where team_id is not null;

      create table project_shares (
        organization_id uuid not null,
        project_id uuid not null,
        team_id uuid not null,
        access text not null check (access in ('read', 'write')),
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, project_id, team_id),
        foreign key (organization_id, project_id) references projects (organization_id, id) on delete cascade,
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete cascade
      );
      create index project_shares_team on project_shares (organization_id, team_id);

      -- For whom work is done: a label, never a permission.
      create table accounts (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        name text not null check (length(name) between 1 and 200),
        kind text not null check (kind in ('person', 'artist', 'customer')),
        email text check (length(email) between 3 and 320),
        user_id uuid,
        created_by uuid,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        foreign key (organization_id, user_id) references users (organization_id, id) on delete set null (user_id),
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create unique index accounts_user on accounts (organization_id, user_id) where user_id is not null;
      create index accounts_list on accounts (organization_id, created_at, id);

      create table api_keys (
        organization_id uuid not null,
        id uuid not null,
        name text not null check (length(name) between 1 and 200),
        user_id uuid,
        is_bootstrap boolean not null default false,
        created_by uuid,
        last_used_at timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        foreign key (organization_id, id) references principals (organization_id, id) on delete cascade,
        foreign key (organization_id, user_id) references users (organization_id, id) on delete cascade
      );
      create index api_keys_list on api_keys (organization_id, created_at, id);
      create index api_keys_user on api_keys (organization_id, user_id) where user_id is not null;
      create unique index api_keys_bootstrap on api_keys (organization_id) where is_bootstrap;

      -- A key is a principal; what is typed is one of its secrets. Rotation adds one and lets the old run out.
      create table api_key_secrets (
        organization_id uuid not null,
        public_id text not null unique,
        api_key_id uuid not null,
        digest bytea not null check (octet_length(digest) = 32),
        pepper_version smallint not null,
        last_four text not null,
        expires_at timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, public_id),
        foreign key (organization_id, api_key_id) references api_keys (organization_id, id) on delete cascade
      );
      create index api_key_secrets_key on api_key_secrets (organization_id, api_key_id);

      create table api_key_teams (
        organization_id uuid not null,
        api_key_id uuid not null,
        team_id uuid not null,
        primary key (organization_id, api_key_id, team_id),
        foreign key (organization_id, api_key_id) references api_keys (organization_id, id) on delete cascade,
        foreign key (organization_id, team_id) references teams (organization_id, id) on delete restrict
      );

      -- Keys that wrap or sign: each row is sealed by the root key (AES-256-GCM, the name as associated data).
      create table sealed_keys (
        name text primary key check (name ~ '^[a-z0-9][a-z0-9:._-]{0,127}$'),
        purpose text not null check (purpose in ('canary', 'pepper', 'token', 'presign', 'cursor')),
        public_jwk jsonb,
        root_key_id text not null,
        sealed bytea not null,
        created_at timestamptz not null default clock_timestamp(),
        retired_at timestamptz
      );

      create table refresh_families (
        organization_id uuid not null,
        id uuid not null,
        user_id uuid not null,
        created_at timestamptz not null default clock_timestamp(),
        expires_at timestamptz not null,
        ended_at timestamptz,
        ended_reason text check (ended_reason in ('logout', 'reuse', 'password', 'disabled')),
        primary key (organization_id, id),
        foreign key (organization_id, user_id) references users (organization_id, id) on delete cascade
      );
      create index refresh_families_user on refresh_families (organization_id, user_id) where ended_at is null;
      create index refresh_families_expiry on refresh_families (expires_at);

      create table refresh_tokens (
        organization_id uuid not null,
        digest bytea not null unique check (octet_length(digest) = 32),
        family_id uuid not null,
        -- The successor is sealed to its predecessor, so that a lost reply can be repeated within the grace without keeping it in the clear.
        successor_sealed bytea,
        spent_at timestamptz,
        idle_expires_at timestamptz not null,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, digest),
        foreign key (organization_id, family_id) references refresh_families (organization_id, id) on delete cascade
      );
      create index refresh_tokens_family on refresh_tokens (organization_id, family_id);

      -- Failed sign-ins by account and by address; both as keyed digests, so that the table names nobody.
      create table login_throttles (
        subject bytea primary key check (octet_length(subject) = 32),
        failures integer not null default 0 check (failures >= 0),
        window_started_at timestamptz not null default clock_timestamp(),
        blocked_until timestamptz
      );
      create index login_throttles_window on login_throttles (window_started_at);
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
