import type { Reply } from '../../support/server.js';
import { CALL_ID, type Ids } from './objects.js';
import type { Kind, Right } from './rights.js';
import { AGENT_SLUG, IDLE_AGENT_SLUG } from './stage.js';

/**
 * How to ask for each route of the inventory, and what answers. A route without a row here fails the matrix.
 *
 * - `door`: the column of DOORS that the actor needs to come in; `open` lets everybody in.
 * - `about`: the kind of object its ids name, and the right it takes.
 * - `ok`: the status of an allowed request.
 * - `hidden`: the status where the object is not there for the actor: 404, but 400 where a body names it, 200 where a list comes out
 *   empty, and 409 where a worker holds no lease.
 */
export interface Row {
  door: 'open' | 'self' | 'read' | 'work' | 'administer' | 'worker' | 'operate' | 'upload';
  ok: number;
  about?: { kind: Kind; right: Right };
  hidden?: number;
  /** An allowed request changes or ends the object, so that each gets one of its own. */
  spends?: boolean;
  /** Takes a person out of a team: they are put back in before each request. */
  parts?: boolean;
  /** The run of the object waits for that. */
  waits?: 'question' | 'approval';
  /** The object comes without a schedule. */
  unscheduled?: boolean;
  ask: (ids: Ids, unique: string) => { path: string; body?: unknown };
  /** A list: the ids in it. Each object the actor may read is among them, and none that they may not. */
  lists?: { kind: Kind; id: string; ids: (reply: Reply) => string[]; createdOnly?: boolean };
  /** What else must be true of an allowed reply; a sentence where it is not. */
  check?: (reply: Reply, right: Right) => string | null;
}

const V1 = '/api/v1';
const data = (reply: Reply): string[] => reply.body.data.map(({ id }: { id: string }) => id);
const get =
  (path: (ids: Ids) => string): Row['ask'] =>
  (ids) => ({ path: path(ids) });
const send =
  (path: (ids: Ids) => string, body: object): Row['ask'] =>
  (ids) => ({ path: path(ids), body });

const reads = (kind: Kind, path: (ids: Ids) => string): Row => ({
  door: 'read',
  ok: 200,
  about: { kind, right: 'r' },
  ask: get(path),
});
const list = (kind: Kind, path: string, door: Row['door'] = 'read'): Row => ({
  door,
  ok: 200,
  ask: get(() => `${path}?limit=100`),
  lists: { kind, id: kind, ids: data },
});
const removes = (kind: Kind, path: (ids: Ids) => string, door: Row['door'] = 'work', right: Right = 'm'): Row => ({
  door,
  ok: 204,
  about: { kind, right },
  spends: true,
  ask: get(path),
});
const changes = (
  kind: Kind,
  right: Right,
  path: (ids: Ids) => string,
  body: object,
  door: Row['door'] = 'work',
): Row => ({
  door,
  ok: 200,
  about: { kind, right },
  spends: true,
  ask: send(path, body),
});
const creates = (
  path: string,
  body: (unique: string, ids: Ids) => object,
  door: Row['door'] = 'work',
  ok = 201,
): Row => ({
  door,
  ok,
  ask: (ids, unique) => ({ path, body: body(unique, ids) }),
});
const leased = (action: string, body: object): Row => ({
  door: 'worker',
  ok: 200,
  about: { kind: 'lease', right: 'm' },
  hidden: 409,
  ask: ({ run, fence }) => ({ path: `${V1}/worker/runs/${run}/${action}`, body: { fence, ...body } }),
});

const PASSWORD = 'correct horse battery staple';

const readOnlyIs = (reply: Reply, right: Right): string | null =>
  reply.body.read_only === (right === 'r') ? null : `read_only is ${reply.body.read_only}`;

