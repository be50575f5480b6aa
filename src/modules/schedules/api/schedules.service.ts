import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError, forbidden, invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { TZ_VERSION } from '../rules/cron.js';
import { FireTimes } from '../rules/fire-times.js';
import { ScheduleDispatchRepository } from '../firing/schedule-dispatch.repository.js';
import { jitterMs } from '../rules/rule.js';
import { ScheduleDispatcher } from '../firing/schedule-dispatcher.js';
import { assertRule } from '../rules/schedule.rules.js';
import {
  type StoredSchedule,
  type StoredScheduleInfo,
  type ScheduleValues,
  SchedulesRepository,
} from './schedules.repository.js';
import type {
  NewSchedule,
  Preview,
  PreviewRequest,
  Schedule,
  ScheduleListQuery,
  SchedulePatch,
  Upcoming,
  UpcomingQuery,
} from './schedules.schema.js';
import { ruleOf } from '../rules/stored-rule.js';
import { describe, localTime } from '../rules/describe-rule.js';

const FEW = 5;

/** A task's schedule as its detail shows it. */
export interface ScheduleInfo {
  execution_count: number;
  schedule_id: string;
  /** The latest slot that fired. */
  execution_info: StoredScheduleInfo['execution_info'];
  last_executed_at: string | null;
  next_execution_at: string | null;
  schedule_name: string;
  /** Local `HH:MM` of the next fire in the schedule's zone. */
  start_time: string | null;
}

