/**
 * The statements of the dispatchers, over every organisation. `delivery-dispatcher.ts` says what they make up.
 *
 * Which lanes have something due is found by hopping through the index of what is pending from lane to lane: one look a lane, however
 * much waits in it, so that a hundred thousand messages for a dead receiver cost what one does.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { sql } from '../../../database/sql.js';
import type { CallbackFacts } from './callback-presenter.js';

export interface EndpointQueueKey {
  organizationId: string;
  laneId: string;
}

export interface DueEndpointQueue extends EndpointQueueKey {
  /** Null: the endpoint is gone. */
  origin: string | null;
  isCallback: boolean;
  /** Has failed since it last succeeded, or never succeeded: it may be slow to fail. */
  isDoubtful: boolean;
}

export interface LeasedEndpointQueue extends EndpointQueueKey {
  fence: string;
  failures: number;
  /** Ever, as far as is remembered. */
  hasSucceeded: boolean;
}

/** A delivery to be attempted. */
export interface DueDelivery {
  id: string;
  messageId: string;
  kind: 'event' | 'callback' | 'test';
  /** Of this round, so far. */
  attempt: number;
  attemptCount: number;
  orderKey: string;
  payloadVersion: number;
  url: string;
  /** Null for callbacks that were never tried. */
  body: string | null;
  facts: CallbackFacts | null;
  isEndpoint: boolean;
}

export interface AttemptResult {
  id: string;
  attempt: number;
  is_delivered: boolean;
  status_code: number | null;
  error: string | null;
  duration_ms: number;
  /** Null: this was the last. */
  retry_seconds: number | null;
}

export interface EndpointQueueState {
  failures: number;
  hasSucceeded: boolean;
  pauseSeconds: number;
}

/** How long a lane is a dispatcher's without a sign of life; more than an attempt may take. */
const LEASE_SECONDS = 30;
/** Lanes hopped over in one look, deliveries read at a time, and about how many bytes of them. */
const MAX_QUEUES = 5_000;
const MAX_READ = 128;
const BYTES_READ = 512 * 1024;
const KEPT_ATTEMPTS = 20;
const DISABLED_AFTER_DAYS = 5;

@Injectable()
export class DispatchRepository {
  constructor(private readonly database: Database) {}

  /** Lanes after this one that have something due and may be sent from; `next` is where to look on, null where all were seen. */
  async dueLanes(after: EndpointQueueKey): Promise<{ due: DueEndpointQueue[]; next: EndpointQueueKey | null }> {
    const found = await this.database.row<{ body: { due: DueEndpointQueue[]; next: EndpointQueueKey | null } }>(sql`
      with recursive hops as (
        (select d.organization_id, d.lane_id, d.next_attempt_at, d.url from deliveries d
          where d.status = 'pending' and (d.organization_id, d.lane_id) > (${after.organizationId}::uuid, ${after.laneId}::uuid)
          order by d.organization_id, d.lane_id, d.next_attempt_at limit 1)
        union all
        select n.* from hops h cross join lateral (
          select d.organization_id, d.lane_id, d.next_attempt_at, d.url from deliveries d
          where d.status = 'pending' and (d.organization_id, d.lane_id) > (h.organization_id, h.lane_id)
          order by d.organization_id, d.lane_id, d.next_attempt_at limit 1) n
      ), lanes as materialized (select * from hops limit ${MAX_QUEUES}::int
      ), due as (
        select x.organization_id, x.lane_id, x.url is not null as is_callback, x.url is not null or e.id is not null as is_living, outbox_origin(coalesce(e.url, x.url)) as origin,
          l.succeeded_at is null or l.failures > 0 as is_doubtful, coalesce(l.failures, 0) as failures, x.next_attempt_at
        from lanes x
          left join webhook_endpoints e on e.organization_id = x.organization_id and e.id = x.lane_id
          left join delivery_lanes l on l.organization_id = x.organization_id and l.lane_id = x.lane_id
        where x.next_attempt_at <= clock_timestamp() and coalesce(e.enabled, true)
          and coalesce(l.leased_until <= clock_timestamp() and l.paused_until <= clock_timestamp(), true)
      ), reachable as (
        select d.*, h.failures as host_failures,
          row_number() over (partition by d.organization_id, d.origin order by d.failures, d.next_attempt_at) as turn
        from due d left join delivery_hosts h on h.organization_id = d.organization_id and h.origin = d.origin
        where h.open_until is null or h.open_until <= clock_timestamp()
      )
      select json_build_object(
        'due', coalesce((select json_agg(json_build_object('organizationId', r.organization_id, 'laneId', r.lane_id,
            'origin', case when r.is_living then r.origin end, 'isCallback', r.is_callback, 'isDoubtful', r.is_doubtful or r.host_failures is not null)
            order by r.failures, r.next_attempt_at)
          -- A host that could not be reached is tried by one.
          from reachable r where r.host_failures is null or r.turn = 1), '[]'),
        'next', (select case when count(*) = ${MAX_QUEUES}::int then
            (select json_build_object('organizationId', z.organization_id, 'laneId', z.lane_id) from lanes z
              order by z.organization_id desc, z.lane_id desc limit 1) end
          from lanes)) as body`);
    return found?.body ?? { due: [], next: null };
  }

