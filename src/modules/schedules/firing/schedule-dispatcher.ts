/**
 * Fires what is due. A turn is one transaction: it locks some due schedules and their tasks, decides their slots, writes the slots into
 * the ledger, makes the runs, and moves the schedules on to their next slots, computed from the last one. All of it happens or nothing.
 *
 * - **Two processes at one slot.** The second finds the row locked and steps over it, or finds it moved on. Were all of that to fail, the
 *   ledger's primary key still refuses the second row, and its run is not made.
 * - **Killed at any moment.** The transaction is gone, the schedule is as due as before.
 * - **A budget refuses.** Those known to be over theirs are skipped ahead. One that is used up in the middle refuses the whole
 *   statement, so the turn is undone to before it and the schedules are fired in halves, down to the one that is refused.
 * - **One schedule that cannot be fired** whatever is tried is found in the same way, told in the log, and put off for some minutes.
 *
 * What is due is decided by the database's clock; a process whose clock is wrong fires neither early nor late.
 */
import { Injectable } from '@nestjs/common';
import { setImmediate as breathe } from 'node:timers/promises';
import { Database, type Tx } from '../../../database/database.js';
import { isAgentDeleted } from '../../../database/sql-errors.js';
import { DomainError } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { Log } from '../../../kernel/log.js';
import { type ScheduledRun, ScheduledRuns } from '../../runs/index.js';
import { TZ_VERSION } from '../rules/cron.js';
import { type DecidedSlot, type Decision, type SlotReason, decideDue } from './due-slots.js';
import { FireTimes } from '../rules/fire-times.js';
import {
  type FiringContext,
  ScheduleDispatchRepository,
  type LockedSchedule,
  type SettledSchedule,
  type SettledSlot,
} from './schedule-dispatch.repository.js';
import { jitterMs } from '../rules/rule.js';
import { ScheduleNotifier } from './schedule-notifier.js';
import { ruleOf } from '../rules/stored-rule.js';

/** Schedules a turn: enough to share the cost of statements, few enough that locks are short. */
const BATCH = 500;
/** Turns at once, where one is not enough. */
const LANES = 2;
/** Slots of one schedule a turn. */
const MAX_SLOTS = 500;
/** The event loop is let go after so much computing. */
const YIELD_INTERVAL_MS = 20;
/** How long one that cannot be fired rests. */
const POSTPONED_SECONDS = 300;

interface FiringDecision {
  schedule: LockedSchedule;
  decision: Decision;
  slots: SettledSlot[];
  runs: ScheduledRun[];
}

/** How slots of a schedule are decided that is about to change. */
export interface FinalSlot {
  /** Slots whose moment has come but whose jitter has not: fired with the rest, or not at all. */
  early: 'fire' | 'skip';
}

@Injectable()
export class ScheduleDispatcher {
  constructor(
    private readonly database: Database,
    private readonly repository: ScheduleDispatchRepository,
    private readonly runs: ScheduledRuns,
    private readonly fireTimes: FireTimes,
    private readonly news: ScheduleNotifier,
    private readonly log: Log,
  ) {}

