/**
 * The words of the Neo page, and the only file that knows both them and ours. The page (`GET /api/v1/tasks/{id}` of
 * https://neo.api.projectdiscovery.io) gives `status` and `streamStatus` as free text; these are all it is given.
 */
import type { RunStatus } from '../../runs/index.js';

export const NEO_STATUSES = ['pending', 'streaming', 'waiting', 'completed', 'failed', 'canceled'] as const;
export type NeoStatus = (typeof NEO_STATUSES)[number];

const NEO_STATUS = {
  delayed: 'pending',
  queued: 'pending',
  running: 'streaming',
  waiting: 'waiting',
  completed: 'completed',
  failed: 'failed',
  timed_out: 'failed',
  expired: 'failed',
  canceled: 'canceled',
} as const satisfies Record<RunStatus, NeoStatus>;

/** A run's state as `streamStatus`, `streams[].status` and `streamUrls[].status`. */
export function toNeoStatus(status: RunStatus): NeoStatus {
  return NEO_STATUS[status];
}