  /** Takes those of the lanes that nobody has: from now until the lease ends they are this process's. */
  async lease(lanes: readonly EndpointQueueKey[]): Promise<LeasedEndpointQueue[]> {
    return this.database.rows<LeasedEndpointQueue & Record<string, unknown>>(sql`
      insert into delivery_lanes as l (organization_id, lane_id, leased_until)
      select w.organization_id, w.lane_id, clock_timestamp() + make_interval(secs => ${LEASE_SECONDS})
      from unnest(${lanes.map((lane) => lane.organizationId)}::uuid[], ${lanes.map((lane) => lane.laneId)}::uuid[]) w (organization_id, lane_id)
      order by 1, 2
      on conflict (organization_id, lane_id) do update
        set fence = l.fence + 1, leased_until = excluded.leased_until, updated_at = clock_timestamp()
        where l.leased_until <= clock_timestamp()
      returning l.organization_id as "organizationId", l.lane_id as "laneId", l.fence::text as fence, l.failures,
        l.succeeded_at is not null as "hasSucceeded"`);
  }

  /** What is due in the lane, longest first: some at a time, and not many bytes. Nothing where the endpoint has been turned off. */
  async read(scope: WriteScope, laneId: string, most: number, except: readonly string[]): Promise<DueDelivery[]> {
    return this.database.rows<DueDelivery & Record<string, unknown>>(sql`
      select p.id, p.message_id as "messageId", p.kind, p.attempt, p.attempt_count as "attemptCount", p.order_key as "orderKey",
        p.payload_version as "payloadVersion", p.target as url, p.body, p.facts, p.endpoint_id is not null as "isEndpoint"
      from (
        select c.*, n.kind, n.order_key::text as order_key, n.payload_version, n.body, n.facts,
          sum(pg_column_size(n.body) + coalesce(pg_column_size(n.facts), 0)) over w as bytes, row_number() over w as place
        from (
          select d.id, d.organization_id, d.message_id, d.attempt, d.attempt_count, d.endpoint_id, d.next_attempt_at, coalesce(e.url, d.url) as target
          from deliveries d
            left join webhook_endpoints e on e.organization_id = d.organization_id and e.id = d.endpoint_id
          where d.organization_id = ${scope.organizationId} and d.lane_id = ${laneId} and d.status = 'pending'
            and d.next_attempt_at <= clock_timestamp() and (d.endpoint_id is null or e.enabled) and d.id <> all(${except}::uuid[])
          order by d.next_attempt_at, d.id limit ${Math.min(most, MAX_READ)}::int
        ) c join outbox_messages n on n.organization_id = c.organization_id and n.id = c.message_id
        window w as (order by c.next_attempt_at, c.id rows unbounded preceding)
      ) p
      where p.place = 1 or p.bytes <= ${BYTES_READ}::int
      order by p.place`);
  }

