/**
 * A body to send, by operation: with the ids of the replies' examples, so that they read as one story. A schema's own example wins.
 * A test holds each against its schema, and finds the operations that have none.
 */
const IDS = {
  team: '019a2f5e-2222-7d2a-9a1f-2f8f6b6f0a02',
  task: '0198f0a0-0000-7000-8000-000000000001',
  user: '0198c0de-0000-7000-8000-000000000002',
  agent: '0198c0de-0000-7000-8000-000000000010',
  artist: '0198c0de-0000-7000-8000-000000000020',
} as const;
const FENCE = '3.c8b1f0de9a';
const PASSWORD = 'correct horse battery staple';

export const REQUEST_EXAMPLES: Readonly<Record<string, unknown>> = {
  organizationsUpdate: { name: 'Example Ltd', default_agent_id: IDS.agent, settings: { week_begins: 'monday' } },
  organizationsCreate: { name: 'Example Ltd', slug: 'example', owner: { email: 'ada@example.com', password: PASSWORD, display_name: 'Ada' } },
  usersCreate: { email: 'grace@example.com', display_name: 'Grace', role: 'member', password: PASSWORD },
  usersUpdate: { display_name: 'Grace H.', role: 'admin' },
  teamsCreate: { name: 'Research', slug: 'research' },
  teamsUpdate: { name: 'Research and reading' },
  teamsPutMember: { role: 'maintainer' },
  projectsCreate: { name: 'Handbook', team_id: IDS.team },
  projectsUpdate: { name: 'Handbook, second edition', team_id: null },
  projectsPutShare: { access: 'read' },
  accountsCreate: { name: 'Ada', kind: 'person', email: 'ada@example.com', user_id: IDS.user },
  accountsUpdate: { email: null },
  authLogin: { email: 'ada@example.com', password: PASSWORD },
  authRefresh: { refresh_token: 'tyr_2b7Qe0Zt9LxB4fGq8r1mXq9V0aBcD1eF2gH3iJ4kL5' },
  authLogout: { refresh_token: 'tyr_2b7Qe0Zt9LxB4fGq8r1mXq9V0aBcD1eF2gH3iJ4kL5' },
  meChangePassword: { current: PASSWORD, new: 'staple battery horse correct' },
  apiKeysCreate: { name: 'ci', role: 'member', team_ids: [IDS.team], expires_at: '2027-01-31T09:00:00Z' },
  apiKeysRotate: { overlap_seconds: 3600 },
  agentsCreate: { slug: 'summarise', name: 'Summarise', kind: 'worker', max_attempts: 5, lease_seconds: 60 },
  agentsUpdate: { description: 'Says it in three sentences.', timeout_seconds: 600 },
  tasksCreate: { agent: 'digest', title: 'Digest of the handbook', prompt: '# Handbook\n\nWelcome. This is how we work.', tags: ['handbook'] },
  tasksUpdate: { title: 'Digest of the second edition', visibility: 'team', team_id: IDS.team },
  tasksMessage: { text: 'Shorter, please.' },
  taskSharesPut: { access: 'write' },
  runsStart: { payload: { text: 'Something new to read.' }, priority: 10 },
  runsCancel: { force: false },
  schedulesCreate: { task_id: IDS.task, cron: '0 9 * * 1-5', timezone: 'Europe/London', name: 'Each working day at nine' },
  schedulesPreview: { cron: '0 9 * * 1-5', timezone: 'Europe/London', count: 2 },
  schedulesUpdate: { enabled: false },
  budgetsCreate: {
    name: 'Summaries in January',
    scope: { kind: 'agent', id: IDS.agent },
    period: 'month',
    limit_cents: 5000,
    action: 'stop',
  },
  budgetsUpdate: { limit_cents: 10000 },
  retentionUpdate: { events_days: 14, assets_days: null },
  retentionDryRun: { events_days: 7 },
  workerClaim: { agents: ['summarise'], max: 1, wait_seconds: 20, worker_id: 'host-1' },
  workerHeartbeat: { fence: FENCE },
  workerEvents: {
    fence: FENCE,
    batch_id: 'batch-7',
    events: [
      { type: 'log', data: { level: 'info', text: 'Read 12 pages.' } },
      { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'Three sentences sum it up.' }] } },
    ],
  },
  workerComplete: { fence: FENCE, output: { summary: 'Three sentences.' }, cost_in_cents: 1.5 },
  workerFail: { fence: FENCE, error: { name: 'SourceGone', message: 'The page is no longer there.' } },
  workerCanceled: { fence: FENCE },
  workerRelease: { fence: FENCE },
  recoupableCreate: {
    title: 'Morning digest',
    prompt: 'Sum up what is new.',
    schedule: '0 9 * * *',
    artist_account_id: IDS.artist,
    timezone: 'Europe/London',
  },
  recoupableUpdate: { id: IDS.task, enabled: false },
  recoupableRemove: { id: IDS.task },
};
