import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Webhooks, task callbacks, and the outbox they are sent from.
 *
 * What is told (a run ended, a task was made) is changed by many statements, and one that forgot to tell would be a promise broken in
 * silence. So telling is the tables' own, as counting for budgets is: triggers that fire in the statement that makes the change, and in
 * its transaction. A message exists exactly where its change committed. Where the organisation has nobody to tell, a trigger is one or
 * two looks at an index and writes nothing.
 *
 * **Rendered once.** A message holds what was true when it was written: for webhooks the body itself, for callbacks the facts that the
 * presenter turns into the body before the first attempt. Neither is looked up again, so a retry a day later says the same.
 *
 * **Order.** `order_key` is drawn from a sequence while the row that changed (run, task, schedule) is locked by the change, so of two
 * messages about one row the later change has the greater key. Delivery never goes by it: transactions overtake one another.
 *
 * **Locks.** The triggers only insert, and no foreign key points from a delivery to its endpoint: the end of a run waits for nobody who
 * edits or deletes an endpoint.
 */
export class Outbox1764000000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table webhook_endpoints (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        url text not null check (length(url) <= 2048),
        description text not null default '' check (length(description) <= 500),
        events text[] not null check (cardinality(events) between 1 and 50),
        enabled boolean not null default true,
        -- Why the server itself turned it off; null where a person did, or where it is on.
        disabled_reason text check (disabled_reason in ('failing', 'gone')),
        -- Since when every attempt has failed.
        failing_since timestamptz,
        created_by uuid not null,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check (disabled_reason is null or not enabled),
        foreign key (organization_id, created_by) references principals (organization_id, id) on delete restrict
      );
      create index webhook_endpoints_list on webhook_endpoints (organization_id, created_at, id);

      -- What deliveries are signed with: of an endpoint, or (without one) of the organisation's callbacks. The one that does not expire
      -- is the present one; the one before signs beside it until it does.
      create table signing_secrets (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        endpoint_id uuid,
        version integer not null check (version > 0),
        sealed bytea not null,
        root_key_id text not null,
        last_four text not null check (length(last_four) = 4),
        created_at timestamptz not null default clock_timestamp(),
        expires_at timestamptz,
        primary key (organization_id, id),
        foreign key (organization_id, endpoint_id) references webhook_endpoints (organization_id, id) on delete cascade
      );
      create unique index signing_secrets_version on signing_secrets (organization_id, endpoint_id, version) nulls not distinct;
      create unique index signing_secrets_present on signing_secrets (organization_id, endpoint_id) nulls not distinct where expires_at is null;
      create index signing_secrets_root on signing_secrets (root_key_id);

      create sequence outbox_order;

      create table outbox_messages (
        organization_id uuid not null references organizations (id) on delete restrict,
        id uuid not null,
        kind text not null check (kind in ('event', 'callback', 'test')),
        type text not null,
        task_id uuid,
        run_id uuid,
        payload_version smallint not null default 1,
        order_key bigint not null default nextval('outbox_order'),
        facts jsonb,
        body text,
        created_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check (facts is not null or body is not null)
      );
      create index outbox_messages_task on outbox_messages (organization_id, task_id) where task_id is not null;
      create index outbox_messages_age on outbox_messages (created_at);
      -- A root run ends once, and its callback is called about it once.
      create unique index outbox_messages_callback on outbox_messages (organization_id, run_id) where kind = 'callback';

      create table deliveries (
        organization_id uuid not null,
        id uuid not null,
        message_id uuid not null,
        task_id uuid,
        endpoint_id uuid,
        -- Where a callback goes; an endpoint's own URL may change between attempts.
        url text,
        -- What is sent in turn and a few at a time: one endpoint, or one origin of callbacks.
        lane_id uuid not null,
        status text not null default 'pending' check (status in ('pending', 'delivered', 'failed', 'canceled')),
        -- Of the present round, which a redelivery begins anew, and ever.
        attempt smallint not null default 0 check (attempt >= 0),
        attempt_count integer not null default 0 check (attempt_count >= 0),
        attempts jsonb not null default '[]' check (jsonb_typeof(attempts) = 'array'),
        next_attempt_at timestamptz default clock_timestamp(),
        delivered_at timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, id),
        check ((status = 'pending') = (next_attempt_at is not null)),
        check ((status = 'delivered') = (delivered_at is not null)),
        check ((endpoint_id is null) = (url is not null)),
        foreign key (organization_id, message_id) references outbox_messages (organization_id, id) on delete cascade
      );
      create index deliveries_due on deliveries (organization_id, lane_id, next_attempt_at, id) where status = 'pending';
      create index deliveries_list on deliveries (organization_id, created_at, id);
      create index deliveries_updated on deliveries (organization_id, updated_at, id);
      create index deliveries_task on deliveries (organization_id, task_id, created_at, id) where task_id is not null;
      create index deliveries_endpoint on deliveries (organization_id, endpoint_id, created_at, id) where endpoint_id is not null;
      create index deliveries_message on deliveries (organization_id, message_id);

      -- Who sends from which lane, and how it goes there. Written by dispatchers only.
      create table delivery_lanes (
        organization_id uuid not null,
        lane_id uuid not null,
        fence bigint not null default 1,
        leased_until timestamptz not null default '-infinity',
        paused_until timestamptz not null default '-infinity',
        failures integer not null default 0,
        succeeded_at timestamptz,
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, lane_id)
      );
      create index delivery_lanes_age on delivery_lanes (updated_at);

      -- Hosts that could not be reached, each organisation's own: one cannot break another's.
      create table delivery_hosts (
        organization_id uuid not null,
        origin text not null,
        failures integer not null,
        open_until timestamptz not null,
        updated_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, origin)
      );
      create index delivery_hosts_age on delivery_hosts (updated_at);

      -- UUID version 7 (RFC 9562): a trigger cannot be handed ids by the application, and PostgreSQL has a function of its own only from 18 on.
      create function outbox_id() returns uuid language sql volatile parallel safe
        return encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;

      -- Scheme, host and port of a URL that was checked when it was saved.
      create function outbox_origin(url text) returns text language sql immutable parallel safe
        return lower(substring(url from '^[A-Za-z]+://[^/?#]+'));

      create function outbox_callback_lane(url text) returns uuid language sql immutable parallel safe
        return md5('callback ' || outbox_origin(url))::uuid;

      create function outbox_task(t tasks) returns jsonb language sql stable
        return jsonb_build_object('id', t.id, 'title', t.title, 'status', t.status, 'agent_id', t.agent_id, 'model', t.model,
          'project_id', t.project_id, 'team_id', t.team_id, 'visibility', t.visibility, 'account_id', t.account_id,
          'artist_account_id', t.artist_account_id, 'created_by', t.created_by, 'tags', to_jsonb(t.tags), 'metadata', t.metadata,
          'enabled', t.enabled, 'run_count', t.run_count, 'latest_run_id', t.latest_run_id, 'created_at', iso_utc(t.created_at),
          'updated_at', iso_utc(t.updated_at));

      create function outbox_run(r runs) returns jsonb language sql stable
        return jsonb_build_object('id', r.id, 'task_id', r.task_id, 'number', r.number, 'agent_id', r.agent_id, 'status', r.status,
            'wait_kind', r.wait_kind, 'attempt', r.attempt, 'max_attempts', r.max_attempts, 'priority', r.priority, 'output', r.output,
            'error', r.error, 'tags', to_jsonb(r.tags), 'metadata', r.metadata, 'is_test', r.is_test,
            'cost_in_cents', r.cost_in_cents::float8, 'base_cost_in_cents', r.base_cost_in_cents::float8,
            'duration_ms', (extract(epoch from r.finished_at - r.started_at) * 1000)::bigint)
          || jsonb_build_object('created_at', iso_utc(r.created_at), 'queued_at', iso_utc(r.queued_at), 'started_at', iso_utc(r.started_at),
            'finished_at', iso_utc(r.finished_at), 'expired_at', iso_utc(r.expired_at), 'parent_run_id', r.parent_run_id,
            'root_run_id', r.root_run_id, 'depth', r.depth, 'batch_id', r.batch_id, 'concurrency_key', r.concurrency_key,
            'schedule_id', r.schedule_id, 'stream_id', r.id, 'last_seq', r.last_seq);

      -- Tells every endpoint of the organisation that asked for this type of event. \`extra\` is added to \`data\`.
      create function outbox_tell(organization uuid, event text, task uuid, run uuid, extra jsonb) returns void language plpgsql as $$
      declare
        message uuid;
        place bigint;
      begin
        if not exists (select 1 from webhook_endpoints e where e.organization_id = organization and e.enabled and event = any(e.events)) then
          return;
        end if;
        message := outbox_id();
        place := nextval('outbox_order');
        insert into outbox_messages (organization_id, id, kind, type, task_id, run_id, order_key, body)
        values (organization, message, 'event', event, task, run, place, (jsonb_build_object(
          'type', event, 'timestamp', iso_utc(clock_timestamp()), 'payload_version', 1, 'order_key', place,
          'data', jsonb_build_object(
            'task', (select outbox_task(t) from tasks t where t.organization_id = organization and t.id = task),
            'run', (select outbox_run(r) from runs r where r.organization_id = organization and r.id = run)) || extra))::text);
        insert into deliveries (organization_id, id, message_id, task_id, endpoint_id, lane_id)
        select organization, outbox_id(), message, task, e.id, e.id from webhook_endpoints e
        where e.organization_id = organization and e.enabled and event = any(e.events);
      end $$;

      create function runs_tell() returns trigger language plpgsql as $$
      declare
        target text;
        message uuid;
      begin
        if exists (select 1 from webhook_endpoints e where e.organization_id = new.organization_id and e.enabled) then
          perform outbox_tell(new.organization_id, case when new.finished_at is not null then 'run.' || new.status
            when new.status = 'waiting' then 'run.waiting' else 'run.started' end, new.task_id, new.id, '{}');
        end if;
        if new.finished_at is null or new.parent_run_id is not null then
          return null;
        end if;
        select t.callback into target from tasks t where t.organization_id = new.organization_id and t.id = new.task_id;
        if target is null then
          return null;
        end if;
        insert into outbox_messages (organization_id, id, kind, type, task_id, run_id, facts)
        select new.organization_id, outbox_id(), 'callback', 'run.' || new.status, t.id, new.id, jsonb_build_object(
          'id', t.id, 'run_id', new.id, 'title', t.title, 'status', new.status, 'created_at', iso_utc(t.created_at), 'callback', t.callback,
          'output', new.output,
          'log_lines', coalesce((select jsonb_agg(l.line order by l.first_seq, l.place) from (
              select b.first_seq, u.place, u.line from (
                select g.first_seq, g.lines from run_log_lines g where g.organization_id = new.organization_id and g.run_id = new.id
                order by g.first_seq desc limit 1000) b
              cross join lateral unnest(b.lines[greatest(1, cardinality(b.lines) - 999):]) with ordinality as u (line, place)
              order by b.first_seq desc, u.place desc limit 1000) l), '[]'),
          'agent', (select jsonb_build_object('id', a.id, 'name', a.name) from agents a
            where a.organization_id = t.organization_id and a.id = t.agent_id),
          'user', (select jsonb_build_object('id', u.id, 'email', u.email) from users u
            where u.organization_id = t.organization_id and u.id = t.created_by))
        from tasks t where t.organization_id = new.organization_id and t.id = new.task_id
        on conflict do nothing returning id into message;
        if message is not null then
          insert into deliveries (organization_id, id, message_id, task_id, url, lane_id)
          values (new.organization_id, outbox_id(), message, new.task_id, target, outbox_callback_lane(target));
        end if;
        return null;
      end $$;
      create trigger runs_tell after update of status on runs for each row
        when ((new.finished_at is not null and old.finished_at is null) or (new.status = 'waiting' and old.status <> 'waiting')
          or (new.status = 'running' and old.started_at is null)) execute function runs_tell();
      create trigger runs_tell_made after insert on runs for each row when (new.finished_at is not null) execute function runs_tell();

      create function tasks_tell_created() returns trigger language plpgsql as $$
      begin
        perform outbox_tell(t.organization_id, 'task.created', t.id, null, '{}') from created t
        where exists (select 1 from webhook_endpoints e where e.organization_id = t.organization_id and e.enabled);
        return null;
      end $$;
      create trigger tasks_tell_created after insert on tasks referencing new table as created
        for each statement execute function tasks_tell_created();

      create function tasks_tell_deleted() returns trigger language plpgsql as $$
      begin
        perform outbox_tell(new.organization_id, 'task.deleted', new.id, null, '{}');
        return null;
      end $$;
      create trigger tasks_tell_deleted after update of deleted_at on tasks for each row
        when (new.deleted_at is not null and old.deleted_at is null) execute function tasks_tell_deleted();

      -- What a task said goes with it, but for what is still on its way.
      create function tasks_forget_told() returns trigger language plpgsql as $$
      begin
        delete from outbox_messages m using removed t
        where m.organization_id = t.organization_id and m.task_id = t.id and m.type <> 'task.deleted' and not exists (
          select 1 from deliveries d where d.organization_id = m.organization_id and d.message_id = m.id and d.status = 'pending');
        return null;
      end $$;
      create trigger tasks_forget_told after delete on tasks referencing old table as removed
        for each statement execute function tasks_forget_told();

      create function assets_tell_ready() returns trigger language plpgsql as $$
      begin
        perform outbox_tell(new.organization_id, 'asset.ready', new.task_id, new.run_id, jsonb_build_object('asset', jsonb_build_object(
          'id', new.id, 'task_id', new.task_id, 'run_id', new.run_id, 'name', new.name, 'type', new.type, 'content_type', new.content_type,
          'size', new.size_bytes, 'sha256', new.sha256, 'status', new.status, 'created_at', iso_utc(new.created_at))));
        return null;
      end $$;
      create trigger assets_tell_ready after update of status on assets for each row
        when (new.status = 'ready' and old.status <> 'ready') execute function assets_tell_ready();
      create trigger assets_tell_made after insert on assets for each row when (new.status = 'ready') execute function assets_tell_ready();

      create function schedules_tell_paused() returns trigger language plpgsql as $$
      begin
        perform outbox_tell(new.organization_id, 'schedule.paused', new.task_id, null,
          jsonb_build_object('schedule', jsonb_build_object('id', new.id, 'task_id', new.task_id, 'name', new.name)));
        return null;
      end $$;
      create trigger schedules_tell_paused after update of enabled on schedules for each row
        when (old.enabled and not new.enabled) execute function schedules_tell_paused();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
