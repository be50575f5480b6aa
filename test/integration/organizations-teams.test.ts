import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { type Yard, key, makeYard, person, team } from '../support/actors.js';
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

const TEAMS = '/api/v1/teams';

function idsOf(reply: { body: { data: { id?: string; user_id?: string }[] } }): (string | undefined)[] {
  return reply.body.data.map((item) => item.id ?? item.user_id);
}

describe('teams', () => {
  test('are made by admins and read by everybody of the organization', async () => {
    const made = await server.call('POST', TEAMS, { as: yard.admin.token, body: { name: 'Violet', slug: 'violet' } });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${TEAMS}/${made.body.id}`);
    const read = await server.call('GET', `${TEAMS}/${made.body.id}`, { as: yard.outsider.token });
    expect(read.body).toEqual(made.body);
    for (const { token } of [yard.member, yard.maintainer, yard.viewer]) {
      expect((await server.call('POST', TEAMS, { as: token, body: { name: 'No', slug: 'no' } })).status).toBe(403);
    }
  });

  test('have a slug that is theirs in the organization, and free in another', async () => {
    const again = await server.call('POST', TEAMS, { body: { name: 'Red too', slug: 'red' } });
    expect([again.status, again.body.code]).toEqual([409, 'already-exists']);
    const renamed = await server.call('PATCH', `${TEAMS}/${yard.teams.blue}`, { body: { slug: 'red' } });
    expect([renamed.status, renamed.body.code]).toEqual([409, 'already-exists']);
    const elsewhere = await server.call('POST', TEAMS, { as: yard.strangerKey, body: { name: 'Red', slug: 'red' } });
    expect(elsewhere.status).toBe(201);
  });

  test('are renamed by their maintainer, not by members or strangers, and deleted by admins alone', async () => {
    const path = `${TEAMS}/${yard.teams.red}`;
    const body = { name: 'Crimson' };
    expect((await server.call('PATCH', path, { as: yard.maintainer.token, body })).body.name).toBe('Crimson');
    expect((await server.call('PATCH', path, { as: yard.member.token, body })).status).toBe(403);
    expect((await server.call('PATCH', path, { as: yard.viewer.token, body })).status).toBe(403);
    expect(
      (await server.call('PATCH', `${TEAMS}/${yard.teams.blue}`, { as: yard.maintainer.token, body })).status,
    ).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.maintainer.token })).status).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.viewer.token })).status).toBe(403);
  });

  test('of another organization cannot be told from teams that are nowhere', async () => {
    const member = { role: 'member' };
    for (const [method, tail, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { name: 'Mine' }],
      ['DELETE', '', undefined],
      ['GET', '/members', undefined],
      ['PUT', `/members/${yard.stranger.id}`, member],
      ['DELETE', `/members/${yard.member.id}`, undefined],
    ] as const) {
      const options = { as: yard.strangerKey, ...(body === undefined ? {} : { body }) };
      const theirs = await server.call(method, `${TEAMS}/${yard.teams.red}${tail}`, options);
      const nowhere = await server.call(method, `${TEAMS}/${newId()}${tail}`, options);
      expect([method, tail, theirs.status]).toEqual([method, tail, 404]);
      expect(worded(theirs)).toEqual(worded(nowhere));
    }
  });

  test('that still have a project are not deleted; then they are, with memberships, and their members’ rights go at once', async () => {
    const id = await team(server, 'brief');
    const who = await person(server, 'brief', 'member');
    await server.call('PUT', `${TEAMS}/${id}/members/${who.id}`, { body: { role: 'maintainer' } });
    const project = await server.call('POST', '/api/v1/projects', { as: who.token, body: { name: 'P', team_id: id } });
    expect(project.status).toBe(201);
    const refused = await server.call('DELETE', `${TEAMS}/${id}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
    expect(refused.body.detail).toMatch(/projects/);
    expect(
      (await server.call('PATCH', `/api/v1/projects/${project.body.id}`, { as: who.token, body: { team_id: null } }))
        .status,
    ).toBe(200);
    const before = await server.database.row<{ epoch: number }>(sql`select epoch from principals where id = ${who.id}`);
    expect((await server.call('DELETE', `${TEAMS}/${id}`)).status).toBe(204);
    const after = await server.database.row<{ epoch: number }>(sql`select epoch from principals where id = ${who.id}`);
    expect(after?.epoch).toBe((before?.epoch ?? 0) + 1);
    expect((await server.call('GET', `${TEAMS}/${id}`, { as: who.token })).status).toBe(404);
  });

  test.each([
    ['no slug', { name: 'x' }],
    ['a slug with capitals', { name: 'x', slug: 'X' }],
    ['an id', { name: 'x', slug: 'x', id: newId() }],
    ['a tenant', { name: 'x', slug: 'x', organization_id: newId() }],
  ])('are not made with %s', async (_what, body) => {
    expect((await server.call('POST', TEAMS, { body })).status).toBe(400);
  });

  test('are made once however often a key is sent', async () => {
    const headers = { 'idempotency-key': newId() };
    const body = { name: 'Once', slug: 'once' };
    const first = await server.call('POST', TEAMS, { body, headers });
    const again = await server.call('POST', TEAMS, { body, headers });
    expect([first.status, again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true']);
    expect(again.body).toEqual(first.body);
  });
});

describe('members', () => {
  test('are put in, changed and taken out by a maintainer, whose say ends at their team', async () => {
    const path = `${TEAMS}/${yard.teams.red}/members/${yard.outsider.id}`;
    const as = yard.maintainer.token;
    const put = await server.call('PUT', path, { as, body: { role: 'viewer' } });
    expect(put.status).toBe(200);
    expect(put.body).toMatchObject({ user_id: yard.outsider.id, email: yard.outsider.email, role: 'viewer' });
    const changed = await server.call('PUT', path, { as, body: { role: 'member' } });
    expect(changed.body).toMatchObject({ role: 'member', created_at: put.body.created_at });
    expect((await server.call('DELETE', path, { as })).status).toBe(204);
    expect((await server.call('DELETE', path, { as })).status).toBe(404);
    const foreign = `${TEAMS}/${yard.teams.blue}/members/${yard.outsider.id}`;
    expect((await server.call('PUT', foreign, { as, body: { role: 'member' } })).status).toBe(403);
  });

  test('do not manage members, and neither does a viewer of the organization', async () => {
    const path = `${TEAMS}/${yard.teams.red}/members/${yard.outsider.id}`;
    for (const { token } of [yard.member, yard.viewer, yard.outsider]) {
      expect((await server.call('PUT', path, { as: token, body: { role: 'maintainer' } })).status).toBe(403);
      expect(
        (await server.call('DELETE', `${TEAMS}/${yard.teams.red}/members/${yard.member.id}`, { as: token })).status,
      ).toBe(403);
    }
  });

  test('of another organization are no more there than nobody is', async () => {
    const path = `${TEAMS}/${yard.teams.red}/members`;
    const theirs = await server.call('PUT', `${path}/${yard.stranger.id}`, { body: { role: 'member' } });
    const nowhere = await server.call('PUT', `${path}/${newId()}`, { body: { role: 'member' } });
    expect(theirs.status).toBe(404);
    expect(worded(theirs)).toEqual(worded(nowhere));
  });

  test('gain and lose their rights with the commit, and the epoch says so, of their keys too', async () => {
    const who = await person(server, 'joining', 'member');
    await key(server, { name: 'bound', role: 'member', user_id: who.id });
    const epochs = async () => {
      const rows = await server.database.rows<{ epoch: number }>(sql`
        select epoch from principals where id = ${who.id} or id in (select id from api_keys where user_id = ${who.id}) order by kind`);
      return rows.map((row) => row.epoch);
    };
    const path = `${TEAMS}/${yard.teams.green}`;
    const before = await epochs();
    expect(before).toHaveLength(2);
    expect((await server.call('PATCH', path, { as: who.token, body: { name: 'Mine' } })).status).toBe(403);
    await server.call('PUT', `${path}/members/${who.id}`, { body: { role: 'maintainer' } });
    expect(await epochs()).toEqual(before.map((epoch) => epoch + 1));
    expect((await server.call('PATCH', path, { as: who.token, body: { name: 'Mine' } })).status).toBe(200);
    await server.call('PUT', `${path}/members/${who.id}`, { body: { role: 'maintainer' } });
    expect(await epochs()).toEqual(before.map((epoch) => epoch + 1));
    // The last thing a maintainer may do is leave.
    expect((await server.call('DELETE', `${path}/members/${who.id}`, { as: who.token })).status).toBe(204);
    expect(await epochs()).toEqual(before.map((epoch) => epoch + 2));
    expect((await server.call('PATCH', path, { as: who.token, body: { name: 'Mine' } })).status).toBe(403);
  });

  test('are listed in pages, each once', async () => {
    const all = await server.call('GET', `${TEAMS}/${yard.teams.red}/members`, { as: yard.outsider.token });
    expect(all.body.data.length).toBeGreaterThanOrEqual(3);
    const seen: (string | undefined)[] = [];
    let cursor: string | null = null;
    do {
      const page = await server.call(
        'GET',
        `${TEAMS}/${yard.teams.red}/members?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      seen.push(...idsOf(page));
      cursor = page.body.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(idsOf(all));
    const first = await server.call('GET', `${TEAMS}/${yard.teams.red}/members?limit=1`);
    const other = await server.call(
      'GET',
      `${TEAMS}/${yard.teams.blue}/members?limit=1&cursor=${first.body.next_cursor}`,
    );
    expect([other.status, other.body.code]).toEqual([400, 'invalid-cursor']);
  });

  test.each([[{ role: 'owner' }], [{}], [{ role: 'member', team_id: newId() }]])(
    'are not put in by %j',
    async (body) => {
      const path = `${TEAMS}/${yard.teams.red}/members/${yard.outsider.id}`;
      expect((await server.call('PUT', path, { body })).status).toBe(400);
    },
  );
});

describe('a key held to teams', () => {
  test('sees those teams, their members and their projects, and nothing else of the directory', async () => {
    const held = await key(server, { name: 'red only', role: 'member', team_ids: [yard.teams.red] });
    const blue = await server.call('POST', '/api/v1/projects', { body: { name: 'Blue', team_id: yard.teams.blue } });
    const red = await server.call('POST', '/api/v1/projects', { body: { name: 'Red', team_id: yard.teams.red } });
    const shared = await server.call('POST', '/api/v1/projects', { body: { name: 'Shared' } });
    await server.call('PUT', `/api/v1/projects/${shared.body.id}/shares/${yard.teams.red}`, {
      body: { access: 'read' },
    });

    expect(idsOf(await server.call('GET', `${TEAMS}?limit=100`, { as: held }))).toEqual([yard.teams.red]);
    expect((await server.call('GET', `${TEAMS}/${yard.teams.blue}`, { as: held })).status).toBe(404);
    expect((await server.call('GET', `${TEAMS}/${yard.teams.blue}/members`, { as: held })).status).toBe(404);
    const members = idsOf(await server.call('GET', `${TEAMS}/${yard.teams.red}/members?limit=100`, { as: held }));
    const users = idsOf(await server.call('GET', '/api/v1/users?limit=100', { as: held }));
    expect([...users].sort()).toEqual([...members].sort());
    const projects = idsOf(await server.call('GET', '/api/v1/projects?limit=100', { as: held }));
    expect([...projects].sort()).toEqual([red.body.id, shared.body.id].sort());
    expect((await server.call('GET', `/api/v1/projects/${blue.body.id}`, { as: held })).status).toBe(404);
    const accounts = await server.call('GET', '/api/v1/accounts?limit=100', { as: held });
    const owners = accounts.body.data
      .map((account: { user_id: string | null }) => account.user_id)
      .filter((id: string | null) => id !== null);
    expect(owners.every((id: string) => members.includes(id))).toBe(true);
    const refused = await server.call('POST', '/api/v1/projects', {
      as: held,
      body: { name: 'x', team_id: yard.teams.blue },
    });
    expect(refused.body.errors).toEqual([{ path: '/team_id', message: 'There is no such team.' }]);
  });

  test('is what a key without teams is not: that one sees the whole directory', async () => {
    const wide = await key(server, { name: 'wide', role: 'viewer' });
    const seen = idsOf(await server.call('GET', `${TEAMS}?limit=100`, { as: wide }));
    expect(seen).toEqual(expect.arrayContaining(Object.values(yard.teams)));
  });
});
