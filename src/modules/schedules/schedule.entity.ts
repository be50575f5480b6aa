import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { CatchUp, Overlap, SlotStatus } from './firing/due-slots.js';

/** When a task is to be run again and again: at most one a task for now. The migration says where it stands and what it is set to. */
@Entity('schedules')
export class ScheduleEntity {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { name: 'task_id' }) taskId!: string;
  @Column('text') name!: string;
  @Column('text', { nullable: true }) cron!: string | null;
  @Column('integer', { name: 'every_seconds', nullable: true }) everySeconds!: number | null;
  @Column('timestamptz', { nullable: true }) at!: Date | null;
  @Column('text') timezone!: string;
  @Column('timestamptz', { name: 'starts_at', nullable: true }) startsAt!: Date | null;
  @Column('timestamptz', { name: 'ends_at', nullable: true }) endsAt!: Date | null;
  @Column('timestamptz', { name: 'anchor_at' }) anchorAt!: Date;
  @Column('boolean') enabled!: boolean;
  @Column('text') overlap!: Overlap;
  @Column('text', { name: 'catch_up' }) catchUp!: CatchUp;
  @Column('integer', { name: 'catch_up_window_seconds' }) catchUpWindowSeconds!: number;
  @Column('integer', { name: 'jitter_seconds' }) jitterSeconds!: number;
  @Column('integer', { name: 'pause_after_failures', nullable: true }) pauseAfterFailures!: number | null;
  @Column('boolean', { name: 'task_enabled' }) taskEnabled!: boolean;
  @Column('timestamptz', { name: 'cursor_at' }) cursorAt!: Date;
  @Column('timestamptz', { name: 'next_at', nullable: true }) nextAt!: Date | null;
  @Column('timestamptz', { name: 'due_at', nullable: true }) dueAt!: Date | null;
  @Column('boolean', { name: 'is_over' }) isOver!: boolean;
  @Column('text', { name: 'tz_version', nullable: true }) tzVersion!: string | null;
  @Column('timestamptz', { name: 'waiting_slot_at', nullable: true }) waitingSlotAt!: Date | null;
  @Column('boolean', { name: 'is_coalescing' }) isCoalescing!: boolean;
  @Column('bigint', { name: 'execution_count' }) executionCount!: string;
  @Column('timestamptz', { name: 'last_executed_at', nullable: true }) lastExecutedAt!: Date | null;
  @Column('timestamptz', { name: 'last_slot_at', nullable: true }) lastSlotAt!: Date | null;
  @Column('uuid', { name: 'last_run_id', nullable: true }) lastRunId!: string | null;
  @Column('integer', { name: 'failures_in_a_row' }) failuresInARow!: number;
  @Column('timestamptz', { name: 'paused_at', nullable: true }) pausedAt!: Date | null;
  @Column('text', { name: 'pause_reason', nullable: true }) pauseReason!: string | null;
  @Column('boolean', { name: 'is_pause_untold' }) isPauseUntold!: boolean;
  @Column('uuid', { name: 'created_by' }) createdBy!: string;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt!: Date;
}

/** What became of one slot of a schedule. */
@Entity('schedule_slots')
export class ScheduleSlotEntity {
  @PrimaryColumn('uuid', { name: 'organization_id' }) organizationId!: string;
  @PrimaryColumn('uuid', { name: 'schedule_id' }) scheduleId!: string;
  @PrimaryColumn('timestamptz', { name: 'scheduled_at' }) scheduledAt!: Date;
  @Column('timestamptz', { name: 'due_at' }) dueAt!: Date;
  @Column('text') status!: SlotStatus;
  @Column('text', { nullable: true }) reason!: string | null;
  @Column('uuid', { name: 'run_id', nullable: true }) runId!: string | null;
  @Column('timestamptz', { name: 'decided_at' }) decidedAt!: Date;
  @Column('text', { name: 'tz_version', nullable: true }) tzVersion!: string | null;
}