/** Schedules as they are shown and set. What they do is `ScheduleDispatcher`'s. */
@Injectable()
export class SchedulesService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: SchedulesRepository,
    private readonly firing: ScheduleDispatcher,
    private readonly standings: ScheduleDispatchRepository,
    private readonly fireTimes: FireTimes,
    private readonly clock: Clock,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'schedules');
  }

  async list(actor: Actor, query: ScheduleListQuery): Promise<Page<Schedule>> {
    const scope = readScope(actor, 'schedule:read');
    const page = this.#pages.open(scope, query);
    const { data, next_cursor } = this.#pages.close(scope, query, page, await this.repository.list(scope, query, page));
    return { data: data.map(shown), next_cursor };
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<Schedule> {
    return shown(await this.#stored(actor, id));
  }

  /** The next fires as the schedule stands, whether or not it is enabled. @throws DomainError `not-found` */
  async upcoming(actor: Actor, id: string, query: UpcomingQuery): Promise<Upcoming> {
    const stored = await this.#stored(actor, id);
    const { rule, next_ms, jitter_seconds } = stored;
    return { data: this.#fires(id, rule, jitter_seconds, next_ms ?? null, query.count ?? FEW) };
  }

  /** What a schedule would do, without making one; refuses what making it would. @throws DomainError `invalid-request` */
  async preview(actor: Actor, request: PreviewRequest): Promise<Preview> {
    const { cron, every_seconds, at, timezone, starts_at, ends_at, count } = request;
    const floorSeconds = await this.repository.floor(readScope(actor, 'schedule:read'));
    const nowMs = this.clock.nowMs();
    const columns = {
      cron: cron ?? null,
      everySeconds: every_seconds ?? null,
      atMs: msOf(at),
      timezone,
      startsMs: msOf(starts_at),
      endsMs: msOf(ends_at),
      anchorMs: Math.floor(nowMs / 1000) * 1000,
    };
    const rule = ruleOf(columns);
    assertRule(rule, { nowMs, pointer: '', floorSeconds, next: this.fireTimes.next });
    return {
      cron: columns.cron,
      every_seconds: columns.everySeconds,
      at: columns.atMs === null ? null : new Date(columns.atMs).toISOString(),
      timezone,
      description: describe(rule),
      upcoming: this.fireTimes.slots(rule, nowMs, count).map((slot) => new Date(slot).toISOString()),
    };
  }

  /**
   * Gives a task its schedule. @throws DomainError `invalid-request` for a task that is not there or an expression that cannot be,
   * `forbidden`, `already-exists` where the task has one
   */
  async create(actor: Actor, input: NewSchedule, ticket: IdempotencyTicket | null): Promise<Outcome<Schedule>> {
    const scope = writeScope(actor, 'schedule:contribute');
    const { value, replayed } = await this.idempotency.run(scope, ticket, async (tx) => {
      const task = await this.repository.lockTask(scope, tx, input.task_id);
      if (task === null) {
        throw invalid('/task_id', 'There is no such task.');
      }
      if (!task.may_contribute) {
        throw forbidden();
      }
      if ((await this.repository.lockOfTask(scope, tx, input.task_id)) !== null) {
        // What is wrong with the request is told before what stands in its way: another try would meet it anyway.
        await this.#settled(scope, tx, input.task_id, null, input, '');
        throw new DomainError('already-exists', 'This task has a schedule already; change that one.');
      }
      return this.#read(scope, tx, await this.putForTask(tx, scope, input.task_id, input, ''));
    });
    return { value: shown(value), replayed };
  }

  /** @throws DomainError `not-found`, `forbidden`, `invalid-request` */
  async update(actor: Actor, id: string, patch: SchedulePatch): Promise<Schedule> {
    const scope = writeScope(actor, 'schedule:contribute');
    const stored = await this.database.write(scope, async (tx) => {
      const current = await this.lock(scope, tx, id);
      await this.putForTask(tx, scope, current.task_id, patch, '');
      return this.#read(scope, tx, id);
    });
    return shown(stored);
  }

  /** @throws DomainError `not-found`, `forbidden` */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'schedule:contribute');
    await this.database.write(scope, async (tx) => {
      await this.lock(scope, tx, id);
      await this.repository.delete(scope, tx, id);
    });
  }

  /**
   * Makes the task's schedule, or changes what is given of the one it has; answers its id. Slots that have come by now are settled by
   * the old rules first, and the new ones begin after now: none is lost in between, and none fires twice. The task's row is locked.
   *
   * @param pointer JSON Pointer of the settings in the caller's body
   * @throws DomainError `invalid-request` where the result could never fire, or too often, or a first schedule has no rule;
   * `forbidden` where the task is not this actor's to change
   */
  async putForTask(
    tx: Tx,
    scope: WriteScope,
    taskId: string,
    settings: SchedulePatch,
    pointer = '/schedule',
  ): Promise<string> {
    const current = await this.repository.lockOfTask(scope, tx, taskId);
    const { values, isRetimed } = await this.#settled(scope, tx, taskId, current, settings, pointer);
    if (current === null) {
      return this.#insert(tx, scope, taskId, values);
    }
    const isSwitched = current.enabled !== values.enabled;
    if (isRetimed || isSwitched) {
      await this.firing.settle(tx, scope.organizationId, current.id, { early: values.enabled ? 'fire' : 'skip' });
    }
    if (!(await this.repository.update(scope, tx, current.id, values, isRetimed || isSwitched))) {
      throw forbidden();
    }
    await this.arm(tx, scope, current.id);
    return current.id;
  }

  /** What the schedule will be, and whether it fires at other times then. @throws DomainError `invalid-request` */
  async #settled(
    scope: WriteScope,
    tx: Tx,
    taskId: string,
    current: ScheduleValues | null,
    settings: SchedulePatch,
    pointer: string,
  ): Promise<{ values: ScheduleValues; isRetimed: boolean }> {
    const { nowMs, floorSeconds, timezone } = await this.repository.ruleContext(scope, tx, taskId);
    const values = merged(current, settings, timezone);
    if (values.cron === null && values.everySeconds === null && values.atMs === null) {
      throw invalid(`${pointer}/cron`, 'A schedule needs cron, every_seconds or at.');
    }
    const isRetimed = current === null || isOtherTime(current, values);
    if (isRetimed) {
      const rule = ruleOf({ ...values, anchorMs: Math.floor(nowMs / 1000) * 1000 });
      assertRule(rule, { nowMs, pointer, floorSeconds, next: this.fireTimes.next });
    }
    return { values, isRetimed };
  }

  /** Takes the task's schedule away, if it has one. @throws DomainError `forbidden` */
  async removeForTask(tx: Tx, scope: WriteScope, taskId: string): Promise<void> {
    const current = await this.repository.lockOfTask(scope, tx, taskId);
    if (current !== null && !(await this.repository.delete(scope, tx, current.id))) {
      throw forbidden();
    }
  }

  /** Lets the task's schedule follow its task's switch, which has been thrown; the task's row is locked. */
  async taskSwitched(tx: Tx, scope: WriteScope, taskId: string, enabled: boolean): Promise<void> {
    const current = await this.repository.lockOfTask(scope, tx, taskId);
    if (current !== null) {
      await this.firing.settle(tx, scope.organizationId, current.id, { early: 'skip' });
      await this.repository.taskSwitched(scope, tx, current.id, enabled);
      await this.arm(tx, scope, current.id);
    }
  }

  /** Computes the next slot of a schedule from where it stands; none while it, or its task, is not enabled. */
  async arm(tx: Tx, scope: WriteScope, id: string): Promise<void> {
    const schedule = await this.standings.lock(tx, scope.organizationId, id);
    if (schedule?.enabled === true && schedule.taskEnabled) {
      await this.standings.advance(tx, [this.firing.standing(schedule)], TZ_VERSION);
    } else {
      await this.standings.disarm(tx, [id], false);
    }
  }

  /** Locks task, then schedule: the order everything takes them in. @throws DomainError `not-found`, `forbidden` */
  async lock(scope: WriteScope, tx: Tx, id: string): Promise<StoredSchedule> {
    const stored = await this.#read(scope, tx, id);
    const task = await this.repository.lockTask(scope, tx, stored.task_id);
    if (task === null) {
      throw notFound('schedule');
    }
    if (!task.may_contribute) {
      throw forbidden();
    }
    return stored;
  }

  /** The next fires of a task's schedule, as ISO times; none while nothing is to come. */
  nextExecutions(stored: StoredScheduleInfo, count: number): string[] {
    const { schedule_id, rule, jitter_seconds, next_ms } = stored;
    return next_ms === null ? [] : this.#fires(schedule_id, rule, jitter_seconds, next_ms, count);
  }

  /** What a task shows of its schedule. */
  info(stored: StoredScheduleInfo): ScheduleInfo {
    const next = stored.next_execution_at;
    return {
      execution_count: stored.execution_count,
      schedule_id: stored.schedule_id,
      execution_info: stored.execution_info,
      last_executed_at: stored.last_executed_at,
      next_execution_at: next,
      schedule_name: stored.schedule_name,
      start_time: next === null ? null : localTime(new Date(next), stored.rule.timezone),
    };
  }

  /** From the next slot on where there is one, else from now. */
  #fires(
    id: string,
    columns: StoredSchedule['rule'],
    jitterSeconds: number,
    nextMs: number | null,
    count: number,
  ): string[] {
    const jitter = jitterMs(id, jitterSeconds);
    return this.fireTimes
      .slots(ruleOf(columns), nextMs === null ? this.clock.nowMs() : nextMs - 1, count)
      .map((slot) => new Date(slot + jitter).toISOString());
  }

  async #insert(tx: Tx, scope: WriteScope, taskId: string, values: ScheduleValues): Promise<string> {
    const id = newId();
    if (!(await this.repository.insert(scope, tx, id, taskId, values))) {
      throw forbidden();
    }
    await this.arm(tx, scope, id);
    return id;
  }

  async #stored(actor: Actor, id: string): Promise<StoredSchedule> {
    const stored = await this.repository.find(readScope(actor, 'schedule:read'), id);
    if (stored === null) {
      throw notFound('schedule');
    }
    return stored;
  }

  async #read(scope: WriteScope, tx: Tx, id: string): Promise<StoredSchedule> {
    const stored = await this.repository.find(scope, id, tx);
    if (stored === null) {
      throw notFound('schedule');
    }
    return stored;
  }
}

