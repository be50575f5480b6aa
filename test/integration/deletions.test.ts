import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import type { QueryRunner } from 'typeorm';
import { DeletableTeams1764000000031 } from '../../migrations/1764000000031-deletable-teams.js';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { key, makeYard, team, type Yard } from '../support/actors.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  await server.call('POST', '/api/v1/agents', { body: { slug: 'work', name: 'Work', kind: 'worker' } });
});
afterAll(() => server.stop());

const remove = (path: string): Promise<Reply> => server.call('DELETE', path);
const me = async (as: string): Promise<number> => (await server.call('GET', '/api/v1/me', { as })).status;

async function createTask(body: object): Promise<string> {
  const reply = await server.call('POST', '/api/v1/tasks', { body: { agent: 'work', prompt: 'Work.', ...body } });
  expect(reply.status).toBe(201);
  return reply.body.task.id;
}

async function createKey(body: object): Promise<{ id: string; text: string }> {
  const reply = await server.call('POST', '/api/v1/api-keys', { body });
  expect(reply.status).toBe(201);
  return { id: reply.body.id, text: reply.body.key };
}

test('a team, a project and an account are deleted once their tasks are deleted, before these are purged', async () => {
  const teamId = await team(server, 'short-lived');
  const project = await server.call('POST', '/api/v1/projects', { body: { name: 'Short' } });
  const [account, artist] = await Promise.all(
    ['customer', 'artist'].map((kind) => server.call('POST', '/api/v1/accounts', { body: { name: kind, kind } })),
  );
  const taskId = await createTask({
    team_id: teamId,
    visibility: 'team',
    project_id: project.body.id,
    account_id: account?.body.id,
    artist_account_id: artist?.body.id,
  });
  const paths = [
    `/api/v1/teams/${teamId}`,
    `/api/v1/projects/${project.body.id}`,
    `/api/v1/accounts/${account?.body.id}`,
    `/api/v1/accounts/${artist?.body.id}`,
  ];
  for (const path of paths) {
    const refused = await remove(path);
    expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
  }
  expect((await remove(`/api/v1/tasks/${taskId}`)).status).toBe(204);
  for (const path of paths) {
    expect((await remove(path)).status).toBe(204);
    expect((await server.call('GET', path)).status).toBe(404);
  }
});

test('a team is deleted although keys were limited to it that are revoked or expired', async () => {
  const teamId = await team(server, 'past-keys');
  const revoked = await createKey({ name: 'revoked', role: 'member', team_ids: [teamId] });
  const expired = await createKey({
    name: 'expired',
    role: 'member',
    team_ids: [teamId],
    expires_at: '2099-01-01T00:00:00Z',
  });
  await remove(`/api/v1/api-keys/${revoked.id}`);
  await server.database.execute(
    sql`update principals set expires_at = clock_timestamp() - interval '1 minute' where id = ${expired.id}`,
  );
  expect((await remove(`/api/v1/teams/${teamId}`)).status).toBe(204);
  expect([await me(revoked.text), await me(expired.text)]).toEqual([401, 401]);
  const kept = await server.database.rows(
    sql`select held_to_teams from api_keys where id in (${revoked.id}, ${expired.id})`,
  );
  expect(kept).toEqual([{ held_to_teams: true }, { held_to_teams: true }]);
});

test('a team with a working key of its own is deleted only with the key, where the caller asks for that', async () => {
  const teamId = await team(server, 'with-a-key');
  const limited = await createKey({ name: 'nightly "import"', role: 'member', team_ids: [teamId] });
  const refused = await remove(`/api/v1/teams/${teamId}`);
  expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
  expect(refused.body.detail).toContain('nightly "import"');
  expect(await me(limited.text)).toBe(200);
  expect((await remove(`/api/v1/teams/${teamId}?keys=keep`)).status).toBe(400);
  expect((await remove(`/api/v1/teams/${teamId}?keys=revoke`)).status).toBe(204);
  expect(await me(limited.text)).toBe(401);
  const told = await server.database.rows(
    sql`select detail from audit_events where action = 'api_key.delete' and object_id = ${limited.id}`,
  );
  expect(told).toEqual([{ detail: { team_id: teamId } }]);
});

test('a team is not deleted with a key that has more rights than the caller', async () => {
  const teamId = await team(server, 'with-an-owner');
  const limited = await createKey({ name: 'of an owner', role: 'admin', team_ids: [teamId] });
  await server.database.execute(sql`update principals set role = 'owner' where id = ${limited.id}`);
  const refused = await remove(`/api/v1/teams/${teamId}?keys=revoke`);
  expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
  expect((await server.call('GET', `/api/v1/teams/${teamId}`)).status).toBe(200);
});