  /** Fires all that is due; answers how many slots were decided. `at` stands for the database's clock, for proofs that move time. */
  async fire(at: Date | null = null, isStopping: () => boolean = () => false): Promise<number> {
    let decided = 0;
    const turns = async (): Promise<void> => {
      for (let isMore = true; isMore && !isStopping();) {
        const turn = await this.database.transaction((tx) => this.#turn(tx, at));
        decided += turn.slots;
        isMore = turn.isMore;
      }
    };
    const first = await this.database.transaction((tx) => this.#turn(tx, at));
    decided += first.slots;
    if (first.isMore) {
      // What one computes while the database works for the other.
      await Promise.all(Array.from({ length: LANES }, turns));
    }
    return decided + (await this.#fireWaiting(at));
  }

  /**
   * Decides what a schedule has due before it changes, so that no slot is lost between the old rules and the new. The task's row is
   * locked by the caller. Answers the schedule as it is then, locked.
   * @throws DomainError `conflict` where there is too much to catch up with in one request
   */
  async settle(tx: Tx, organizationId: string, id: string, { early }: FinalSlot): Promise<LockedSchedule | null> {
    for (let round = 0; round < 20; round += 1) {
      const schedule = await this.repository.lock(tx, organizationId, id);
      if (schedule?.nextMs == null || schedule.nextMs > schedule.nowMs) {
        return schedule;
      }
      const jitter = jitterMs(schedule.id, schedule.jitterSeconds);
      const isDue = schedule.nextMs + jitter <= schedule.nowMs;
      const untilMs = isDue && early === 'skip' ? schedule.nowMs : schedule.nowMs + jitter;
      const refusal = !isDue && early === 'skip' ? 'disabled' : null;
      await this.#settleAll(tx, [schedule], { untilMs, refusal });
    }
    throw new DomainError('conflict', 'The schedule is catching up with slots of a long time; try again later.', {
      retryAfterSeconds: 10,
    });
  }

  /** Gives schedules whose next slot is missing one; answers how many. */
  async rearm(at: Date | null = null): Promise<number> {
    return this.#moveOn((tx) => this.repository.claimUnarmed(tx, BATCH, at));
  }

  /** Computes next slots anew that an older time zone database gave; answers how many. */
  async recompute(): Promise<number> {
    return this.#moveOn((tx) => this.repository.claimOutdated(tx, BATCH, TZ_VERSION));
  }

  /** Where a schedule stands whose next slot is the first after its cursor. */
  standing(schedule: LockedSchedule): SettledSchedule {
    const nextMs = this.fireTimes.next(ruleOf(schedule), schedule.cursorMs);
    return {
      organizationId: schedule.organizationId,
      id: schedule.id,
      cursorMs: schedule.cursorMs,
      nextMs,
      dueMs: nextMs === null ? null : nextMs + jitterMs(schedule.id, schedule.jitterSeconds),
      isOver: nextMs === null,
      isCoalescing: schedule.isCoalescing,
      waitingMs: schedule.waitingMs,
      executions: 0,
      lastSlotMs: null,
      lastRunId: null,
      nowMs: schedule.nowMs,
    };
  }

  async #moveOn(claim: (tx: Tx) => Promise<LockedSchedule[]>): Promise<number> {
    let moved = 0;
    for (let isMore = true; isMore;) {
      const batch = await this.database.transaction(async (tx) => {
        const schedules = await claim(tx);
        const standing: SettledSchedule[] = [];
        const away: string[] = [];
        for (const schedule of schedules) {
          if (schedule.taskDeleted || !schedule.taskEnabled) {
            away.push(schedule.id);
          } else {
            standing.push(this.standing(schedule));
          }
        }
        await this.repository.advance(tx, standing, TZ_VERSION);
        await this.#disarm(tx, schedules);
        return schedules.length;
      });
      moved += batch;
      isMore = batch === BATCH;
    }
    return moved;
  }

  async #turn(tx: Tx, at: Date | null): Promise<{ slots: number; isMore: boolean }> {
    const claimed = await this.repository.claimDue(tx, BATCH, at);
    await this.#disarm(tx, claimed);
    const live = claimed.filter(
      (schedule) => schedule.taskEnabled && !schedule.taskDeleted && schedule.nextMs !== null,
    );
    const settled = await this.#settleAll(tx, live, {});
    const isMore = claimed.length === BATCH || settled.some(({ decision }) => decision.isMore);
    return { slots: settled.reduce((sum, { slots }) => sum + slots.length, 0), isMore };
  }

  /** Takes those out whose task is gone or switched off behind their back. */
  async #disarm(tx: Tx, schedules: readonly LockedSchedule[]): Promise<void> {
    const gone = schedules.filter((schedule) => schedule.taskDeleted).map(({ id }) => id);
    const off = schedules.filter((schedule) => !schedule.taskDeleted && !schedule.taskEnabled).map(({ id }) => id);
    for (const [ids, isOver] of [
      [gone, true],
      [off, false],
    ] as const) {
      if (ids.length > 0) {
        await this.repository.disarm(tx, ids, isOver);
      }
    }
  }