  /** Keeps the body that a message is sent with from now on; answers the one that was kept first. */
  async keepBody(scope: WriteScope, messageId: string, body: string): Promise<string> {
    const kept = await this.database.row<{ body: string }>(sql`
      update outbox_messages m set body = coalesce(m.body, ${body}::text)
      where m.organization_id = ${scope.organizationId} and m.id = ${messageId} returning m.body`);
    return kept?.body ?? body;
  }

  /**
   * Writes down what came of attempts, and keeps the lane (or gives it back). False where the lane is not held any more. Without a
   * standing the lane is looked at and left as it is, not locked; that the outcome is of this attempt and no later one is asked of each
   * delivery.
   */
  async record(
    scope: WriteScope,
    lane: LeasedEndpointQueue,
    results: readonly AttemptResult[],
    standing: EndpointQueueState | null,
    release: boolean,
  ): Promise<boolean> {
    const isHeld = sql`l.organization_id = ${scope.organizationId} and l.lane_id = ${lane.laneId} and l.fence = ${lane.fence}::bigint
          and l.leased_until > clock_timestamp()`;
    const held =
      standing === null
        ? sql`select l.organization_id from quick, delivery_lanes l where ${isHeld}`
        : sql`
        update delivery_lanes l set failures = ${standing.failures}::int, updated_at = clock_timestamp(),
          succeeded_at = case when ${standing.hasSucceeded}::boolean then coalesce(l.succeeded_at, clock_timestamp()) else l.succeeded_at end,
          paused_until = case when ${standing.pauseSeconds}::float8 > 0
            then greatest(l.paused_until, clock_timestamp() + make_interval(secs => ${standing.pauseSeconds}::float8)) else l.paused_until end,
          leased_until = case when ${release}::boolean then '-infinity'
            else clock_timestamp() + make_interval(secs => ${LEASE_SECONDS}) end
        from quick where ${isHeld}
        returning l.organization_id`;
    const kept = await this.database.row(sql`
      -- Not waited for until it is on the disk: what a crash of the database forgets is sent again, under the same id.
      with quick as materialized (select set_config('synchronous_commit', 'off', true)
      ), held as (${held}
      ), recorded as (
        update deliveries d set
          status = case when i.is_delivered then 'delivered' when i.retry_seconds is null then 'failed' else 'pending' end,
          attempt = d.attempt + 1, attempt_count = d.attempt_count + 1,
          attempts = (case when jsonb_array_length(d.attempts) >= ${KEPT_ATTEMPTS}::int then d.attempts - 0 else d.attempts end)
            || jsonb_build_object('number', d.attempt_count + 1,
              'at', iso_utc(clock_timestamp() - make_interval(secs => i.duration_ms / 1000.0)), 'status_code', i.status_code,
              'error', i.error, 'duration_ms', i.duration_ms),
          next_attempt_at = case when not i.is_delivered then clock_timestamp() + make_interval(secs => i.retry_seconds) end,
          delivered_at = case when i.is_delivered then clock_timestamp() end, updated_at = clock_timestamp()
        from held h, jsonb_to_recordset(${JSON.stringify(results)}::jsonb) as i (id uuid, attempt smallint, is_delivered boolean,
          status_code integer, error text, duration_ms integer, retry_seconds float8)
        where d.organization_id = ${scope.organizationId} and d.organization_id = h.organization_id
          -- By their keys: of the set alone the planner thinks that it is large, and reads the table. As an array that it cannot see
          -- into: otherwise it plans anew for each number of them, which takes as long as the rest.
          and d.id = any(array(select unnest(${results.map(({ id }) => id)}::uuid[]))) and d.id = i.id and d.status = 'pending' and d.attempt = i.attempt
      )
      select 1 from held`);
    return kept !== null;
  }

