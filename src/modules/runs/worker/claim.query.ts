/**
 * The claim: one statement that finds due runs, takes their slots and leases them.
 *
 * 1. `wanted`, `room`: the agents asked for that are not paused and not at their limit, and how many runs each may still start. The slot
 *    row of an agent with a limit is locked here and its count read after that, so of any number of claimers each sees what those
 *    before it took. Agents without a limit touch no row.
 * 2. `candidates`: the first due runs of each, in the order of the queue, locked and skipping what others have locked. Runs whose key is
 *    full are stepped over; that they are few is the business of holding back (below).
 * 3. `chosen`: as many as were asked for, by priority; within one priority each agent's first before any one's second, and older before
 *    younger. So an agent with a long queue does not keep another's single run out of a batch.
 * 4. `due`: keys' slot rows are locked (in the one order there is) and counted. A run whose key turns out full is held back instead:
 *    out of this queue until a slot of its key is given back (the trigger `runs_apply_slots`).
 * 5. `granted`: the rest is dealt out, in turns, among the claimers whose requests came together.
 *
 * The numbers that shape the plan stand in subselects (`(select …)`), where the planner does not see them: it then finds the plan of all
 * claims as good as one of its own, and keeps it, where planning would cost more than the claim. Slot rows are looked up one by one
 * (`lateral`), in order, however many there are.
 *
 * It waits for slot rows only, and whoever holds one waits for no task or run that it has locked; so claims never end in a deadlock.
 */
