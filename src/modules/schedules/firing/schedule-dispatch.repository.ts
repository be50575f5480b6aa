/**
 * The statements by which schedules fire, over every organisation. Rows are taken with skip-locked, task before schedule, so that any
 * number of processes may fire at once and none ever waits for a task or a schedule; and whoever holds a schedule's row holds its
 * task's, so that whoever ends a run finds the schedule free.
 */
import { Injectable } from '@nestjs/common';
import { Database, type Tx } from '../../../database/database.js';
import { type Sql, raw, sql } from '../../../database/sql.js';
import type { ScheduledSettings } from '../../runs/index.js';
import type { CatchUp, Overlap, SlotReason, SlotStatus } from './due-slots.js';
import type { RuleColumns } from '../rules/stored-rule.js';

/** A schedule whose row is locked, with its task's, and what firing it takes. */
export interface LockedSchedule extends RuleColumns, ScheduledSettings {
  id: string;
  organizationId: string;
  taskId: string;
  createdBy: string;
  overlap: Overlap;
  catchUp: CatchUp;
  windowSeconds: number;
  jitterSeconds: number;
  cursorMs: number;
  /** Null where nothing is to come. */
  nextMs: number | null;
  enabled: boolean;
  taskEnabled: boolean;
  taskDeleted: boolean;
  agentDeleted: boolean;
  agentPaused: boolean;
  isOver: boolean;
  isCoalescing: boolean;
  waitingMs: number | null;
  hasBudgets: boolean;
  /** The database's clock, or the time given instead. */
  nowMs: number;
}

/** What else decides, looked at once the rows are locked. */
export interface FiringContext {
  id: string;
  liveRuns: number;
  /** A budget that covers the schedule's next run is used up. */
  isOverBudget: boolean;
}

export interface SettledSlot {
  organizationId: string;
  scheduleId: string;
  slotMs: number;
  dueMs: number;
  status: SlotStatus;
  reason: SlotReason | null;
  runId: string | null;
  /** When it was decided. */
  nowMs: number;
}

export interface SettledSchedule {
  organizationId: string;
  id: string;
  cursorMs: number;
  nextMs: number | null;
  dueMs: number | null;
  /** No slot is left. */
  isOver: boolean;
  isCoalescing: boolean;
  waitingMs: number | null;
  /** Of the runs made: how many, and the last. */
  executions: number;
  lastSlotMs: number | null;
  lastRunId: string | null;
  nowMs: number;
}

const ms = (column: string): Sql => raw(`(extract(epoch from ${column}) * 1000)::float8`);

/** A column of milliseconds as an instant; doubles are exact enough for microseconds. */
const instant = (column: string): Sql => raw(`to_timestamp(${column} / 1000.0)`);

const moment = (instantMs: number | null): Sql => sql`to_timestamp(${instantMs}::float8 / 1000.0)`;

const LOCKED = sql`s.id, s.organization_id as "organizationId", s.task_id as "taskId", s.created_by as "createdBy", s.cron, s.timezone,
  s.every_seconds as "everySeconds", ${ms('s.at')} as "atMs", ${ms('s.starts_at')} as "startsMs", ${ms('s.ends_at')} as "endsMs",
  ${ms('s.anchor_at')} as "anchorMs", s.overlap, s.catch_up as "catchUp", s.catch_up_window_seconds as "windowSeconds",
  s.jitter_seconds as "jitterSeconds", ${ms('s.cursor_at')} as "cursorMs", ${ms('s.next_at')} as "nextMs", s.enabled,
  t.enabled as "taskEnabled", t.deleted_at is not null as "taskDeleted", a.deleted_at is not null as "agentDeleted",
  a.paused_at is not null as "agentPaused", s.is_over as "isOver", s.is_coalescing as "isCoalescing", ${ms('s.waiting_slot_at')} as "waitingMs",
  exists (select 1 from budgets b where b.organization_id = s.organization_id) as "hasBudgets",
  t.agent_id as "agentId", a.default_run_config::text as "agentDefault", t.run_config::text as "taskConfig", t.model as "taskModel",
  t.concurrency_key as "concurrencyKey", a.concurrency_key_limit as "concurrencyKeyLimit", a.concurrency_strategy as "concurrencyStrategy"`;

