import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Secrets, which agents may be given which, and the audit trail: what was done, sealed into a chain for each organisation. */
export class Trust1764000000013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table sealed_keys drop constraint sealed_keys_purpose_check;
      alter table sealed_keys add constraint sealed_keys_purpose_check
        check (purpose in ('canary', 'pepper', 'token', 'presign', 'cursor', 'audit', 'audit_head'));

      alter table agents add column allowed_secret_names text[] not null default '{}'
        check (cardinality(allowed_secret_names) <= 100);
      alter table tasks add constraint tasks_secret_names_check check (cardinality(secret_names) <= 100) not valid;
      alter table tasks validate constraint tasks_secret_names_check;

      create table secrets (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        name text not null check (name ~ '^[A-Z][A-Z0-9_]*$' and length(name) <= 128),
        version integer not null check (version > 0),
        -- The end of a keyed digest: tells two values apart, and says nothing of either.
        fingerprint text not null check (length(fingerprint) = 4),
        updated_by uuid not null,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        unique (organization_id, name),
        foreign key (organization_id, updated_by) references principals (organization_id, id) on delete restrict
      );

      -- A value that was replaced is kept for as long as a run that was given it may still say it, so that it can be redacted.
      create table secret_versions (
        organization_id uuid not null,
        secret_id uuid not null,
        version integer not null check (version > 0),
        sealed bytea not null,
        root_key_id text not null,
        created_at timestamptz not null default clock_timestamp(),
        replaced_at timestamptz,
        primary key (organization_id, secret_id, version),
        foreign key (organization_id, secret_id) references secrets (organization_id, id) on delete cascade
      );
      create index secret_versions_root_key on secret_versions (root_key_id);
      create index secret_versions_replaced on secret_versions (replaced_at) where replaced_at is not null;

      -- What was done, tried and read, by whom. A row is inserted by the transaction that does it, and never changed.
      create table audit_events (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        -- Orders what the sealer may take: everything older than the oldest transaction under way.
        transaction_id xid8 not null default pg_current_xact_id(),
        created_at timestamptz not null default clock_timestamp(),
        actor_kind text not null check (actor_kind in ('user', 'api_key', 'system', 'anonymous')),
        actor_id uuid,
        user_id uuid,
        role text,
        action text not null check (length(action) between 1 and 100),
        object_kind text not null check (length(object_kind) between 1 and 50),
        object_id text check (length(object_id) <= 200),
        outcome text not null check (outcome in ('done', 'refused')),
        reason text check (length(reason) <= 500),
        request_id text check (length(request_id) <= 200),
        address text check (length(address) <= 100),
        route text check (length(route) <= 200),
        detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object'),
        -- Keyed digest of all the above but the database's two columns: a row that the product did not write has none that fits.
        key_id text not null,
        digest bytea not null check (octet_length(digest) = 32),
        primary key (organization_id, id)
      );
      create index audit_events_list on audit_events (organization_id, created_at, id);
      create index audit_events_actor on audit_events (organization_id, actor_id, created_at, id);
      create index audit_events_action on audit_events (organization_id, action, created_at, id);
      create index audit_events_object on audit_events (organization_id, object_id, created_at, id);

      -- What the sealer has still to take.
      create table audit_unsealed (
        organization_id uuid not null references organizations (id) on delete restrict,
        event_id uuid not null,
        transaction_id xid8 not null,
        primary key (organization_id, event_id)
      );

      -- The chain: gapless numbers, and a keyed digest of the event and of the link before.
      create table audit_seals (
        organization_id uuid not null references organizations (id) on delete restrict,
        seq bigint not null check (seq > 0),
        event_id uuid not null,
        key_id text not null,
        link bytea not null check (octet_length(link) = 32),
        primary key (organization_id, seq),
        unique (organization_id, event_id)
      );

      -- Signed ends of the chain, the last of each day: what is cut off at the end is missed by its head.
      create table audit_heads (
        organization_id uuid not null references organizations (id) on delete restrict,
        day date not null,
        seq bigint not null check (seq > 0),
        link bytea not null check (octet_length(link) = 32),
        signed_at timestamptz not null,
        key_id text not null,
        signature bytea not null check (octet_length(signature) = 64),
        primary key (organization_id, day)
      );

      -- Signed beginnings: rows up to here were deleted for their age, and the chain goes on from this link.
      create table audit_checkpoints (
        organization_id uuid not null references organizations (id) on delete restrict,
        seq bigint not null check (seq > 0),
        link bytea not null check (octet_length(link) = 32),
        signed_at timestamptz not null,
        key_id text not null,
        signature bytea not null check (octet_length(signature) = 64),
        primary key (organization_id, seq)
      );

      create function audit_never_changes() returns trigger language plpgsql as $$
      begin
        raise exception '% is append-only', tg_table_name using errcode = '42501';
      end $$;

      -- Only what a checkpoint has taken out of the chain may go. That the checkpoint is ours, its signature tells the verifier.
      create function audit_deletes_behind_checkpoints() returns trigger language plpgsql as $$
      declare
        allowed boolean;
      begin
        if tg_table_name = 'audit_seals' then
          allowed := exists (select 1 from audit_checkpoints c where c.organization_id = old.organization_id and c.seq >= old.seq);
        else
          allowed := exists (select 1 from audit_seals s join audit_checkpoints c
            on c.organization_id = s.organization_id and c.seq >= s.seq
            where s.organization_id = old.organization_id and s.event_id = old.id);
        end if;
        if not allowed then
          raise exception '% is append-only', tg_table_name using errcode = '42501';
        end if;
        return old;
      end $$;

      create function audit_awaits_seal() returns trigger language plpgsql as $$
      begin
        insert into audit_unsealed (organization_id, event_id, transaction_id) values (new.organization_id, new.id, new.transaction_id);
        return null;
      end $$;

      create trigger audit_events_sealing after insert on audit_events for each row execute function audit_awaits_seal();
      create trigger audit_events_change before update or truncate on audit_events for each statement execute function audit_never_changes();
      create trigger audit_seals_change before update or truncate on audit_seals for each statement execute function audit_never_changes();
      create trigger audit_checkpoints_change before update or delete or truncate on audit_checkpoints
        for each statement execute function audit_never_changes();
      create trigger audit_events_delete before delete on audit_events for each row execute function audit_deletes_behind_checkpoints();
      create trigger audit_seals_delete before delete on audit_seals for each row execute function audit_deletes_behind_checkpoints();

      -- By grant as well, the owner's own included; a superuser is held by the triggers alone.
      revoke update, truncate on audit_events, audit_seals, audit_checkpoints from public, current_user;
      revoke delete on audit_checkpoints from public, current_user;
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
