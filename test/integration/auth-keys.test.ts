import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { crc32 } from 'node:zlib';
import { sql } from '../../src/database/sql.js';
import { isRefreshToken, makeKey, makeRefreshToken, readKey } from '../../src/modules/auth/credentials/key-form.js';
import { KeyVerifier, type LookUpLane } from '../../src/modules/auth/credentials/key-verifier.js';
import { LastUsedTracker } from '../../src/modules/auth/credentials/last-used-tracker.js';
import { key, makeYard, PASSWORD, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

const me = (as: Credential, headers: Record<string, string> = {}): Promise<Reply> =>
  server.call('GET', '/api/v1/me', { as, headers });
const make = (body: object, as?: Credential): Promise<Reply> =>
  server.call('POST', '/api/v1/api-keys', { body, ...(as === undefined ? {} : { as }) });

describe('the form of a key', () => {
  it('is one word with a public id, 190 bits and a checksum, as published', () => {
    const { text, publicId } = makeKey('key');
    expect(text).toMatch(/^tyk_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/);
    expect(makeKey('worker').text).toMatch(/^tyw_/);
    expect(readKey(text)).toEqual({ form: 'ours', publicId });
    expect(crc32('123456789')).toBe(0xcbf43926);
  });

  it('is told from one with a letter wrong, without asking the database', () => {
    const { text } = makeKey('key');
    const at = 20;
    const other = text[at] === 'a' ? 'b' : 'a';
    expect(readKey(text.slice(0, at) + other + text.slice(at + 1))).toBeNull();
    expect(readKey(`${text}x`)).toBeNull();
    expect(readKey('tyk_short')).toBeNull();
    expect(isRefreshToken(makeRefreshToken())).toBe(true);
    expect(isRefreshToken(text)).toBe(false);
    expect(readKey(makeRefreshToken())).toBeNull();
  });
});

describe('a credential in a request', () => {
  it('is taken from each of the four headers', async () => {
    for (const header of ['api-key', 'apikey', 'x-api-key'] as const) {
      expect((await me({ header, value: yard.strangerKey })).status).toBe(200);
    }
    expect((await me(yard.strangerKey)).status).toBe(200);
    expect((await me({ header: 'authorization', value: `bearer ${yard.strangerKey}` })).status).toBe(200);
  });

  it('may stand in two headers where it is the same', async () => {
    expect((await me(yard.strangerKey, { 'api-key': yard.strangerKey })).status).toBe(200);
  });

  it('is refused beside another, in whichever headers', async () => {
    expect((await me(yard.strangerKey, { 'x-api-key': BOOTSTRAP_KEY })).status).toBe(401);
    expect((await me({ header: 'apikey', value: yard.strangerKey }, { 'api-key': BOOTSTRAP_KEY })).status).toBe(401);
    expect((await me(yard.admin.token, { 'api-key': BOOTSTRAP_KEY })).status).toBe(401);
    expect((await me(BOOTSTRAP_KEY, { 'api-key': '' })).status).toBe(401);
  });

  it('is never taken from the query or the body', async () => {
    const query = await server.call('GET', `/api/v1/me?access_token=${BOOTSTRAP_KEY}&api-key=${BOOTSTRAP_KEY}`, {
      as: null,
    });
    const body = await server.call('POST', '/api/v1/me/password', { as: null, body: { access_token: BOOTSTRAP_KEY } });
    expect([query.status, body.status]).toEqual([401, 401]);
  });

  it('gets the same 401 whatever is wrong with it', async () => {
    const { text } = makeKey('key');
    const wrongSecret = `${yard.strangerKey.slice(0, 17)}${text.slice(17)}`;
    const replies = await Promise.all(
      [
        null,
        text,
        wrongSecret,
        `${text.slice(0, -1)}_`,
        'x'.repeat(40),
        { header: 'authorization', value: 'Basic dXNlcjpwYXNz' } as const,
        { header: 'authorization', value: 'Bearer' } as const,
        { header: 'api-key', value: `a,${BOOTSTRAP_KEY}` } as const,
        { header: 'api-key', value: 'constructor' } as const,
      ].map((credential) => me(credential)),
    );
    for (const reply of replies) {
      const { request_id: _, ...problem } = reply.body;
      expect(reply.status).toBe(401);
      expect(reply.headers.get('www-authenticate')).toContain('Bearer');
      expect(problem).toEqual({ ...replies[0]?.body, request_id: undefined });
    }
  });
});

describe('making a key', () => {
  it('shows the secret once, and what it is afterwards', async () => {
    const made = await make({ name: 'import', role: 'member' });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/api/v1/api-keys/${made.body.id}`);
    expect(made.body.key.startsWith(`${made.body.prefix}_`)).toBe(true);
    expect(made.body.key.endsWith(made.body.last_four)).toBe(true);
    const shown = await server.call('GET', `/api/v1/api-keys/${made.body.id}`);
    expect(shown.body).toEqual({ ...made.body, key: undefined, note: undefined });
    const list = await server.call('GET', '/api/v1/api-keys?limit=1');
    expect(list.body.data).toEqual([shown.body]);
    expect(list.text).not.toContain(made.body.key);
    expect((await me(made.body.key)).body).toMatchObject({ kind: 'api_key', role: 'member', user: null, teams: [] });
  });

  it('leaves the secret out of a replay, and says so', async () => {
    const headers = { 'idempotency-key': 'make-once' };
    const body = { name: 'once', role: 'viewer' };
    const first = await server.call('POST', '/api/v1/api-keys', { body, headers });
    const second = await server.call('POST', '/api/v1/api-keys', { body, headers });
    expect(first.body.key).toEqual(expect.any(String));
    expect(second.status).toBe(201);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.body).toMatchObject({ id: first.body.id, key: null, note: expect.stringContaining('first reply') });
    const stored = await server.database.rows(sql`select body::text as body from idempotency_records`);
    expect(JSON.stringify(stored)).not.toContain(first.body.key);
  });

  it('stores no secret', async () => {
    const made = await make({ name: 'hidden', role: 'viewer' });
    const secret = made.body.key.slice(17);
    const rows = await server.database.rows(sql`select s::text as s, k::text as k from api_key_secrets s, api_keys k`);
    expect(JSON.stringify(rows)).not.toContain(secret);
  });

  it('is refused above one’s own role', async () => {
    expect((await make({ name: 'up', role: 'owner' })).status).toBe(403);
    expect((await make({ name: 'up', role: 'viewer' }, yard.member.token)).status).toBe(403);
    expect((await make({ name: 'up', role: 'admin' }, await key(server, { name: 'm', role: 'member' }))).status).toBe(
      403,
    );
    expect((await make({ name: 'own', role: 'owner' }, yard.stranger.token)).status).toBe(201);
  });

  it('refuses what does not exist, is foreign, past or unknown', async () => {
    const ghost = '01990f2e-6c1a-7b55-9d2c-0f6a4f1f2b10';
    for (const [wrong, path] of [
      [{ user_id: ghost }, '/user_id'],
      [{ user_id: yard.stranger.id }, '/user_id'],
      [{ user_id: 'nobody' }, '/user_id'],
      [{ team_ids: [ghost] }, '/team_ids'],
      [{ team_ids: [] }, '/team_ids'],
      [{ team_ids: [yard.teams.red, yard.teams.red] }, '/team_ids'],
      [{ agent_ids: [ghost] }, '/agent_ids'],
      [{ expires_at: '2001-01-01T00:00:00Z' }, '/expires_at'],
      [{ expires_at: 'tomorrow' }, '/expires_at'],
      [{ is_bootstrap: true }, '/is_bootstrap'],
      [{ name: '' }, '/name'],
      [{ role: 'god' }, '/role'],
    ] as const) {
      const reply = await make({ name: 'x', role: 'member', ...wrong });
      expect([wrong, reply.status]).toEqual([wrong, 400]);
      expect(reply.body.errors[0].path).toBe(path);
    }
  });
});

describe('what a key may', () => {
  it('is at most what its user may, live', async () => {
    const bound = await key(server, { name: 'bound', role: 'admin', user_id: yard.viewer.id });
    expect((await me(bound)).body).toMatchObject({ role: 'viewer', user: { id: yard.viewer.id } });
    const teams = (await me(bound)).body.teams.map((team: { id: string }) => team.id).sort();
    expect(teams).toEqual([yard.teams.green, yard.teams.red].sort());
    const cut = await key(server, {
      name: 'cut',
      role: 'member',
      user_id: yard.member.id,
      team_ids: [yard.teams.blue],
    });
    expect((await me(cut)).body.teams).toEqual([expect.objectContaining({ id: yard.teams.blue, role: 'member' })]);
    const removed = await server.call('DELETE', `/api/v1/teams/${yard.teams.blue}/members/${yard.member.id}`);
    expect(removed.status).toBe(204);
    expect((await me(cut)).body.teams).toEqual([]);
    await server.call('PUT', `/api/v1/teams/${yard.teams.blue}/members/${yard.member.id}`, {
      body: { role: 'member' },
    });
    expect((await make({ name: 'w', role: 'worker', user_id: yard.member.id })).body.errors[0].path).toBe('/role');
  });

  it('is held to its teams, as maintainer and at most as a member', async () => {
    const held = await me(await key(server, { name: 'held', role: 'admin', team_ids: [yard.teams.red] }));
    expect(held.body).toMatchObject({ role: 'member', teams: [{ id: yard.teams.red, role: 'maintainer' }] });
    const viewing = await me(await key(server, { name: 'held', role: 'viewer', team_ids: [yard.teams.red] }));
    expect(viewing.body).toMatchObject({ role: 'viewer', teams: [{ id: yard.teams.red, role: 'viewer' }] });
  });

  it('ends when it expires', async () => {
    const made = await make({
      name: 'brief',
      role: 'viewer',
      expires_at: new Date(server.clock.nowMs() + 3_600_000).toISOString(),
    });
    expect((await me(made.body.key)).status).toBe(200);
    await server.database.execute(sql`update principals set expires_at = clock_timestamp() where id = ${made.body.id}`);
    expect((await me(made.body.key)).status).toBe(401);
  });
});

describe('ending a key', () => {
  it('holds on the very next request, whatever is cached', async () => {
    const made = await make({ name: 'doomed', role: 'viewer' });
    expect((await me(made.body.key)).status).toBe(200);
    expect((await server.call('DELETE', `/api/v1/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await me(made.body.key)).status).toBe(401);
    expect((await server.call('GET', `/api/v1/api-keys/${made.body.id}`)).status).toBe(404);
    expect((await server.call('DELETE', `/api/v1/api-keys/${made.body.id}`)).status).toBe(404);
  });

  it('is refused for one that has more rights, and unknown across organisations', async () => {
    const owners = await make({ name: 'own', role: 'owner' }, yard.stranger.token);
    expect((await server.call('DELETE', `/api/v1/api-keys/${owners.body.id}`, { as: yard.strangerKey })).status).toBe(
      403,
    );
    expect(
      (await server.call('POST', `/api/v1/api-keys/${owners.body.id}/rotate`, { as: yard.strangerKey })).status,
    ).toBe(403);
    expect((await server.call('GET', `/api/v1/api-keys/${owners.body.id}`)).status).toBe(404);
    expect((await server.call('DELETE', `/api/v1/api-keys/${owners.body.id}`)).status).toBe(404);
    expect((await server.call('GET', '/api/v1/api-keys/not-an-id')).status).toBe(404);
  });

  it('by an admin does not reach the key that operates the instance', async () => {
    const list = await server.call('GET', '/api/v1/api-keys?sort=created_at');
    const bootstrap = list.body.data.find((item: { name: string }) => item.name === 'bootstrap');
    expect(
      (await server.call('POST', `/api/v1/api-keys/${bootstrap.id}/rotate`, { as: yard.admin.token })).status,
    ).toBe(403);
    expect((await server.call('DELETE', `/api/v1/api-keys/${bootstrap.id}`, { as: yard.admin.token })).status).toBe(
      403,
    );
    expect((await server.call('POST', `/api/v1/api-keys/${bootstrap.id}/rotate`)).status).toBe(409);
  });
});

