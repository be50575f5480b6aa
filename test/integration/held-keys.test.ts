import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { join, key, makeYard, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  await join(server, yard.teams.red, yard.admin, 'member');
  await server.call('POST', '/api/v1/agents', { body: { slug: 'work', name: 'Work', kind: 'worker' } });
});
afterAll(() => server.stop());

const createTask = (as: string, body: object = {}): Promise<Reply> =>
  server.call('POST', '/api/v1/tasks', { as, body: { agent: 'work', prompt: 'Work.', ...body } });

test('a worker key that is held to teams claims runs of those teams only, whether or not it has a user', async () => {
  const { red, blue } = yard.teams;
  const inBlue = await createTask(yard.member.token, { team_id: blue });
  const secret = await createTask(yard.admin.token, { visibility: 'private' });
  const inRed = await createTask(yard.member.token, { team_id: red });
  const held = [
    await key(server, { name: 'held', role: 'worker', team_ids: [red] }),
    await key(server, { name: 'held and bound', role: 'worker', team_ids: [red], user_id: yard.admin.id }),
    await key(server, {
      name: 'held to no team of its user',
      role: 'worker',
      team_ids: [blue],
      user_id: yard.admin.id,
    }),
  ];
  const claimed: string[] = [];
  for (const as of held) {
    const reply = await server.call('POST', '/api/v1/worker/claim', { as, body: { agents: ['work'], max: 10 } });
    expect(reply.status).toBe(200);
    claimed.push(...reply.body.runs.map(({ task }: { task: { id: string } }) => task.id));
  }
  expect(claimed).toEqual([inRed.body.task.id]);
  expect([inBlue.status, secret.status]).toEqual([201, 201]);
});

test('a key that is a member of its teams creates tasks there and changes its own, and reads but does not change those of others', async () => {
  const { red } = yard.teams;
  const as = await key(server, { name: 'creates', role: 'member', team_ids: [red], team_role: 'member' });
  const own = await createTask(as, { team_id: red });
  const others = await createTask(yard.maintainer.token, { team_id: red });
  const rename = (reply: Reply): Promise<Reply> =>
    server.call('PATCH', `/api/v1/tasks/${reply.body.task.id}`, { as, body: { title: 'Renamed' } });
  expect([own.status, (await rename(own)).status, (await rename(others)).status]).toEqual([201, 200, 403]);
  const shown = await server.call('GET', '/api/v1/me', { as });
  expect(shown.body.teams).toEqual([expect.objectContaining({ id: red, role: 'member' })]);
});

test('a key has at most the role of its user in a team, and a role in teams is refused without teams', async () => {
  const { red } = yard.teams;
  const body = { name: 'both', role: 'member', user_id: yard.maintainer.id, team_ids: [red], team_role: 'viewer' };
  const shown = await server.call('GET', '/api/v1/me', { as: await key(server, body) });
  expect(shown.body.teams).toEqual([expect.objectContaining({ id: red, role: 'viewer' })]);
  const refused = await server.call('POST', '/api/v1/api-keys', {
    body: { name: 'none', role: 'member', team_role: 'member' },
  });
  expect([refused.status, refused.body.errors[0].path]).toEqual([400, '/team_role']);
});

test('a question that the user is asked outside of the teams of a held key is not there for the key', async () => {
  const as = await key(server, {
    name: 'bound',
    role: 'member',
    user_id: yard.outsider.id,
    team_ids: [yard.teams.red],
  });
  const secret = await createTask(yard.admin.token, { visibility: 'private' });
  const worker = await key(server, { name: 'all', role: 'worker' });
  const claim = await server.call('POST', '/api/v1/worker/claim', { as: worker, body: { agents: ['work'], max: 10 } });
  const work = claim.body.runs.find(({ task }: { task: { id: string } }) => task.id === secret.body.task.id);
  const asked = await server.call('POST', `/api/v1/worker/runs/${work.run.id}/ask`, {
    as: worker,
    body: { fence: work.lease.fence, question: 'Now?', assignee_id: yard.outsider.id },
  });
  expect(asked.status).toBe(200);
  const answer = (who: string): Promise<Reply> =>
    server.call('POST', `/api/v1/runs/${work.run.id}/answer`, { as: who, body: { text: 'Yes' } });
  expect([(await answer(as)).status, (await answer(yard.outsider.token)).status]).toEqual([404, 200]);
});
