/** From our words to NLA's; the only file that knows both. Pure. */
import type { Failure } from '../../http/filters/failure.js';
import type { TaskResult } from '../../modules/tasks/index.js';
import type { NlaStatus, NlaTask } from './nla.schema.js';

const STATUS = {
  delayed: 'running',
  queued: 'running',
  running: 'running',
  waiting: 'running',
  completed: 'complete',
  failed: 'error',
  timed_out: 'error',
  expired: 'error',
  canceled: 'error',
} as const satisfies Record<TaskResult['status'], NlaStatus>;

export function toNlaTask(result: TaskResult): NlaTask {
  const { id, title, agent, user, created_at, log_lines, output, status, callback } = result;
  return {
    id,
    name: title,
    agentId: agent.id,
    userId: user?.id ?? null,
    createdAt: created_at,
    logs: log_lines,
    output: output ?? {},
    status: STATUS[status],
    callback,
    agent,
    user,
  };
}

/** The page's list is a bare array. */
export function toNlaList(tasks: NlaTask[]): NlaTask[] {
  return tasks;
}

export function toNlaError({ detail }: Failure): { error: string } {
  return { error: detail };
}