describe('rotating a key', () => {
  it('ends the old secret at once without an overlap', async () => {
    const made = await make({ name: 'turn', role: 'viewer' });
    expect((await me(made.body.key)).status).toBe(200);
    const rotated = await server.call('POST', `/api/v1/api-keys/${made.body.id}/rotate`);
    expect(rotated.status).toBe(200);
    expect(rotated.body.id).toBe(made.body.id);
    expect((await me(made.body.key)).status).toBe(401);
    expect((await me(rotated.body.key)).status).toBe(200);
  });

  it('keeps the old secret through the overlap and not beyond', async () => {
    const made = await make({ name: 'overlap', role: 'worker' });
    const rotated = await server.call('POST', `/api/v1/api-keys/${made.body.id}/rotate`, {
      body: { overlap_seconds: 3600 },
    });
    expect(rotated.body.secrets).toHaveLength(2);
    expect((await me(made.body.key)).status).toBe(200);
    expect((await me(rotated.body.key)).status).toBe(200);
    await server.database.execute(sql`
      update api_key_secrets set expires_at = clock_timestamp() where api_key_id = ${made.body.id} and expires_at is not null`);
    server.clock.advance(6_000);
    expect((await me(made.body.key)).status).toBe(401);
    expect((await me(rotated.body.key)).status).toBe(200);
  });

  it('works for a key that rotates itself', async () => {
    const made = await make({ name: 'self', role: 'admin' });
    const rotated = await server.call('POST', `/api/v1/api-keys/${made.body.id}/rotate`, { as: made.body.key });
    expect(rotated.status).toBe(200);
    expect((await me(rotated.body.key)).status).toBe(200);
    expect((await me(made.body.key)).status).toBe(401);
  });
});

