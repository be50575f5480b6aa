import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { type Yard, PASSWORD, key, makeYard, person, signIn } from '../support/actors.js';
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

const USERS = '/api/v1/users';

async function epochOf(id: string): Promise<number> {
  const row = await server.database.row<{ epoch: number }>(sql`select epoch from principals where id = ${id}`);
  return row?.epoch ?? 0;
}

function newUser(name: string, role = 'member') {
  return { email: `${name}@first.example`, display_name: name, role, password: PASSWORD };
}

describe('people', () => {
  test('are made with a principal and an account, and read by everybody of the organization', async () => {
    const made = await server.call('POST', USERS, { as: yard.admin.token, body: newUser('made') });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${USERS}/${made.body.id}`);
    expect(Object.keys(made.body)).toEqual(['id', 'email', 'display_name', 'role', 'created_at', 'updated_at']);
    const read = await server.call('GET', `${USERS}/${made.body.id}`, { as: yard.viewer.token });
    expect(read.body).toEqual(made.body);
    const accounts = await server.call('GET', '/api/v1/accounts?limit=100', { as: yard.viewer.token });
    expect(accounts.body.data).toContainEqual(
      expect.objectContaining({ user_id: made.body.id, kind: 'person', name: 'made', email: 'made@first.example' }),
    );
  });

  test('change by merge patch, and their account follows where it still said the same', async () => {
    const who = await person(server, 'moving', 'member');
    const reply = await server.call('PATCH', `${USERS}/${who.id}`, {
      as: yard.admin.token,
      body: { email: 'moved@first.example', display_name: 'Moved' },
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ email: 'moved@first.example', display_name: 'Moved', role: 'member' });
    const accounts = await server.call('GET', '/api/v1/accounts?limit=100');
    expect(accounts.body.data).toContainEqual(
      expect.objectContaining({ user_id: who.id, name: 'Moved', email: 'moved@first.example' }),
    );
  });

  test('are not managed by members and viewers', async () => {
    for (const { token } of [yard.member, yard.maintainer, yard.viewer]) {
      expect((await server.call('POST', USERS, { as: token, body: newUser('refused') })).status).toBe(403);
      expect(
        (await server.call('PATCH', `${USERS}/${yard.outsider.id}`, { as: token, body: { role: 'viewer' } })).status,
      ).toBe(403);
      expect((await server.call('DELETE', `${USERS}/${yard.outsider.id}`, { as: token })).status).toBe(403);
    }
  });

  test('of another organization cannot be told from people who are nowhere', async () => {
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { role: 'viewer' }],
      ['DELETE', undefined],
    ] as const) {
      const options = { as: yard.strangerKey, ...(body === undefined ? {} : { body }) };
      const theirs = await server.call(method, `${USERS}/${yard.member.id}`, options);
      const nowhere = await server.call(method, `${USERS}/${newId()}`, options);
      expect(theirs.status).toBe(404);
      expect(worded(theirs)).toEqual(worded(nowhere));
    }
    expect((await server.call('GET', USERS, { as: yard.strangerKey })).body.data).toHaveLength(1);
    expect((await server.call('GET', `${USERS}/not-an-id`, { as: yard.admin.token })).status).toBe(404);
  });

  test('have an e-mail that is theirs alone in the organization, whatever its case, and are told nothing of others', async () => {
    const taken = await server.call('POST', USERS, {
      body: { ...newUser('copy'), email: yard.outsider.email.toUpperCase() },
    });
    expect([taken.status, taken.body.code]).toEqual([409, 'already-exists']);
    const elsewhere = await server.call('POST', USERS, {
      body: { ...newUser('namesake'), email: yard.stranger.email.toUpperCase() },
    });
    expect(elsewhere.status).toBe(201);
    const patched = await server.call('PATCH', `${USERS}/${yard.outsider.id}`, {
      body: { email: 'MEMBER@first.example' },
    });
    expect([patched.status, patched.body.code]).toEqual([409, 'already-exists']);
  });

  test('are made once however often a key is sent', async () => {
    const headers = { 'idempotency-key': newId() };
    const first = await server.call('POST', USERS, { body: newUser('repeated'), headers });
    const again = await server.call('POST', USERS, { body: newUser('repeated'), headers });
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    const other = await server.call('POST', USERS, {
      body: { ...newUser('repeated'), password: `${PASSWORD}!` },
      headers,
    });
    expect(other.status).toBe(422);
  });

  test.each([
    ['a role of keys', { role: 'worker' }],
    ['no role', { role: undefined }],
    ['a short password', { password: 'elevenchars' }],
    ['an e-mail that is none', { email: 'somebody' }],
    ['a hash', { password_hash: 'x' }],
    ['an id', { id: newId() }],
    ['a tenant', { organization_id: newId() }],
    ['an epoch', { epoch: 9 }],
  ])('are not made with %s', async (_what, change) => {
    const reply = await server.call('POST', USERS, { body: { ...newUser('bad'), ...change } });
    expect(reply.status).toBe(400);
    expect(reply.text).not.toContain(PASSWORD);
  });

  test.each([[{ password: PASSWORD }], [{ disabled_at: null }], [{ email: null }], [{ role: null }]])(
    'are not changed by %j',
    async (body) => {
      expect((await server.call('PATCH', `${USERS}/${yard.outsider.id}`, { body })).status).toBe(400);
    },
  );
});

describe('roles', () => {
  test('above one’s own are neither given nor managed', async () => {
    const owner = yard.stranger;
    const admin = await server.call('POST', USERS, {
      as: owner.token,
      body: { ...newUser('theiradmin', 'admin'), email: 'admin@elsewhere.example' },
    });
    const as = await signIn(server, 'admin@elsewhere.example');
    const made = await server.call('POST', USERS, {
      as,
      body: { ...newUser('x', 'owner'), email: 'x@elsewhere.example' },
    });
    const promoted = await server.call('PATCH', `${USERS}/${admin.body.id}`, { as, body: { role: 'owner' } });
    const demoted = await server.call('PATCH', `${USERS}/${owner.id}`, { as, body: { role: 'viewer' } });
    const deleted = await server.call('DELETE', `${USERS}/${owner.id}`, { as });
    expect([made, promoted, demoted, deleted].map((reply) => reply.status)).toEqual([403, 403, 403, 403]);
  });

  test('the last owner is neither demoted nor removed, until there is another', async () => {
    const made = await server.call('POST', '/api/v1/organizations', {
      body: { name: 'Pair', slug: 'pair', owner: { email: 'one@pair.example', password: PASSWORD } },
    });
    expect(made.status).toBe(201);
    const as = await signIn(server, 'one@pair.example');
    const [one] = (await server.call('GET', USERS, { as })).body.data;
    const demoted = await server.call('PATCH', `${USERS}/${one.id}`, { as, body: { role: 'admin' } });
    const deleted = await server.call('DELETE', `${USERS}/${one.id}`, { as });
    expect([demoted.status, demoted.body.code, deleted.status]).toEqual([409, 'conflict', 409]);

    const second = await server.call('POST', USERS, {
      as,
      body: { ...newUser('two', 'owner'), email: 'two@pair.example' },
    });
    expect(second.status).toBe(201);
    const asSecond = await signIn(server, 'two@pair.example');
    // Both at once, each demoting the other: whoever comes second must not leave nobody.
    const replies = await Promise.all([
      server.call('PATCH', `${USERS}/${second.body.id}`, { as, body: { role: 'viewer' } }),
      server.call('PATCH', `${USERS}/${one.id}`, { as: asSecond, body: { role: 'viewer' } }),
    ]);
    expect(replies.filter((reply) => reply.status === 200)).toHaveLength(1);
    const owners = await server.database.rows(
      sql`select 1 from principals where organization_id = ${made.body.id} and kind = 'user' and role = 'owner' and disabled_at is null`,
    );
    expect(owners).toHaveLength(1);
  });

  test('change at once for a session that is open, and raise the epoch', async () => {
    const who = await person(server, 'demoted', 'member');
    const project = { name: 'While I may' };
    expect((await server.call('POST', '/api/v1/projects', { as: who.token, body: project })).status).toBe(201);
    const before = await epochOf(who.id);
    expect((await server.call('PATCH', `${USERS}/${who.id}`, { body: { display_name: 'Same rights' } })).status).toBe(
      200,
    );
    expect(await epochOf(who.id)).toBe(before);
    expect((await server.call('PATCH', `${USERS}/${who.id}`, { body: { role: 'viewer' } })).status).toBe(200);
    expect(await epochOf(who.id)).toBe(before + 1);
    expect((await server.call('POST', '/api/v1/projects', { as: who.token, body: project })).status).toBe(403);
    expect((await server.call('PATCH', `${USERS}/${who.id}`, { body: { role: 'admin' } })).status).toBe(200);
    expect(
      (await server.call('POST', '/api/v1/teams', { as: who.token, body: { name: 'New', slug: 'new' } })).status,
    ).toBe(201);
  });

  test('an admin who demotes themselves gets the reply, and is one no longer', async () => {
    const who = await person(server, 'stepsdown', 'admin');
    const reply = await server.call('PATCH', `${USERS}/${who.id}`, { as: who.token, body: { role: 'member' } });
    expect([reply.status, reply.body.role]).toEqual([200, 'member']);
    expect((await server.call('PATCH', `${USERS}/${who.id}`, { as: who.token, body: { role: 'admin' } })).status).toBe(
      403,
    );
  });
});

describe('a person who is removed', () => {
  test('is out at once with every key, leaves what they made, and frees the e-mail', async () => {
    const who = await person(server, 'leaving', 'member');
    const bound = await key(server, { name: 'theirs', role: 'member', user_id: who.id });
    await server.call('PUT', `/api/v1/teams/${yard.teams.blue}/members/${who.id}`, { body: { role: 'member' } });
    const project = await server.call('POST', '/api/v1/projects', { as: who.token, body: { name: 'Left behind' } });
    expect((await server.call('GET', USERS, { as: bound })).status).toBe(200);

    expect((await server.call('DELETE', `${USERS}/${who.id}`, { as: yard.admin.token })).status).toBe(204);

    expect((await server.call('GET', USERS, { as: who.token })).status).toBe(401);
    expect((await server.call('GET', USERS, { as: bound })).status).toBe(401);
    expect((await server.call('GET', `${USERS}/${who.id}`)).status).toBe(404);
    expect((await server.call('DELETE', `${USERS}/${who.id}`)).status).toBe(404);
    expect((await server.call('GET', `/api/v1/projects/${project.body.id}`)).body.created_by).toBe(who.id);
    const members = await server.call('GET', `/api/v1/teams/${yard.teams.blue}/members?limit=100`);
    expect(members.body.data.map((member: { user_id: string }) => member.user_id)).not.toContain(who.id);
    const login = await server.call('POST', '/api/v1/auth/login', {
      as: null,
      body: { email: who.email, password: PASSWORD },
    });
    expect(login.status).toBe(401);
    const again = await server.call('POST', USERS, { body: newUser('leaving') });
    expect(again.status).toBe(201);
    expect(again.body.id).not.toBe(who.id);
  });
});
