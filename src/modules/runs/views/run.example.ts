const START = '2026-01-31T09:00:00.000Z';
const END = '2026-01-31T09:00:02.000Z';
const ID = '0198f0a0-0000-7000-8000-000000000002';

/** A run that a worker has finished, as the document shows it. */
export const RUN_EXAMPLE = {
  id: ID,
  task_id: '0198f0a0-0000-7000-8000-000000000001',
  number: 1,
  agent_id: '0198c0de-0000-7000-8000-000000000010',
  status: 'completed',
  wait_kind: null,
  attempt: 1,
  max_attempts: 3,
  priority: 0,
  run_config: {},
  payload: null,
  output: { summary: 'Three sentences.' },
  error: null,
  tags: [],
  metadata: {},
  idempotency_key: null,
  is_test: false,
  cost_in_cents: 1.5,
  base_cost_in_cents: 0,
  duration_ms: 2000,
  created_at: START,
  updated_at: END,
  queued_at: START,
  available_at: START,
  delayed_until: null,
  ttl: null,
  expired_at: null,
  started_at: START,
  finished_at: END,
  parent_run_id: null,
  root_run_id: ID,
  depth: 0,
  batch_id: null,
  concurrency_key: null,
  schedule_id: null,
  stream_id: ID,
  last_seq: 7,
  cancel_requested_at: null,
  replay_of_run_id: null,
  question: null,
  approval: null,
  attempts: [{ number: 1, status: 'completed', worker_id: 'host-1', started_at: START, finished_at: END, error: null }],
  waiting_for: null,
};

/** The same, waiting for a worker. */
export const QUEUED_RUN_EXAMPLE = {
  ...RUN_EXAMPLE,
  status: 'queued',
  attempt: 0,
  output: null,
  cost_in_cents: 0,
  duration_ms: null,
  updated_at: START,
  started_at: null,
  finished_at: null,
  last_seq: 1,
  attempts: [],
  waiting_for: {
    reason: 'no_worker',
    since: START,
    detail: 'No worker has ever claimed runs of agent digest.',
    next_action_at: null,
  },
};

/** The same, with a worker that has been asked to stop. */
export const STOPPING_RUN_EXAMPLE = {
  ...QUEUED_RUN_EXAMPLE,
  status: 'running',
  attempt: 1,
  updated_at: END,
  started_at: START,
  last_seq: 4,
  cancel_requested_at: END,
  attempts: [{ number: 1, status: 'running', worker_id: 'host-1', started_at: START, finished_at: null, error: null }],
  waiting_for: {
    reason: 'cancel_requested',
    since: END,
    detail:
      'Cancel was requested at 2026-01-31T09:00:02.000Z; worker host-1, last heard of at 2026-01-31T09:00:01.000Z, has not stopped yet. Its lease ends at 2026-01-31T09:01:01.000Z.',
    next_action_at: '2026-01-31T09:01:01.000Z',
  },
};
