import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { throttledAddress } from '../../src/kernel/client-address.js';
import { SignInSweeper } from '../../src/modules/auth/sessions/sign-in-sweeper.js';
import { PASSWORD, key, makeYard, person, type Person, type Yard } from '../support/actors.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  await server.database.execute(sql`delete from login_throttles`);
});

let people = 0;
const newPerson = async (): Promise<Person> => person(server, `person-${(people += 1)}`, 'member');
const login = (email: string, password = PASSWORD): Promise<Reply> =>
  server.call('POST', '/api/v1/auth/login', { as: null, body: { email, password } });
const refresh = (token: unknown): Promise<Reply> =>
  server.call('POST', '/api/v1/auth/refresh', { as: null, body: { refresh_token: token } });
const me = (as: string): Promise<Reply> => server.call('GET', '/api/v1/me', { as });

/** As if the graces had passed: the database keeps this time, not the process. */
const age = (seconds: number): Promise<number> =>
  server.database.execute(sql`update refresh_tokens set spent_at = spent_at - make_interval(secs => ${seconds})`);

describe('signing in', () => {
  it('gives tokens that say who one is', async () => {
    const reply = await login(yard.member.email.toUpperCase());
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.stringMatching(/^tyr_[0-9A-Za-z]{49}$/),
      token_type: 'Bearer',
      expires_in: 900,
    });
    const self = await me(reply.body.access_token);
    expect(self.body).toMatchObject({
      kind: 'user',
      role: 'member',
      api_key: null,
      user: { id: yard.member.id, email: yard.member.email },
    });
    expect(self.body.permissions).toContain('task:create');
    expect(self.body.permissions).not.toContain('instance:operate');
    expect(self.body.teams).toHaveLength(2);
  });

  it('answers alike for a wrong password and a name that nobody has', async () => {
    const [wrong, unknown] = [await login(yard.member.email, 'not the password'), await login('nobody@first.example')];
    const { request_id: _one, ...first } = wrong.body;
    const { request_id: _two, ...second } = unknown.body;
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(first).toEqual(second);
    expect(first.code).toBe('invalid-credentials');
  });

  it('refuses bodies that are not a sign-in', async () => {
    const post = (body: unknown): Promise<Reply> => server.call('POST', '/api/v1/auth/login', { as: null, body });
    expect((await post({ email: 'a@b.example' })).status).toBe(400);
    expect((await post({ email: 'a@b.example', password: 7 })).status).toBe(400);
    expect((await post({ email: 'a@b.example', password: 'x', role: 'owner' })).status).toBe(400);
    expect((await post({ email: 'a\u0000@b.example', password: 'x' })).status).toBe(400);
    expect((await post(`{"email": "a@b.example", "password": "${'x'.repeat(70_000)}"}`)).status).toBe(413);
  });

  it('blocks an account for an address after ten failures, though the password is right, and says for how long', async () => {
    const { email } = await newPerson();
    const replies = await Promise.all(Array.from({ length: 10 }, () => login(email, 'a wrong password')));
    expect(replies.every((reply) => reply.status === 401 || reply.status === 429)).toBe(true);
    const blocked = await login(email);
    expect(blocked.status).toBe(429);
    expect(Number(blocked.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await login(yard.member.email)).status).toBe(200);
    await server.database.execute(
      sql`update login_throttles set blocked_until = clock_timestamp() where blocked_until is not null`,
    );
    expect((await login(email)).status).toBe(200);
    expect((await login(email, 'a wrong password')).status).toBe(401);
  }, 60_000);

  it('blocks an address that failed on many accounts', async () => {
    await login('nobody@first.example', 'wrong');
    await server.database.execute(sql`update login_throttles set failures = 99`);
    expect((await login('somebody@first.example', 'wrong')).status).toBe(401);
    expect((await login(yard.member.email)).status).toBe(429);
  });

  it('keeps no e-mail and no address in its counts', async () => {
    await login('readable@first.example', 'wrong');
    const rows = await server.database.rows<{ subject: Buffer }>(sql`select subject from login_throttles`);
    expect(rows).toHaveLength(3);
    expect(rows.every((row) => row.subject.length === 32)).toBe(true);
    await server.database.execute(
      sql`update login_throttles set window_started_at = clock_timestamp() - interval '2 days'`,
    );
    await server.app.get(SignInSweeper, { strict: false }).sweep();
    expect(await server.database.rows(sql`select 1 from login_throttles`)).toEqual([]);
  });

  it('counts one household of IPv6 as one address', () => {
    expect(throttledAddress('2001:db8:1:2:aaaa::1')).toBe(throttledAddress('2001:DB8:0001:2::ffff'));
    expect(throttledAddress('2001:db8:1:2::1')).not.toBe(throttledAddress('2001:db8:1:3::1'));
    expect(throttledAddress('::ffff:192.0.2.7')).toBe(throttledAddress('192.0.2.7'));
    expect(throttledAddress('::1')).toBe('0:0:0:0');
  });
});

