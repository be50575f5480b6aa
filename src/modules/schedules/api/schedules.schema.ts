import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { cursorQuery, idQuery, instantQuery, limitQuery } from '../../../http/openapi/schemas.js';
import { CRON_LIMITS } from '../rules/cron.js';
import { CATCH_UPS, OVERLAPS, SLOT_REASONS, SLOT_STATUSES, type SlotReason } from '../firing/due-slots.js';

const YEAR_SECONDS = 31_622_400;
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const LATEST_MS = Date.UTC(2200, 0, 1);

export const cronText = z
  .string()
  .trim()
  .min(1)
  .max(CRON_LIMITS.expressionCharacters)
  .describe(
    'Five fields, or six with seconds first, or @hourly to @yearly; not more often than the organisation’s floor.',
  );
export const timezoneText = z
  .string()
  .min(1)
  .max(CRON_LIMITS.timezoneCharacters)
  .describe('An IANA time zone such as Europe/London.');
const name = z.string().min(1).max(200);

const instant = z.iso
  .datetime({ offset: true, error: 'must be an ISO 8601 instant, such as 2030-01-31T09:00:00Z' })
  .refine((text) => {
    const ms = Date.parse(text);
    return ms >= EARLIEST_MS && ms < LATEST_MS;
  }, 'must be an instant between the years 2000 and 2200');

const everySeconds = z
  .int()
  .min(1)
  .max(YEAR_SECONDS)
  .describe('An interval, counted from `starts_at`, or else from when the schedule was made.');

/** What a schedule does beside firing; each has a value where nothing is said. */
const manners = {
  enabled: z.boolean().optional(),
  overlap: z
    .enum(OVERLAPS)
    .optional()
    .describe(
      'When a slot comes and the run before has not ended: run both (`allow`, where absent), `skip` the slot, let one slot wait (`queue_one`), or cancel what runs.',
    ),
  catch_up: z
    .enum(CATCH_UPS)
    .optional()
    .describe(
      'What becomes of slots that came while no server was up: the last of them runs (`one`, where absent), all, or none.',
    ),
  catch_up_window_seconds: z
    .int()
    .min(0)
    .max(YEAR_SECONDS)
    .optional()
    .describe('Slots later than this are missed; 3600 where absent.'),
  jitter_seconds: z
    .int()
    .min(0)
    .max(86_400)
    .optional()
    .describe('Each slot is due this much later at most: the same for each slot of a schedule, another for another.'),
};
const bounds = {
  starts_at: instant.nullable().optional().describe('No slot before it.'),
  ends_at: instant.nullable().optional().describe('No slot at it or later.'),
  pause_after_failures: z
    .int()
    .min(1)
    .max(1000)
    .nullable()
    .optional()
    .describe('Pauses the schedule once so many of its runs in a row have failed; null, or absent: never.'),
};
const rules = {
  cron: cronText.optional(),
  every_seconds: everySeconds.optional(),
  at: instant.optional().describe('One moment, in the future.'),
};
const nullableRules = {
  cron: cronText.nullable().optional(),
  every_seconds: everySeconds.nullable().optional(),
  at: instant.nullable().optional(),
};

type Rules = { cron?: unknown; every_seconds?: unknown; at?: unknown };

function given(value: Rules): string[] {
  return (['cron', 'every_seconds', 'at'] as const).filter((key) => value[key] !== undefined && value[key] !== null);
}

function refuseTwo(value: Rules, context: z.RefinementCtx): void {
  const [, second] = given(value);
  if (second !== undefined) {
    context.addIssue({ code: 'custom', path: [second], message: 'give only one of cron, every_seconds and at' });
  }
}

function refuseNone(value: Rules, context: z.RefinementCtx): void {
  if (given(value).length === 0) {
    context.addIssue({ code: 'custom', path: ['cron'], message: 'give cron, every_seconds or at' });
  }
  refuseTwo(value, context);
}

/** A schedule inside the body that creates its task. */
export const scheduleSettings = z
  .strictObject({ ...rules, timezone: timezoneText.default('UTC'), name: name.optional(), ...bounds, ...manners })
  .superRefine(refuseNone)
  .meta({ id: 'ScheduleSettings' });
export type ScheduleSettings = z.output<typeof scheduleSettings>;

