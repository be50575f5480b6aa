import { createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Client } from 'pg';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { AuditTrail } from '../../src/infrastructure/audit-trail/audit-trail.js';
import { auditActionFromRoute } from '../../src/infrastructure/audit-trail/audit-action.js';
import { Log } from '../../src/kernel/log.js';
import { AuditChainWriter, ChainVerifier } from '../../src/modules/audit/index.js';
import { csvLine } from '../../src/modules/audit/audit-text.js';
import { AUDIT_EXAMPLE } from '../../src/modules/audit/audit.schema.js';
import { attackChain } from '../faults/audit-chain.js';
import { makeYard, PASSWORD, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, credentialHeaders, startServer, type TestServer } from '../support/server.js';

/** `npm run soak -- audit` has 100,000. */
const EVENTS = Number(process.env['FAULTS_AUDIT_EVENTS'] ?? 1_000);
const seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1_000_000));

let server: TestServer;
let yard: Yard;
let organizationId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api', AUDIT_RETENTION_DAYS: '30', WRONG_KEYS_PER_ADDRESS: '200' });
  yard = await makeYard(server);
  organizationId = (await server.call('GET', '/api/v1/me')).body.organization.id;
});

afterAll(() => server.stop());

interface Told {
  action: string;
  outcome: string;
  reason: string | null;
  object: { kind: string; id: string | null };
  actor: { kind: string; id: string | null; user_id: string | null; role: string | null };
  route: string | null;
  address: string | null;
  request_id: string | null;
  detail: Record<string, unknown>;
  seq: number | null;
}

async function told(query = '', as?: string): Promise<Told[]> {
  const reply = await server.call('GET', `/api/v1/audit-events?limit=100&${query}`, as === undefined ? {} : { as });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return reply.body.data;
}

async function sealAll(): Promise<void> {
  const unsealed = async (): Promise<number> =>
    (await server.database.row<{ count: number }>(sql`select count(*)::int as count from audit_unsealed`))?.count ?? 0;
  // The server's own sealer may be at it: then there is nothing left for this one.
  while ((await unsealed()) > 0) {
    await server.app.get(AuditChainWriter).sweep();
  }
}

const verifyChain = () => server.app.get(ChainVerifier).verify(organizationId);

const REFUSED = sql`select count(*)::int as count from audit_events where outcome = 'refused'`;

