/**
 * What becomes of the slots of a schedule that have come: the rules of catching up and of overlap, and nothing else. Pure.
 *
 * A slot decided within {@link ON_TIME_MS} of its due moment is on time: it fires, whatever the catch-up rule. Later than that means that no
 * process was up, or none kept up. Slots late within the window are caught up by the rule: `all` of them; `one`, the last, which stands
 * for those before it; or none (`skip`). Slots later than the window are missed. What is to fire then meets the overlap rule.
 *
 * A schedule that was down for a year has half a million slots to account for. They are taken a part at a time, oldest first; until the
 * last part it is not known which slot stands for those before it, so these are coalesced into one that is still to come.
 */
import { assertNever } from '../../../kernel/assert-never.js';
import type { Rule } from '../rules/rule.js';

export const OVERLAPS = ['allow', 'skip', 'queue_one', 'cancel_running'] as const;
export type Overlap = (typeof OVERLAPS)[number];
export const CATCH_UPS = ['skip', 'one', 'all'] as const;
export type CatchUp = (typeof CATCH_UPS)[number];

export const SLOT_STATUSES = ['fired', 'late', 'skipped', 'missed', 'coalesced', 'backfilled'] as const;
export type SlotStatus = (typeof SLOT_STATUSES)[number];

/** Why a slot did not simply fire, with the sentence for people. */
export const SLOT_REASONS = {
  overlap: 'The run before it had not ended.',
  waits: 'It waits, or waited, for the run before it to end.',
  'agent-paused': 'The agent was paused.',
  'agent-deleted': 'The agent has been deleted.',
  budget: 'A budget was used up.',
  limit: 'The organization had as many runs that have not ended as it may.',
  concurrency: 'The concurrency key of the task was at its limit, and the agent drops the newest.',
  disabled: 'The schedule or its task was disabled before it could start.',
  down: 'No server was up in time, and the schedule does not catch up.',
  'past-window': 'No server was up within the catch-up window.',
  'caught-up': 'No server was up in time; it was caught up.',
  'later-slot': 'Another slot stands for it.',
} as const;
export type SlotReason = keyof typeof SLOT_REASONS;

/** Process hiccups and a hundred thousand schedules at nine o'clock are no outage. */
const ON_TIME_MS = 60_000;

export interface DueSchedule {
  rule: Rule;
  overlap: Overlap;
  catchUp: CatchUp;
  windowMs: number;
  jitterMs: number;
  /** The first slot that is not accounted for. */
  nextMs: number;
  /** Slots before were coalesced into one that is still to come. */
  isCoalescing: boolean;
  /** A slot waits for the run before it. */
  hasWaiting: boolean;
  /** Runs of the schedule that have not ended. Not looked at where the overlap rule is `allow`. */
  liveRuns: number;
  /** Why nothing of it may fire now; null: it may. */
  refusal: SlotReason | null;
}

export interface DecidedSlot {
  slotMs: number;
  dueMs: number;
  status: SlotStatus;
  reason: SlotReason | null;
  /** A run is to be made for it. */
  fires: boolean;
  /** It stands for the coalesced slots of this decision. */
  stands: boolean;
}

export interface Decision {
  slots: DecidedSlot[];
  /** Everything up to here is accounted for. */
  cursorMs: number;
  /** The next slot; null where none is left. */
  nextMs: number | null;
  /** The next slot is due already. */
  isMore: boolean;
  isCoalescing: boolean;
  /** The slot that waits from now on, where that is a new one. */
  waitingMs: number | null;
  /** Runs that have not ended are to be canceled before the new one is made. */
  cancels: boolean;
}

