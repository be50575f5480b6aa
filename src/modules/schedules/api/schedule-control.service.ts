import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../../http/pagination/cursor-paginator.js';
import { invalid, notFound } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import type { Page } from '../../../kernel/page.js';
import { type RunView, RunsService, ScheduledRuns } from '../../runs/index.js';
import { TZ_VERSION } from '../rules/cron.js';
import { FireTimes } from '../rules/fire-times.js';
import { ScheduleDispatchRepository, type LockedSchedule } from '../firing/schedule-dispatch.repository.js';
import { jitterMs } from '../rules/rule.js';
import { ScheduleDispatcher } from '../firing/schedule-dispatcher.js';
import { ScheduleLedgerQuery } from './schedule-ledger.query.js';
import { SchedulesRepository } from './schedules.repository.js';
import {
  type Backfilled,
  type BackfillRequest,
  type Changed,
  reasonSentence,
  type Schedule,
  type ScheduleFilter,
  type Slot,
  type SlotListQuery,
  type Stats,
  type StatsQuery,
} from './schedules.schema.js';
import { SchedulesService } from './schedules.service.js';
import { ruleOf } from '../rules/stored-rule.js';

const MAX_BACKFILLED = 500;
const SWITCHED_AT_ONCE = 200;
const STATS_DAYS = 30;
const FIRST = '00000000-0000-0000-0000-000000000000';

/** Schedules under people's hands: fired out of turn, filled up, paused and resumed; and what became of their slots. */
@Injectable()
export class ScheduleControlService {
  readonly #pages: CursorPaginator;