/** The same as a merge patch: giving one of `cron`, `every_seconds` and `at` takes the others away. */
export const schedulePatch = z
  .strictObject({ ...nullableRules, timezone: timezoneText.optional(), name: name.optional(), ...bounds, ...manners })
  .superRefine(refuseTwo)
  .meta({ id: 'SchedulePatch' });
export type SchedulePatch = z.output<typeof schedulePatch>;

export const newSchedule = z
  .strictObject({
    task_id: idQuery,
    ...rules,
    timezone: timezoneText.default('UTC'),
    name: name.optional().describe('The task’s title where absent.'),
    ...bounds,
    ...manners,
  })
  .superRefine(refuseNone)
  .meta({ id: 'NewSchedule' });
export type NewSchedule = z.output<typeof newSchedule>;

export const previewRequest = z
  .strictObject({
    ...rules,
    timezone: timezoneText.default('UTC'),
    starts_at: instant.optional(),
    ends_at: instant.optional(),
    count: z.int().min(1).max(100).default(5),
  })
  .superRefine(refuseNone)
  .meta({ id: 'SchedulePreviewRequest' });
export type PreviewRequest = z.output<typeof previewRequest>;

export const scheduleListQuery = listQuery.extend({
  task_id: idQuery.optional(),
  enabled: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
});
export type ScheduleListQuery = z.output<typeof scheduleListQuery>;

export const upcomingQuery = z.strictObject({
  count: z
    .string()
    .regex(/^[1-9]\d?$|^100$/, 'must be a whole number from 1 to 100')
    .transform(Number)
    .optional()
    .meta({ description: 'How many, 1 to 100; 5 where absent.' }),
});
export type UpcomingQuery = z.output<typeof upcomingQuery>;

const reason = z.string().min(1).max(500).optional().describe('Shown with the schedule until it is resumed.');
export const pauseRequest = z.strictObject({ reason }).default({}).meta({ id: 'SchedulePause' });
export type PauseRequest = z.output<typeof pauseRequest>;

export const emptyRequest = z.strictObject({}).default({}).meta({ id: 'ScheduleNothing' });

const filter = {
  all: z.literal(true).optional().describe('All that you may change; not beside a filter.'),
  task_id: idQuery.optional(),
  agent: z.string().min(1).max(63).optional().describe('The slug of the tasks’ agent.'),
  team_id: idQuery.optional(),
  project_id: idQuery.optional(),
  tag: z.string().min(1).max(64).optional(),
};
export type ScheduleFilter = {
  all?: true | undefined;
  task_id?: string | undefined;
  agent?: string | undefined;
  team_id?: string | undefined;
  project_id?: string | undefined;
  tag?: string | undefined;
};

function refuseUnfiltered(
  { all, task_id, agent, team_id, project_id, tag }: ScheduleFilter,
  context: z.RefinementCtx,
): void {
  const isFiltered = [task_id, agent, team_id, project_id, tag].some((value) => value !== undefined);
  if (isFiltered === (all === true)) {
    const message = isFiltered ? 'must be left out beside a filter' : 'must be true where there is no filter';
    context.addIssue({ code: 'custom', path: ['all'], message });
  }
}

export const pauseManyRequest = z
  .strictObject({ ...filter, reason })
  .superRefine(refuseUnfiltered)
  .meta({ id: 'SchedulesPause' });
export type PauseManyRequest = z.output<typeof pauseManyRequest>;
export const resumeManyRequest = z.strictObject(filter).superRefine(refuseUnfiltered).meta({ id: 'SchedulesResume' });
export type ResumeManyRequest = z.output<typeof resumeManyRequest>;
export const changedSchema = z.object({ changed: z.int() }).meta({ id: 'SchedulesChanged' });
export type Changed = z.output<typeof changedSchema>;

export const backfillRequest = z
  .strictObject({ from: instant, to: instant })
  .describe('Both inclusive; in the past.')
  .meta({ id: 'ScheduleBackfill' });
export type BackfillRequest = z.output<typeof backfillRequest>;
export const backfilledSchema = z
  .object({
    backfilled: z.int().describe('Slots that have a run now.'),
    fired_before: z.int().describe('Slots that had one already.'),
    run_ids: z.array(z.uuid()).describe('Of the new runs, by slot.'),
  })
  .meta({ id: 'ScheduleBackfilled' });
export type Backfilled = z.output<typeof backfilledSchema>;

