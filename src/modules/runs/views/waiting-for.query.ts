/**
 * Why a run does not move, in words: `waiting_for` of a single run. PostgreSQL says it in the statement that reads the run, by its own
 * clock, from the first of these that holds. Of other runs it tells how many there are, and names only those that the caller may read.
 */
import type { ReadScope } from '../../../access/index.js';
import { readableTask } from '../../../database/scope.sql.js';
import { type Sql, join, raw, sql } from '../../../database/sql.js';

/** A worker looks again each second and is noted each ten, and a claim waits half a minute at most. */
const PRESENT = sql`interval '1 minute'`;
/** Runs named that hold the slots this one waits for. */
const MAX_NAMED = 5;
/** Runs counted that come before this one; more are "more than". */
const MAX_COUNTED = 100;

interface Reason {
  when: Sql;
  reason: Sql;
  since: Sql;
  detail: Sql;
  next: Sql;
}

/** JSON of the run row `alias`, or null where it has ended. */
export function waitingForJson(scope: ReadScope, alias: string): Sql {
  const r = raw(alias);
  const at = (moment: Sql): Sql => sql`iso_utc(${moment})`;
  const NONE = sql`null::timestamptz`;
  const heard = sql`${r}.lease_expires_at - make_interval(secs => ${r}.lease_seconds)`;
  const worker = sql`coalesce(${r}.worker_id, 'a worker')`;
  const reasons: readonly Reason[] = [
    {
      when: sql`${r}.status = 'running' and ${r}.cancel_requested_at is not null`,
      reason: sql`'cancel_requested'`,
      since: sql`${r}.cancel_requested_at`,
      detail: sql`format('Cancel was requested at %s; worker %s, last heard of at %s, has not stopped yet. Its lease ends at %s.',
        ${at(sql`${r}.cancel_requested_at`)}, ${worker}, ${at(heard)}, ${at(sql`${r}.lease_expires_at`)})`,
      next: sql`least(${r}.lease_expires_at, ${r}.deadline_at)`,
    },
    {
      when: sql`${r}.status = 'running'`,
      reason: sql`'running'`,
      since: sql`(select max(n.started_at) from run_attempts n where n.organization_id = ${r}.organization_id and n.run_id = ${r}.id)`,
      detail: sql`format('Worker %s has it, was last heard of at %s, and its lease ends at %s. The time of attempt %s ends at %s.',
        ${worker}, ${at(heard)}, ${at(sql`${r}.lease_expires_at`)}, ${r}.attempt, ${at(sql`${r}.deadline_at`)})`,
      next: sql`least(${r}.lease_expires_at, ${r}.deadline_at)`,
    },
    {
      when: sql`${r}.status = 'waiting'`,
      reason: sql`${r}.wait_kind`,
      since: sql`coalesce(${r}.wait_since, ${r}.updated_at)`,
      detail: waitDetail(r),
      next: sql`${r}.wait_due_at`,
    },
    {
      when: sql`${r}.available_at > clock_timestamp() and ${r}.status = 'delayed'`,
      reason: sql`'delayed'`,
      since: sql`${r}.created_at`,
      detail: sql`format('Delayed until %s.', ${at(sql`${r}.delayed_until`)})`,
      next: sql`${r}.available_at`,
    },
    {
      when: sql`${r}.available_at > clock_timestamp()`,
      reason: sql`'backoff'`,
      since: sql`${r}.queued_at`,
      detail: sql`format('Attempt %s of %s failed%s; backing off until %s.', ${r}.attempt, ${r}.max_attempts,
        coalesce((select format(' with %s', n.error ->> 'name') from run_attempts n where n.organization_id = ${r}.organization_id
          and n.run_id = ${r}.id and n.number = ${r}.attempt and n.error is not null), ''), ${at(sql`${r}.available_at`)})`,
      next: sql`${r}.available_at`,
    },
    {
      when: sql`g.paused_at is not null`,
      reason: sql`'paused'`,
      since: sql`greatest(g.paused_at, ${r}.queued_at)`,
      detail: sql`format('Agent %s is paused since %s%s', g.slug, ${at(sql`g.paused_at`)}, coalesce(': ' || g.pause_reason, '.'))`,
      next: sql`${r}.expires_at`,
    },
    {
      when: sql`l.key_running >= g.concurrency_key_limit`,
      reason: sql`'concurrency_key'`,
      since: sql`${r}.queued_at`,
      detail: sql`format('The limit of %s at a time of concurrency key "%s" is reached by %s.', g.concurrency_key_limit, ${r}.concurrency_key,
        ${holders(scope, r, sql`h.key_slot and h.concurrency_key = ${r}.concurrency_key`)})`,
      next: sql`${r}.expires_at`,
    },
    {
      when: sql`l.agent_running >= g.concurrency_limit`,
      reason: sql`'concurrency_limit'`,
      since: sql`${r}.queued_at`,
      detail: sql`format('The limit of %s at a time of agent %s is reached by %s.', g.concurrency_limit, g.slug, ${holders(scope, r, sql`h.agent_slot`)})`,
      next: sql`${r}.expires_at`,
    },
    {
      when: sql`l.seen_at is null or l.seen_at < clock_timestamp() - ${PRESENT}`,
      reason: sql`'no_worker'`,
      since: sql`greatest(${r}.queued_at, l.seen_at)`,
      detail: sql`case when l.seen_at is null then format('No worker has ever claimed runs of agent %s.', g.slug)
        else format('No worker has claimed runs of agent %s since %s.', g.slug, ${at(sql`l.seen_at`)}) end`,
      next: sql`${r}.expires_at`,
    },
    {
      when: sql`true`,
      reason: sql`'queue'`,
      since: sql`${r}.queued_at`,
      detail: sql`(select case when q.ahead = 0 then 'First in the queue; a worker takes it next.'
          when q.ahead > ${MAX_COUNTED}::int then format('Behind more than %s runs of agent %s.', ${MAX_COUNTED}::int, g.slug)
          else format('Behind %s of agent %s, %s of higher priority.', case q.ahead when 1 then '1 run' else q.ahead || ' runs' end, g.slug, q.higher) end
        from (select count(*) as ahead, count(*) filter (where b.priority > ${r}.priority) as higher from (
          (select o.priority from runs o where ${isBefore(r)} and o.priority > ${r}.priority
           order by o.priority desc, o.available_at, o.id limit ${MAX_COUNTED + 1}::int)
          union all
          (select o.priority from runs o where ${isBefore(r)} and o.priority = ${r}.priority
            and (o.available_at, o.id) < (${r}.available_at, ${r}.id) order by o.available_at, o.id limit ${MAX_COUNTED + 1}::int)
          limit ${MAX_COUNTED + 1}::int) b) q)`,
      next: sql`${r}.expires_at`,
    },
  ];
  const cases = reasons.map(
    ({
      when,
      reason,
      since,
      detail,
      next,
    }) => sql`when ${when} then jsonb_build_object('reason', ${reason}, 'since', ${at(since)},
      'detail', ${detail}, 'next_action_at', ${at(sql`coalesce(${next}, ${NONE})`)})`,
  );
  return sql`case when ${r}.finished_at is null then (
    select case ${join(cases, ' ')} end
    from agents g cross join lateral (
      select (select max(w.last_seen_at) from agent_workers w where w.organization_id = g.organization_id and w.agent_id = g.id) as seen_at,
        (select s.running from run_slots s where s.organization_id = g.organization_id and s.agent_id = g.id
          and s.concurrency_key = '') as agent_running,
        (select s.running from run_slots s where s.organization_id = g.organization_id and s.agent_id = g.id
          and s.concurrency_key = ${r}.concurrency_key) as key_running
    ) l
    where g.organization_id = ${r}.organization_id and g.id = ${r}.agent_id) end`;
}