it('notes when a key was last used', async () => {
  const made = await make({ name: 'used', role: 'viewer' });
  expect((await server.call('GET', `/api/v1/api-keys/${made.body.id}`)).body.last_used_at).toBeNull();
  await me(made.body.key);
  await server.app.get(LastUsedTracker, { strict: false }).flush();
  expect((await server.call('GET', `/api/v1/api-keys/${made.body.id}`)).body.last_used_at).toEqual(expect.any(String));
});

/** How often each statement ran meanwhile: the look-up of a key, and what `/me` reads. The process has other work of its own. */
async function statements(work: () => Promise<unknown>): Promise<{ lookUps: number; reads: number }> {
  const seen: string[] = [];
  const observe = (text: string): void => void seen.push(text);
  server.database.observers.add(observe);
  await work();
  server.database.observers.delete(observe);
  const count = (word: string): number => seen.filter((text) => text.includes(word)).length;
  return { lookUps: count('from api_key_secrets s'), reads: count('display_name') };
}

it('finds a key in one round trip, and a remembered one in none of its own', async () => {
  const made = await make({ name: 'counted', role: 'viewer' });
  expect(await statements(() => me(made.body.key))).toEqual({ lookUps: 1, reads: 1 });
  expect(await statements(() => me(made.body.key))).toEqual({ lookUps: 0, reads: 1 });
});

