/**
 * What time alone makes of runs, over every organisation: delays that are over, times to live that are, and the lines of concurrency
 * keys. Every statement takes what it can lock and skips the rest, decides on what is true of a row once it is locked, and moves a
 * bounded number of rows.
 */
import { Injectable } from '@nestjs/common';
import { Database } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import { insertServerEvents } from '../../streams/index.js';
import type { RescuedRun } from './lease-rescuer.repository.js';
import { BARE_END_EVENT, syncTaskStatus, STATUS_EVENT } from '../core/state-change.query.js';

/** Where a round over runs with keys goes on. */
export interface KeyedCursor {
  availableAt: string;
  id: string;
}

/** Where a round over keys with a line goes on. */
export interface KeyCursor {
  organizationId: string;
  agentId: string;
  key: string;
}

export const FIRST_KEYED: KeyedCursor = { availableAt: '-infinity', id: '00000000-0000-0000-0000-000000000000' };
export const FIRST_KEY: KeyCursor = { organizationId: FIRST_KEYED.id, agentId: FIRST_KEYED.id, key: '' };

@Injectable()
export class RunTransitionsRepository {
  constructor(private readonly database: Database) {}

  /** Shows up to `most` runs as queued whose delay is over; claims have been taking them already. */
  async endDelays(most: number): Promise<RescuedRun[]> {
    return this.database.rows<RescuedRun & Record<string, unknown>>(sql`
      with due as materialized (
        select r.organization_id, r.id from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.status = 'delayed' and r.delayed_until <= clock_timestamp()
          and (r.expires_at is null or r.expires_at > clock_timestamp())
        order by r.delayed_until limit ${most}::int for no key update of t, r skip locked
      ), moved as (
        update runs r set status = 'queued', queued_at = r.delayed_until, updated_at = clock_timestamp(), last_seq = r.last_seq + 1
        from due d where r.organization_id = d.organization_id and r.id = d.id
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), mirror as (
        ${syncTaskStatus('moved')}
      ), logged as (
        ${insertServerEvents('moved', [STATUS_EVENT])}
      )
      select id, organization_id as "organizationId", status from moved`);
  }

  /** Ends up to `most` runs that no worker began within their time to live. */
  async expire(most: number): Promise<RescuedRun[]> {
    return this.database.rows<RescuedRun & Record<string, unknown>>(sql`
      with due as materialized (
        select r.organization_id, r.id from runs r join tasks t on t.organization_id = r.organization_id and t.id = r.task_id
        where r.status in ('queued', 'delayed') and r.started_at is null and r.expires_at <= clock_timestamp()
        order by r.expires_at limit ${most}::int for no key update of t, r skip locked
      ), moved as (
        update runs r set status = 'expired', expired_at = clock_timestamp(), finished_at = clock_timestamp(), updated_at = clock_timestamp(),
          fence = r.fence + 1, last_seq = r.last_seq + 2
        from due d where r.organization_id = d.organization_id and r.id = d.id
        returning r.organization_id, r.id, r.task_id, r.status, r.attempt, r.last_seq
      ), mirror as (
        ${syncTaskStatus('moved')}
      ), logged as (
        ${insertServerEvents('moved', [STATUS_EVENT, BARE_END_EVENT])}
      )
      select id, organization_id as "organizationId", status from moved`);
  }

  /**
   * Of the next `most` due runs with a key, holds back those whose key is full: runs that became due by a delay or a back-off, which
   * claims would have to step over. Answers where to go on; the beginning where the round is over.
   */
  async park(after: KeyedCursor, most: number): Promise<KeyedCursor> {
    const last = await this.database.row<{ at: string; id: string; seen: number }>(sql`
      with looked_at as materialized (
        select r.organization_id, r.id, r.agent_id, r.concurrency_key, r.available_at from runs r
        where r.concurrency_key is not null and not r.held_back and r.status in ('queued', 'delayed')
          and r.available_at <= clock_timestamp() and (r.available_at, r.id) > (${after.availableAt}::timestamptz, ${after.id}::uuid)
        order by r.available_at, r.id limit ${most}::int
      ), blocked as materialized (
        select r.organization_id, r.id, r.agent_id, r.concurrency_key from looked_at l
          join runs r on r.organization_id = l.organization_id and r.id = l.id
          join agents a on a.organization_id = l.organization_id and a.id = l.agent_id
          join run_slots s on s.organization_id = l.organization_id and s.agent_id = l.agent_id and s.concurrency_key = l.concurrency_key
        where s.running >= a.concurrency_key_limit and r.status in ('queued', 'delayed') and not r.held_back
        for no key update of r skip locked
      ), full_keys as materialized (
        select s.organization_id, s.agent_id, s.concurrency_key from run_slots s
          join agents a on a.organization_id = s.organization_id and a.id = s.agent_id
        where (s.organization_id, s.agent_id, s.concurrency_key) in (select b.organization_id, b.agent_id, b.concurrency_key from blocked b)
          and s.running >= a.concurrency_key_limit
        order by s.concurrency_key, s.agent_id for no key update of s
      ), held as (
        update runs r set held_back = true from blocked b join full_keys f
          on f.organization_id = b.organization_id and f.agent_id = b.agent_id and f.concurrency_key = b.concurrency_key
        where r.organization_id = b.organization_id and r.id = b.id
      )
      select l.available_at::text as at, l.id, count(*) over ()::int as seen from looked_at l order by l.available_at desc, l.id desc limit 1`);
    return last === null || last.seen < most ? FIRST_KEYED : { availableAt: last.at, id: last.id };
  }

