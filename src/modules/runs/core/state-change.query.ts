/**
 * What goes with a change of a run's state, as parts of the statement that makes the change (`with moved as (update runs … returning
 * organization_id, id, task_id, status, attempt, last_seq …)`), so that no reader ever sees the one without the other.
 */
import { type Sql, raw, sql } from '../../../database/sql.js';
import { insertServerEvents, type ServerEvent } from '../../streams/index.js';

/** The state a run is in from now on. */
export const STATUS_EVENT: ServerEvent = {
  type: 'status',
  data: sql`jsonb_build_object('status', s.status, 'attempt', s.attempt)`,
};

/** The state of a run that was just made. */
export const QUEUED_EVENT: ServerEvent = { type: 'status', data: sql`'{"status": "queued", "attempt": 0}'::jsonb` };

/** The last event of a run; the source returns `output` and `error` too. */
export const END_EVENT: ServerEvent = {
  type: 'end',
  data: sql`jsonb_build_object('status', s.status, 'output', s.output, 'error', s.error)`,
};

/** The last event of a run that was ended from outside; the source returns `error` too. */
export const FAILED_END_EVENT: ServerEvent = {
  type: 'end',
  data: sql`jsonb_build_object('status', s.status, 'output', null, 'error', s.error)`,
};

/** The last event of a run that was canceled or has expired: there is nothing to say but that. */
export const BARE_END_EVENT: ServerEvent = {
  type: 'end',
  data: sql`jsonb_build_object('status', s.status, 'output', null, 'error', null)`,
};

/** `update tasks`: each task shows the state of its latest root run. */
export function syncTaskStatus(source: string): Sql {
  return sql`update tasks t set status = m.status, updated_at = clock_timestamp() from ${raw(source)} m
    where t.organization_id = m.organization_id and t.id = m.task_id and t.latest_run_id = m.id`;
}

/** The CTEs that go with an end by cancel of the runs of `source`: the open attempt, the mirror, the last two events. */
export function cancelSideEffects(source: string): Sql {
  return sql`attempts as (
      update run_attempts a set status = 'canceled', finished_at = clock_timestamp() from ${raw(source)} e
      where a.organization_id = e.organization_id and a.run_id = e.id and a.finished_at is null
    ), mirror as (${syncTaskStatus(source)}
    ), logged as (${insertServerEvents(source, [STATUS_EVENT, BARE_END_EVENT])})`;
}