it('asks the database for no key whose checksum is wrong', async () => {
  const { text } = makeKey('key');
  const last = text.endsWith('0') ? '1' : '0';
  expect(await statements(() => me(text.slice(0, -1) + last))).toEqual({ lookUps: 0, reads: 0 });
  expect(await statements(() => me(text))).toEqual({ lookUps: 1, reads: 0 });
});

describe('wrong keys of a stranger', () => {
  it('are looked up together, by one statement for those that come together, and are then known to be unknown', async () => {
    const verifier = server.app.get(KeyVerifier);
    const right = (await make({ name: 'among wrong ones', role: 'viewer' })).body.key;
    const wrong = Array.from({ length: 150 }, () => makeKey('key').text);
    const verifyAll = async (lane: LookUpLane): Promise<boolean[]> => {
      const found = await Promise.all([...wrong, right].map((text) => verifier.verify(text, lane)));
      return found.map((one) => one !== null);
    };
    const expected = [...wrong.map(() => false), true];
    const results: boolean[][] = [];
    const { lookUps } = await statements(async () => void results.push(await verifyAll('throttled')));
    const again = await statements(async () => void results.push(await verifyAll('ordinary')));
    expect(results).toEqual([expected, expected]);
    expect([lookUps, again.lookUps]).toEqual([1, 1]);
    const lost = await statements(async () => {
      await verifier.verify(wrong[0] ?? '');
    });
    expect(lost.lookUps).toBe(0);
  });

  it('lock out nobody else at the same address: fresh keys and tokens get in while they go on', async () => {
    const throttled = await startServer({ WRONG_KEYS_PER_ADDRESS: '10' });
    try {
      const others = await makeYard(throttled);
      const fresh: string[] = [];
      for (let at = 0; at < 20; at += 1) fresh.push(await key(throttled, { name: `fresh ${at}`, role: 'viewer' }));
      const ask = async (as: string): Promise<number> => (await throttled.call('GET', '/api/v1/me', { as })).status;
      const wrong = (): Promise<number> => ask(makeKey('key').text);
      for (let at = 0; at < 12; at += 1) await wrong();
      expect(await wrong()).toBe(429);
      const flood = Array.from({ length: 200 }, wrong);
      const right = [...fresh, others.member.token].map(ask);
      expect(await Promise.all(right)).toEqual(right.map(() => 200));
      expect(new Set(await Promise.all(flood))).toEqual(new Set([429]));
    } finally {
      await throttled.stop();
    }
  });
});

describe('a credential in another place', () => {
  it('is none: a token that is remembered from its own header is no key', async () => {
    const { token } = yard.member;
    expect((await me(token)).status).toBe(200);
    for (const header of ['api-key', 'apikey', 'x-api-key'] as const) {
      expect((await me({ header, value: token })).status).toBe(401);
    }
  });
});

describe('a key that is bound to somebody above', () => {
  it('is neither rotated nor revoked by an admin, who would become them', async () => {
    const owner = await server.call('POST', '/api/v1/users', {
      as: yard.stranger.token,
      body: { email: 'second-owner@elsewhere.example', display_name: 'Second', role: 'owner', password: PASSWORD },
    });
    expect(owner.status).toBe(201);
    const bound = await make({ name: 'of the owner', role: 'admin', user_id: owner.body.id }, yard.stranger.token);
    expect(bound.status).toBe(201);
    const path = `/api/v1/api-keys/${bound.body.id}`;
    expect((await server.call('POST', `${path}/rotate`, { as: yard.strangerKey })).status).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.strangerKey })).status).toBe(403);
    expect((await server.call('DELETE', path, { as: yard.stranger.token })).status).toBe(204);
  });
});
