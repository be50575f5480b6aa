import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Assets that are on their way: what was promised of them, until when, under whose lease; the background work they still need; and how
 * much each organisation keeps.
 *
 * **Totals** are kept by a trigger, so that no statement can forget them, deletions by a cascade included. The row of an organisation
 * is the last that a statement on assets locks; its lock is what makes a quota hold among uploads that end at once.
 */
export class AssetUploads1764000000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table assets
        -- What whoever announced the bytes said of them; the bytes are held to it.
        add column declared_size_bytes bigint check (declared_size_bytes >= 0),
        add column declared_sha256 text check (declared_sha256 ~ '^[0-9a-f]{64}$'),
        add column part_size_bytes bigint check (part_size_bytes > 0),
        add column upload_expires_at timestamptz,
        -- The whole fence, until the bytes are there: they come in under the lease or not at all.
        add column upload_fence text,
        add column external_url text check (length(external_url) between 1 and 2048),
        -- Work in the background: bytes to be fetched, or pictures to be made.
        add column job text check (job in ('fetch', 'preview')),
        add column job_due_at timestamptz,
        add column job_attempts integer not null default 0,
        -- What was made of it: the picture's size; 0 says that there is none to be had.
        add column thumbnail_bytes integer check (thumbnail_bytes >= 0),
        add constraint assets_job check ((job is null) = (job_due_at is null));
      create index assets_jobs on assets (job_due_at) where job is not null;
      create index assets_uploads on assets (upload_expires_at) where upload_expires_at is not null;

      create table asset_totals (
        organization_id uuid primary key references organizations (id) on delete cascade,
        count bigint not null default 0,
        bytes bigint not null default 0
      );
      insert into asset_totals (organization_id, count, bytes)
      select a.organization_id, count(*), sum(a.size_bytes) from assets a where a.status = 'ready' group by a.organization_id;

      create function asset_bytes(a assets) returns bigint language sql immutable parallel safe
        return case when a.status = 'ready' then a.size_bytes + coalesce(a.thumbnail_bytes, 0) else 0 end;

      create function assets_count() returns trigger language plpgsql as $$
      declare
        counted integer := 0;
        added bigint := 0;
        organization uuid;
      begin
        if tg_op <> 'INSERT' then
          organization := old.organization_id;
          counted := counted - (old.status = 'ready')::integer;
          added := added - asset_bytes(old);
        end if;
        if tg_op <> 'DELETE' then
          organization := new.organization_id;
          counted := counted + (new.status = 'ready')::integer;
          added := added + asset_bytes(new);
        end if;
        if counted <> 0 or added <> 0 then
          -- An organisation that is being deleted takes its totals along, and needs none.
          insert into asset_totals as t (organization_id, count, bytes)
          select organization, counted, added where exists (select 1 from organizations o where o.id = organization)
          on conflict (organization_id) do update set count = t.count + excluded.count, bytes = t.bytes + excluded.bytes;
        end if;
        return null;
      end $$;
      create trigger assets_count after insert or update or delete on assets for each row execute function assets_count();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