  constructor(
    private readonly database: Database,
    private readonly idempotency: Idempotency,
    private readonly schedules: SchedulesService,
    private readonly repository: SchedulesRepository,
    private readonly firing: ScheduleDispatcher,
    private readonly standings: ScheduleDispatchRepository,
    private readonly ledger: ScheduleLedgerQuery,
    private readonly fireTimes: FireTimes,
    private readonly runs: RunsService,
    private readonly scheduledRuns: ScheduledRuns,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'schedule-slots');
  }

  /** A run of the schedule at once, of no slot and whatever is running. @throws DomainError `not-found`, `forbidden`, `conflict` */
  async trigger(actor: Actor, id: string, ticket: IdempotencyTicket | null): Promise<Outcome<RunView>> {
    const scope = writeScope(actor, 'schedule:contribute');
    const { value, replayed } = await this.idempotency.run(scope, ticket, async (tx) => {
      const { task_id: taskId } = await this.schedules.lock(scope, tx, id);
      const run = await this.runs.createRun(tx, scope, { taskId, scheduleId: id });
      return this.runs.getIn(tx, actor, run.id);
    });
    return { value, replayed };
  }

  /** Stops the slots of a schedule until it is resumed; of those that have come, none is lost. @throws DomainError `not-found`, `forbidden` */
  async pause(actor: Actor, id: string, reason: string | null): Promise<Schedule> {
    return this.#switchOne(actor, id, false, reason);
  }

  /** Lets slots come again, from now on. @throws DomainError `not-found`, `forbidden` */
  async resume(actor: Actor, id: string): Promise<Schedule> {
    return this.#switchOne(actor, id, true, null);
  }

  /** Pauses or resumes what fits the filter and the actor may change, some at a time; answers how many it changed. */
  async switchMany(actor: Actor, filter: ScheduleFilter, enabled: boolean, reason: string | null): Promise<Changed> {
    const scope = writeScope(actor, 'schedule:contribute');
    let changed = 0;
    for (let after = FIRST; ;) {
      const ids = await this.database.write(scope, async (tx) => {
        const locked = await this.repository.lockMany(scope, tx, filter, { enabled, after, most: SWITCHED_AT_ONCE });
        for (const id of locked) {
          await this.#switch(scope, tx, id, enabled, reason);
        }
        return locked;
      });
      changed += ids.length;
      const last = ids.at(-1);
      if (last === undefined || ids.length < SWITCHED_AT_ONCE) {
        return { changed };
      }
      after = last;
    }
  }

  /**
   * Makes runs for the slots of a time that has passed and that have none: those before the schedule was made, missed, skipped, coalesced,
   * or of a time when it was paused. All of them or none. @throws DomainError `not-found`, `forbidden`, `invalid-request`,
   * `budget-exceeded`
   */
  async backfill(
    actor: Actor,
    id: string,
    { from, to }: BackfillRequest,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<Backfilled>> {
    const scope = writeScope(actor, 'schedule:contribute');
    const [fromMs, toMs] = [Date.parse(from), Date.parse(to)];
    if (toMs < fromMs) {
      throw invalid('/to', 'must not be before from');
    }
    return this.idempotency.run(scope, ticket, async (tx) => {
      await this.schedules.lock(scope, tx, id);
      const schedule = await this.standings.lock(tx, scope.organizationId, id);
      if (schedule === null) {
        throw notFound('schedule');
      }
      if (toMs > schedule.nowMs) {
        throw invalid('/to', 'must be in the past: slots to come fire by themselves');
      }
      return this.#fill(tx, scope, schedule, this.#slotsBetween(schedule, fromMs, toMs));
    });
  }

  /** A page of the ledger, newest slot first. @throws DomainError `not-found`, `invalid-cursor` */
  async slots(actor: Actor, id: string, query: SlotListQuery): Promise<Page<Slot>> {
    const scope = readScope(actor, 'schedule:read');
    const page = this.#pages.open(scope, query, '-created_at', id);
    const rows = await this.ledger.slots(scope, id, query, page);
    if (rows === null) {
      throw notFound('schedule');
    }
    const { data, next_cursor } = this.#pages.close(scope, query, page, rows, id);
    return { data: data.map((slot) => ({ ...slot, detail: reasonSentence(slot.reason) })), next_cursor };
  }

  /** @throws DomainError `not-found` */
  async stats(actor: Actor, id: string, { days }: StatsQuery): Promise<Stats> {
    const stats = await this.ledger.stats(readScope(actor, 'schedule:read'), id, days ?? STATS_DAYS);
    if (stats === null) {
      throw notFound('schedule');
    }
    return stats;
  }

  async #switchOne(actor: Actor, id: string, enabled: boolean, reason: string | null): Promise<Schedule> {
    const scope = writeScope(actor, 'schedule:contribute');
    await this.database.write(scope, async (tx) => {
      const { enabled: isEnabled } = await this.schedules.lock(scope, tx, id);
      if (isEnabled !== enabled) {
        await this.#switch(scope, tx, id, enabled, reason);
      }
    });
    return this.schedules.get(actor, id);
  }

  async #switch(scope: WriteScope, tx: Tx, id: string, enabled: boolean, reason: string | null): Promise<void> {
    await this.firing.settle(tx, scope.organizationId, id, { early: 'skip' });
    await this.repository.switch(scope, tx, id, enabled, reason);
    await this.schedules.arm(tx, scope, id);
  }

  #slotsBetween(schedule: LockedSchedule, fromMs: number, toMs: number): number[] {
    // A slot that is still to be decided is not ours to decide.
    const untilMs = schedule.nextMs === null ? toMs : Math.min(toMs, schedule.nextMs - 1);
    const slots = this.fireTimes
      .slots(ruleOf(schedule), fromMs - 1, MAX_BACKFILLED + 1)
      .filter((slot) => slot <= untilMs);
    if (slots.length > MAX_BACKFILLED) {
      throw invalid('/from', `There are more than ${MAX_BACKFILLED} slots from here on; take them in parts.`);
    }
    return slots;
  }

  async #fill(tx: Tx, scope: WriteScope, schedule: LockedSchedule, slots: readonly number[]): Promise<Backfilled> {
    const fired = await this.ledger.fired(scope, tx, schedule.id, slots);
    const open = slots.filter((slot) => !fired.has(slot));
    const { organizationId, taskId, createdBy, nowMs } = schedule;
    const jitter = jitterMs(schedule.id, schedule.jitterSeconds);
    const filled = open.map((slotMs) => ({ slotMs, dueMs: slotMs + jitter, runId: newId() }));
    await this.scheduledRuns.create(
      tx,
      filled.map(({ runId }) => ({
        id: runId,
        organizationId,
        taskId,
        scheduleId: schedule.id,
        createdBy,
        settings: schedule,
      })),
    );
    await this.standings.backfill(tx, schedule, filled, TZ_VERSION);
    const last = filled.at(-1);
    if (last !== undefined) {
      await this.standings.advance(
        tx,
        [
          {
            ...this.firing.standing(schedule),
            nextMs: schedule.nextMs,
            dueMs: schedule.nextMs === null ? null : schedule.nextMs + jitter,
            isOver: schedule.isOver,
            executions: filled.length,
            lastSlotMs: last.slotMs,
            lastRunId: last.runId,
            nowMs,
          },
        ],
        TZ_VERSION,
      );
    }
    return { backfilled: filled.length, fired_before: fired.size, run_ids: filled.map(({ runId }) => runId) };
  }
}