  /** A host answered, or did not: after some of the latter nobody is sent to it for so long. */
  async tellHost(
    scope: WriteScope,
    origin: string,
    isReachable: boolean,
    pause: (failures: number) => number,
  ): Promise<void> {
    if (isReachable) {
      await this.database.execute(sql`
        delete from delivery_hosts h where h.organization_id = ${scope.organizationId} and h.origin = ${origin}`);
      return;
    }
    const row = await this.database.row<{ failures: number }>(sql`
      insert into delivery_hosts as h (organization_id, origin, failures, open_until)
      values (${scope.organizationId}, ${origin}, 1, '-infinity')
      on conflict (organization_id, origin) do update set failures = h.failures + 1, updated_at = clock_timestamp()
      returning h.failures`);
    const seconds = pause(row?.failures ?? 1);
    if (seconds > 0) {
      await this.database.execute(sql`
        update delivery_hosts h set open_until = clock_timestamp() + make_interval(secs => ${seconds}::float8)
        where h.organization_id = ${scope.organizationId} and h.origin = ${origin}`);
    }
  }

  /**
   * Keeps since when an endpoint has failed, and turns it off after some days of nothing else, or at once where it said that it is gone.
   * True where this turned it off; `turnedOff` is then done in the same transaction.
   */
  async tellEndpoint(
    scope: WriteScope,
    endpointId: string,
    how: 'succeeded' | 'failed' | 'gone',
    turnedOff: (tx: Tx) => Promise<void>,
  ): Promise<boolean> {
    const of = sql`e.organization_id = ${scope.organizationId} and e.id = ${endpointId} and e.enabled`;
    if (how === 'succeeded') {
      await this.database.execute(
        sql`update webhook_endpoints e set failing_since = null where ${of} and e.failing_since is not null`,
      );
      return false;
    }
    const isOver = sql`(${how === 'gone'}::boolean or coalesce(e.failing_since < clock_timestamp() - make_interval(days => ${DISABLED_AFTER_DAYS}), false))`;
    return this.database.transaction(async (tx) => {
      const changed = await tx.row<{ enabled: boolean }>(sql`
      update webhook_endpoints e set failing_since = coalesce(e.failing_since, clock_timestamp()), enabled = not ${isOver},
        disabled_reason = case when ${isOver} then ${how === 'gone' ? 'gone' : 'failing'} end,
        updated_at = case when ${isOver} then clock_timestamp() else e.updated_at end
      where ${of} and (e.failing_since is null or ${isOver})
      returning e.enabled`);
      if (changed?.enabled !== false) {
        return false;
      }
      await turnedOff(tx);
      return true;
    });
  }

  /** Calls off what was to be sent to an endpoint that is gone; some at once, how many. */
  async callOff(scope: WriteScope, laneId: string, most: number): Promise<number> {
    return this.database.execute(sql`
      update deliveries d set status = 'canceled', next_attempt_at = null, updated_at = clock_timestamp()
      from (select x.organization_id, x.id from deliveries x where x.organization_id = ${scope.organizationId} and x.lane_id = ${laneId}
          and x.status = 'pending' limit ${most}::int for no key update of x skip locked) gone
      where d.organization_id = gone.organization_id and d.id = gone.id`);
  }

  /** Deletes messages (their deliveries with them) and standings that are older than so many days; some at once, how many. */
  async sweep(days: number, most: number): Promise<number> {
    const before = sql`clock_timestamp() - make_interval(days => ${days}::int)`;
    const messages = await this.database.execute(sql`
      delete from outbox_messages m using (select x.organization_id, x.id from outbox_messages x where x.created_at < ${before}
        order by x.created_at limit ${most}::int for update skip locked) old
      where m.organization_id = old.organization_id and m.id = old.id`);
    const lanes = await this.database.execute(sql`
      delete from delivery_lanes l using (select x.organization_id, x.lane_id from delivery_lanes x
        where x.updated_at < ${before} and x.leased_until <= clock_timestamp() limit ${most}::int for update skip locked) old
      where l.organization_id = old.organization_id and l.lane_id = old.lane_id`);
    const hosts = await this.database.execute(sql`
      delete from delivery_hosts h using (select x.organization_id, x.origin from delivery_hosts x
        where x.updated_at < ${before} limit ${most}::int for update skip locked) old
      where h.organization_id = old.organization_id and h.origin = old.origin`);
    return messages + lanes + hosts;
  }
}