describe('the audit trail', () => {
  test('tells a change with who, what, from where and which fields, and no value of theirs', async () => {
    const made = await server.call('POST', '/api/v1/teams', {
      as: yard.admin.token,
      body: { name: 'Very Unusual Name', slug: 'unusual' },
    });
    const team: string = made.body.id;
    await server.call('PUT', `/api/v1/teams/${team}/members/${yard.member.id}`, {
      as: yard.admin.token,
      body: { role: 'viewer' },
    });
    await server.call('DELETE', `/api/v1/teams/${team}`, { as: yard.admin.token });
    const events = await told(`object=${team}&sort=created_at`);
    expect(events.map(({ action, outcome, detail }) => [action, outcome, detail])).toEqual([
      ['team.create', 'done', { fields: ['name', 'slug'] }],
      ['team.members.put', 'done', { user_id: yard.member.id, fields: ['role'] }],
      ['team.delete', 'done', {}],
    ]);
    expect(events[0]).toMatchObject({
      actor: { kind: 'user', id: yard.admin.id, user_id: yard.admin.id, role: 'admin' },
      address: '127.0.0.1',
      route: 'POST /api/v1/teams',
      request_id: made.headers.get('x-request-id'),
    });
    expect(JSON.stringify(events)).not.toContain('Unusual');
  });

  test('has the row and the change in one commit, and none for what a key of idempotency answers again', async () => {
    const body = { name: 'Twice', slug: 'twice' };
    const headers = { 'idempotency-key': 'audit-1' };
    const [first, second] = [
      await server.call('POST', '/api/v1/teams', { body, headers }),
      await server.call('POST', '/api/v1/teams', { body, headers }),
    ];
    expect([first.status, second.status, second.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true']);
    expect(await told(`object=${first.body.id}`)).toHaveLength(1);
    expect((await server.call('POST', '/api/v1/teams', { body })).status).toBe(409);
    expect(await told(`object=${first.body.id}`)).toHaveLength(1);
    await server.database.execute(
      sql`alter table audit_events add constraint closed check (action <> 'team.update') not valid`,
    );
    expect(
      (await server.call('PATCH', `/api/v1/teams/${first.body.id}`, { body: { name: 'Unrecorded' } })).status,
    ).toBeGreaterThanOrEqual(400);
    await server.database.execute(sql`alter table audit_events drop constraint closed`);
    expect((await server.call('GET', `/api/v1/teams/${first.body.id}`)).body.name).toBe('Twice');
  });

  test('tells who tried what and was refused: the first at once, the same again as a count', async () => {
    const tries = Array.from({ length: 20 }, () =>
      server.call('PUT', '/api/v1/secrets/API_TOKEN', { as: yard.member.token, body: { value: 'never stored' } }),
    );
    expect((await Promise.all(tries)).map(({ status }) => status)).toEqual(tries.map(() => 403));
    const refused = await told(`action=secret.put&outcome=refused&actor=${yard.member.id}`);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({
      object: { kind: 'secret', id: 'API_TOKEN' },
      reason: 'Your role does not allow this.',
    });
    expect(JSON.stringify(refused)).not.toContain('never stored');
    const task = await server.call('POST', '/api/v1/tasks', {
      as: yard.admin.token,
      body: { prompt: 'x', start: false, visibility: 'organization' },
    });
    expect((await server.call('DELETE', `/api/v1/tasks/${task.body.task.id}`, { as: yard.member.token })).status).toBe(
      403,
    );
    expect(await told(`object=${task.body.task.id}`)).toMatchObject([{ action: 'task.delete', outcome: 'refused' }]);
  });

  test('records a bounded number of refusals of one principal, however many ids it tries', async () => {
    const before = await server.database.row<{ count: number }>(REFUSED);
    for (let at = 0; at < 100; at += 1) {
      const id = `0198f0a0-0000-7000-8000-${String(at).padStart(12, '0')}`;
      const reply = await server.call('DELETE', `/api/v1/users/${id}`, { as: yard.outsider.token });
      expect(reply.status).toBe(403);
    }
    const after = await server.database.row<{ count: number }>(REFUSED);
    expect((after?.count ?? 0) - (before?.count ?? 0)).toBe(21);
  });

  test('tells sign-ins, refused ones and their ends', async () => {
    const login = (email: string, password: string) =>
      server.call('POST', '/api/v1/auth/login', { as: null, body: { email, password } });
    const session = (await login(yard.outsider.email, PASSWORD)).body;
    expect((await login(yard.outsider.email, 'wrong password here')).status).toBe(401);
    expect((await login('nobody@nowhere.example', 'wrong password here')).status).toBe(401);
    await server.call('POST', '/api/v1/auth/logout', { as: null, body: { refresh_token: session.refresh_token } });
    const ours = await told(`actor=${yard.outsider.id}&action=session.&sort=created_at`);
    expect(ours.slice(-3).map(({ action, outcome, reason, address }) => [action, outcome, reason, address])).toEqual([
      ['session.open', 'done', null, '127.0.0.1'],
      ['session.open', 'refused', 'wrong password, or disabled', '127.0.0.1'],
      ['session.end', 'done', 'logout', null],
    ]);
    const unknown = await told('action=session.open&outcome=refused');
    expect(unknown[0]).toMatchObject({ reason: 'unknown account', actor: { id: null, user_id: null } });
    expect(JSON.stringify(unknown)).not.toContain('nowhere.example');
  });

  test('tells a new password, and a secret that is deleted, by their ids', async () => {
    const change = { current: PASSWORD, new: 'another correct horse' };
    const as = yard.maintainer.token;
    expect((await server.call('POST', '/api/v1/me/password', { as, body: change })).status).toBe(204);
    expect(await told('action=user.password')).toMatchObject([{ object: { kind: 'user', id: yard.maintainer.id } }]);
    await server.call('PUT', '/api/v1/secrets/SHORT_LIVED', { body: { value: 'a value' } });
    expect((await server.call('DELETE', '/api/v1/secrets/SHORT_LIVED')).status).toBe(204);
    const kept = await told('object=SHORT_LIVED&sort=created_at');
    expect(kept.map(({ action }) => action)).toEqual(['secret.put', 'secret.delete']);
  });

  test('is filtered by actor, action, object and time, paged, and shown to admins of its own organisation alone', async () => {
    expect((await told(`actor=${yard.admin.id}&action=team.create`)).map(({ action }) => action)).toEqual([
      'team.create',
    ]);
    expect(new Set((await told('action=team.')).map(({ action }) => action.split('.')[0]))).toEqual(new Set(['team']));
    expect(await told('created_before=2020-01-01T00:00:00Z')).toEqual([]);
    const first = await server.call('GET', '/api/v1/audit-events?limit=3&object_kind=team');
    const next = await server.call(
      'GET',
      `/api/v1/audit-events?limit=3&object_kind=team&cursor=${first.body.next_cursor}`,
    );
    const ids = [...first.body.data, ...next.body.data].map(({ id }: { id: string }) => id);
    expect(new Set(ids).size).toBe(6);
    expect((await server.call('GET', '/api/v1/audit-events', { as: yard.member.token })).status).toBe(403);
    const strange = await told('', yard.strangerKey);
    expect(strange.every(({ route }) => route === null || !route.includes('team'))).toBe(true);
    for (const query of ['sort=updated_at', 'actor=nobody', 'outcome=maybe', 'who=me', 'limit=0']) {
      expect((await server.call('GET', `/api/v1/audit-events?${query}`)).status).toBe(400);
    }
  });

  test('is exported as NDJSON and as CSV that no spreadsheet runs', async () => {
    const plain = await fetch(`${server.url}/api/v1/audit-events/export?object_kind=team`, {
      headers: credentialHeaders(BOOTSTRAP_KEY),
    });
    expect(plain.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
    const lines = (await plain.text()).trim().split('\n');
    const events = lines.map((line) => JSON.parse(line));
    expect(events.length).toBeGreaterThan(5);
    expect(events.map(({ created_at }) => created_at)).toEqual(events.map(({ created_at }) => created_at).toSorted());
    const csv = await server.call('GET', '/api/v1/audit-events/export?format=csv&object_kind=team');
    expect(csv.headers.get('content-type')).toContain('text/csv');
    expect(csv.text.trim().split('\r\n')).toHaveLength(events.length + 1);
    expect(csv.text.split('\r\n')[0]).toMatch(/^seq,created_at,action,/);
    expect((await server.call('GET', '/api/v1/audit-events/export?format=xml')).status).toBe(400);
    const none = await server.call('GET', '/api/v1/audit-events/export?created_before=2020-01-01T00:00:00Z');
    expect([none.status, none.text]).toEqual([200, '']);
  });

  test('holds no cell that a spreadsheet takes for a formula, and breaks at no comma', () => {
    const line = csvLine({
      ...AUDIT_EXAMPLE,
      object: { kind: 'secret', id: '=cmd|"/c calc"!A1' },
      reason: 'one, "two"\nthree',
    });
    expect(line).toContain(`"'=cmd|""/c calc""!A1"`);
    expect(line).toContain('"one, ""two""\nthree"');
  });

  test('is told by words that follow from the route', () => {
    const deed = (method: string, route: string) =>
      auditActionFromRoute({ requestId: '', address: '', method, route, parameters: {}, named: 'n', fields: [] })
        .action;
    expect(deed('POST', '/api/v1/agents/:id/pause')).toBe('agent.pause');
    expect(deed('POST', '/api/v1/api-keys/:id/rotate')).toBe('api_key.rotate');
    expect(deed('POST', '/api/v1/me/password')).toBe('user.password');
    expect(deed('DELETE', '/api/tasks')).toBe('task.delete');
    expect(deed('DELETE', '/api/v1/task/:id')).toBe('task.delete');
    expect(deed('PUT', '/api/v1/projects/:id/shares/:team_id')).toBe('project.shares.put');
    expect(deed('GET', '/api/v1/agents/:id/signing-secret')).toBe('agent.signing_secret.read');
  });
});

describe('the chain', () => {
  test('is gapless and signed, and whoever has the public key can check its end', async () => {
    await sealAll();
    const report = await verifyChain();
    expect(report).toMatchObject({ problem: null, first: '1', last: String(report.verified) });
    const { body: head } = await server.call('GET', '/api/v1/audit-events/head');
    const text = ['taskyard-audit-head', head.organization_id, head.seq, head.link, head.signed_at].join('\n');
    const key = createPublicKey({ key: head.public_key, format: 'jwk' });
    expect(verify(null, Buffer.from(text), key, Buffer.from(head.signature, 'base64url'))).toBe(true);
    expect(BigInt(report.last)).toBeGreaterThanOrEqual(BigInt(head.seq));
    expect(
      await server.app.get(ChainVerifier).verify(organizationId, { seq: String(head.seq), link: head.link }),
    ).toMatchObject({ problem: null });
    expect(
      await server.app.get(ChainVerifier).verify(organizationId, { seq: String(head.seq), link: 'ff'.repeat(32) }),
    ).toMatchObject({
      problem: { kind: 'head-mismatch', seq: String(head.seq) },
    });
    expect(
      await server.app.get(ChainVerifier).verify(organizationId, { seq: '1000000', link: head.link }),
    ).toMatchObject({ problem: { kind: 'cut-short' } });
  });

  test.each(['audit_events', 'audit_seals'])(
    'is append-only: %s takes no update, delete or truncate',
    async (table) => {
      const client = new Client({ connectionString: server.databaseUrl });
      await client.connect();
      const column = table === 'audit_events' ? 'action' : 'seq';
      for (const statement of [
        `update ${table} set ${column} = ${column}`,
        `delete from ${table}`,
        `truncate ${table}`,
      ]) {
        await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
      }
      await client.end();
    },
  );

  test('seals in the order of commits: what a slow transaction tells is not overtaken, and not lost', async () => {
    const client = new Client({ connectionString: server.databaseUrl });
    await client.connect();
    await client.query('begin');
    await client.query('select pg_current_xact_id()');
    await server.call('PATCH', '/api/v1/organization', { body: { name: 'Meanwhile' } });
    await server.app.get(AuditChainWriter).sweep();
    expect((await told('action=organization.update'))[0]?.seq).toBeNull();
    expect(await verifyChain()).toMatchObject({ problem: null, waiting: expect.any(Number) });
    await client.query('commit');
    await client.end();
    await sealAll();
    expect((await told('action=organization.update'))[0]?.seq).toEqual(expect.any(Number));
    expect(await verifyChain()).toMatchObject({ problem: null, waiting: 0 });
  });

  test('its last end reaches the log too, where nothing follows within the minute', async () => {
    const info = jest.spyOn(server.app.get(Log), 'info');
    const change = async (name: string) => {
      expect((await server.call('PATCH', '/api/v1/organization', { body: { name } })).status).toBe(200);
      await sealAll();
    };
    const logged = () =>
      info.mock.calls.flatMap(([message, facts]) =>
        message === 'audit head' && facts?.['organization_id'] === organizationId ? [facts['seq']] : [],
      );
    server.clock.advance(60_000);
    await change('Told');
    await change('Not told yet');
    const end = String((await server.call('GET', '/api/v1/audit-events/head')).body.seq);
    server.clock.advance(60_000);
    for (let round = 0; round < 1_000 && logged().at(-1) !== end; round += 1) {
      await server.app.get(AuditChainWriter).sweep();
    }
    expect(logged().at(-1)).toBe(end);
    info.mockRestore();
  });

  test('loses its oldest events to retention, and is still verified from there on', async () => {
    await sealAll();
    const before = await verifyChain();
    const client = new Client({ connectionString: server.databaseUrl });
    await client.connect();
    // Time passes for the first five: only a superuser can make it, and the chain would tell; so they are sealed anew.
    await client.query(`begin; set local session_replication_role = replica`);
    await client.query(
      `update audit_events e set created_at = created_at - interval '31 days' from audit_seals s
      where s.organization_id = $1 and s.seq <= 5 and e.organization_id = s.organization_id and e.id = s.event_id`,
      [organizationId],
    );
    await client.query(
      `insert into audit_unsealed select organization_id, event_id, '3'::xid8 from audit_seals where organization_id = $1`,
      [organizationId],
    );
    await client.query(
      `update audit_unsealed u set transaction_id = e.transaction_id from audit_events e where e.id = u.event_id`,
    );
    await client.query(`delete from audit_seals where organization_id = $1`, [organizationId]);
    await client.query(`delete from audit_heads where organization_id = $1`, [organizationId]);
    await client.query('commit');
    await client.end();
    await sealAll();
    expect(await verifyChain()).toMatchObject({ problem: null, last: before.last });
    await server.app.get(AuditChainWriter).cutOld();
    const after = await verifyChain();
    expect(after).toMatchObject({ problem: null, last: before.last });
    expect(BigInt(after.first)).toBeGreaterThan(1n);
    await server.call('PATCH', '/api/v1/organization', { body: { name: 'Afterwards' } });
    await sealAll();
    expect(await verifyChain()).toMatchObject({ problem: null, first: after.first });
  });
});

test(
  `each of ${EVENTS} events, flipped, dropped, swapped, inserted or cut off by who has the whole database, is found out at its place (seed ${seed})`,
  async () => {
    const stranger: string = (await server.call('GET', '/api/v1/me', { as: yard.strangerKey })).body.organization.id;
    const scope = unsafelySystemScope(stranger, 'a test');
    const trail = server.app.get(AuditTrail);
    for (let at = 0; at < EVENTS; at += 100) {
      await server.database.transaction((tx) =>
        trail.record(
          tx,
          scope,
          Array.from({ length: 100 }, (_, index) => ({
            action: 'test.event',
            objectKind: 'test',
            objectId: `${at + index}`,
            detail: { at, names: ['a', 'b'] },
          })),
        ),
      );
    }
    await sealAll();
    const attacker = new Client({ connectionString: server.databaseUrl });
    await attacker.connect();
    const { tried, missed } = await attackChain({
      attacker,
      organizationId: stranger,
      seed,
      mutations: 60,
      verify: () => server.app.get(ChainVerifier).verify(stranger),
    });
    await attacker.end();
    expect({ seed, missed }).toEqual({ seed, missed: [] });
    expect(tried).toBeGreaterThan(50);
  },
  Math.max(240_000, EVENTS * 60),
);

describe('wrong keys from one address', () => {
  test('are told to wait, a thousand of them, while right ones still get in', async () => {
    const wrong = (index: number) => server.call('GET', '/api/v1/me', { as: `no-key-of-ours-${index}` });
    const statuses: number[] = [];
    for (let index = 0; index < 1_000; index += 100) {
      const replies = await Promise.all(Array.from({ length: 100 }, (_, offset) => wrong(index + offset)));
      statuses.push(...replies.map(({ status }) => status));
    }
    const count = (status: number) => statuses.filter((found) => found === status).length;
    expect([...new Set(statuses)].toSorted()).toEqual([401, 429]);
    expect(count(401)).toBeLessThanOrEqual(260);
    expect(count(429)).toBeGreaterThan(700);
    const last = await wrong(1_000);
    expect([last.status, Number(last.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await server.call('GET', '/api/v1/me')).status).toBe(200);
    server.clock.advance(600_000);
    expect((await wrong(1_001)).status).toBe(401);
  });
});
