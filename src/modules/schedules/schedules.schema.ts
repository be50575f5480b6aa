import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/list-query.js';
import { withNotAvailable } from '../../http/not-available.js';
import { idQuery } from '../../http/schemas.js';
import { CRON_LIMITS } from './cron.js';

/** What the API documents for schedules and this version does not do yet. */
const LATER = {
  every_seconds: 'A schedule by interval',
  at: 'A schedule for one moment',
  starts_at: 'A beginning of a schedule',
  ends_at: 'An end of a schedule',
  overlap: 'An overlap rule',
  catch_up: 'A catch-up rule',
  catch_up_window_seconds: 'A catch-up rule',
  jitter_seconds: 'A jitter',
} as const;

/** The same keys inside another body, for `withNotAvailable` of that body. */
export function laterScheduleFields(within: string): Record<string, string> {
  return Object.fromEntries(Object.entries(LATER).map(([key, what]) => [`${within}.${key}`, what]));
}

export const cronText = z
  .string()
  .trim()
  .min(1)
  .max(CRON_LIMITS.expressionCharacters)
  .describe('Five fields, or six with seconds first; at most once a minute.');
export const timezoneText = z
  .string()
  .min(1)
  .max(CRON_LIMITS.timezoneCharacters)
  .describe('An IANA time zone such as Europe/London.');
const name = z.string().min(1).max(200);

/** A schedule inside the body that creates its task. */
export const scheduleSettings = z
  .strictObject({
    cron: cronText,
    timezone: timezoneText.default('UTC'),
    name: name.optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'ScheduleSettings' });
export type ScheduleSettings = z.output<typeof scheduleSettings>;

/** The same as a merge patch. */
export const schedulePatch = withNotAvailable(
  z
    .strictObject({
      cron: cronText.optional(),
      timezone: timezoneText.optional(),
      name: name.optional(),
      enabled: z.boolean().optional(),
    })
    .meta({ id: 'SchedulePatch' }),
  LATER,
);
export type SchedulePatch = z.output<typeof schedulePatch>;

export const newSchedule = withNotAvailable(
  z
    .strictObject({
      task_id: idQuery,
      cron: cronText,
      timezone: timezoneText.default('UTC'),
      name: name.optional().describe('The task’s title where absent.'),
      enabled: z.boolean().optional(),
    })
    .meta({ id: 'NewSchedule' }),
  LATER,
);
export type NewSchedule = z.output<typeof newSchedule>;

export const previewRequest = withNotAvailable(
  z
    .strictObject({
      cron: cronText,
      timezone: timezoneText.default('UTC'),
      count: z.int().min(1).max(100).default(5),
    })
    .meta({ id: 'SchedulePreviewRequest' }),
  LATER,
);
export type PreviewRequest = z.output<typeof previewRequest>;

export const scheduleListQuery = listQuery.extend({ task_id: idQuery.optional() });
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

const moment = z.iso.datetime();

export const scheduleSchema = z
  .object({
    id: z.uuid(),
    task_id: z.uuid(),
    name: z.string(),
    cron: z.string(),
    timezone: z.string(),
    enabled: z.boolean(),
    next_execution_at: moment.nullable().describe('Null while it, or its task, is not enabled.'),
    last_executed_at: moment.nullable(),
    execution_count: z.int(),
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
  .object({ cron: z.string(), timezone: z.string(), description: z.string(), upcoming: z.array(moment) })
  .meta({ id: 'SchedulePreview' });
export type Preview = z.output<typeof previewSchema>;

export const SCHEDULE_EXAMPLE = {
  id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0a11',
  task_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33',
  name: 'Morning digest',
  cron: '0 9 * * 1-5',
  timezone: 'Europe/London',
  enabled: true,
  next_execution_at: '2030-01-07T09:00:00.000Z',
  last_executed_at: null,
  execution_count: 0,
  description: 'At 09:00, Monday through Friday, in Europe/London',
  created_at: '2030-01-04T12:00:00.000Z',
  updated_at: '2030-01-04T12:00:00.000Z',
} as const satisfies Schedule;
