import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { hashPassword, verifyPassword } from '../../src/infrastructure/passwords/passwords.js';
import { type Yard, PASSWORD, makeYard, signIn } from '../support/actors.js';
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

function newOrganization(slug: string, email = `owner@${slug}.example`) {
  return { name: slug, slug, owner: { email, password: PASSWORD } };
}

describe('one’s own organization', () => {
  test('a viewer reads it, with the digest as its default agent', async () => {
    const own = await server.call('GET', '/api/v1/organization', { as: yard.viewer.token });
    expect(own.status).toBe(200);
    expect(Object.keys(own.body)).toEqual([
      'id',
      'slug',
      'name',
      'default_agent_id',
      'settings',
      'created_at',
      'updated_at',
    ]);
    const agent = await server.call('GET', `/api/v1/agents/${own.body.default_agent_id}`, { as: yard.viewer.token });
    expect(agent.body).toMatchObject({ slug: 'digest', kind: 'builtin', config: { builtin: 'digest' } });
  });

  test('an admin changes it by merge patch: objects merge, null removes', async () => {
    const path = '/api/v1/organization';
    const first = await server.call('PATCH', path, {
      as: yard.admin.token,
      body: { name: ' Renamed ', settings: { a: 1, b: { c: 2 } } },
    });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ name: 'Renamed', settings: { a: 1, b: { c: 2 } } });
    const second = await server.call('PATCH', path, {
      as: yard.admin.token,
      body: { settings: { a: null, b: { d: 3 } } },
    });
    expect(second.body.settings).toEqual({ b: { c: 2, d: 3 } });
    const cleared = await server.call('PATCH', path, { as: yard.admin.token, body: { settings: null } });
    expect(cleared.body).toMatchObject({ name: 'Renamed', settings: {} });
  });

  test('members and viewers do not change it', async () => {
    for (const who of [yard.member, yard.viewer, yard.maintainer]) {
      const reply = await server.call('PATCH', '/api/v1/organization', { as: who.token, body: { name: 'Mine' } });
      expect(reply.status).toBe(403);
    }
  });

  test('a default agent of another tenant is refused in the words used for one that is nowhere', async () => {
    const elsewhere = await server.call('GET', '/api/v1/organization', { as: yard.stranger.token });
    const [theirs, nowhere] = await Promise.all(
      [elsewhere.body.default_agent_id, newId()].map((default_agent_id) =>
        server.call('PATCH', '/api/v1/organization', { as: yard.admin.token, body: { default_agent_id } }),
      ),
    );
    expect(theirs?.status).toBe(400);
    expect(theirs?.body.errors).toEqual([{ path: '/default_agent_id', message: 'There is no such agent.' }]);
    expect(worded(theirs)).toEqual(worded(nowhere));
  });

  test.each([
    ['operates_instance', { operates_instance: true }],
    ['id', { id: newId() }],
    ['slug', { slug: 'other' }],
    ['created_at', { created_at: '2020-01-01T00:00:00Z' }],
  ])('the field %s is not writable', async (field, body) => {
    const reply = await server.call('PATCH', '/api/v1/organization', { as: yard.admin.token, body });
    expect(reply.status).toBe(400);
    expect(reply.body.errors[0].path).toBe(`/${field}`);
  });

  test.each([
    ['an empty name', { name: '   ' }],
    ['no name', { name: null }],
    ['a number', { name: 7 }],
    ['settings that are no object', { settings: [1] }],
    ['settings past their size', { settings: { text: 'x'.repeat(65 * 1024) } }],
    ['a default agent that is no id', { default_agent_id: 'digest' }],
    ['an array for a body', []],
  ])('%s is a clear 400', async (_what, body) => {
    const reply = await server.call('PATCH', '/api/v1/organization', { as: yard.admin.token, body });
    expect(reply.status).toBe(400);
    expect(reply.body.code).toBe('invalid-request');
  });
});

