import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Limits and times of runs: retry policies, concurrency limits, pauses, who claims.
 *
 * **Slots.** A row of `run_slots` counts the running runs of an agent (key '') or of one concurrency key of an agent. Only agents with
 * a limit and runs with a key have one, so nobody else pays. A claim takes slots in its own statement, under the row's lock. Runs
 * leave `running` by many statements (ends, requeues, waits, orders, sweeps), and a slot that one of them forgot to give back would
 * block for good; so giving back is the table's own: a trigger of `runs`, in the transaction of the statement. What a run has taken
 * is noted on the run (`agent_slot`, `key_slot`), so that limits set and cleared while it runs never give back what was not taken.
 *
 * **Holding back.** Runs whose key is full would have to be stepped over by every claim. They are held back instead: still queued, but out of
 * the index that claims read. Whoever holds one back has the lock of the key's row and has seen it full; whoever gives a slot of the key
 * back wakes the best of them, with a snapshot taken after that lock, so that none is overlooked.
 *
 * **Locks.** Task, run, slot rows (keys in order, '' first), counters of budgets: hence the trigger's name, since triggers of one
 * event fire in the order of their names and the budgets' begins with `runs_c`.
 */
export class Limits1764000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table agents
        add column retry_min_seconds integer not null default 1 check (retry_min_seconds between 0 and 86400),
        add column retry_max_seconds integer not null default 3600 check (retry_max_seconds between 0 and 604800),
        add column retry_factor double precision not null default 2 check (retry_factor between 1 and 10),
        add column retry_jitter boolean not null default true,
        add column concurrency_limit integer check (concurrency_limit between 1 and 10000),
        add column concurrency_key_limit integer not null default 1 check (concurrency_key_limit between 1 and 10000),
        add column concurrency_strategy text not null default 'queue'
          check (concurrency_strategy in ('queue', 'cancel_oldest', 'drop_newest')),
        add column paused_at timestamptz,
        add column pause_reason text check (length(pause_reason) between 1 and 500),
        add check (retry_min_seconds <= retry_max_seconds),
        add check (pause_reason is null or paused_at is not null);

      alter table tasks add column concurrency_key text check (length(concurrency_key) between 1 and 200);

      alter table runs
        -- Leased time of the present attempt in earlier leases: what its timeout has used up. Null where the next claim opens an attempt.
        add column leased_ms bigint check (leased_ms >= 0),
        add column agent_slot boolean not null default false,
        add column key_slot boolean not null default false,
        add column held_back boolean not null default false,
        add check (length(concurrency_key) between 1 and 200);

      create table run_slots (
        organization_id uuid not null,
        agent_id uuid not null,
        concurrency_key text not null,
        running integer not null default 0 check (running >= 0),
        used_at timestamptz not null default clock_timestamp(),
        primary key (organization_id, agent_id, concurrency_key),
        foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade
      ) with (fillfactor = 50);
      create index run_slots_idle on run_slots (used_at) where running = 0 and concurrency_key <> '';

      -- Who asks for an agent's runs; written at most every few seconds a worker.
      create table agent_workers (
        organization_id uuid not null,
        agent_id uuid not null,
        principal_id uuid not null,
        worker_id text not null check (length(worker_id) between 1 and 200),
        last_seen_at timestamptz not null default clock_timestamp(),
        last_claim_at timestamptz,
        primary key (organization_id, agent_id, principal_id, worker_id),
        foreign key (organization_id, agent_id) references agents (organization_id, id) on delete cascade,
        foreign key (organization_id, principal_id) references principals (organization_id, id) on delete cascade
      );
      create index agent_workers_seen on agent_workers (organization_id, agent_id, last_seen_at);
      create index agent_workers_age on agent_workers (last_seen_at);

      drop index runs_due;
      create index runs_due on runs (organization_id, agent_id, priority desc, available_at, id)
        where status in ('queued', 'delayed') and not held_back;
      create index runs_held_back on runs (organization_id, agent_id, concurrency_key, priority desc, available_at, id)
        where held_back and status in ('queued', 'delayed');
      -- Runs with a key that claims would still read: a sweep holds those back whose key is full.
      create index runs_keyed on runs (available_at, id)
        where concurrency_key is not null and not held_back and status in ('queued', 'delayed');
      create index runs_key on runs (organization_id, agent_id, concurrency_key, created_at, id)
        where concurrency_key is not null and finished_at is null;
      create index runs_running on runs (organization_id, agent_id) where status = 'running';
      create index runs_delayed on runs (delayed_until) where status = 'delayed';
      create index runs_expiry on runs (expires_at)
        where expires_at is not null and started_at is null and status in ('queued', 'delayed');

      create function runs_apply_slots() returns trigger language plpgsql as $$
      begin
        if old.status = 'running' and new.agent_slot then
          update run_slots set running = running - 1, used_at = clock_timestamp()
          where organization_id = new.organization_id and agent_id = new.agent_id and concurrency_key = '';
        end if;
        if new.concurrency_key is not null then
          update run_slots set running = running - case when old.status = 'running' and new.key_slot then 1 else 0 end,
            used_at = clock_timestamp()
          where organization_id = new.organization_id and agent_id = new.agent_id and concurrency_key = new.concurrency_key;
          update runs set held_back = false
          where organization_id = new.organization_id and id = (
            select r.id from runs r where r.organization_id = new.organization_id and r.agent_id = new.agent_id
              and r.concurrency_key = new.concurrency_key and r.held_back and r.status in ('queued', 'delayed')
            order by r.priority desc, r.available_at, r.id limit 1 for no key update skip locked);
        end if;
        return null;
      end $$;
      -- Also where a run that was next in the line of its key ends unclaimed: the line moves up.
      create trigger runs_apply_slots after update of status on runs for each row
        when (old.status <> new.status and ((old.status = 'running' and (new.agent_slot or new.key_slot))
          or (new.concurrency_key is not null and new.finished_at is not null)))
        execute function runs_apply_slots();

      -- An agent that gets a limit counts what is running already.
      create function agents_adopt_running() returns trigger language plpgsql as $$
      declare
        adopted integer;
      begin
        insert into run_slots (organization_id, agent_id, concurrency_key) values (new.organization_id, new.id, '')
        on conflict do nothing;
        update runs set agent_slot = true
        where organization_id = new.organization_id and agent_id = new.id and status = 'running' and not agent_slot;
        get diagnostics adopted = row_count;
        update run_slots set running = running + adopted
        where organization_id = new.organization_id and agent_id = new.id and concurrency_key = '' and adopted > 0;
        return null;
      end $$;
      create trigger agents_adopt_running after insert or update of concurrency_limit on agents for each row
        when (new.concurrency_limit is not null) execute function agents_adopt_running();
    `);
  }

  async down(): Promise<void> {
    throw new Error('restore a backup instead: this migration has no way back');
  }
}