/** Decides the slots due by `untilMs` as of `nowMs`, oldest first, at most `most` of them. */
export function decideDue(
  schedule: DueSchedule,
  { nowMs, untilMs = nowMs, most }: { nowMs: number; untilMs?: number; most: number },
  next: (rule: Rule, afterMs: number) => number | null,
): Decision {
  const { rule, jitterMs } = schedule;
  const due: number[] = [];
  let upcoming: number | null = schedule.nextMs;
  while (upcoming !== null && upcoming + jitterMs <= untilMs && due.length < most) {
    due.push(upcoming);
    upcoming = next(rule, upcoming);
  }
  const isMore = upcoming !== null && upcoming + jitterMs <= untilMs;
  const slots = due.map((slotMs) => caughtUp(schedule, slotMs, nowMs));
  const isCoalescing = coalesce(schedule, slots, isMore);
  const cancels = meetOverlap(schedule, slots);
  return {
    slots,
    cursorMs: due.at(-1) ?? schedule.nextMs,
    nextMs: upcoming,
    isMore,
    isCoalescing,
    waitingMs: slots.find((slot) => slot.reason === 'waits')?.slotMs ?? null,
    cancels,
  };
}

function caughtUp(schedule: DueSchedule, slotMs: number, nowMs: number): DecidedSlot {
  const dueMs = slotMs + schedule.jitterMs;
  const slot = { slotMs, dueMs, stands: false };
  const lateMs = nowMs - dueMs;
  if (lateMs <= ON_TIME_MS) {
    return { ...slot, status: 'fired', reason: null, fires: true };
  }
  if (lateMs > schedule.windowMs) {
    return { ...slot, status: 'missed', reason: schedule.catchUp === 'skip' ? 'down' : 'past-window', fires: false };
  }
  switch (schedule.catchUp) {
    case 'skip':
      return { ...slot, status: 'missed', reason: 'down', fires: false };
    case 'one':
    case 'all':
      return { ...slot, status: 'late', reason: 'caught-up', fires: true };
    default:
      return assertNever(schedule.catchUp);
  }
}

/** Of late slots, lets the last slot of all stand for the others where the rule is `one`. True where it is still to come. */
function coalesce(schedule: DueSchedule, slots: DecidedSlot[], isMore: boolean): boolean {
  if (schedule.catchUp !== 'one') {
    return false;
  }
  const late = slots.filter((slot) => slot.status === 'late');
  if (late.length === 0 && !schedule.isCoalescing) {
    return false;
  }
  const last = isMore ? undefined : (slots.find((slot) => slot.status === 'fired') ?? late.at(-1));
  for (const slot of late) {
    if (slot !== last) {
      give(slot, 'coalesced', 'later-slot');
    }
  }
  if (last === undefined) {
    return isMore;
  }
  last.stands = true;
  return false;
}

/** Holds what is to fire against what is running, in the order of the slots; true where runs are to be canceled. */
function meetOverlap(schedule: DueSchedule, slots: DecidedSlot[]): boolean {
  const firing = slots.filter((slot) => slot.fires);
  if (schedule.refusal !== null) {
    for (const slot of firing) {
      give(slot, 'skipped', schedule.refusal);
    }
    return false;
  }
  let { liveRuns, hasWaiting } = schedule;
  switch (schedule.overlap) {
    case 'allow':
      return false;
    case 'skip':
      for (const slot of firing) {
        if (liveRuns > 0) {
          give(slot, 'skipped', 'overlap');
        }
        liveRuns += 1;
      }
      return false;
    case 'queue_one':
      for (const slot of firing) {
        if (liveRuns === 0 && !hasWaiting) {
          liveRuns += 1;
        } else if (hasWaiting) {
          give(slot, 'skipped', 'overlap');
        } else {
          hasWaiting = true;
          slot.status = 'late';
          slot.reason = 'waits';
          slot.fires = false;
        }
      }
      return false;
    case 'cancel_running': {
      const last = firing.at(-1);
      for (const slot of firing.slice(0, -1)) {
        give(slot, 'coalesced', 'later-slot');
      }
      if (last !== undefined) {
        last.stands = true;
      }
      return liveRuns > 0 && last !== undefined;
    }
    default:
      return assertNever(schedule.overlap);
  }
}

function give(slot: DecidedSlot, status: SlotStatus, reason: SlotReason): void {
  slot.status = status;
  slot.reason = reason;
  slot.fires = false;
}