/** A stored schedule as it is shown. */
export function shown(stored: StoredSchedule): Schedule {
  const { rule, next_ms: _next, ...rest } = stored;
  return {
    id: rest.id,
    task_id: rest.task_id,
    name: rest.name,
    cron: rule.cron,
    every_seconds: rule.everySeconds,
    at: rest.at,
    timezone: rule.timezone,
    starts_at: rest.starts_at,
    ends_at: rest.ends_at,
    enabled: rest.enabled,
    overlap: rest.overlap,
    catch_up: rest.catch_up,
    catch_up_window_seconds: rest.catch_up_window_seconds,
    jitter_seconds: rest.jitter_seconds,
    pause_after_failures: rest.pause_after_failures,
    consecutive_failures: rest.consecutive_failures,
    paused_at: rest.paused_at,
    pause_reason: rest.pause_reason,
    next_execution_at: rest.next_execution_at,
    last_executed_at: rest.last_executed_at,
    execution_count: rest.execution_count,
    description: describe(ruleOf(rule)),
    created_at: rest.created_at,
    updated_at: rest.updated_at,
  };
}

/** What a schedule is to be: what is given, else what it was, else what there is where nothing is said. */
function merged(current: ScheduleValues | null, patch: SchedulePatch, lastTimezone: string | null): ScheduleValues {
  const names = [patch.cron, patch.every_seconds, patch.at].some((rule) => rule !== undefined && rule !== null);
  const kept = <Value>(value: Value | null | undefined, before: Value | null | undefined): Value | null =>
    value === undefined ? (names ? null : (before ?? null)) : value;
  return {
    name: patch.name ?? null,
    cron: kept(patch.cron, current?.cron),
    everySeconds: kept(patch.every_seconds, current?.everySeconds),
    atMs: kept(patch.at == null ? patch.at : Date.parse(patch.at), current?.atMs),
    timezone: patch.timezone ?? current?.timezone ?? lastTimezone ?? 'UTC',
    startsMs: patch.starts_at === undefined ? (current?.startsMs ?? null) : msOf(patch.starts_at),
    endsMs: patch.ends_at === undefined ? (current?.endsMs ?? null) : msOf(patch.ends_at),
    enabled: patch.enabled ?? current?.enabled ?? true,
    overlap: patch.overlap ?? current?.overlap ?? 'allow',
    catchUp: patch.catch_up ?? current?.catchUp ?? 'one',
    windowSeconds: patch.catch_up_window_seconds ?? current?.windowSeconds ?? 3600,
    jitterSeconds: patch.jitter_seconds ?? current?.jitterSeconds ?? 0,
    pauseAfterFailures:
      patch.pause_after_failures === undefined ? (current?.pauseAfterFailures ?? null) : patch.pause_after_failures,
  };
}

function isOtherTime(before: ScheduleValues, after: ScheduleValues): boolean {
  return (['cron', 'everySeconds', 'atMs', 'timezone', 'startsMs', 'endsMs'] as const).some(
    (name) => before[name] !== after[name],
  );
}

function msOf(instant: string | null | undefined): number | null {
  return instant === null || instant === undefined ? null : Date.parse(instant);
}
