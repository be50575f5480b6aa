import type { Schedule, Slot, Stats } from './schedules.schema.js';

export const SCHEDULE_EXAMPLE = {
  id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0a11',
  task_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33',
  name: 'Morning digest',
  cron: '0 9 * * 1-5',
  every_seconds: null,
  at: null,
  timezone: 'Europe/London',
  starts_at: null,
  ends_at: null,
  enabled: true,
  overlap: 'skip',
  catch_up: 'one',
  catch_up_window_seconds: 3600,
  jitter_seconds: 0,
  pause_after_failures: 5,
  consecutive_failures: 0,
  paused_at: null,
  pause_reason: null,
  next_execution_at: '2030-01-07T09:00:00.000Z',
  last_executed_at: '2030-01-04T09:00:00.041Z',
  execution_count: 3,
  description: 'Every weekday at 09:00 in Europe/London',
  created_at: '2030-01-01T12:00:00.000Z',
  updated_at: '2030-01-01T12:00:00.000Z',
} as const satisfies Schedule;

export const SLOT_EXAMPLE = {
  scheduled_at: '2030-01-04T09:00:00.000Z',
  due_at: '2030-01-04T09:00:00.000Z',
  status: 'fired',
  reason: null,
  detail: null,
  run_id: '019a2f60-7c9e-7d2a-9a1f-2f8f6b6f0b21',
  decided_at: '2030-01-04T09:00:00.041Z',
  started_at: '2030-01-04T09:00:00.120Z',
  completed_at: '2030-01-04T09:00:02.500Z',
} as const satisfies Slot;

export const STATS_EXAMPLE = {
  since: '2029-12-06T12:00:00.000Z',
  slots: { fired: 21, late: 1, skipped: 0, missed: 0, coalesced: 0, backfilled: 0 },
  lag_ms: { p50: 12.5, p99: 61.2, max: 94_300 },
  runs: { completed: 21, failed: 1, canceled: 0, live: 0 },
  consecutive_failures: 0,
} as const satisfies Stats;