/** The task's row is locked as it is looked up, one by one and in the order of the schedules: a plan that sorts would lock too many. */
const WITH_TASK = sql`schedules s
  cross join lateral (select t.* from tasks t where t.organization_id = s.organization_id and t.id = s.task_id for no key update skip locked) t
  cross join lateral (select a.* from agents a where a.organization_id = t.organization_id and a.id = t.agent_id offset 0) a`;

type Row = LockedSchedule & Record<string, unknown>;

@Injectable()
export class ScheduleDispatchRepository {
  constructor(private readonly database: Database) {}

  /** Up to `most` schedules that are due, longest due first, locked. `at` stands for the database's clock where it is given. */
  async claimDue(tx: Tx, most: number, at: Date | null): Promise<LockedSchedule[]> {
    return tx.rows<Row>(sql`
      select ${LOCKED}, ${ms('n.now')} as "nowMs" from ${WITH_TASK} cross join (select ${now(at)} as now) n
      where s.due_at <= (select ${now(at)})
      order by s.due_at, s.id limit (select ${most}::int) for no key update of s skip locked`);
  }

  /** Enabled schedules without a next slot that have one to come, locked. */
  async claimUnarmed(tx: Tx, most: number, at: Date | null): Promise<LockedSchedule[]> {
    return tx.rows<Row>(sql`
      select ${LOCKED}, ${ms(`n.now`)} as "nowMs" from ${WITH_TASK} cross join (select ${now(at)} as now) n
      where s.enabled and s.task_enabled and s.next_at is null and not s.is_over
      order by s.id limit (select ${most}::int) for no key update of s skip locked`);
  }

  /** Schedules whose next slot was computed with an older time zone database, locked. */
  async claimOutdated(tx: Tx, most: number, version: string): Promise<LockedSchedule[]> {
    return tx.rows<Row>(sql`
      select ${LOCKED}, ${ms('n.now')} as "nowMs" from ${WITH_TASK} cross join (select clock_timestamp() as now) n
      where s.due_at > clock_timestamp() and s.cron is not null and s.tz_version < ${version}
      order by s.id limit (select ${most}::int) for no key update of s skip locked`);
  }

  /** Schedules with a slot that waits, whose runs have all ended or that are not to fire any more; locked. */
  async claimWaiting(tx: Tx, most: number, at: Date | null): Promise<LockedSchedule[]> {
    return tx.rows<Row>(sql`
      select ${LOCKED}, ${ms('n.now')} as "nowMs" from ${WITH_TASK} cross join (select ${now(at)} as now) n
      where s.waiting_slot_at is not null and (not s.enabled or not s.task_enabled or not exists (select 1 from runs r
        where r.organization_id = s.organization_id and r.task_id = s.task_id and r.schedule_id = s.id and r.finished_at is null))
      order by s.waiting_slot_at limit (select ${most}::int) for no key update of s skip locked`);
  }

  /** One schedule, waited for: for whoever is about to change it. The task's row is locked by the caller. */
  async lock(tx: Tx, organizationId: string, id: string): Promise<LockedSchedule | null> {
    return tx.row<Row>(sql`
      select ${LOCKED}, ${ms('clock_timestamp()')} as "nowMs" from schedules s
        join tasks t on t.organization_id = s.organization_id and t.id = s.task_id
        join agents a on a.organization_id = t.organization_id and a.id = t.agent_id
      where s.organization_id = ${organizationId} and s.id = ${id} for no key update of s`);
  }