export const slotListQuery = z.strictObject({
  limit: limitQuery,
  cursor: cursorQuery,
  status: z.enum(SLOT_STATUSES).optional(),
  from: instantQuery.optional().describe('Slots from here on, inclusive.'),
  to: instantQuery.optional().describe('Slots before, exclusive.'),
});
export type SlotListQuery = z.output<typeof slotListQuery>;

export const statsQuery = z.strictObject({
  days: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, 'must be a whole number from 1 to 366')
    .transform(Number)
    .refine((days) => days <= 366, 'must be a whole number from 1 to 366')
    .optional()
    .meta({ description: 'How far back, 1 to 366; 30 where absent.' }),
});
export type StatsQuery = z.output<typeof statsQuery>;

const moment = z.iso.datetime();

export const scheduleSchema = z
  .object({
    id: z.uuid(),
    task_id: z.uuid(),
    name: z.string(),
    cron: z.string().nullable(),
    every_seconds: z.int().nullable(),
    at: moment.nullable(),
    timezone: z.string(),
    starts_at: moment.nullable(),
    ends_at: moment.nullable(),
    enabled: z.boolean(),
    overlap: z.enum(OVERLAPS),
    catch_up: z.enum(CATCH_UPS),
    catch_up_window_seconds: z.int(),
    jitter_seconds: z.int(),
    pause_after_failures: z.int().nullable(),
    consecutive_failures: z.int().describe('Runs that failed since one completed.'),
    paused_at: moment.nullable(),
    pause_reason: z.string().nullable(),
    next_execution_at: moment
      .nullable()
      .describe('Null while it, or its task, is not enabled, and when no slot is left.'),
    last_executed_at: moment.nullable(),
    execution_count: z.int().describe('Runs that its slots have started.'),
    description: z.string().describe('The schedule in words.'),
    created_at: moment,
    updated_at: moment,
  })
  .meta({ id: 'Schedule' });
export type Schedule = z.output<typeof scheduleSchema>;

export const schedulePage = pageSchema(scheduleSchema, 'SchedulePage');

export const upcomingSchema = z.object({ data: z.array(moment) }).meta({ id: 'UpcomingExecutions' });
export type Upcoming = z.output<typeof upcomingSchema>;

export const previewSchema = z
  .object({
    cron: z.string().nullable(),
    every_seconds: z.int().nullable(),
    at: moment.nullable(),
    timezone: z.string(),
    description: z.string(),
    upcoming: z.array(moment),
  })
  .meta({ id: 'SchedulePreview' });
export type Preview = z.output<typeof previewSchema>;

const slotSchema = z
  .object({
    scheduled_at: moment.describe('The moment the rule names; jitter comes on top.'),
    due_at: moment,
    status: z.enum(SLOT_STATUSES),
    reason: z
      .string()
      .nullable()
      .describe(`Why it did not simply fire: ${Object.keys(SLOT_REASONS).join(', ')}.`),
    detail: z.string().nullable().describe('The reason as a sentence.'),
    run_id: z.uuid().nullable(),
    decided_at: moment,
    started_at: moment.nullable().describe('Of the run.'),
    completed_at: moment.nullable().describe('When the run ended, however it did.'),
  })
  .meta({ id: 'ScheduleSlot' });
export type Slot = z.output<typeof slotSchema>;
export const slotPage = pageSchema(slotSchema, 'ScheduleSlotPage');

/** The sentence of a stored reason; null for one of another version. */
export function reasonSentence(stored: string | null): string | null {
  return stored !== null && isReason(stored) ? SLOT_REASONS[stored] : null;
}

function isReason(text: string): text is SlotReason {
  return Object.hasOwn(SLOT_REASONS, text);
}

export const statsSchema = z
  .object({
    since: moment,
    slots: z.object({
      fired: z.int(),
      late: z.int(),
      skipped: z.int(),
      missed: z.int(),
      coalesced: z.int(),
      backfilled: z.int(),
    }),
    lag_ms: z
      .object({ p50: z.number(), p99: z.number(), max: z.number() })
      .nullable()
      .describe('From when slots were due to when they fired; null where none did.'),
    runs: z.object({ completed: z.int(), failed: z.int(), canceled: z.int(), live: z.int() }),
    consecutive_failures: z.int(),
  })
  .meta({ id: 'ScheduleStats' });
export type Stats = z.output<typeof statsSchema>;
