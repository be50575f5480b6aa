import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/kernel/ids.js';
import { type Yard, makeYard, person } from '../support/actors.js';
import { type TestServer, startServer } from '../support/server.js';
import { worded } from '../support/worded.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

const PROJECTS = '/api/v1/projects';
const ACCOUNTS = '/api/v1/accounts';

async function project(as: string, body: object = {}): Promise<string> {
  const reply = await server.call('POST', PROJECTS, { as, body: { name: 'A project', ...body } });
  expect(reply.status).toBe(201);
  return reply.body.id;
}

describe('projects', () => {
  test('are made by members, for a team they act in or for none, and read by everybody of the organization', async () => {
    const made = await server.call('POST', PROJECTS, {
      as: yard.member.token,
      body: { name: 'Launch', team_id: yard.teams.blue },
    });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${PROJECTS}/${made.body.id}`);
    expect(made.body).toMatchObject({ name: 'Launch', team_id: yard.teams.blue, created_by: yard.member.id });
    expect((await server.call('GET', `${PROJECTS}/${made.body.id}`, { as: yard.viewer.token })).body).toEqual(
      made.body,
    );
    const mine = await server.call('GET', `${PROJECTS}?team_id=${yard.teams.blue}`, { as: yard.outsider.token });
    expect(mine.body.data).toContainEqual(made.body);
    expect((await server.call('POST', PROJECTS, { as: yard.viewer.token, body: { name: 'No' } })).status).toBe(403);
    const foreign = await server.call('POST', PROJECTS, {
      as: yard.outsider.token,
      body: { name: 'No', team_id: yard.teams.red },
    });
    expect(foreign.status).toBe(403);
  });

  test('do not take a team of another tenant, in the words used for one that is nowhere', async () => {
    const elsewhere = await server.call('POST', '/api/v1/teams', {
      as: yard.strangerKey,
      body: { name: 'T', slug: 't' },
    });
    const theirs = await server.call('POST', PROJECTS, { body: { name: 'x', team_id: elsewhere.body.id } });
    const nowhere = await server.call('POST', PROJECTS, { body: { name: 'x', team_id: newId() } });
    expect(theirs.status).toBe(400);
    expect(theirs.body.errors).toEqual([{ path: '/team_id', message: 'There is no such team.' }]);
    expect(worded(theirs)).toEqual(worded(nowhere));
    const id = await project(yard.member.token);
    const moved = await server.call('PATCH', `${PROJECTS}/${id}`, {
      as: yard.member.token,
      body: { team_id: elsewhere.body.id },
    });
    expect(worded(moved)).toEqual(worded(nowhere));
  });

  test('are managed by their creator, admins and a maintainer of their team; others read them', async () => {
    const id = await project(yard.member.token, { team_id: yard.teams.red });
    const path = `${PROJECTS}/${id}`;
    for (const { token } of [yard.member, yard.maintainer, yard.admin]) {
      expect((await server.call('PATCH', path, { as: token, body: { name: 'Renamed' } })).status).toBe(200);
    }
    for (const { token } of [yard.outsider, yard.viewer]) {
      expect((await server.call('PATCH', path, { as: token, body: { name: 'Taken' } })).status).toBe(403);
      expect((await server.call('DELETE', path, { as: token })).status).toBe(403);
      expect(
        (await server.call('PUT', `${path}/shares/${yard.teams.green}`, { as: token, body: { access: 'write' } }))
          .status,
      ).toBe(403);
    }
    const own = await project(yard.member.token);
    expect(
      (await server.call('PATCH', `${PROJECTS}/${own}`, { as: yard.maintainer.token, body: { name: 'x' } })).status,
    ).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.maintainer.token })).status).toBe(204);
    expect((await server.call('GET', path)).status).toBe(404);
  });

  test('are shared with teams, listed, changed, and shared no longer', async () => {
    const id = await project(yard.member.token);
    const shares = `${PROJECTS}/${id}/shares`;
    const as = yard.member.token;
    const put = await server.call('PUT', `${shares}/${yard.teams.green}`, { as, body: { access: 'read' } });
    expect([put.status, put.body]).toEqual([
      200,
      { project_id: id, team_id: yard.teams.green, access: 'read', created_at: expect.any(String) },
    ]);
    expect(
      (await server.call('PUT', `${shares}/${yard.teams.green}`, { as, body: { access: 'write' } })).body.access,
    ).toBe('write');
    const listed = await server.call('GET', shares, { as: yard.viewer.token });
    expect(listed.body).toEqual({ data: [{ ...put.body, access: 'write' }], next_cursor: null });
    expect((await server.call('DELETE', `${shares}/${yard.teams.green}`, { as })).status).toBe(204);
    expect((await server.call('DELETE', `${shares}/${yard.teams.green}`, { as })).status).toBe(404);
    const strangers = await server.call('POST', '/api/v1/teams', {
      as: yard.strangerKey,
      body: { name: 'S', slug: 's' },
    });
    const theirs = await server.call('PUT', `${shares}/${strangers.body.id}`, { as, body: { access: 'read' } });
    const nowhere = await server.call('PUT', `${shares}/${newId()}`, { as, body: { access: 'read' } });
    expect(theirs.status).toBe(404);
    expect(worded(theirs)).toEqual(worded(nowhere));
  });

  test('of another organization cannot be told from projects that are nowhere', async () => {
    const id = await project(yard.member.token);
    for (const [method, tail, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { name: 'Mine' }],
      ['DELETE', '', undefined],
      ['GET', '/shares', undefined],
      ['PUT', `/shares/${yard.teams.red}`, { access: 'write' }],
      ['DELETE', `/shares/${yard.teams.red}`, undefined],
    ] as const) {
      const options = { as: yard.strangerKey, ...(body === undefined ? {} : { body }) };
      const theirs = await server.call(method, `${PROJECTS}/${id}${tail}`, options);
      const nowhere = await server.call(method, `${PROJECTS}/${newId()}${tail}`, options);
      expect([method, tail, theirs.status]).toEqual([method, tail, 404]);
      expect(worded(theirs)).toEqual(worded(nowhere));
    }
    expect((await server.call('GET', PROJECTS, { as: yard.strangerKey })).body.data).toEqual([]);
  });

  test('with tasks are not deleted', async () => {
    const id = await project(yard.admin.token);
    const task = await server.call('POST', '/api/v1/tasks', {
      as: yard.admin.token,
      body: { prompt: 'Read', project_id: id, start: false },
    });
    expect(task.status).toBe(201);
    const refused = await server.call('DELETE', `${PROJECTS}/${id}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
    expect(refused.body.detail).toMatch(/tasks/);
  });

  test.each([
    ['no name', {}],
    ['a creator', { name: 'x', created_by: newId() }],
    ['a team that is no id', { name: 'x', team_id: 'red' }],
  ])('are not made with %s', async (_what, body) => {
    expect((await server.call('POST', PROJECTS, { body })).status).toBe(400);
  });
});