/** Runs that wait for somebody, by what they wait for. */
function waitDetail(r: Sql): Sql {
  const due = sql`case when ${r}.wait_due_at is null then '' else format(' It is due at %s.', iso_utc(${r}.wait_due_at)) end`;
  return sql`case ${r}.wait_kind
    when 'question' then format('Asked: %s%s', left(coalesce(${r}.wait ->> 'question', 'a question'), 200), ${due})
    when 'approval' then format('Waits for a person to approve or decline the tool call %s.%s', coalesce(${r}.wait ->> 'name', ''), ${due})
    when 'children' then format('Waits for %s of its child runs to end.', (select count(*) from runs c
      where c.organization_id = ${r}.organization_id and c.parent_run_id = ${r}.id and c.finished_at is null))
    end`;
}

/** The due run row `o` is in the same queue; two ranges of its index are those that come first. */
function isBefore(r: Sql): Sql {
  return sql`o.organization_id = ${r}.organization_id and o.agent_id = ${r}.agent_id and o.status in ('queued', 'delayed')
    and not o.held_back and o.available_at <= clock_timestamp()`;
}

/** Ids of some running runs of the run's agent that the caller may read, as a list in a sentence. */
function holders(scope: ReadScope, r: Sql, which: Sql): Sql {
  return sql`coalesce((select string_agg(k.id::text, ', ') from (
    select h.id from runs h join tasks t on t.organization_id = h.organization_id and t.id = h.task_id where h.organization_id = ${r}.organization_id and h.agent_id = ${r}.agent_id and h.status = 'running'
      and ${which} and ${readableTask(scope, 't')} order by h.started_at, h.id limit ${MAX_NAMED}::int) k), 'other runs')`;
}
