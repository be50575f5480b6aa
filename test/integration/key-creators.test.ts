import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { makeYard, person, type Person, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, type Credential, type Reply, startServer, type TestServer } from '../support/server.js';

interface Key {
  id: string;
  text: string;
}

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});
afterAll(() => server.stop());

async function createKey(as: Credential, body: object = {}): Promise<Key> {
  const reply = await server.call('POST', '/api/v1/api-keys', { as, body: { name: 'made', role: 'member', ...body } });
  expect(reply.status).toBe(201);
  return { id: reply.body.id, text: reply.body.key };
}

async function works({ text }: Key): Promise<boolean> {
  return (await server.call('GET', '/api/v1/me', { as: text })).status === 200;
}

const listOf = async (creatorId: string): Promise<Reply> =>
  server.call('GET', `/api/v1/api-keys?limit=100&created_by=${creatorId}`);
const idsOf = (reply: Reply): string[] => reply.body.data.map(({ id }: { id: string }) => id);

/** Keys that an admin made, by themselves and by way of others; the last is not theirs. */
async function family(admin: Person): Promise<{ made: Key[]; other: Key }> {
  const own = await createKey(admin.token, { role: 'admin' });
  const bound = await createKey(admin.token, { role: 'admin', user_id: yard.admin.id });
  const byKey = await createKey(own.text, { role: 'worker' });
  const byBoundKey = await createKey(bound.text);
  return { made: [own, bound, byKey, byBoundKey], other: await createKey(yard.admin.token) };
}

const worksEach = (keys: readonly Key[]): Promise<boolean[]> => Promise.all(keys.map(works));

test('keys are listed by who created them', async () => {
  const admin = await person(server, 'lists', 'admin');
  const [first, second] = [await createKey(admin.token), await createKey(admin.token, { role: 'admin' })];
  const third = await createKey(second.text);
  expect(idsOf(await listOf(admin.id))).toEqual([second.id, first.id]);
  expect(idsOf(await listOf(second.id))).toEqual([third.id]);
  expect((await listOf(admin.id)).body.data[0].created_by).toBe(admin.id);
  const page = await server.call('GET', `/api/v1/api-keys?limit=1&created_by=${admin.id}`);
  const next = `/api/v1/api-keys?limit=1&cursor=${page.body.next_cursor}`;
  expect((await server.call('GET', next)).status).toBe(400);
  expect(idsOf(await server.call('GET', `${next}&created_by=${admin.id}`))).toEqual([first.id]);
  expect((await server.call('GET', '/api/v1/api-keys?created_by=me')).status).toBe(400);
});

test('the keys that a user created outlive the user, unless the caller says otherwise', async () => {
  const admin = await person(server, 'leaves', 'admin');
  const acting = await createKey(BOOTSTRAP_KEY, { user_id: admin.id });
  const { made } = await family(admin);
  expect((await server.call('DELETE', `/api/v1/users/${admin.id}?created_keys=keep`)).status).toBe(204);
  expect(await worksEach(made)).toEqual([true, true, true, true]);
  expect(await works(acting)).toBe(false);
  expect(idsOf(await listOf(admin.id))).toHaveLength(2);
});

test('the keys that a user created, and those created with them, end with the user where the caller asks for it', async () => {
  const admin = await person(server, 'ends', 'admin');
  const { made, other } = await family(admin);
  expect((await server.call('DELETE', `/api/v1/users/${admin.id}?created_keys=revoke`)).status).toBe(204);
  expect(await worksEach([...made, other])).toEqual([false, false, false, false, true]);
  const told = await server.database.rows<{ object_id: string }>(
    sql`select object_id from audit_events where action = 'api_key.delete' and detail ->> 'created_by' = ${admin.id} order by object_id`,
  );
  expect(told.map((row) => row.object_id)).toEqual(made.map(({ id }) => id).sort());
});

test('the keys that a user created end when the user is demoted, where the caller asks for it', async () => {
  const admin = await person(server, 'demoted', 'admin');
  const { made, other } = await family(admin);
  const demote = (body: object): Promise<Reply> => server.call('PATCH', `/api/v1/users/${admin.id}`, { body });
  expect((await demote({ role: 'member' })).status).toBe(200);
  expect(await worksEach(made)).toEqual([true, true, true, true]);
  const demoted = await demote({ role: 'viewer', created_keys: 'revoke' });
  expect([demoted.status, demoted.body.role]).toEqual([200, 'viewer']);
  expect(await worksEach([...made, other])).toEqual([false, false, false, false, true]);
});

test('a caller may end the key that the request is sent with, and does not end keys with more rights', async () => {
  const [admin, second] = [await person(server, 'own', 'admin'), await person(server, 'second', 'admin')];
  const own = await createKey(admin.token, { role: 'admin' });
  const above = await createKey(second.token, { role: 'admin' });
  await server.database.execute(sql`update principals set role = 'owner' where id = ${above.id}`);
  const refused = await server.call('DELETE', `/api/v1/users/${second.id}?created_keys=revoke`, { as: own.text });
  expect(refused.status).toBe(403);
  expect((await server.call('GET', `/api/v1/users/${second.id}`)).status).toBe(200);
  const ended = await server.call('DELETE', `/api/v1/users/${admin.id}?created_keys=revoke`, { as: own.text });
  expect(ended.status).toBe(204);
  expect(await works(own)).toBe(false);
});
