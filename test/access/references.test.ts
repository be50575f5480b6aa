/**
 * Ids in bodies and queries: whatever is another organisation's is answered as what never was, byte for byte, and nothing comes of
 * it. (Ids in paths are the matrix's.)
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '../../src/kernel/ids.js';
import { makeYard, type Yard } from '../support/actors.js';
import { type Credential, type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
/** Things of the second organisation, by kind. */
let foreign: Record<string, string>;
/** Things of the first that requests change. */
let ours: Record<string, string>;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  foreign = await things(yard.strangerKey);
  ours = await things(undefined);
});

afterAll(() => server.stop());

async function things(as: Credential | undefined): Promise<Record<string, string>> {
  const make = async (path: string, body: object): Promise<Reply> => {
    const reply = await server.call('POST', `/api/v1/${path}`, { body, ...(as === undefined ? {} : { as }) });
    expect([path, reply.status]).toEqual([path, 201]);
    return reply;
  };
  const id = async (path: string, body: object): Promise<string> => (await make(path, body)).body.id;
  const agent = await id('agents', { slug: 'reader', kind: 'worker' });
  const task = await make('tasks', { agent: 'reader', prompt: 'Read this' });
  return {
    team: await id('teams', { name: 'Readers', slug: 'readers' }),
    project: await id('projects', { name: 'Reading' }),
    account: await id('accounts', { name: 'Reader', kind: 'customer' }),
    user: await id('users', {
      email: `reader-${newId()}@elsewhere.example`,
      display_name: 'Reader',
      role: 'member',
      password: 'correct horse battery staple',
    }),
    agent,
    task: task.body.task.id,
    run: task.body.stream.streamId,
    asset: newId(),
  };
}

type Ask = (id: string) => { method: string; path: string; body?: unknown };

const V1 = '/api/v1';
const NEW_TASK = { prompt: 'Read this', start: false };