  /** What decides beside the schedules themselves: what runs, and what is spent. */
  async firingContext(tx: Tx, schedules: readonly LockedSchedule[]): Promise<Map<string, FiringContext>> {
    const rows = await tx.rows<FiringContext & Record<string, unknown>>(sql`
      select g.id,
        (select count(*)::int from (select 1 from runs r where r.organization_id = g.organization_id and r.task_id = g.task_id
          and r.schedule_id = g.id and r.finished_at is null limit 2) live) as "liveRuns",
        exists (select 1 from budgets b cross join lateral (
            select coalesce(sum(c.runs), 0) as runs, coalesce(sum(c.cents), 0) as cents from budget_counters c
            where c.organization_id = b.organization_id and c.budget_id = b.id
              and c.period_start = budget_period_start(b.period, clock_timestamp())) spent
          where b.organization_id = g.organization_id and b.enabled and (spent.runs >= b.limit_runs or spent.cents >= b.limit_cents)
            and (b.scope_kind = 'organization' or b.scope_id = case b.scope_kind when 'agent' then g.agent_id when 'task' then g.task_id
              when 'schedule' then g.id when 'api_key' then g.created_by end)) as "isOverBudget"
      from unnest(${schedules.map((s) => s.id)}::uuid[], ${schedules.map((s) => s.organizationId)}::uuid[],
        ${schedules.map((s) => s.taskId)}::uuid[], ${schedules.map((s) => s.agentId)}::uuid[],
        ${schedules.map((s) => s.createdBy)}::uuid[]) as g (id, organization_id, task_id, agent_id, created_by)`);
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** Writes slots into the ledger; answers those that were in it before, whose runs are not to be made. */
  async insertSlots(tx: Tx, slots: readonly SettledSlot[], tzVersion: string): Promise<SettledSlot[]> {
    if (slots.length === 0) {
      return [];
    }
    const inserted = await tx.row<{ count: number }>(sql`
      with written as (
        insert into schedule_slots (organization_id, schedule_id, scheduled_at, due_at, status, reason, run_id, decided_at, tz_version)
        select g.organization_id, g.schedule_id, ${instant('g.slot_ms')}, ${instant('g.due_ms')}, g.status, g.reason, g.run_id,
          ${instant('g.now_ms')}, ${tzVersion}::text
        from unnest(${slots.map((s) => s.organizationId)}::uuid[], ${slots.map((s) => s.scheduleId)}::uuid[],
          ${slots.map((s) => s.slotMs)}::float8[], ${slots.map((s) => s.dueMs)}::float8[], ${slots.map((s) => s.status)}::text[],
          ${slots.map((s) => s.reason)}::text[], ${slots.map((s) => s.runId)}::uuid[], ${slots.map((s) => s.nowMs)}::float8[])
          as g (organization_id, schedule_id, slot_ms, due_ms, status, reason, run_id, now_ms)
        on conflict (organization_id, schedule_id, scheduled_at) do nothing
        returning 1
      )
      select count(*)::int as count from written`);
    return inserted?.count === slots.length ? [] : this.#repeated(tx, slots);
  }

  /** Gives slots their runs that had none; they are known not to have one. */
  async backfill(
    tx: Tx,
    schedule: LockedSchedule,
    slots: readonly { slotMs: number; dueMs: number; runId: string }[],
    tzVersion: string,
  ): Promise<void> {
    await tx.execute(sql`
      insert into schedule_slots as l (organization_id, schedule_id, scheduled_at, due_at, status, run_id, decided_at, tz_version)
      select ${schedule.organizationId}::uuid, ${schedule.id}::uuid, ${instant('g.slot_ms')}, ${instant('g.due_ms')}, 'backfilled', g.run_id,
        ${moment(schedule.nowMs)}, ${tzVersion}::text
      from unnest(${slots.map((s) => s.slotMs)}::float8[], ${slots.map((s) => s.dueMs)}::float8[], ${slots.map((s) => s.runId)}::uuid[])
        as g (slot_ms, due_ms, run_id)
      on conflict (organization_id, schedule_id, scheduled_at) do update
        set status = 'backfilled', reason = null, run_id = excluded.run_id, decided_at = excluded.decided_at`);
  }

  /** Slots that stand in the ledger under another run than these say. */
  async #repeated(tx: Tx, slots: readonly SettledSlot[]): Promise<SettledSlot[]> {
    const rows = await tx.rows<{ place: number }>(sql`
      select g.place::int as place from unnest(${slots.map((s) => s.organizationId)}::uuid[], ${slots.map((s) => s.scheduleId)}::uuid[],
        ${slots.map((s) => s.slotMs)}::float8[], ${slots.map((s) => s.runId)}::uuid[]) with ordinality
        as g (organization_id, schedule_id, slot_ms, run_id, place)
      join schedule_slots l on l.organization_id = g.organization_id and l.schedule_id = g.schedule_id
        and l.scheduled_at = ${instant('g.slot_ms')}
      where g.run_id is not null and l.run_id is distinct from g.run_id`);
    const places = new Set(rows.map(({ place }) => place - 1));
    return slots.filter((_, index) => places.has(index));
  }

