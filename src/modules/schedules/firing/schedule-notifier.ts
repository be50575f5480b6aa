import { Injectable } from '@nestjs/common';
import type { Tx } from '../../../database/database.js';
import { Log } from '../../../kernel/log.js';
import { ScheduleDispatchRepository, type LockedSchedule, type SettledSlot } from './schedule-dispatch.repository.js';

/** Untold pauses told at once. */
const BATCH = 100;

/** Tells what somebody should know of schedules: slots that were missed, and schedules that failures have paused. */
@Injectable()
export class ScheduleNotifier {
  constructor(
    private readonly repository: ScheduleDispatchRepository,
    private readonly log: Log,
  ) {}

  /** Hooks that asked for it are told in the transaction that wrote it down, the log once that is committed. */
  async tellMissed(
    tx: Tx,
    news: readonly { schedule: LockedSchedule; missed: readonly SettledSlot[] }[],
  ): Promise<void> {
    for (const { schedule, missed } of news) {
      const [first, last] = [missed[0], missed.at(-1)];
      if (first !== undefined && last !== undefined) {
        await this.repository.tellMissed(tx, schedule, {
          count: missed.length,
          firstMs: first.slotMs,
          lastMs: last.slotMs,
        });
      }
      tx.afterCommit(() =>
        this.log.warn('slots of a schedule were missed', {
          schedule_id: schedule.id,
          organization_id: schedule.organizationId,
          count: missed.length,
          first: first === undefined ? null : new Date(first.slotMs).toISOString(),
        }),
      );
    }
  }

  /** Tells of schedules that were paused because their runs failed. */
  async tellPaused(): Promise<number> {
    const paused = await this.repository.takeUntold(BATCH);
    for (const { id, organizationId, failures } of paused) {
      this.log.warn('a schedule was paused: its runs failed, one after the other', {
        schedule_id: id,
        organization_id: organizationId,
        failures,
      });
    }
    return paused.length;
  }
}