import type { WriteScope } from '../../../access/index.js';
import { live } from '../../../database/scope.sql.js';
import { type Sql, raw, sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import { SECRETS_MARK } from '../core/leases.js';
import { syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

export interface ClaimRequest {
  agentIds: readonly string[];
  /** What they were asked for by: an agent that goes by another slug by now, or is gone, is none of them. */
  slugs: readonly string[];
  teamIds: readonly string[] | null;
  /** Who asks, and how many runs each may get. */
  claimers: readonly Claimer[];
}

export interface Claimer {
  workerId: string;
  most: number;
}

/** True of a run row that a worker may have now, limits aside. One whose time to live is over has had its chance. */
export function isDue(alias: string): Sql {
  const r = raw(alias);
  return sql`${r}.status in ('queued', 'delayed') and not ${r}.held_back and ${r}.available_at <= clock_timestamp()
    and (${r}.expires_at is null or ${r}.started_at is not null or ${r}.expires_at > clock_timestamp())`;
}

/** Rows: what was leased, first the first; then one row with null ids where something was held back instead. */
export function claimStatement(scope: WriteScope, input: ClaimRequest): Sql {
  const seats = capacityOf(input.claimers);
  const workerIds = input.claimers.map(({ workerId }) => workerId);
  const most = sql`(select ${seats.length}::int)`;
  const teams = input.teamIds === null ? sql`true` : sql`t.team_id = any(${input.teamIds}::uuid[])`;
  return sql`
    with wanted as materialized (
      select a.id, a.concurrency_limit, a.concurrency_key_limit from unnest((select ${input.agentIds}::uuid[])) as i (id)
        join agents a on a.organization_id = ${scope.organizationId} and a.id = i.id
      where a.paused_at is null and a.deleted_at is null and a.slug = any((select ${input.slugs}::text[])::text[]) and ${live(scope)}
    ), agent_slots as materialized (
      select s.agent_id, s.running from (select w.id, w.concurrency_limit from wanted w where w.concurrency_limit is not null order by w.id) l
        cross join lateral (
          select s.agent_id, s.running from run_slots s where s.organization_id = ${scope.organizationId} and s.agent_id = l.id
            and s.concurrency_key = '' and s.running < l.concurrency_limit for no key update
        ) s
    ), room as materialized (
      select w.id as agent_id, w.concurrency_limit is not null as is_limited, w.concurrency_key_limit as key_limit,
        least(${most}, coalesce(w.concurrency_limit - s.running, ${most})) as most
      from wanted w left join agent_slots s on s.agent_id = w.id
      where w.concurrency_limit is null or s.agent_id is not null
    ), candidates as materialized (
      select picked.*, room.is_limited, room.key_limit from room cross join lateral (
        select r.organization_id, r.id, r.task_id, r.agent_id, r.concurrency_key, r.priority, r.available_at,
          t.secret_names <> '{}' as names_secrets from runs r
          join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.organization_id = ${scope.organizationId} and r.agent_id = room.agent_id and ${isDue('r')} and ${teams}
          and (r.concurrency_key is null or (select s.running from run_slots s where s.organization_id = r.organization_id
            and s.agent_id = r.agent_id and s.concurrency_key = r.concurrency_key) < room.key_limit)
        order by r.priority desc, r.available_at, r.id limit room.most
        for no key update of t, r skip locked
      ) picked
    ), chosen as materialized (
      select ranked.* from (
        select c.*, row_number() over (partition by c.agent_id order by c.priority desc, c.available_at, c.id) as turn from candidates c
      ) ranked
      order by ranked.priority desc, ranked.turn, ranked.available_at, ranked.id limit ${most}
    ), key_slots as materialized (
      select s.agent_id, s.concurrency_key, s.running from (
        select distinct c.concurrency_key, c.agent_id from chosen c where c.concurrency_key is not null order by c.concurrency_key, c.agent_id
      ) l cross join lateral (
        select s.agent_id, s.concurrency_key, s.running from run_slots s where s.organization_id = ${scope.organizationId}
          and s.agent_id = l.agent_id and s.concurrency_key = l.concurrency_key for no key update
      ) s
    ), due as materialized (
      select c.*, c.concurrency_key is null or row_number() over (
          partition by c.agent_id, c.concurrency_key order by c.priority desc, c.available_at, c.id) <= c.key_limit - k.running as is_granted
      from chosen c left join key_slots k on k.agent_id = c.agent_id and k.concurrency_key = c.concurrency_key
    ), granted as materialized (
      select d.organization_id, d.id, d.task_id, d.names_secrets, d.is_limited, d.concurrency_key, s.claimers[row_number() over (order by d.priority desc, d.available_at, d.id)] as claimer
      from due d cross join (select ${seats}::int[] as claimers) s where d.is_granted
    ), taken as (
      update run_slots s set running = s.running + n.count, used_at = clock_timestamp() from (
        select d.agent_id, '' as concurrency_key, count(*)::int as count from due d where d.is_granted and d.is_limited group by d.agent_id
        union all
        select d.agent_id, d.concurrency_key, count(*)::int from due d
        where d.is_granted and d.concurrency_key is not null group by d.agent_id, d.concurrency_key
      ) n
      where s.organization_id = ${scope.organizationId} and s.agent_id = n.agent_id and s.concurrency_key = n.concurrency_key
    ), held_back as (
      update runs r set held_back = true from due d
      where not coalesce(d.is_granted, false) and r.organization_id = d.organization_id and r.id = d.id
    ), claimed as (
      update runs r set status = 'running', fence = r.fence + 1, fence_nonce = gen_random_uuid()::text || ${secretsMark('d')},
        claimed_by = ${scope.actor.principalId}::uuid, worker_id = (${workerIds}::text[])[d.claimer + 1],
        lease_expires_at = clock_timestamp() + make_interval(secs => r.lease_seconds),
        deadline_at = clock_timestamp() + make_interval(secs => r.timeout_seconds)
          - make_interval(secs => coalesce(r.leased_ms, 0) / 1000.0),
        attempt = case when r.leased_ms is null then r.attempt + 1 else r.attempt end, leased_ms = coalesce(r.leased_ms, 0),
        agent_slot = d.is_limited, key_slot = d.concurrency_key is not null, queued_at = coalesce(r.queued_at, r.available_at),
        started_at = coalesce(r.started_at, clock_timestamp()), updated_at = clock_timestamp(), last_seq = r.last_seq + 1
      from granted d where r.organization_id = d.organization_id and r.id = d.id
      returning r.organization_id, r.id, r.task_id, r.status, r.fence, r.fence_nonce, r.attempt, r.worker_id, r.lease_seconds,
        r.last_seq, r.priority, r.available_at, d.claimer
    ), attempts as (
      insert into run_attempts as a (organization_id, run_id, number, status, worker_id, started_at)
      select c.organization_id, c.id, c.attempt, 'running', c.worker_id, clock_timestamp() from claimed c
      on conflict (organization_id, run_id, number) do update set worker_id = excluded.worker_id
    ), mirror as (
      ${syncTaskStatus('claimed')}
    ), logged as (
      ${insertServerEvents('claimed', [STATUS_EVENT])}
    ), told as (
      select c.id, c.fence::text as fence, c.fence_nonce, c.lease_seconds, c.claimer, c.priority, c.available_at from claimed c
      union all
      select null, null, null, null, null, null, null where exists (select 1 from due d where not coalesce(d.is_granted, false))
    )
    select id, fence, fence_nonce as nonce, lease_seconds as "expiresInSeconds", claimer
    from told order by id is null, priority desc, available_at, id`;
}

/**
 * What the nonce of a lease ends in: the mark where its task names secrets, or any run of the task was given some, which this one may find
 * in a folder or a payload. A task without either costs one look into an index.
 */
function secretsMark(granted: string): Sql {
  const d = raw(granted);
  return sql`case when ${d}.names_secrets or exists (select 1 from run_secrets g
    where g.organization_id = ${d}.organization_id and g.task_id = ${d}.task_id) then ${SECRETS_MARK}::text else '' end`;
}

/** Whose the next run is, and the one after it: in turns, so that where there are few nobody goes without for another's second. */
function capacityOf(claimers: readonly Claimer[]): number[] {
  const seats: number[] = [];
  const deepest = Math.max(0, ...claimers.map(({ most }) => most));
  for (let turn = 0; turn < deepest; turn += 1) {
    for (const [index, { most }] of claimers.entries()) {
      if (turn < most) {
        seats.push(index);
      }
    }
  }
  return seats;
}