describe('the instance’s operator', () => {
  test('makes another tenant, whose owner signs in and finds an account and a default agent', async () => {
    const made = await server.call('POST', '/api/v1/organizations', { body: newOrganization('north') });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/api/v1/organizations/${made.body.id}`);
    expect(made.text).not.toContain(PASSWORD);
    const found = await server.call('GET', `/api/v1/organizations/${made.body.id}`);
    expect(found.body).toEqual(made.body);

    const owner = await signIn(server, 'owner@north.example');
    const own = await server.call('GET', '/api/v1/organization', { as: owner });
    expect(own.body).toEqual(made.body);
    const users = await server.call('GET', '/api/v1/users', { as: owner });
    expect(users.body.data).toMatchObject([{ email: 'owner@north.example', role: 'owner' }]);
    const accounts = await server.call('GET', '/api/v1/accounts', { as: owner });
    expect(accounts.body.data).toMatchObject([
      { kind: 'person', user_id: users.body.data[0].id, email: 'owner@north.example' },
    ]);
    const systems = await server.database.rows(
      sql`select role from principals where organization_id = ${made.body.id} and kind = 'system'`,
    );
    expect(systems).toEqual([{ role: 'worker' }]);
  });

  test('gets a conflict for a slug in use, but not for an e-mail that another organization has', async () => {
    await server.call('POST', '/api/v1/organizations', { body: newOrganization('south') });
    const slug = await server.call('POST', '/api/v1/organizations', {
      body: newOrganization('south', 'new@south.example'),
    });
    expect([slug.status, slug.body.code]).toEqual([409, 'already-exists']);
    const email = await server.call('POST', '/api/v1/organizations', {
      body: newOrganization('south-2', 'OWNER@SOUTH.example'),
    });
    expect(email.status).toBe(201);
  });

  test('sending the same key again makes one organization; another body under it is refused', async () => {
    const headers = { 'idempotency-key': newId() };
    const body = newOrganization('once');
    const first = await server.call('POST', '/api/v1/organizations', { body, headers });
    const again = await server.call('POST', '/api/v1/organizations', { body, headers });
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    const other = await server.call('POST', '/api/v1/organizations', { body: newOrganization('twice'), headers });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-mismatch']);
  });

  test('pages through all of them, newest first, each once', async () => {
    const all = await server.call('GET', '/api/v1/organizations?limit=100');
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await server.call(
        'GET',
        `/api/v1/organizations?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      expect(page.status).toBe(200);
      seen.push(...page.body.data.map((organization: { id: string }) => organization.id));
      cursor = page.body.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(all.body.data.map((organization: { id: string }) => organization.id));
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('is nobody else: neither an admin of the first organization nor the owner of another', async () => {
    for (const as of [yard.admin.token, yard.stranger.token, yard.strangerKey]) {
      const made = await server.call('POST', '/api/v1/organizations', { as, body: newOrganization('mine') });
      expect(made.status).toBe(403);
      expect((await server.call('GET', '/api/v1/organizations', { as })).status).toBe(403);
      expect((await server.call('GET', `/api/v1/organizations/${newId()}`, { as })).status).toBe(403);
    }
  });

  test.each([
    ['a short password', { owner: { email: 'a@b.example', password: 'short' } }],
    ['no owner', { owner: undefined }],
    ['a bad slug', { slug: 'No Spaces' }],
    ['a bad e-mail', { owner: { email: 'nobody', password: PASSWORD } }],
    ['a role for the owner', { owner: { email: 'a@b.example', password: PASSWORD, role: 'owner' } }],
    ['a claim to operate the instance', { operates_instance: true }],
  ])('gets a clear 400 for %s', async (_what, change) => {
    const reply = await server.call('POST', '/api/v1/organizations', {
      body: { ...newOrganization('bad'), ...change },
    });
    expect(reply.status).toBe(400);
    expect(reply.text).not.toContain(PASSWORD);
  });
});

describe('lists', () => {
  test.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=1&limit=2',
    'unknown=1',
    'sort=name',
    'created_after=yesterday',
    'cursor=abc',
  ])('refuse ?%s', async (query) => {
    const reply = await server.call('GET', `/api/v1/users?${query}`, { as: yard.viewer.token });
    expect(reply.status).toBe(400);
  });

  test('take a cursor only from the same list, order, filter and tenant', async () => {
    const page = await server.call('GET', '/api/v1/users?limit=1', { as: yard.viewer.token });
    const { next_cursor: cursor } = page.body;
    expect(typeof cursor).toBe('string');
    const tries = [
      ['/api/v1/accounts?limit=1', yard.viewer.token],
      ['/api/v1/users?sort=created_at', yard.viewer.token],
      ['/api/v1/users?created_after=2020-01-01T00:00:00Z', yard.viewer.token],
      ['/api/v1/users?limit=1', yard.stranger.token],
    ] as const;
    for (const [path, as] of tries) {
      const reply = await server.call('GET', `${path}${path.includes('?') ? '&' : '?'}cursor=${cursor}`, { as });
      expect([path, reply.status, reply.body.code]).toEqual([path, 400, 'invalid-cursor']);
    }
    const next = await server.call('GET', `/api/v1/users?limit=2&cursor=${cursor}`, { as: yard.member.token });
    expect(next.status).toBe(200);
  });
});

describe('passwords', () => {
  test('verify only what was hashed, and never where there is no hash', async () => {
    const hash = await hashPassword(PASSWORD, 15);
    expect(hash).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$/);
    expect(hash).not.toContain(PASSWORD);
    expect(await hashPassword(PASSWORD, 15)).not.toBe(hash);
    expect(await verifyPassword(PASSWORD, hash, 15, 'sign-in')).toBe(true);
    expect(await verifyPassword(`${PASSWORD} `, hash, 15, 'sign-in')).toBe(false);
    expect(await verifyPassword(PASSWORD, null, 15, 'sign-in')).toBe(false);
    expect(await verifyPassword(PASSWORD, 'plain', 15, 'sign-in')).toBe(false);
    // A hash says how it was made, so that hashes of another cost stay good.
    expect(await verifyPassword(PASSWORD, hash, 10, 'sign-in')).toBe(true);
  });

  test('of callers who are authenticated wait for no sign-in', async () => {
    const hash = await hashPassword(PASSWORD, 12);
    const ended: string[] = [];
    const signIns = Array.from({ length: 20 }, () =>
      verifyPassword(PASSWORD, hash, 12, 'sign-in').then(() => ended.push('sign-in')),
    );
    const own = hashPassword(PASSWORD, 12).then(() => ended.push('authenticated'));
    await Promise.all([...signIns, own]);
    // Two sign-ins are worked on beside it, and no others go first.
    expect(ended.indexOf('authenticated')).toBeLessThan(10);
  });
});