test('a key of two teams goes on in the other when one is deleted, and sees no more than before', async () => {
  const [kept, gone] = [await team(server, 'kept'), await team(server, 'gone')];
  const as = await key(server, { name: 'of two', role: 'member', team_ids: [kept, gone] });
  const inKept = await createTask({ team_id: kept });
  const inRed = await createTask({ team_id: yard.teams.red });
  expect((await remove(`/api/v1/teams/${gone}`)).status).toBe(204);
  const shown = await server.call('GET', '/api/v1/me', { as });
  expect(shown.body.teams.map(({ id }: { id: string }) => id)).toEqual([kept]);
  const read = async (id: string): Promise<number> => (await server.call('GET', `/api/v1/tasks/${id}`, { as })).status;
  expect([await read(inKept), await read(inRed)]).toEqual([200, 404]);
});

test('a key that is limited to teams reaches nothing when its teams are gone, however they went', async () => {
  const teamId = await team(server, 'removed-by-hand');
  const user = { user_id: yard.member.id };
  const keys = [
    await createKey({ name: 'limited', role: 'member', team_ids: [teamId] }),
    await createKey({ name: 'limited and bound', role: 'member', team_ids: [teamId], ...user }),
    await createKey({ name: 'worker', role: 'worker', team_ids: [teamId] }),
  ];
  await expect(server.database.execute(sql`delete from teams where id = ${teamId}`)).rejects.toMatchObject({
    code: 'still-referenced',
  });
  await server.database.execute(sql`delete from api_key_teams where team_id = ${teamId}`);
  await server.database.execute(
    sql`update principals set epoch = epoch + 1 where id = any(${keys.map(({ id }) => id)})`,
  );
  for (const { text } of keys) {
    expect(await me(text)).toBe(401);
    expect((await server.call('GET', '/api/v1/tasks', { as: text })).status).toBe(401);
    const claim = await server.call('POST', '/api/v1/worker/claim', { as: text, body: { agents: ['work'], max: 1 } });
    expect(claim.status).toBe(401);
  }
});

test('a key that is created while its team is deleted is seen by the deletion', async () => {
  const teamId = await team(server, 'raced');
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  const principal = { id: newId(), name: 'created meanwhile' };
  await client.query('begin');
  await client.query('select 1 from teams where id = $1 for key share', [teamId]);
  const deletion = remove(`/api/v1/teams/${teamId}`);
  for (let isBlocked = false; !isBlocked;) {
    const blocked = await client.query(
      'select 1 from pg_locks l where not l.granted and pg_backend_pid() = any(pg_blocking_pids(l.pid))',
    );
    isBlocked = blocked.rows.length > 0;
  }
  await client.query(
    `with t as (select organization_id from teams where id = $1),
      p as (insert into principals (organization_id, id, kind, role) select organization_id, $2, 'api_key', 'member' from t)
      insert into api_keys (organization_id, id, name) select organization_id, $2, $3 from t`,
    [teamId, principal.id, principal.name],
  );
  await client.query(
    'insert into api_key_teams (organization_id, api_key_id, team_id) select organization_id, $2, id from teams where id = $1',
    [teamId, principal.id],
  );
  await client.query('commit');
  await client.end();
  const refused = await deletion;
  expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);
  expect(refused.body.detail).toContain(principal.name);
});

test('keys that were limited before the upgrade stay limited after it, and so do those made during it', async () => {
  const limited = await createKey({ name: 'before', role: 'member', team_ids: [yard.teams.red] });
  const open = await createKey({ name: 'open', role: 'member' });
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  const query = (text: string): Promise<unknown> => client.query(text);
  await query(`
    drop trigger teams_release on teams; drop trigger projects_release on projects; drop trigger accounts_release on accounts;
    drop trigger api_key_teams_hold on api_key_teams;
    drop function teams_release, projects_release, accounts_release, api_key_teams_hold;
    drop index api_key_teams_team; alter table api_keys drop column held_to_teams, drop column created_with`);
  await new DeletableTeams1764000000031().up({ query } as unknown as QueryRunner);
  await client.end();
  const held = sql`select id, held_to_teams from api_keys where id in (${limited.id}, ${open.id}) order by created_at`;
  expect(await server.database.rows(held)).toEqual([
    { id: limited.id, held_to_teams: true },
    { id: open.id, held_to_teams: false },
  ]);
  await server.database.execute(sql`
    insert into api_key_teams (organization_id, api_key_id, team_id) select organization_id, id, ${yard.teams.red} from api_keys
    where id = ${open.id}`);
  expect(await server.database.rows(held)).toMatchObject([{ held_to_teams: true }, { held_to_teams: true }]);
});
