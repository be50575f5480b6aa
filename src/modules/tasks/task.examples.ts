/** What the document shows of tasks: one task of a team, run once by the builtin agent. */
import type { Message } from '../messages/index.js';
import { NEW_TASK_EXAMPLE } from './new-task.example.js';
import type { TaskDetail, TaskItem } from './queries/task-view.schema.js';
import type { TaskShare } from './tasks.schema.js';

const TASK_ID = '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33';
const RUN_ID = '019a2f60-7c05-71c8-a0c1-0f5e7f3f9b10';
const AGENT_ID = '019a2f5e-1111-7d2a-9a1f-2f8f6b6f0a01';
const TEAM_ID = '019a2f5e-2222-7d2a-9a1f-2f8f6b6f0a02';
const CREATED_AT = '2030-01-04T12:00:00.000Z';
const ENDED_AT = '2030-01-04T12:00:02.104Z';

const RUN_CONFIG = {
  agent_id: AGENT_ID,
  agent_ids: [AGENT_ID],
  ask_question: true,
  auto_execute: true,
  max_iterations: 5,
  max_steps: 100,
  model: null,
  sandbox_id: null,
} as const;

export const MESSAGE_EXAMPLE: Message = {
  id: '019a2f60-7c01-7f00-8a00-000000000001',
  role: 'user',
  parts: [{ type: 'text', text: NEW_TASK_EXAMPLE.prompt }],
  created_at: CREATED_AT,
  run_id: RUN_ID,
};

export const SHARE_EXAMPLE: TaskShare = { task_id: TASK_ID, team_id: TEAM_ID, access: 'read', created_at: CREATED_AT };

const TASK: TaskDetail['task'] = {
  created_at: CREATED_AT,
  id: TASK_ID,
  title: NEW_TASK_EXAMPLE.title,
  created_by: 'jsmith@example.com',
  is_isolated: false,
  is_scheduled: false,
  model: null,
  project_id: null,
  schedule_info: null,
  secret_names: [],
  updated_at: ENDED_AT,
  status: 'completed',
  prompt: NEW_TASK_EXAMPLE.prompt,
  payload: null,
  run_config: {},
  agent_id: AGENT_ID,
  agent: 'digest',
  team_id: TEAM_ID,
  visibility: 'team',
  account_id: null,
  artist_account_id: null,
  created_by_id: '019a2f5e-3333-7d2a-9a1f-2f8f6b6f0a03',
  tags: ['handbook'],
  metadata: {},
  enabled: true,
  priority: 0,
  max_attempts: null,
  callback: null,
  latest_run_id: RUN_ID,
  run_count: 1,
};

export const TASK_ITEM_EXAMPLE: TaskItem = { ...TASK, prompt_truncated: false, read_only: false };

export const TASK_DETAIL_EXAMPLE: TaskDetail = {
  messages: [MESSAGE_EXAMPLE],
  task: TASK,
  read_only: false,
  stream: {
    hasStream: true,
    last_seq: 12,
    run_config: { ...RUN_CONFIG, agent_ids: [AGENT_ID] },
    streamId: RUN_ID,
    streamStatus: 'completed',
  },
  streamUrls: [
    {
      streamId: RUN_ID,
      url: `http://localhost:3000/api/v1/streams/${RUN_ID}?expires=1893758402&issuer=0198c0de-0000-7000-8000-000000000002&organization=0198c0de-0000-7000-8000-000000000001&key=1&signature=uT3pXk0v9Qw`,
      status: 'completed',
      expires_at: '2030-01-04T12:15:02.000Z',
    },
  ],
  streams: [
    {
      created_at: CREATED_AT,
      status: 'completed',
      stream_id: RUN_ID,
      completed_at: ENDED_AT,
      run_config: { ...RUN_CONFIG, agent_ids: [AGENT_ID] },
    },
  ],
  messages_total: 1,
  streams_total: 1,
};