/** The reads and lists come first: what is made by the rest would crowd the pages. */
export const ROWS: Readonly<Record<string, Row | readonly Row[]>> = {
  'GET /.well-known/jwks.json': { door: 'open', ok: 200, ask: get(() => '/.well-known/jwks.json') },
  'GET /health/live': { door: 'open', ok: 200, ask: get(() => '/health/live') },
  'GET /health/ready': { door: 'open', ok: 200, ask: get(() => '/health/ready') },
  'GET /api/v1/me': { door: 'self', ok: 200, ask: get(() => `${V1}/me`) },

  'GET /api/v1/tasks': {
    ...list('task', `${V1}/tasks`),
    check: (reply) =>
      reply.body.data.every((task: { read_only: unknown }) => typeof task.read_only === 'boolean')
        ? null
        : 'no read_only',
  },
  'GET /v1/task': {
    door: 'read',
    ok: 200,
    ask: get(() => '/v1/task?limit=100'),
    lists: {
      kind: 'task',
      id: 'task',
      ids: (reply) => reply.body.taskList.map(({ task }: { task: { _id: string } }) => task._id),
    },
  },
  'GET /api/v1/task': {
    door: 'read',
    ok: 200,
    ask: get(() => `${V1}/task`),
    lists: {
      kind: 'task',
      id: 'task',
      ids: (reply) => reply.body.map(({ id }: { id: string }) => id),
      createdOnly: true,
    },
  },
  'GET /api/tasks': [
    {
      door: 'read',
      ok: 200,
      ask: get(() => '/api/tasks'),
      lists: { kind: 'task', id: 'task', ids: (reply) => reply.body.tasks.map(({ id }: { id: string }) => id) },
    },
    {
      ...reads('task', ({ task }) => `/api/tasks?id=${task}`),
      hidden: 200,
      check: (reply) => (reply.body.tasks.length === 1 ? null : 'not the one task'),
    },
  ],
  'GET /api/tasks/runs': {
    ...reads('task', ({ run }) => `/api/tasks/runs?runId=${run}`),
    hidden: 200,
    check: (reply) => (reply.body.runs.length === 1 ? null : 'not the one run'),
  },
  'GET /api/v1/runs': { ...list('task', `${V1}/runs`), lists: { kind: 'task', id: 'run', ids: data } },
  'GET /api/v1/assets': { ...list('task', `${V1}/assets`), lists: { kind: 'task', id: 'asset', ids: data } },
  'GET /api/v1/schedules': { ...list('task', `${V1}/schedules`), lists: { kind: 'task', id: 'schedule', ids: data } },
  'GET /api/v1/teams': list('team', `${V1}/teams`),
  'GET /api/v1/projects': list('project', `${V1}/projects`),
  'GET /api/v1/accounts': list('account', `${V1}/accounts`),
  'GET /api/v1/users': list('user', `${V1}/users`),
  'GET /api/v1/agents': list('agent', `${V1}/agents`),
  'GET /api/v1/api-keys': list('key', `${V1}/api-keys`, 'administer'),
  'GET /api/v1/bulk-operations': list('operation', `${V1}/bulk-operations`),
  'GET /api/v1/webhooks': list('webhook', `${V1}/webhooks`, 'administer'),
  'GET /api/v1/deliveries': {
    ...list('webhook', `${V1}/deliveries`, 'administer'),
    lists: { kind: 'webhook', id: 'delivery', ids: data },
  },
  'GET /api/v1/budgets': list('budget', `${V1}/budgets`, 'administer'),
  'GET /api/v1/organizations': list('organization', `${V1}/organizations`, 'operate'),

  'GET /api/v1/tasks/:id': { ...reads('task', ({ task }) => `${V1}/tasks/${task}`), check: readOnlyIs },
  'GET /v1/task/:id': reads('task', ({ task }) => `/v1/task/${task}`),
  'GET /api/v1/task/:id': reads('task', ({ task }) => `${V1}/task/${task}`),
  'GET /api/v1/tasks/:id/messages': reads('task', ({ task }) => `${V1}/tasks/${task}/messages`),
  'GET /api/v1/tasks/:id/runs': reads('task', ({ task }) => `${V1}/tasks/${task}/runs`),
  'GET /api/v1/tasks/:id/shares': reads('task', ({ task }) => `${V1}/tasks/${task}/shares`),
  'GET /api/v1/runs/:id': reads('task', ({ run }) => `${V1}/runs/${run}`),
  'GET /api/v1/runs/:id/tree': reads('task', ({ run }) => `${V1}/runs/${run}/tree`),
  // Following ends with the request only: asked for as a download.
  'GET /api/v1/streams': { door: 'read', ok: 200, ask: get(() => `${V1}/streams?format=ndjson`) },
  'GET /api/v1/tasks/:id/stream': reads('task', ({ task }) => `${V1}/tasks/${task}/stream?format=ndjson`),
  'GET /api/v1/streams/:id': reads('task', ({ run }) => `${V1}/streams/${run}`),
  'GET /api/v1/streams/:id/events': reads('task', ({ run }) => `${V1}/streams/${run}/events`),
  'POST /api/v1/streams/:id/url': reads('task', ({ run }) => `${V1}/streams/${run}/url`),
  'GET /api/v1/assets/:id': reads('task', ({ asset }) => `${V1}/assets/${asset}`),
  'GET /api/v1/assets/:id/content': reads('task', ({ asset }) => `${V1}/assets/${asset}/content`),
  'GET /api/v1/asset-usage': { door: 'read', ok: 200, ask: get(() => `${V1}/asset-usage`) },
  'GET /api/v1/schedules/:id': reads('task', ({ schedule }) => `${V1}/schedules/${schedule}`),
  'GET /api/v1/schedules/:id/upcoming': reads('task', ({ schedule }) => `${V1}/schedules/${schedule}/upcoming`),
  'POST /api/v1/schedules/preview': creates(`${V1}/schedules/preview`, () => ({ cron: '0 9 * * *' }), 'read', 200),
  'GET /api/v1/teams/:id': reads('team', ({ team }) => `${V1}/teams/${team}`),
  'GET /api/v1/teams/:id/members': reads('team', ({ team }) => `${V1}/teams/${team}/members`),
  'GET /api/v1/projects/:id': reads('project', ({ project }) => `${V1}/projects/${project}`),
  'GET /api/v1/projects/:id/shares': reads('project', ({ project }) => `${V1}/projects/${project}/shares`),
  'GET /api/v1/accounts/:id': reads('account', ({ account }) => `${V1}/accounts/${account}`),
  'GET /api/v1/users/:id': reads('user', ({ user }) => `${V1}/users/${user}`),
  'GET /api/v1/agents/:id': reads('agent', ({ agent }) => `${V1}/agents/${agent}`),
  'GET /api/v1/agents/:id/workers': reads('agent', ({ agent }) => `${V1}/agents/${agent}/workers`),
  'GET /api/v1/agents/:id/signing-secret': {
    ...reads('agent', ({ agent }) => `${V1}/agents/${agent}/signing-secret`),
    door: 'administer',
  },
  'GET /api/v1/api-keys/:id': { ...reads('key', ({ key }) => `${V1}/api-keys/${key}`), door: 'administer' },
  'GET /api/v1/bulk-operations/:id': reads('operation', ({ operation }) => `${V1}/bulk-operations/${operation}`),
  'GET /api/v1/webhooks/:id': { ...reads('webhook', ({ webhook }) => `${V1}/webhooks/${webhook}`), door: 'administer' },
  'GET /api/v1/deliveries/:id': {
    ...reads('webhook', ({ delivery }) => `${V1}/deliveries/${delivery}`),
    door: 'administer',
  },
  'GET /api/v1/callback-secret': { door: 'administer', ok: 200, ask: get(() => `${V1}/callback-secret`) },
  'GET /api/v1/budgets/:id': { ...reads('budget', ({ budget }) => `${V1}/budgets/${budget}`), door: 'administer' },
  'GET /api/v1/usage': { door: 'read', ok: 200, ask: get(() => `${V1}/usage`) },
  'GET /api/v1/secrets': { door: 'work', ok: 200, ask: get(() => `${V1}/secrets`) },
  'GET /api/v1/audit-events': { door: 'administer', ok: 200, ask: get(() => `${V1}/audit-events?limit=1`) },
  'GET /api/v1/audit-events/export': {
    door: 'administer',
    ok: 200,
    ask: get(() => `${V1}/audit-events/export?action=secret.put`),
  },
  'GET /api/v1/audit-events/head': { door: 'administer', ok: 200, ask: get(() => `${V1}/audit-events/head`) },
  'GET /api/v1/retention': { door: 'administer', ok: 200, ask: get(() => `${V1}/retention`) },
  'POST /api/v1/retention/dry-run': creates(`${V1}/retention/dry-run`, () => ({}), 'administer', 200),
  'GET /api/v1/organization': { door: 'read', ok: 200, ask: get(() => `${V1}/organization`) },
  'GET /api/v1/organizations/:id': {
    ...reads('organization', ({ organization }) => `${V1}/organizations/${organization}`),
    door: 'operate',
  },

  'POST /api/v1/worker/claim': {
    door: 'worker',
    ok: 200,
    ask: () => ({ path: `${V1}/worker/claim`, body: { agents: [IDLE_AGENT_SLUG] } }),
  },
  'POST /api/v1/worker/runs/:id/heartbeat': leased('heartbeat', {}),
  'POST /api/v1/worker/runs/:id/events': leased('events', { events: [{ type: 'log', data: { text: 'mine?' } }] }),
  'POST /api/v1/worker/runs/:id/complete': leased('complete', { output: {} }),
  'POST /api/v1/worker/runs/:id/fail': leased('fail', { error: { message: 'mine?' } }),
  'POST /api/v1/worker/runs/:id/canceled': leased('canceled', {}),
  'POST /api/v1/worker/runs/:id/release': leased('release', {}),
  'POST /api/v1/worker/runs/:id/ask': leased('ask', { question: 'Mine?' }),
  'POST /api/v1/worker/runs/:id/children': leased('children', { runs: [{ agent: AGENT_SLUG }] }),

  'PATCH /api/v1/tasks/:id': [
    changes('task', 'c', ({ task }) => `${V1}/tasks/${task}`, { title: 'Changed' }),
    changes('task', 'm', ({ task }) => `${V1}/tasks/${task}`, { visibility: 'organization' }),
    changes('task', 'm', ({ task }) => `${V1}/tasks/${task}`, { project_id: null }),
  ],
  'DELETE /api/v1/tasks/:id': removes('task', ({ task }) => `${V1}/tasks/${task}`),
  'DELETE /api/v1/task/:id': { ...removes('task', ({ task }) => `${V1}/task/${task}`), ok: 200 },
  'PATCH /api/tasks': {
    ...changes('task', 'c', () => '', {}),
    ask: ({ task }) => ({ path: '/api/tasks', body: { id: task, title: 'Changed' } }),
  },
  'DELETE /api/tasks': [
    { ...removes('task', ({ task }) => `/api/tasks?id=${task}`), ok: 200 },
    { ...removes('task', () => ''), ok: 200, ask: ({ task }) => ({ path: '/api/tasks', body: { id: task } }) },
  ],
  'POST /api/v1/tasks/:id/messages': {
    ...changes('question', 'c', ({ task }) => `${V1}/tasks/${task}/messages`, { text: 'Again' }),
    ok: 201,
  },
  'POST /api/v1/tasks/:id/runs': { ...changes('task', 'c', ({ task }) => `${V1}/tasks/${task}/runs`, {}), ok: 201 },
  'PUT /api/v1/tasks/:id/shares/:team_id': changes(
    'task',
    'm',
    ({ task, share_team: team }) => `${V1}/tasks/${task}/shares/${team}`,
    { access: 'write' },
  ),
  'DELETE /api/v1/tasks/:id/shares/:team_id': removes(
    'task',
    ({ task, shared_team: team }) => `${V1}/tasks/${task}/shares/${team}`,
  ),
  'POST /api/v1/runs/:id/answer': {
    ...changes('question', 'c', ({ run }) => `${V1}/runs/${run}/answer`, { text: 'Yes' }),
    waits: 'question',
  },
  'POST /api/v1/runs/:id/approvals/:call_id': {
    ...changes('task', 'c', ({ run }) => `${V1}/runs/${run}/approvals/${CALL_ID}`, { decision: 'approve' }),
    waits: 'approval',
  },
  'POST /api/v1/runs/:id/replay': changes('task', 'c', ({ run }) => `${V1}/runs/${run}/replay`, {}),
  'POST /api/v1/runs/:id/cancel': changes('task', 'c', ({ run }) => `${V1}/runs/${run}/cancel`, {}),
  'DELETE /api/v1/assets/:id': removes('task', ({ asset }) => `${V1}/assets/${asset}`, 'work', 'c'),
  'POST /api/v1/assets': {
    door: 'upload',
    ok: 201,
    about: { kind: 'task', right: 'c' },
    hidden: 400,
    spends: true,
    ask: ({ task }) => ({
      path: `${V1}/assets`,
      body: { task_id: task, name: 'a.png', content_type: 'image/png', size: 3 },
    }),
  },
  // The door alone: a form is no JSON.
  'POST /api/v1/assets/upload': { door: 'upload', ok: 415, ask: send(() => `${V1}/assets/upload`, {}) },
  // It has its bytes, and none of them are parts: whoever may send them hears that.
  'PUT /api/v1/assets/:id/content': {
    ...changes('task', 'c', ({ asset }) => `${V1}/assets/${asset}/content`, {}, 'upload'),
    ok: 409,
  },
  'PUT /api/v1/assets/:id/parts/:number': {
    ...changes('task', 'c', ({ asset }) => `${V1}/assets/${asset}/parts/1`, {}, 'upload'),
    ok: 409,
  },
  'GET /api/v1/assets/:id/parts': {
    ...reads('task', ({ asset }) => `${V1}/assets/${asset}/parts`),
    door: 'upload',
    about: { kind: 'task', right: 'c' },
    ok: 404,
  },
  'POST /api/v1/assets/:id/complete': changes(
    'task',
    'c',
    ({ asset }) => `${V1}/assets/${asset}/complete`,
    {},
    'upload',
  ),
  'POST /api/v1/schedules': {
    door: 'work',
    ok: 201,
    about: { kind: 'task', right: 'c' },
    hidden: 400,
    spends: true,
    unscheduled: true,
    ask: ({ task }) => ({ path: `${V1}/schedules`, body: { task_id: task, cron: '0 9 * * *' } }),
  },
  'PATCH /api/v1/schedules/:id': changes('task', 'c', ({ schedule }) => `${V1}/schedules/${schedule}`, {
    enabled: false,
  }),
  'DELETE /api/v1/schedules/:id': removes('task', ({ schedule }) => `${V1}/schedules/${schedule}`, 'work', 'c'),

  'PATCH /api/v1/teams/:id': {
    ...changes('team', 'm', ({ team }) => `${V1}/teams/${team}`, { name: 'Changed' }),
    spends: false,
  },
  'PUT /api/v1/teams/:id/members/:user_id': {
    ...changes('team', 'm', ({ team, dummy }) => `${V1}/teams/${team}/members/${dummy}`, { role: 'viewer' }),
    spends: false,
  },
  'DELETE /api/v1/teams/:id': removes('team', ({ team }) => `${V1}/teams/${team}`, 'work', 'd'),
  'PATCH /api/v1/projects/:id': changes('project', 'm', ({ project }) => `${V1}/projects/${project}`, {
    name: 'Changed',
  }),
  'DELETE /api/v1/projects/:id': removes('project', ({ project }) => `${V1}/projects/${project}`),
  'PUT /api/v1/projects/:id/shares/:team_id': changes(
    'project',
    'm',
    ({ project, share_team: team }) => `${V1}/projects/${project}/shares/${team}`,
    { access: 'write' },
  ),
  'DELETE /api/v1/projects/:id/shares/:team_id': removes(
    'project',
    ({ project, shared_team: team }) => `${V1}/projects/${project}/shares/${team}`,
  ),
  'PATCH /api/v1/accounts/:id': changes('account', 'm', ({ account }) => `${V1}/accounts/${account}`, {
    name: 'Changed',
  }),
  'DELETE /api/v1/accounts/:id': removes('account', ({ account }) => `${V1}/accounts/${account}`),
  'PATCH /api/v1/users/:id': changes(
    'user',
    'm',
    ({ user }) => `${V1}/users/${user}`,
    { display_name: 'Changed' },
    'administer',
  ),
  'DELETE /api/v1/users/:id': removes('user', ({ user }) => `${V1}/users/${user}`, 'administer'),
  'PATCH /api/v1/agents/:id': changes(
    'agent',
    'm',
    ({ agent }) => `${V1}/agents/${agent}`,
    { name: 'Changed' },
    'administer',
  ),
  'POST /api/v1/agents/:id/pause': changes(
    'agent',
    'm',
    ({ agent }) => `${V1}/agents/${agent}/pause`,
    {},
    'administer',
  ),
  'POST /api/v1/agents/:id/resume': changes(
    'agent',
    'm',
    ({ agent }) => `${V1}/agents/${agent}/resume`,
    {},
    'administer',
  ),
  'DELETE /api/v1/agents/:id': removes('agent', ({ agent }) => `${V1}/agents/${agent}`, 'administer'),
  'POST /api/v1/api-keys/:id/rotate': changes(
    'key',
    'm',
    ({ key }) => `${V1}/api-keys/${key}/rotate`,
    {},
    'administer',
  ),
  'DELETE /api/v1/api-keys/:id': removes('key', ({ key }) => `${V1}/api-keys/${key}`, 'administer'),
  'PATCH /api/v1/budgets/:id': changes(
    'budget',
    'm',
    ({ budget }) => `${V1}/budgets/${budget}`,
    { name: 'Changed' },
    'administer',
  ),
  'PATCH /api/v1/webhooks/:id': changes(
    'webhook',
    'm',
    ({ webhook }) => `${V1}/webhooks/${webhook}`,
    { description: 'Changed' },
    'administer',
  ),
  'POST /api/v1/webhooks/:id/rotate-secret': changes(
    'webhook',
    'm',
    ({ webhook }) => `${V1}/webhooks/${webhook}/rotate-secret`,
    {},
    'administer',
  ),
  'POST /api/v1/webhooks/:id/test': {
    ...changes('webhook', 'm', ({ webhook }) => `${V1}/webhooks/${webhook}/test`, {}, 'administer'),
    ok: 202,
  },
  'POST /api/v1/deliveries/:id/redeliver': {
    ...changes('webhook', 'm', ({ delivery }) => `${V1}/deliveries/${delivery}/redeliver`, {}, 'administer'),
    ok: 202,
  },
  'POST /api/v1/deliveries/redeliver': creates(
    `${V1}/deliveries/redeliver`,
    () => ({ filter: { type: 'task.deleted' } }),
    'administer',
    202,
  ),
  'DELETE /api/v1/webhooks/:id': removes('webhook', ({ webhook }) => `${V1}/webhooks/${webhook}`, 'administer'),
  'DELETE /api/v1/budgets/:id': removes('budget', ({ budget }) => `${V1}/budgets/${budget}`, 'administer'),
  'PATCH /api/v1/retention': creates(`${V1}/retention`, () => ({ logs_days: 365 }), 'administer', 200),
  'PATCH /api/v1/organization': creates(`${V1}/organization`, () => ({ settings: {} }), 'administer', 200),
  'DELETE /api/v1/teams/:id/members/:user_id': {
    ...removes('team', ({ team, dummy }) => `${V1}/teams/${team}/members/${dummy}`),
    spends: false,
    parts: true,
  },

  'POST /api/v1/tasks': creates(`${V1}/tasks`, () => ({ agent: AGENT_SLUG, prompt: 'New' })),
  'POST /api/v1/tasks/batch': {
    ...creates(`${V1}/tasks/batch`, () => ({ tasks: [{ agent: AGENT_SLUG, prompt: 'New' }] }), 'work', 200),
    check: (reply) => (reply.body.results[0].status === 201 ? null : `the task was refused: ${reply.text}`),
  },
  'POST /api/v1/bulk-operations': creates(
    `${V1}/bulk-operations`,
    () => ({ action: 'cancel', filter: { agent: AGENT_SLUG }, dry_run: true }),
    'work',
    202,
  ),
  'POST /api/tasks': creates(
    '/api/tasks',
    (_unique, { artist_account: artist }) => ({
      title: 'New',
      prompt: 'New',
      schedule: '0 9 * * *',
      artist_account_id: artist,
    }),
    'work',
    200,
  ),
  'POST /api/v1/webhooks': creates(
    `${V1}/webhooks`,
    () => ({ url: 'https://hooks.example.com/', events: ['schedule.missed'] }),
    'administer',
  ),
  'POST /api/v1/callback-secret/rotate': creates(`${V1}/callback-secret/rotate`, () => ({}), 'administer', 200),
  'PUT /api/v1/secrets/:name': creates(
    `${V1}/secrets/MATRIX_TOKEN`,
    (unique) => ({ value: unique }),
    'administer',
    200,
  ),
  'DELETE /api/v1/secrets/:name': { door: 'administer', ok: 404, ask: get(() => `${V1}/secrets/NEVER_MADE`) },
  'POST /api/v1/budgets': creates(
    `${V1}/budgets`,
    () => ({ name: 'New', scope: { kind: 'run' }, limit_cents: 1_000_000, enabled: false }),
    'administer',
  ),
  'POST /api/v1/projects': creates(`${V1}/projects`, () => ({ name: 'New' })),
  'POST /api/v1/accounts': creates(`${V1}/accounts`, () => ({ name: 'New', kind: 'artist' })),
  'POST /api/v1/teams': creates(`${V1}/teams`, (unique) => ({ name: 'New', slug: unique }), 'administer'),
  'POST /api/v1/agents': creates(`${V1}/agents`, (unique) => ({ slug: unique, kind: 'worker' }), 'administer'),
  'POST /api/v1/api-keys': creates(`${V1}/api-keys`, () => ({ name: 'New', role: 'viewer' }), 'administer'),
  'POST /api/v1/users': creates(
    `${V1}/users`,
    (unique) => ({ email: `${unique}@new.example`, display_name: 'New', role: 'viewer', password: PASSWORD }),
    'administer',
  ),
  'POST /api/v1/organizations': creates(
    `${V1}/organizations`,
    (unique) => ({ name: 'New', slug: unique, owner: { email: `${unique}@newer.example`, password: PASSWORD } }),
    'operate',
  ),
  // Let in, and then told what is wrong with the body: a right one would end the actors' own sessions.
  'POST /api/v1/me/password': creates(`${V1}/me/password`, () => ({ current: PASSWORD, new: 'short' }), 'read', 400),
  'POST /api/v1/auth/login': creates(`${V1}/auth/login`, () => ({}), 'open', 400),
  'POST /api/v1/auth/refresh': creates(`${V1}/auth/refresh`, () => ({}), 'open', 400),
  'POST /api/v1/auth/logout': creates(`${V1}/auth/logout`, () => ({ refresh_token: 'of no session' }), 'open', 204),
};