  /** Moves schedules on. */
  async advance(tx: Tx, schedules: readonly SettledSchedule[], tzVersion: string): Promise<void> {
    if (schedules.length === 0) {
      return;
    }
    const given = schedules.map((s) => ({
      organization_id: s.organizationId,
      id: s.id,
      cursor_ms: s.cursorMs,
      next_ms: s.nextMs,
      due_ms: s.dueMs,
      is_over: s.isOver,
      is_coalescing: s.isCoalescing,
      waiting_ms: s.waitingMs,
      executions: s.executions,
      slot_ms: s.lastSlotMs,
      run_id: s.lastRunId,
      now_ms: s.nowMs,
    }));
    await tx.execute(sql`
      update schedules s set cursor_at = ${instant('g.cursor_ms')}, next_at = ${instant('g.next_ms')}, due_at = ${instant('g.due_ms')},
        is_over = g.is_over, tz_version = ${tzVersion}::text, is_coalescing = g.is_coalescing,
        waiting_slot_at = ${instant('g.waiting_ms')}, execution_count = s.execution_count + g.executions,
        last_executed_at = case when g.executions > 0 then ${instant('g.now_ms')} else s.last_executed_at end,
        last_slot_at = greatest(s.last_slot_at, ${instant('g.slot_ms')}),
        last_run_id = case when g.run_id is not null and (s.last_slot_at is null or ${instant('g.slot_ms')} >= s.last_slot_at) then g.run_id
          else s.last_run_id end
      from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as g (organization_id uuid, id uuid, cursor_ms float8, next_ms float8,
        due_ms float8, is_over boolean, is_coalescing boolean, waiting_ms float8, executions int, slot_ms float8, run_id uuid, now_ms float8)
      where s.organization_id = g.organization_id and s.id = g.id`);
  }

  /** Names the run that stands for slots that were coalesced before it was known. */
  async nameCoalesced(tx: Tx, schedule: LockedSchedule, runId: string): Promise<void> {
    await tx.execute(sql`
      update schedule_slots l set run_id = ${runId} where l.organization_id = ${schedule.organizationId} and l.schedule_id = ${schedule.id}
        and l.status = 'coalesced' and l.run_id is null and l.scheduled_at <= ${moment(schedule.nowMs)}`);
  }

  /** The slot that waited has its run, or will have none. */
  async settleWaiting(
    tx: Tx,
    schedule: LockedSchedule,
    settled: { runId: string | null; reason: SlotReason },
  ): Promise<void> {
    await tx.execute(sql`
      update schedule_slots l set status = ${settled.runId === null ? 'skipped' : 'late'}, reason = ${settled.reason}, run_id = ${settled.runId}::uuid,
        decided_at = ${moment(schedule.nowMs)}
      where l.organization_id = ${schedule.organizationId} and l.schedule_id = ${schedule.id} and l.scheduled_at = ${moment(schedule.waitingMs)}`);
    await tx.execute(sql`
      update schedules s set waiting_slot_at = null, execution_count = s.execution_count + ${settled.runId === null ? 0 : 1}::int,
        last_executed_at = case when ${settled.runId}::uuid is null then s.last_executed_at else ${moment(schedule.nowMs)} end,
        last_slot_at = case when ${settled.runId}::uuid is null then s.last_slot_at else s.waiting_slot_at end,
        last_run_id = coalesce(${settled.runId}::uuid, s.last_run_id)
      where s.organization_id = ${schedule.organizationId} and s.id = ${schedule.id}`);
  }

