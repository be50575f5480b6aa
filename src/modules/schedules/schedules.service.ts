import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../database/idempotency.js';
import { CursorSealer } from '../../engines/signed-url/cursor-sealer.js';
import { ListPages } from '../../http/list-query.js';
import { Clock } from '../../kernel/clock.js';
import { DomainError, forbidden, invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import type { Page } from '../../kernel/page.js';
import { assertFires, describe, localTime, upcoming } from './cron.js';
import { FireTimes } from './fire-times.js';
import { SchedulesRepository, type StoredSchedule, type StoredScheduleInfo } from './schedules.repository.js';
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

const FEW = 5;

/** A task's schedule as its detail shows it. Nothing fires yet, so nothing has been executed. */
export interface ScheduleInfo {
  execution_count: number;
  schedule_id: string;
  execution_info: null;
  last_executed_at: string | null;
  next_execution_at: string | null;
  schedule_name: string;
  /** Local `HH:MM` of the next fire in the schedule's zone. */
  start_time: string | null;
}

@Injectable()
export class SchedulesService {
  readonly #pages: ListPages;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly repository: SchedulesRepository,
    private readonly fireTimes: FireTimes,
    private readonly clock: Clock,
    sealer: CursorSealer,
  ) {
    this.#pages = new ListPages(sealer, 'schedules');
  }

  async list(actor: Actor, query: ScheduleListQuery): Promise<Page<Schedule>> {
    const scope = readScope(actor, 'schedule:read');
    const page = this.#pages.open(scope, query);
    const { data, next_cursor } = this.#pages.close(scope, query, page, await this.repository.list(scope, query, page));
    return { data: data.map((stored) => this.#shown(stored)), next_cursor };
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<Schedule> {
    return this.#shown(await this.#stored(actor, id));
  }

  /** The next fires as the schedule stands, whether or not it is enabled. @throws DomainError `not-found` */
  async upcoming(actor: Actor, id: string, query: UpcomingQuery): Promise<Upcoming> {
    const { cron, timezone } = await this.#stored(actor, id);
    return { data: this.nextExecutions(cron, timezone, query.count ?? FEW) };
  }

  /** What a schedule would do, without making one. @throws DomainError `invalid-request` */
  preview(request: PreviewRequest): Preview {
    const { cron, timezone, count } = request;
    const now = this.clock.now();
    assertFires(cron, timezone, now);
    return {
      cron,
      timezone,
      description: describe(cron, timezone),
      upcoming: upcoming(cron, timezone, now, count).map((fire) => fire.toISOString()),
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
        throw new DomainError('already-exists', 'This task has a schedule already; change that one.');
      }
      return this.#read(scope, tx, await this.putForTask(tx, scope, input.task_id, input, ''));
    });
    return { value: this.#shown(value), replayed };
  }

  /** @throws DomainError `not-found`, `forbidden`, `invalid-request` */
  async update(actor: Actor, id: string, patch: SchedulePatch): Promise<Schedule> {
    const scope = writeScope(actor, 'schedule:contribute');
    const stored = await this.database.write(scope, async (tx) => {
      const current = await this.#lock(scope, tx, id);
      await this.putForTask(tx, scope, current.task_id, patch, '');
      return this.#read(scope, tx, id);
    });
    return this.#shown(stored);
  }

  /** @throws DomainError `not-found`, `forbidden` */
  async remove(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'schedule:contribute');
    await this.database.write(scope, async (tx) => {
      await this.#lock(scope, tx, id);
      await this.repository.delete(scope, tx, id);
    });
  }

  /**
   * Makes the task's schedule, or changes what is given of the one it has; answers its id.
   *
   * @param pointer JSON Pointer of the settings in the caller's body
   * @throws DomainError `invalid-request` where the result could never fire, or too often, or a first schedule has no `cron`;
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
    const cron = settings.cron ?? current?.cron;
    if (cron === undefined) {
      throw invalid(`${pointer}/cron`, 'A schedule needs a cron expression.');
    }
    const values = {
      name: settings.name ?? null,
      cron,
      timezone: settings.timezone ?? current?.timezone ?? 'UTC',
      enabled: settings.enabled ?? current?.enabled ?? true,
    };
    assertFires(values.cron, values.timezone, this.clock.now(), pointer);
    const id = current?.id ?? newId();
    const done =
      current === null
        ? await this.repository.insert(scope, tx, id, taskId, values)
        : await this.repository.update(scope, tx, id, values);
    if (!done) {
      throw forbidden();
    }
    return id;
  }

  /** Takes the task's schedule away, if it has one. @throws DomainError `forbidden` */
  async removeForTask(tx: Tx, scope: WriteScope, taskId: string): Promise<void> {
    const current = await this.repository.lockOfTask(scope, tx, taskId);
    if (current !== null && !(await this.repository.delete(scope, tx, current.id))) {
      throw forbidden();
    }
  }

  /** The next fires of an accepted expression, from now, as ISO times. */
  nextExecutions(cron: string, timezone: string, count: number): string[] {
    return this.fireTimes.upcoming(cron, timezone, count).map((fire) => fire.toISOString());
  }

  /** What a task shows of its schedule. */
  info(stored: StoredScheduleInfo): ScheduleInfo {
    const next = stored.enabled ? this.fireTimes.next(stored.cron, stored.timezone) : null;
    return {
      execution_count: 0,
      schedule_id: stored.schedule_id,
      execution_info: null,
      last_executed_at: null,
      next_execution_at: next?.toISOString() ?? null,
      schedule_name: stored.schedule_name,
      start_time: next === null ? null : localTime(next, stored.timezone),
    };
  }

  #shown(stored: StoredSchedule): Schedule {
    const { id, task_id, name, cron, timezone, enabled, task_enabled, created_at, updated_at } = stored;
    const next = enabled && task_enabled ? this.fireTimes.next(cron, timezone) : null;
    return {
      id,
      task_id,
      name,
      cron,
      timezone,
      enabled,
      next_execution_at: next?.toISOString() ?? null,
      last_executed_at: null,
      execution_count: 0,
      description: describe(cron, timezone),
      created_at,
      updated_at,
    };
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

  /** Locks task, then schedule: the order everything takes them in. */
  async #lock(scope: WriteScope, tx: Tx, id: string): Promise<StoredSchedule> {
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
}