  async #settleAll(
    tx: Tx,
    schedules: readonly LockedSchedule[],
    how: { untilMs?: number; refusal?: SlotReason | null },
  ): Promise<FiringDecision[]> {
    const circumstances = await this.#firingContext(tx, schedules);
    const settlements: FiringDecision[] = [];
    let begun = performance.now();
    for (const schedule of schedules) {
      const refusal = how.refusal ?? this.#refusalOf(schedule, circumstances.get(schedule.id));
      try {
        settlements.push(this.#decide(schedule, circumstances.get(schedule.id), refusal, how.untilMs));
      } catch (error) {
        await this.#putOff(tx, schedule, error);
      }
      if (performance.now() - begun > YIELD_INTERVAL_MS) {
        await breathe();
        begun = performance.now();
      }
    }
    await this.#write(tx, settlements);
    return settlements;
  }

  async #firingContext(tx: Tx, schedules: readonly LockedSchedule[]): Promise<Map<string, FiringContext>> {
    const asking = schedules.filter(({ overlap, hasBudgets }) => overlap !== 'allow' || hasBudgets);
    return asking.length === 0 ? new Map() : this.repository.firingContext(tx, asking);
  }

  #refusalOf(schedule: LockedSchedule, circumstances: FiringContext | undefined): SlotReason | null {
    const refusal = refusalOf(schedule, circumstances);
    // Known before anything is written, so that what is due of others need not be written in halves for it.
    return refusal === null && this.runs.isFull(schedule.organizationId) ? 'limit' : refusal;
  }

  #decide(
    schedule: LockedSchedule,
    circumstances: FiringContext | undefined,
    refusal: SlotReason | null,
    untilMs: number | undefined,
  ): FiringDecision {
    const decision = decideDue(
      {
        rule: ruleOf(schedule),
        overlap: schedule.overlap,
        catchUp: schedule.catchUp,
        windowMs: schedule.windowSeconds * 1000,
        jitterMs: jitterMs(schedule.id, schedule.jitterSeconds),
        nextMs: schedule.nextMs ?? Number.POSITIVE_INFINITY,
        isCoalescing: schedule.isCoalescing,
        hasWaiting: schedule.waitingMs !== null,
        liveRuns: circumstances?.liveRuns ?? 0,
        refusal,
      },
      { nowMs: schedule.nowMs, ...(untilMs === undefined ? {} : { untilMs }), most: MAX_SLOTS },
      this.fireTimes.next,
    );
    const ids = new Map(decision.slots.filter((slot) => slot.fires).map((slot) => [slot.slotMs, newId()]));
    const standing = decision.slots.find((slot) => slot.stands);
    const standingRun = standing === undefined ? null : (ids.get(standing.slotMs) ?? null);
    const slots = decision.slots.map((slot) =>
      settled(schedule, slot, ids.get(slot.slotMs) ?? coalescedRun(slot, standingRun)),
    );
    const runs = [...ids.values()].map((id) => runOf(schedule, id));
    return { schedule, decision, slots, runs };
  }

  /** Writes what was decided; where that is refused, in halves. */
  async #write(tx: Tx, settlements: readonly FiringDecision[]): Promise<void> {
    if (settlements.length === 0) {
      return;
    }
    try {
      await tx.attempt(() => this.#writeAll(tx, settlements));
    } catch (error) {
      if (!(error instanceof DomainError) || error.fault === 'outside') {
        throw error;
      }
      const [first, ...others] = settlements;
      if (first === undefined || others.length > 0) {
        const half = Math.ceil(settlements.length / 2);
        await this.#write(tx, settlements.slice(0, half));
        await this.#write(tx, settlements.slice(half));
        return;
      }
      await this.#refused(tx, first, error);
    }
  }

  /** One that cannot be written as it was decided: without its runs, or not now. */
  async #refused(tx: Tx, { schedule, slots, decision, runs }: FiringDecision, error: DomainError): Promise<void> {
    const reason = skipReasonOf(error);
    if (reason !== null && runs.length > 0) {
      const skipped = slots.map((slot): SettledSlot =>
        slot.runId === null ? slot : { ...slot, status: 'skipped', reason, runId: null },
      );
      await this.#writeAll(tx, [{ schedule, decision, slots: skipped, runs: [] }]);
      return;
    }
    await this.#putOff(tx, schedule, error);
  }

  async #putOff(tx: Tx, schedule: LockedSchedule, error: unknown): Promise<void> {
    this.log.error('a schedule could not be fired; it rests for some minutes', {
      schedule_id: schedule.id,
      organization_id: schedule.organizationId,
      error,
    });
    await this.repository.postpone(tx, schedule, POSTPONED_SECONDS);
  }

  async #writeAll(tx: Tx, settlements: readonly FiringDecision[]): Promise<void> {
    for (const { schedule, decision, runs } of settlements) {
      if (decision.cancels && runs.length > 0) {
        await this.runs.cancelLive(tx, schedule.organizationId, schedule.taskId, schedule.id);
      }
    }
    const admitted = await this.#admitted(tx, settlements);
    const repeated = await this.repository.insertSlots(
      tx,
      admitted.flatMap(({ slots }) => slots),
      TZ_VERSION,
    );
    const unmade = new Set(repeated.map(({ runId }) => runId));
    const final = unmade.size === 0 ? admitted : admitted.map((one) => without(one, unmade));
    await this.runs.create(
      tx,
      final.flatMap(({ runs }) => runs),
    );
    await this.repository.advance(tx, final.map(advanced), TZ_VERSION);
    for (const { schedule, decision, runs } of final) {
      const run = runs.at(-1);
      if (schedule.isCoalescing && !decision.isCoalescing && run !== undefined) {
        await this.repository.nameCoalesced(tx, schedule, run.id);
      }
    }
    await this.news.tellMissed(
      tx,
      final.flatMap(({ schedule, slots }) => {
        const missed = slots.filter(({ status }) => status === 'missed');
        return missed.length === 0 ? [] : [{ schedule, missed }];
      }),
    );
  }

  /** With the runs dropped that their agents drop where their concurrency key is full. */
  async #admitted(tx: Tx, settlements: readonly FiringDecision[]): Promise<readonly FiringDecision[]> {
    if (
      !settlements.some(({ schedule }) => schedule.concurrencyKey !== null && schedule.concurrencyStrategy !== 'queue')
    ) {
      return settlements;
    }
    const admitted: FiringDecision[] = [];
    for (const settlement of settlements) {
      const [run] = settlement.runs;
      const isRefused = run !== undefined && !(await this.runs.admit(tx, run));
      admitted.push(isRefused ? refusedBy(settlement, 'concurrency') : settlement);
    }
    return admitted;
  }

  /** Makes the runs of slots that waited for the run before them. */
  async #fireWaiting(at: Date | null): Promise<number> {
    return this.database.transaction(async (tx) => {
      const waiting = await this.repository.claimWaiting(tx, BATCH, at);
      const circumstances = await this.#firingContext(tx, waiting);
      for (const schedule of waiting) {
        const isOff = !schedule.enabled || !schedule.taskEnabled || schedule.taskDeleted;
        const found = circumstances.get(schedule.id);
        if (!isOff && (found?.liveRuns ?? 0) > 0) {
          continue;
        }
        const refusal = isOff ? 'disabled' : this.#refusalOf(schedule, found);
        const run = runOf(schedule, newId());
        const reason = refusal ?? (await this.#makeWaiting(tx, run));
        await this.repository.settleWaiting(tx, schedule, { runId: reason === 'waits' ? run.id : null, reason });
      }
      return waiting.length;
    });
  }

  async #makeWaiting(tx: Tx, run: ScheduledRun): Promise<SlotReason> {
    if (!(await this.runs.admit(tx, run))) {
      return 'concurrency';
    }
    try {
      await tx.attempt(() => this.runs.create(tx, [run]));
      return 'waits';
    } catch (error) {
      const reason = skipReasonOf(error);
      if (reason === null) {
        throw error;
      }
      return reason;
    }
  }
}