  /** Takes schedules out of what is due: their task is gone or disabled, or they are over. */
  async disarm(tx: Tx, ids: readonly string[], isOver: boolean): Promise<void> {
    await tx.execute(sql`
      update schedules s set next_at = null, due_at = null, is_over = s.is_over or ${isOver}::boolean,
        task_enabled = (select t.enabled from tasks t where t.organization_id = s.organization_id and t.id = s.task_id)
      where s.id = any(${ids}::uuid[])`);
  }

  /** Lets a schedule that could not be fired rest, so that it holds nobody else up; its slots are not lost. */
  async postpone(tx: Tx, schedule: LockedSchedule, seconds: number): Promise<void> {
    await tx.execute(sql`
      update schedules s set due_at = clock_timestamp() + make_interval(secs => ${seconds})
      where s.organization_id = ${schedule.organizationId} and s.id = ${schedule.id} and s.due_at is not null`);
  }

  /** Milliseconds until something is due; null where nothing is to come. */
  async untilDueMs(): Promise<number | null> {
    const first = await this.database.row<{ wait: number }>(sql`
      select (extract(epoch from s.due_at - clock_timestamp()) * 1000)::float8 as wait from schedules s
      where s.due_at is not null order by s.due_at limit 1`);
    return first?.wait ?? null;
  }

  /** How many schedules are overdue by more than `seconds`, looked at up to `most`, and the longest in seconds. */
  async overdue(seconds: number, most: number): Promise<{ count: number; longestSeconds: number }> {
    const found = await this.database.row<{ count: number; longestSeconds: number }>(sql`
      select count(*)::int as count, coalesce(max(o.seconds), 0)::float8 as "longestSeconds" from (
        select extract(epoch from clock_timestamp() - s.due_at) as seconds from schedules s
        where s.due_at < clock_timestamp() - make_interval(secs => ${seconds}::int) order by s.due_at limit ${most}::int) o`);
    return found ?? { count: 0, longestSeconds: 0 };
  }

  /** Tells the hooks that asked for it that slots of a schedule were missed. */
  async tellMissed(
    tx: Tx,
    schedule: LockedSchedule,
    missed: { count: number; firstMs: number; lastMs: number },
  ): Promise<void> {
    await tx.rows(sql`
      select outbox_tell(s.organization_id, 'schedule.missed', s.task_id, null, jsonb_build_object('schedule', jsonb_build_object(
        'id', s.id, 'task_id', s.task_id, 'name', s.name, 'missed', ${missed.count}::int,
        'first', iso_utc(${moment(missed.firstMs)}), 'last', iso_utc(${moment(missed.lastMs)})))) is null
      from schedules s where s.organization_id = ${schedule.organizationId} and s.id = ${schedule.id}`);
  }

  /** Schedules that failures have paused and of which nobody has been told, marked as told. */
  async takeUntold(most: number): Promise<{ id: string; organizationId: string; taskId: string; failures: number }[]> {
    return this.database.rows(sql`
      update schedules s set is_pause_untold = false
      from (select u.organization_id, u.id from schedules u where u.is_pause_untold order by u.id limit ${most}::int for no key update skip locked) u
      where s.organization_id = u.organization_id and s.id = u.id
      returning s.id, s.organization_id as "organizationId", s.task_id as "taskId", s.failures_in_a_row as failures`);
  }

  /** Deletes rows of the ledger older than `days`; answers how many. */
  async sweepLedger(days: number, most: number): Promise<number> {
    return this.database.execute(sql`
      delete from schedule_slots l where l.ctid = any(array(
        select x.ctid from schedule_slots x where x.decided_at < now() - make_interval(days => ${days}::int) limit ${most}::int))`);
  }
}

function now(at: Date | null): Sql {
  return at === null ? sql`clock_timestamp()` : sql`${at.toISOString()}::timestamptz`;
}