describe('refreshing', () => {
  it('gives the next tokens, and the former access token keeps its time', async () => {
    const first = (await login((await newPerson()).email)).body;
    const second = await refresh(first.refresh_token);
    expect(second.status).toBe(200);
    expect(second.body.refresh_token).not.toBe(first.refresh_token);
    expect((await me(second.body.access_token)).status).toBe(200);
    expect((await me(first.access_token)).status).toBe(200);
    expect((await refresh(second.body.refresh_token)).status).toBe(200);
  });

  it('gives sixteen requests at once one and the same successor', async () => {
    const { refresh_token: token } = (await login((await newPerson()).email)).body;
    const replies = await Promise.all(Array.from({ length: 16 }, () => refresh(token)));
    expect(replies.map((reply) => reply.status)).toEqual(Array.from({ length: 16 }, () => 200));
    expect(new Set(replies.map((reply) => reply.body.refresh_token)).size).toBe(1);
    expect((await refresh(replies[0]?.body.refresh_token)).status).toBe(200);
  });

  it('ends the session when a spent token comes again, also when sixteen requests race', async () => {
    const first = (await login((await newPerson()).email)).body;
    const second = (await refresh(first.refresh_token)).body;
    await age(11);
    const replies = await Promise.all(Array.from({ length: 16 }, () => refresh(first.refresh_token)));
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([401]));
    expect((await refresh(second.refresh_token)).status).toBe(401);
    expect((await me(second.access_token)).status).toBe(401);
  });

  it('lets one of a thief and an owner win, and no more', async () => {
    const first = (await login((await newPerson()).email)).body;
    const thief = (await refresh(first.refresh_token)).body;
    await age(11);
    expect((await refresh(first.refresh_token)).status).toBe(401);
    expect((await refresh(thief.refresh_token)).status).toBe(401);
  });

  it('ends by idleness, by age, and with its user', async () => {
    const someone = await newPerson();
    const theirs = sql`select f.id from refresh_families f where f.user_id = ${someone.id}`;
    const idle = (await login(someone.email)).body;
    await server.database.execute(
      sql`update refresh_tokens set idle_expires_at = clock_timestamp() where family_id in (${theirs})`,
    );
    expect((await refresh(idle.refresh_token)).status).toBe(401);
    const old = (await login(someone.email)).body;
    await server.database.execute(
      sql`update refresh_families set expires_at = clock_timestamp() where id in (${theirs})`,
    );
    expect((await refresh(old.refresh_token)).status).toBe(401);
    const gone = await newPerson();
    const { refresh_token: token, access_token: access } = (await login(gone.email)).body;
    expect((await me(access)).status).toBe(200);
    expect((await server.call('DELETE', `/api/v1/users/${gone.id}`)).status).toBe(204);
    expect((await refresh(token)).status).toBe(401);
    expect((await me(access)).status).toBe(401);
    expect((await login(gone.email)).status).toBe(401);
  });

  it('lasts fourteen days unused and ninety in all', async () => {
    await login((await newPerson()).email);
    const [row] = await server.database.rows<{ idle: number; absolute: number }>(sql`
      select round(extract(epoch from t.idle_expires_at - t.created_at) / 86400)::int as idle,
        round(extract(epoch from f.expires_at - f.created_at) / 86400)::int as absolute
      from refresh_tokens t join refresh_families f on f.id = t.family_id order by t.created_at desc limit 1`);
    expect(row).toEqual({ idle: 14, absolute: 90 });
  });

  it('refuses what is no refresh token', async () => {
    const { access_token: access } = (await login((await newPerson()).email)).body;
    for (const token of ['', 'tyr_x', access, yard.strangerKey, `tyr_${'a'.repeat(49)}`]) {
      expect([400, 401]).toContain((await refresh(token)).status);
    }
    expect((await refresh(null)).status).toBe(400);
    expect((await refresh({ $ne: '' })).status).toBe(400);
  });

  it('stores no token that works', async () => {
    const first = (await login((await newPerson()).email)).body;
    const second = (await refresh(first.refresh_token)).body;
    const stored = JSON.stringify(await server.database.rows(sql`select t::text as t from refresh_tokens t`));
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    for (const token of [first.refresh_token, second.refresh_token]) {
      expect(stored).not.toContain(token);
      expect(stored).not.toContain(hex(token));
    }
  });
});