describe('accounts', () => {
  test('are made by members and read by everybody of the organization', async () => {
    const body = { name: 'The Quartet', kind: 'artist', email: 'quartet@example.com' };
    const made = await server.call('POST', ACCOUNTS, { as: yard.member.token, body });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${ACCOUNTS}/${made.body.id}`);
    expect(made.body).toMatchObject({ ...body, user_id: null, created_by: yard.member.id });
    const artists = await server.call('GET', `${ACCOUNTS}?kind=artist`, { as: yard.viewer.token });
    expect(artists.body.data).toEqual([made.body]);
    expect((await server.call('POST', ACCOUNTS, { as: yard.viewer.token, body })).status).toBe(403);
  });

  test('are managed by their creator, whose they are, and admins', async () => {
    const made = await server.call('POST', ACCOUNTS, { as: yard.member.token, body: { name: 'A', kind: 'customer' } });
    const path = `${ACCOUNTS}/${made.body.id}`;
    expect((await server.call('PATCH', path, { as: yard.outsider.token, body: { name: 'B' } })).status).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.outsider.token })).status).toBe(403);
    const patched = await server.call('PATCH', path, { as: yard.member.token, body: { email: 'a@example.com' } });
    expect(patched.body).toMatchObject({ name: 'A', email: 'a@example.com' });
    expect((await server.call('PATCH', path, { as: yard.admin.token, body: { email: null } })).body.email).toBeNull();
    expect((await server.call('DELETE', path, { as: yard.member.token })).status).toBe(204);

    const all = await server.call('GET', `${ACCOUNTS}?limit=100`);
    const own = all.body.data.find((account: { user_id: string | null }) => account.user_id === yard.outsider.id);
    const renamed = await server.call('PATCH', `${ACCOUNTS}/${own.id}`, {
      as: yard.outsider.token,
      body: { name: 'Myself' },
    });
    expect(renamed.status).toBe(200);
  });

  test('are tied to one person at most, by themselves or an admin, and never to a stranger', async () => {
    const second = await server.call('POST', ACCOUNTS, {
      body: { name: 'Second', kind: 'person', user_id: yard.member.id },
    });
    expect([second.status, second.body.code]).toEqual([409, 'already-exists']);
    const other = await server.call('POST', ACCOUNTS, {
      as: yard.outsider.token,
      body: { name: 'Not mine', kind: 'person', user_id: yard.member.id },
    });
    expect(other.status).toBe(403);
    const theirs = await server.call('POST', ACCOUNTS, {
      body: { name: 'x', kind: 'person', user_id: yard.stranger.id },
    });
    const nowhere = await server.call('POST', ACCOUNTS, { body: { name: 'x', kind: 'person', user_id: newId() } });
    expect(theirs.body.errors).toEqual([{ path: '/user_id', message: 'There is no such user.' }]);
    expect(worded(theirs)).toEqual(worded(nowhere));
  });

  test('of people who left stay, as labels of nobody', async () => {
    const who = await person(server, 'left', 'member');
    const before = await server.call('GET', `${ACCOUNTS}?limit=100`);
    const account = before.body.data.find((one: { user_id: string | null }) => one.user_id === who.id);
    await server.call('DELETE', `/api/v1/users/${who.id}`);
    const after = await server.call('GET', `${ACCOUNTS}/${account.id}`);
    expect(after.body).toMatchObject({ name: 'left', user_id: null });
  });

  test('that tasks are for are not deleted', async () => {
    const made = await server.call('POST', ACCOUNTS, { body: { name: 'Busy', kind: 'customer' } });
    const task = await server.call('POST', '/api/v1/tasks', {
      body: { prompt: 'Read', account_id: made.body.id, start: false },
    });
    expect(task.status).toBe(201);
    const refused = await server.call('DELETE', `${ACCOUNTS}/${made.body.id}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
  });

  test('of another organization cannot be told from accounts that are nowhere', async () => {
    const made = await server.call('POST', ACCOUNTS, { body: { name: 'Ours', kind: 'customer' } });
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { name: 'Mine' }],
      ['DELETE', undefined],
    ] as const) {
      const options = { as: yard.strangerKey, ...(body === undefined ? {} : { body }) };
      const theirs = await server.call(method, `${ACCOUNTS}/${made.body.id}`, options);
      const nowhere = await server.call(method, `${ACCOUNTS}/${newId()}`, options);
      expect([method, theirs.status]).toEqual([method, 404]);
      expect(worded(theirs)).toEqual(worded(nowhere));
    }
  });

  test.each([
    ['no kind', { name: 'x' }],
    ['another kind', { name: 'x', kind: 'robot' }],
    ['a creator', { name: 'x', kind: 'person', created_by: newId() }],
    ['a name past its length', { name: 'x'.repeat(201), kind: 'person' }],
  ])('are not made with %s', async (_what, body) => {
    expect((await server.call('POST', ACCOUNTS, { body })).status).toBe(400);
  });
});