/** The reason of a slot whose run the database refused; null where the slot is not to be skipped for that. */
function skipReasonOf(error: unknown): SlotReason | null {
  if (isAgentDeleted(error)) {
    return 'agent-deleted';
  }
  const code = error instanceof DomainError ? error.code : null;
  return code === 'budget-exceeded' ? 'budget' : code === 'limit-reached' ? 'limit' : null;
}

/** Why nothing of a schedule may fire now; null: it may. */
function refusalOf(schedule: LockedSchedule, circumstances: FiringContext | undefined): SlotReason | null {
  if (schedule.agentDeleted) {
    return 'agent-deleted';
  }
  if (schedule.agentPaused) {
    return 'agent-paused';
  }
  return circumstances?.isOverBudget === true ? 'budget' : null;
}

function runOf(schedule: LockedSchedule, id: string): ScheduledRun {
  const { organizationId, taskId, createdBy } = schedule;
  return { id, organizationId, taskId, scheduleId: schedule.id, createdBy, settings: schedule };
}

function settled(schedule: LockedSchedule, slot: DecidedSlot, runId: string | null): SettledSlot {
  const { slotMs, dueMs, status, reason } = slot;
  const { organizationId, id: scheduleId, nowMs } = schedule;
  return { organizationId, scheduleId, slotMs, dueMs, status, reason, runId, nowMs };
}

function coalescedRun(slot: DecidedSlot, standingRun: string | null): string | null {
  return slot.status === 'coalesced' ? standingRun : null;
}

function advanced({ schedule, decision, slots, runs }: FiringDecision): SettledSchedule {
  const last = runs.at(-1);
  return {
    organizationId: schedule.organizationId,
    id: schedule.id,
    cursorMs: decision.cursorMs,
    nextMs: decision.nextMs,
    dueMs: decision.nextMs === null ? null : decision.nextMs + jitterMs(schedule.id, schedule.jitterSeconds),
    isOver: decision.nextMs === null,
    isCoalescing: decision.isCoalescing,
    waitingMs: decision.waitingMs ?? schedule.waitingMs,
    executions: runs.length,
    lastSlotMs: last === undefined ? null : (slots.findLast(({ runId }) => runId === last.id)?.slotMs ?? null),
    lastRunId: last?.id ?? null,
    nowMs: schedule.nowMs,
  };
}

/** Without the runs of slots that the ledger knew already. */
function without(settlement: FiringDecision, unmade: ReadonlySet<string | null>): FiringDecision {
  return { ...settlement, runs: settlement.runs.filter(({ id }) => !unmade.has(id)) };
}

function refusedBy(settlement: FiringDecision, reason: SlotReason): FiringDecision {
  return {
    ...settlement,
    runs: [],
    slots: settlement.slots.map((slot) =>
      slot.runId === null ? slot : { ...slot, status: 'skipped', reason, runId: null },
    ),
  };
}