describe('signing out', () => {
  it('ends the session of the refresh token, its access tokens included', async () => {
    const tokens = (await login((await newPerson()).email)).body;
    expect((await me(tokens.access_token)).status).toBe(200);
    const body = { refresh_token: tokens.refresh_token };
    expect((await server.call('POST', '/api/v1/auth/logout', { as: null, body })).status).toBe(204);
    expect((await me(tokens.access_token)).status).toBe(401);
    expect((await refresh(tokens.refresh_token)).status).toBe(401);
    expect((await server.call('POST', '/api/v1/auth/logout', { as: null, body })).status).toBe(204);
  });

  it('ends the session of the access token, and no other of the same user', async () => {
    const { email } = await newPerson();
    const [one, other] = [(await login(email)).body, (await login(email)).body];
    expect((await server.call('POST', '/api/v1/auth/logout', { as: one.access_token })).status).toBe(204);
    expect((await me(one.access_token)).status).toBe(401);
    expect((await refresh(one.refresh_token)).status).toBe(401);
    expect((await me(other.access_token)).status).toBe(200);
  });

  it('wants to know which session', async () => {
    expect((await server.call('POST', '/api/v1/auth/logout', { as: null })).status).toBe(401);
    expect((await server.call('POST', '/api/v1/auth/logout')).status).toBe(401);
  });
});

describe('changing one’s password', () => {
  it('ends every session and leaves the new password', async () => {
    const { email } = await newPerson();
    const [one, other] = [(await login(email)).body, (await login(email)).body];
    const change = { current: PASSWORD, new: 'an entirely new password' };
    expect((await server.call('POST', '/api/v1/me/password', { as: one.access_token, body: change })).status).toBe(204);
    expect((await me(one.access_token)).status).toBe(401);
    expect((await me(other.access_token)).status).toBe(401);
    expect((await refresh(other.refresh_token)).status).toBe(401);
    expect((await login(email)).status).toBe(401);
    expect((await login(email, change.new)).status).toBe(200);
  });

  it('asks for the current one, a good new one, and a person', async () => {
    const post = (as: string, body: object): Promise<Reply> => server.call('POST', '/api/v1/me/password', { as, body });
    const wrong = await post(yard.viewer.token, { current: 'not the password', new: 'an entirely new password' });
    expect([wrong.status, wrong.body.errors[0].path]).toEqual([400, '/current']);
    expect((await post(yard.viewer.token, { current: PASSWORD, new: 'short' })).body.errors[0].path).toBe('/new');
    const bound = await key(server, { name: 'bound', role: 'member', user_id: yard.member.id });
    expect((await post(bound, { current: PASSWORD, new: 'an entirely new password' })).status).toBe(403);
    expect((await post(yard.strangerKey, { current: PASSWORD, new: 'an entirely new password' })).status).toBe(403);
  });
});

it('shows a changed role at once, without another sign-in', async () => {
  const someone = await newPerson();
  expect((await me(someone.token)).body.role).toBe('member');
  await server.call('PATCH', `/api/v1/users/${someone.id}`, { body: { role: 'viewer' } });
  expect((await me(someone.token)).body.role).toBe('viewer');
});