  /**
   * Of the next `most` keys with a line, lets as many runs step forward as the key has room for: needed where an agent's limit was
   * raised, and where the run that should have stepped forward was locked. One too many is held back again by the claim that finds it.
   */
  async promote(after: KeyCursor, most: number): Promise<{ next: KeyCursor; organizationIds: string[] }> {
    const last = await this.database.row<KeyCursor & { seen: number; organizationIds: string[] }>(sql`
      with recursive lines as (
        (select r.organization_id, r.agent_id, r.concurrency_key from runs r
         where r.held_back and r.status in ('queued', 'delayed') and (r.organization_id, r.agent_id, r.concurrency_key)
           > (${after.organizationId}::uuid, ${after.agentId}::uuid, ${after.key}::text)
         order by r.organization_id, r.agent_id, r.concurrency_key limit 1)
        union all
        select n.* from lines k cross join lateral (
          select r.organization_id, r.agent_id, r.concurrency_key from runs r
          where r.held_back and r.status in ('queued', 'delayed')
            and (r.organization_id, r.agent_id, r.concurrency_key) > (k.organization_id, k.agent_id, k.concurrency_key)
          order by r.organization_id, r.agent_id, r.concurrency_key limit 1) n
      ), looked_at as materialized (
        select l.* from lines l limit ${most}::int
      ), moved as (
        update runs r set held_back = false from looked_at l
          join agents a on a.organization_id = l.organization_id and a.id = l.agent_id
          left join run_slots s on s.organization_id = l.organization_id and s.agent_id = l.agent_id and s.concurrency_key = l.concurrency_key
          cross join lateral (
            select h.id from runs h where h.organization_id = l.organization_id and h.agent_id = l.agent_id
              and h.concurrency_key = l.concurrency_key and h.held_back and h.status in ('queued', 'delayed')
            order by h.priority desc, h.available_at, h.id limit greatest(a.concurrency_key_limit - coalesce(s.running, 0), 0)
            for no key update of h skip locked
          ) first
        where r.organization_id = l.organization_id and r.id = first.id
        returning r.organization_id
      )
      select l.organization_id as "organizationId", l.agent_id as "agentId", l.concurrency_key as key, count(*) over ()::int as seen,
        array(select distinct m.organization_id from moved m) as "organizationIds"
      from looked_at l order by l.organization_id desc, l.agent_id desc, l.concurrency_key desc limit 1`);
    if (last === null) {
      return { next: FIRST_KEY, organizationIds: [] };
    }
    const { organizationId, agentId, key } = last;
    return {
      next: last.seen < most ? FIRST_KEY : { organizationId, agentId, key },
      organizationIds: last.organizationIds,
    };
  }

  /** Counts running runs of agents with a limit that were claimed while the limit was being set; up to `most`. */
  async reconcileSlots(most: number): Promise<void> {
    await this.database.execute(sql`
      with strays as materialized (
        select r.organization_id, r.id, r.agent_id from agents a
          join runs r on r.organization_id = a.organization_id and r.agent_id = a.id and r.status = 'running'
        where a.concurrency_limit is not null and not r.agent_slot
        limit ${most}::int for no key update of r skip locked
      ), slots as materialized (
        select s.organization_id, s.agent_id from run_slots s
        where s.concurrency_key = '' and (s.organization_id, s.agent_id) in (select x.organization_id, x.agent_id from strays x)
        order by s.agent_id for no key update of s
      ), adopted as (
        update runs r set agent_slot = true from strays x join slots s on s.organization_id = x.organization_id and s.agent_id = x.agent_id
        where r.organization_id = x.organization_id and r.id = x.id
        returning r.organization_id, r.agent_id
      )
      update run_slots s set running = s.running + n.count
      from (select organization_id, agent_id, count(*)::int as count from adopted group by organization_id, agent_id) n
      where s.organization_id = n.organization_id and s.agent_id = n.agent_id and s.concurrency_key = ''`);
  }

  /** Drops up to `most` rows of keys that nothing has used for an hour. A new run of the key makes the row anew, under its lock. */
  async dropIdleKeys(most: number): Promise<void> {
    await this.database.execute(sql`
      delete from run_slots s using (
        select i.organization_id, i.agent_id, i.concurrency_key from run_slots i
        where i.running = 0 and i.concurrency_key <> '' and i.used_at < clock_timestamp() - interval '1 hour'
          and not exists (select 1 from runs r where r.organization_id = i.organization_id and r.agent_id = i.agent_id
            and r.concurrency_key = i.concurrency_key and r.finished_at is null)
        order by i.used_at limit ${most}::int for update skip locked
      ) idle
      where s.organization_id = idle.organization_id and s.agent_id = idle.agent_id and s.concurrency_key = idle.concurrency_key`);
  }

  /** Slot rows that do not say what counting says: none, ever. For tests, and for whoever doubts. */
  async slotDrift(): Promise<{ agentId: string; key: string; counted: number; running: number }[]> {
    return this.database.rows(sql`
      with running as (
        select r.organization_id, r.agent_id, '' as concurrency_key, count(*)::int as counted from runs r
        where r.status = 'running' and r.agent_slot group by 1, 2
        union all
        select r.organization_id, r.agent_id, r.concurrency_key, count(*)::int from runs r
        where r.status = 'running' and r.key_slot group by 1, 2, 3
      )
      select coalesce(s.agent_id, c.agent_id) as "agentId", coalesce(s.concurrency_key, c.concurrency_key) as key,
        coalesce(c.counted, 0) as counted, coalesce(s.running, 0) as running
      from run_slots s full join running c
        on c.organization_id = s.organization_id and c.agent_id = s.agent_id and c.concurrency_key = s.concurrency_key
      where coalesce(c.counted, 0) <> coalesce(s.running, 0)`);
  }
}
