import { z } from 'zod';

/** What is kept for a time of its own. All but assets are counted from the end of their run. */
export type RetentionClass = 'events' | 'logs' | 'payloads' | 'runs' | 'assets';

const MAX_DAYS = 36_500;

const kept = z.int().min(1).max(MAX_DAYS).nullable();
const days = {
  events_days: kept.describe('The stream of a run, from its end. Readers get a `gap` for what is gone.'),
  logs_days: kept.describe('The log lines shown with a task, from the end of the run.'),
  payloads_days: kept.describe('`payload` and `output` of a run, from its end. The task’s own payload stays.'),
  runs_days: kept.describe('A run with its attempts and messages, from its end. The latest run of a task stays.'),
  assets_days: kept.describe('A file, from when it was made; not while its task has a run under way.'),
};

export const retentionSchema = z.object(days).describe('Days; null keeps for ever.').meta({ id: 'Retention' });
export type Retention = z.output<typeof retentionSchema>;

export const retentionPatchSchema = z.strictObject(days).partial().meta({ id: 'RetentionPatch' });
export type RetentionPatch = z.output<typeof retentionPatchSchema>;

export const dryRunSchema = z
  .strictObject(days)
  .partial()
  .default({})
  .describe('What to try instead of what is set; all of it has defaults.')
  .meta({ id: 'RetentionDryRun' });

const counted = z.object({
  count: z.int(),
  more: z.boolean().describe('True where there is more than was looked at: then `count` is the least it is.'),
});

export const retentionReportSchema = z
  .object({
    policy: retentionSchema,
    events: counted.describe('Events of streams.'),
    logs: counted.describe('Log lines.'),
    payloads: counted.describe('Runs that lose payload and output.'),
    runs: counted.describe('Runs that go, with all that hangs on them.'),
    assets: counted.extend({ bytes: z.int() }).describe('Files.'),
  })
  .meta({ id: 'RetentionReport' });
export type RetentionReport = z.output<typeof retentionReportSchema>;

export const DEFAULT_RETENTION: Retention = {
  events_days: 30,
  logs_days: 30,
  payloads_days: 90,
  runs_days: 365,
  assets_days: 365,
};

export const RETENTION_REPORT_EXAMPLE: RetentionReport = {
  policy: { ...DEFAULT_RETENTION, events_days: 7 },
  events: { count: 18_240, more: false },
  logs: { count: 950, more: false },
  payloads: { count: 0, more: false },
  runs: { count: 0, more: false },
  assets: { count: 2, more: false, bytes: 182_044 },
};