/** By what they name: how to name it, and the status of naming nothing. */
const REFERENCES: readonly (readonly [string, string, number, Ask])[] = [
  ['a task’s team', 'team', 400, (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, team_id: id } })],
  [
    'a task’s project',
    'project',
    400,
    (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, project_id: id } }),
  ],
  [
    'a task’s account',
    'account',
    400,
    (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, account_id: id } }),
  ],
  [
    'a task’s artist account',
    'account',
    400,
    (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, artist_account_id: id } }),
  ],
  [
    'a task’s agent',
    'agent',
    404,
    (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, agent_id: id } }),
  ],
  [
    'an agent in a run configuration',
    'agent',
    400,
    (id) => ({ method: 'POST', path: `${V1}/tasks`, body: { ...NEW_TASK, run_config: { agent_ids: [id] } } }),
  ],
  [
    'a changed task’s team',
    'team',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/tasks/${ours['task']}`, body: { team_id: id } }),
  ],
  [
    'a changed task’s project',
    'project',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/tasks/${ours['task']}`, body: { project_id: id } }),
  ],
  [
    'a changed task’s account',
    'account',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/tasks/${ours['task']}`, body: { account_id: id } }),
  ],
  [
    'a changed task’s agent',
    'agent',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/tasks/${ours['task']}`, body: { agent_id: id } }),
  ],
  [
    'a file in a message',
    'asset',
    400,
    (id) => ({
      method: 'POST',
      path: `${V1}/tasks/${ours['task']}/messages`,
      body: { parts: [{ type: 'file', asset_id: id, name: 'a.png', media_type: 'image/png' }] },
    }),
  ],
  [
    'a share’s team',
    'team',
    404,
    (id) => ({ method: 'PUT', path: `${V1}/tasks/${ours['task']}/shares/${id}`, body: { access: 'read' } }),
  ],
  [
    'a project share’s team',
    'team',
    404,
    (id) => ({ method: 'PUT', path: `${V1}/projects/${ours['project']}/shares/${id}`, body: { access: 'read' } }),
  ],
  [
    'a share to be ended',
    'team',
    404,
    (id) => ({ method: 'DELETE', path: `${V1}/tasks/${ours['task']}/shares/${id}` }),
  ],
  [
    'a schedule’s task',
    'task',
    400,
    (id) => ({ method: 'POST', path: `${V1}/schedules`, body: { task_id: id, cron: '0 9 * * *' } }),
  ],
  [
    'a project’s team',
    'team',
    400,
    (id) => ({ method: 'POST', path: `${V1}/projects`, body: { name: 'Reading', team_id: id } }),
  ],
  [
    'a changed project’s team',
    'team',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/projects/${ours['project']}`, body: { team_id: id } }),
  ],
  [
    'an account’s person',
    'user',
    400,
    (id) => ({ method: 'POST', path: `${V1}/accounts`, body: { name: 'Reader', kind: 'person', user_id: id } }),
  ],
  [
    'a team’s member',
    'user',
    404,
    (id) => ({ method: 'PUT', path: `${V1}/teams/${ours['team']}/members/${id}`, body: { role: 'member' } }),
  ],
  [
    'a key’s person',
    'user',
    400,
    (id) => ({ method: 'POST', path: `${V1}/api-keys`, body: { name: 'k', role: 'member', user_id: id } }),
  ],
  [
    'a key’s teams',
    'team',
    400,
    (id) => ({ method: 'POST', path: `${V1}/api-keys`, body: { name: 'k', role: 'member', team_ids: [id] } }),
  ],
  [
    'a worker key’s agents',
    'agent',
    400,
    (id) => ({ method: 'POST', path: `${V1}/api-keys`, body: { name: 'k', role: 'worker', agent_ids: [id] } }),
  ],
  [
    'the default agent',
    'agent',
    400,
    (id) => ({ method: 'PATCH', path: `${V1}/organization`, body: { default_agent_id: id } }),
  ],
  [
    'a board task’s artist',
    'account',
    400,
    (id) => ({
      method: 'POST',
      path: '/api/tasks',
      body: { title: 'Read', prompt: 'Read this', schedule: '0 9 * * *', artist_account_id: id },
    }),
  ],
  [
    'a board task to be changed',
    'task',
    404,
    (id) => ({ method: 'PATCH', path: '/api/tasks', body: { id, title: 'Read' } }),
  ],
  ...(
    [
      ['team', `${V1}/tasks?team_id=`],
      ['project', `${V1}/tasks?project_id=`],
      ['account', `${V1}/tasks?account_id=`],
      ['account', `${V1}/tasks?artist_account_id=`],
      ['user', `${V1}/tasks?created_by=`],
      ['task', `${V1}/runs?task_id=`],
      ['task', `${V1}/assets?task_id=`],
      ['run', `${V1}/assets?run_id=`],
      ['task', `${V1}/schedules?task_id=`],
      ['team', `${V1}/projects?team_id=`],
      ['account', '/api/tasks?account_id='],
      ['account', '/api/tasks?artist_account_id='],
    ] as const
  ).map(
    ([kind, path]) => [`the filter ${path}`, kind, 200, (id: string) => ({ method: 'GET', path: path + id })] as const,
  ),
];

test.each(REFERENCES)('%s of another organisation is as one that never was', async (_name, kind, status, ask) => {
  const there = await asked(ask(foreign[kind] ?? ''), foreign[kind] ?? '');
  const absent = newId();
  expect(there).toEqual(await asked(ask(absent), absent));
  expect(there.status).toBe(status);
});

test('and the same requests about things of one’s own are taken', async () => {
  const refused: string[] = [];
  for (const [name, kind, , ask] of REFERENCES) {
    // The asset is none, and the team has no share to be ended.
    if (kind !== 'asset' && name !== 'a share to be ended') {
      const { method, path, body } = ask(ours[kind] ?? '');
      const reply = await server.call(method, path, body === undefined ? {} : { body });
      // A person has an account already: 409 knows them.
      refused.push(...(reply.status < 300 || reply.status === 409 ? [] : [`${name}: ${reply.status} ${reply.text}`]));
    }
  }
  expect(refused).toEqual([]);
});

async function asked(
  { method, path, body }: ReturnType<Ask>,
  id: string,
): Promise<{ status: number; headers: object; text: string }> {
  const reply = await server.call(method, path, { as: yard.admin.token, ...(body === undefined ? {} : { body }) });
  const { date: _date, 'x-request-id': request = '', ...headers } = Object.fromEntries(reply.headers);
  return { status: reply.status, headers, text: reply.text.replaceAll(id, '<id>').replaceAll(request, '<request>') };
}
