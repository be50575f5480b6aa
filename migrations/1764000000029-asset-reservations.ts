import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Counts the bytes of uploads that are not finished toward an organization's quota, and records each part of an upload in parts.
 *
 * **Reserved bytes** of an asset that waits for its content: the announced size, or what has arrived so far where no size was announced,
 * and the size of each further copy that is being sent at the same time. The trigger of `assets` adds them to the totals for as long as
 * the asset waits, so becoming ready, failing and being deleted all release them.
 */
export class AssetReservations1764000000029 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- With a quoted body: PostgreSQL's minor releases of November 2026 do not add a column with a default to a table whose row type a function
      -- with a parsed body uses.
      create or replace function asset_bytes(a assets) returns bigint language sql immutable parallel safe as $$
        select case when a.status = 'ready' then a.size_bytes + coalesce(a.thumbnail_bytes, 0) else 0 end
      $$;
      alter table assets add column reserved_bytes bigint not null default 0 check (reserved_bytes >= 0);
      alter table asset_totals add column reserved_bytes bigint not null default 0;

      create function asset_reserved(a assets) returns bigint language sql immutable parallel safe as $$
        select case when a.status in ('pending', 'uploading', 'processing') then a.reserved_bytes else 0 end
      $$;

      create or replace function assets_count() returns trigger language plpgsql as $$
      declare
        counted integer := 0;
        added bigint := 0;
        held bigint := 0;
        organization uuid;
      begin
        if tg_op <> 'INSERT' then
          organization := old.organization_id;
          counted := counted - (old.status = 'ready')::integer;
          added := added - asset_bytes(old);
          held := held - asset_reserved(old);
        end if;
        if tg_op <> 'DELETE' then
          organization := new.organization_id;
          counted := counted + (new.status = 'ready')::integer;
          added := added + asset_bytes(new);
          held := held + asset_reserved(new);
        end if;
        if counted <> 0 or added <> 0 or held <> 0 then
          -- An organization that is being deleted takes its totals along, and needs none.
          insert into asset_totals as t (organization_id, count, bytes, reserved_bytes)
          select organization, counted, added, held where exists (select 1 from organizations o where o.id = organization)
          on conflict (organization_id) do update set count = t.count + excluded.count, bytes = t.bytes + excluded.bytes,
            reserved_bytes = t.reserved_bytes + excluded.reserved_bytes;
        end if;
        return null;
      end $$;

      update assets set reserved_bytes = declared_size_bytes
      where status in ('pending', 'uploading', 'processing') and declared_size_bytes > 0;

      -- One row per part that has arrived. Its bytes are in the blob store; the row says what they are.
      create table asset_parts (
        organization_id uuid not null,
        asset_id uuid not null,
        number integer not null check (number between 1 and 1000),
        size_bytes bigint not null check (size_bytes >= 0),
        sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
        primary key (organization_id, asset_id, number),
        foreign key (organization_id, asset_id) references assets (organization_id, id) on delete cascade
      );
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
