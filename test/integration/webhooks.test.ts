/** Being told: what is sent to webhooks and callbacks, how it is signed, and what becomes of it where the receiver will not have it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { EventBus, OUTBOX_TOPIC } from '../../src/infrastructure/event-bus/event-bus.js';
import { DeliverySweeper } from '../../src/modules/webhooks/dispatch/delivery-sweeper.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { isGenuine, Receiver, type Received } from '../support/receiver.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

const V1 = '/api/v1';
const EVERY_RUN_EVENT = ['run.started', 'run.waiting', 'run.completed', 'run.failed', 'run.canceled'];

let server: TestServer;
let receiver: Receiver;
let agent: AgentAtWork;

beforeAll(async () => {
  [server, receiver] = await Promise.all([
    startServer({ EGRESS_ALLOW_CIDRS: '127.0.0.1/32', EGRESS_MEMBER_ALLOW_CIDRS: '127.0.0.1/32' }),
    Receiver.start(),
  ]);
  agent = await AgentAtWork.make(server, 'told', { max_attempts: 1 });
});

afterAll(async () => {
  await server.stop();
  await receiver.stop();
});

let place = 0;
let path = '';
/** Of each test its own path, so that none sees another's. */
beforeEach(() => {
  place += 1;
  path = `/hook-${place}`;
  receiver.answer = (_received, response) => response.writeHead(204).end();
});

async function hook(events: string[], more: object = {}): Promise<Reply['body']> {
  const made = await server.call('POST', `${V1}/webhooks`, {
    body: { url: `${receiver.url}${path}`, events, ...more },
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return made.body;
}

async function unhook(id: string): Promise<void> {
  expect((await server.call('DELETE', `${V1}/webhooks/${id}`)).status).toBe(204);
}

/** What comes at this test's path, once there are so many. */
async function received(count: number): Promise<Received[]> {
  await receiver.until(() => receiver.at(path).length >= count);
  return receiver.at(path);
}

async function deliveries(query: string): Promise<Reply['body'][]> {
  return (await server.call('GET', `${V1}/deliveries?limit=100&${query}`)).body.data;
}

/** Looks until the ledger says so: what was received is written down a moment later. */
async function settled(query: string, holds: (rows: Reply['body'][]) => boolean): Promise<Reply['body'][]> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const rows = await deliveries(query);
    if (holds(rows)) return rows;
    if (Date.now() > deadline) throw new Error(`the ledger says ${JSON.stringify(rows)}`);
  }
}

/** All that waits for a moment waits no more. */
async function timePasses(): Promise<void> {
  await server.database.execute(sql`update delivery_lanes set paused_until = '-infinity'`);
  await server.database.execute(sql`update delivery_hosts set open_until = '-infinity'`);
  await server.database.execute(
    sql`update deliveries set next_attempt_at = clock_timestamp() where status = 'pending'`,
  );
  server.app.get(EventBus).publish(OUTBOX_TOPIC);
}

async function work(more: object = {}): Promise<{ taskId: string; runId: string }> {
  const made = await agent.task(more);
  const claimed = await agent.claim();
  await agent.act(claimed, 'events', { events: [{ type: 'log', data: { text: 'one\ntwo' } }] });
  expect((await agent.act(claimed, 'complete', { output: { answer: 42 } })).status).toBe(200);
  return made;
}

describe('a webhook', () => {
  test('is told of each event it asked for, of no other, in one shape, in order, and signed for the library as it stands', async () => {
    const { id, secret } = await hook(['task.created', 'run.started', 'run.completed', 'task.deleted']);
    const { taskId, runId } = await work({ title: 'Tell me', metadata: { mine: 1 } });
    await server.call('DELETE', `${V1}/tasks/${taskId}`);
    const got = await received(4);
    const inOrder = [...got].sort((left, right) => left.body.order_key - right.body.order_key);
    expect(inOrder.map(({ body }) => [body.type, body.data.task.id, body.data.run?.id ?? null])).toEqual([
      ['task.created', taskId, null],
      ['run.started', taskId, runId],
      ['run.completed', taskId, runId],
      ['task.deleted', taskId, null],
    ]);
    expect(inOrder[2]?.body).toMatchObject({
      payload_version: 1,
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      data: {
        task: { title: 'Tell me', status: 'completed', metadata: { mine: 1 } },
        run: { status: 'completed', output: { answer: 42 }, error: null, number: 1, attempt: 1 },
      },
    });
    expect(inOrder[1]?.body.data).toMatchObject({
      task: { status: 'running' },
      run: { status: 'running', output: null },
    });
    for (const one of got) {
      expect([isGenuine(secret, one), isGenuine(`whsec_${Buffer.alloc(32).toString('base64')}`, one)]).toEqual([
        true,
        false,
      ]);
      expect(one.headers).toMatchObject({
        'content-type': 'application/json',
        'taskyard-order-key': String(one.body.order_key),
        'taskyard-payload-version': '1',
        'taskyard-attempt': '1',
      });
      expect(isGenuine(secret, { ...one, text: one.text.replace('task', 'tosk') })).toBe(false);
    }
    expect(new Set(got.map((one) => one.id)).size).toBe(4);
    expect(
      await settled(`webhook_id=${id}`, (rows) => rows.every(({ status }) => status === 'delivered')),
    ).toHaveLength(4);
    await unhook(id);
  });

  test('is not told of what was undone, nor of other organisations', async () => {
    const { id } = await hook(['task.created', 'run.canceled']);
    const other = await server.call('POST', `${V1}/organizations`, {
      body: { name: 'Other', slug: 'other', owner: { email: 'o@other.example', password: 'correct horse battery' } },
    });
    const login = await server.call('POST', `${V1}/auth/login`, {
      as: null,
      body: { email: 'o@other.example', password: 'correct horse battery' },
    });
    const theirs = await server.call('POST', `${V1}/tasks`, {
      as: login.body.access_token,
      body: { prompt: 'x', start: false },
    });
    expect([other.status, theirs.status]).toEqual([201, 201]);
    await expect(
      server.database.transaction(async (tx) => {
        await tx.execute(sql`insert into tasks (organization_id, id, title, prompt, agent_id, visibility, created_by)
          select organization_id, gen_random_uuid(), 'undone', 'undone', agent_id, 'private', created_by from tasks limit 1`);
        expect(await tx.row(sql`select 1 from outbox_messages where body like '%undone%'`)).not.toBeNull();
        throw new Error('undone');
      }),
    ).rejects.toThrow();
    const { runId } = await agent.task();
    await server.call('POST', `${V1}/runs/${runId}/cancel`, { body: {} });
    const got = await received(2);
    expect(got.map(({ body }) => body.type).sort()).toEqual(['run.canceled', 'task.created']);
    expect(await deliveries(`webhook_id=${id}`)).toHaveLength(2);
    await unhook(id);
  });

  test('is told when a run waits, fails, and when a schedule is paused or an asset ready', async () => {
    const { id } = await hook([...EVERY_RUN_EVENT, 'schedule.paused', 'asset.ready']);
    const { taskId } = await agent.task({ schedule: { cron: '0 0 1 1 *' }, start: true });
    const claimed = await agent.claim();
    await agent.act(claimed, 'ask', { question: 'Well?' });
    await server.call('PATCH', `${V1}/tasks/${taskId}`, { body: { schedule: { enabled: false } } });
    await server.database
      .execute(sql`insert into assets (organization_id, id, task_id, run_id, name, type, content_type, size_bytes, sha256, status)
      select r.organization_id, gen_random_uuid(), r.task_id, r.id, 'a.png', 'image', 'image/png', 3, ${'a'.repeat(64)}, 'ready'
      from runs r where r.id = ${claimed.runId}`);
    await server.call('POST', `${V1}/runs/${claimed.runId}/cancel`, { body: {} });
    const second = await agent.task();
    await agent.act(await agent.claim(), 'fail', { error: { name: 'Bad', message: 'It is bad.' }, retry: false });
    const got = await received(7);
    const told = (type: string): Received[] => got.filter(({ body }) => body.type === type);
    expect(got.map(({ body }) => body.type).sort()).toEqual(
      [
        'asset.ready',
        'run.canceled',
        'run.failed',
        'run.started',
        'run.started',
        'run.waiting',
        'schedule.paused',
      ].sort(),
    );
    expect(told('run.failed')[0]?.body.data.run).toMatchObject({
      id: second.runId,
      error: { name: 'Bad' },
      status: 'failed',
    });
    expect(told('asset.ready')[0]?.body.data).toMatchObject({
      asset: { name: 'a.png', size: 3 },
      run: { id: claimed.runId },
    });
    expect(told('schedule.paused')[0]?.body.data).toMatchObject({
      schedule: { task_id: taskId },
      task: { id: taskId },
    });
    await unhook(id);
  });

  test('gets a test event by the same way; one that is turned off is sent nothing', async () => {
    const { id, secret } = await hook(['task.deleted']);
    const sent = await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    expect([sent.status, sent.headers.get('location')]).toEqual([202, `${V1}/deliveries/${sent.body.id}`]);
    const [one] = await received(1);
    expect([one?.body.type, one?.id, one !== undefined && isGenuine(secret, one)]).toEqual([
      'webhook.test',
      sent.body.message_id,
      true,
    ]);
    await server.call('PATCH', `${V1}/webhooks/${id}`, { body: { enabled: false } });
    expect((await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} })).status).toBe(409);
    const { taskId } = await agent.task({ start: false });
    await server.call('DELETE', `${V1}/tasks/${taskId}`);
    expect(await deliveries(`webhook_id=${id}`)).toHaveLength(1);
    await unhook(id);
  });

  test('has two signatures for a day after its secret was changed, and only one where it was pointed elsewhere', async () => {
    const { id, secret } = await hook(['task.deleted']);
    const rotated = await server.call('POST', `${V1}/webhooks/${id}/rotate-secret`, { body: {} });
    await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    const [one] = await received(1);
    expect(one?.headers['webhook-signature']).toMatch(/^v1,\S{44} v1,\S{44}$/);
    expect([secret, rotated.body.secret].map((known) => isGenuine(known, one as Received))).toEqual([true, true]);
    await settled(`webhook_id=${id}`, (rows) => rows.every(({ status }) => status === 'delivered'));

    await server.database.execute(
      sql`update signing_secrets set expires_at = clock_timestamp() where expires_at is not null`,
    );
    await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    const two = (await received(2))[1] as Received;
    expect([secret, rotated.body.secret].map((known) => isGenuine(known, two))).toEqual([false, true]);
    await settled(`webhook_id=${id}`, (rows) => rows.every(({ status }) => status === 'delivered'));

    const other = await Receiver.start();
    const moved = await server.call('PATCH', `${V1}/webhooks/${id}`, { body: { url: `${other.url}/moved` } });
    expect(moved.body).toMatchObject({ url: `${other.url}/moved`, secret: expect.stringMatching(/^whsec_/) });
    await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    await other.until(() => other.received.length === 1);
    expect(
      [rotated.body.secret, moved.body.secret].map((known) => isGenuine(known, other.received[0] as Received)),
    ).toEqual([false, true]);
    const shown = await server.call('GET', `${V1}/webhooks/${id}`);
    expect([shown.body.secret, shown.text.includes('whsec_')]).toEqual([undefined, false]);
    await unhook(id);
    await other.stop();
    const stored = await server.database.rows<{ sealed: Buffer }>(sql`select sealed from signing_secrets`);
    expect(stored.filter(({ sealed }) => sealed.includes(Buffer.from(secret.slice(6), 'base64')))).toEqual([]);
  });
});

describe('a callback', () => {
  test('is the task as its page shows it, with the run, once for each root run, under the secret of callbacks', async () => {
    const { body: made } = await server.call('POST', `${V1}/callback-secret/rotate`, { body: {} });
    const { taskId, runId } = await work({ title: 'Call me', callback: `${receiver.url}${path}` });
    const [one] = await received(1);
    const page = (await server.call('GET', `${V1}/task/${taskId}`)).body;
    expect(one?.body).toEqual({ ...page, runId });
    expect(page).toMatchObject({
      callback: `${receiver.url}${path}`,
      logs: ['one\ntwo'],
      output: { answer: 42 },
      status: 'complete',
    });
    expect(isGenuine(made.secret, one as Received)).toBe(true);
    expect((await server.call('GET', `${V1}/callback-secret`)).body).toEqual({
      created_at: made.created_at,
      last_four: made.secret.slice(-4),
    });

    await server.call('POST', `${V1}/tasks/${taskId}/runs`, { body: {} });
    const parent = await agent.claim();
    await agent.act(parent, 'children', { runs: [{ agent: agent.slug }], wait: false });
    await agent.act(await agent.claim(), 'complete', { output: { child: true } });
    await agent.act(parent, 'complete', { output: { again: true } });
    const both = await received(2);
    expect(both.map(({ body }) => [body.runId, body.output])).toEqual([
      [runId, { answer: 42 }],
      [parent.runId, { again: true }],
    ]);
    const rows = await settled(`task_id=${taskId}`, (found) => found.every(({ status }) => status === 'delivered'));
    expect(rows.map(({ kind, webhook_id, type }) => [kind, webhook_id, type])).toEqual([
      ['callback', null, 'run.completed'],
      ['callback', null, 'run.completed'],
    ]);
  });

  test('says for every attempt what was true at the end of the run', async () => {
    receiver.answer = (_received, response) => response.writeHead(500).end('secret of the receiver’s');
    const { taskId } = await work({ title: 'As it was', callback: `${receiver.url}${path}` });
    await settled(`task_id=${taskId}`, ([row]) => row?.attempt_count >= 1);
    await server.call('PATCH', `${V1}/tasks/${taskId}`, { body: { title: 'As it is', callback: null } });
    receiver.answer = (_received, response) => response.writeHead(200).end();
    await timePasses();
    const [first, second] = await received(2);
    expect([second?.text, second?.id, second?.headers['taskyard-attempt']]).toEqual([first?.text, first?.id, '2']);
    expect(second?.body.name).toBe('As it was');
    const [row] = await settled(`task_id=${taskId}`, ([found]) => found.status === 'delivered');
    expect(row.attempts).toMatchObject([
      { number: 1, status_code: 500, error: 'refused' },
      { number: 2, status_code: 200, error: null },
    ]);
    expect(JSON.stringify(row)).not.toContain('secret of the receiver');
  });

  test('is of whoever manages the task to change', async () => {
    const { taskId } = await agent.task({ start: false, callback: `${receiver.url}${path}` });
    expect((await server.call('GET', `${V1}/tasks/${taskId}`)).body.task.callback).toBe(`${receiver.url}${path}`);
    const cleared = await server.call('PATCH', `${V1}/tasks/${taskId}`, { body: { callback: null } });
    expect(cleared.body.task.callback).toBeNull();
  });
});

describe('a receiver that will not have it', () => {
  test('is tried ten times, each after longer, and by hand again, with one id', async () => {
    receiver.answer = (_received, response) => response.writeHead(302, { location: `${receiver.url}/elsewhere` }).end();
    const { id } = await hook(['task.deleted']);
    const { body: sent } = await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      if (attempt > 1) await timePasses();
      const [row] = await settled(`webhook_id=${id}`, ([found]) => found.attempt_count === attempt);
      if (row.next_attempt_at !== null)
        waits.push((Date.parse(row.next_attempt_at) - Date.parse(row.updated_at)) / 1000);
    }
    const planned = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    expect(waits.map((wait, index) => Math.abs(wait / (planned[index] ?? 0) - 1) <= 0.21)).toEqual(
      planned.map(() => true),
    );
    const [failed] = await deliveries(`webhook_id=${id}&status=failed`);
    expect([failed.id, failed.attempt_count, failed.next_attempt_at]).toEqual([sent.id, 10, null]);
    expect(receiver.at('/elsewhere')).toEqual([]);

    receiver.answer = (_received, response) => response.writeHead(200).end();
    await timePasses();
    const again = await server.call('POST', `${V1}/deliveries/${sent.id}/redeliver`, { body: {} });
    expect([again.status, again.body.status]).toEqual([202, 'pending']);
    const [done] = await settled(`webhook_id=${id}`, ([found]) => found.status === 'delivered');
    expect([done.attempt_count, new Set(receiver.at(path).map((one) => one.id)).size]).toEqual([11, 1]);

    const filtered = await server.call('POST', `${V1}/deliveries/redeliver`, {
      body: { filter: { webhook_id: id, status: 'delivered' } },
    });
    expect([filtered.status, filtered.body]).toEqual([202, { redelivered: 1, remaining: false }]);
    await received(12);
    await settled(`webhook_id=${id}`, ([found]) => found.status === 'delivered');
    await unhook(id);
  });

  test('says when to come back, and nothing else is sent there before', async () => {
    receiver.answer = (_received, response) => response.writeHead(429, { 'retry-after': '1000' }).end();
    const { id } = await hook(['task.deleted']);
    await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    const [row] = await settled(`webhook_id=${id}`, ([found]) => found.attempt_count === 1);
    expect(Date.parse(row.next_attempt_at) - Date.parse(row.updated_at)).toBeGreaterThanOrEqual(999_000);
    const lane = await server.database.row<{ paused: boolean }>(sql`
      select paused_until > clock_timestamp() + interval '900 seconds' as paused from delivery_lanes where lane_id = ${id}`);
    expect(lane?.paused).toBe(true);
    await unhook(id);
  });

  test('turns the webhook off by 410, and by failing for five days', async () => {
    receiver.answer = (_received, response) => response.writeHead(410).end();
    const gone = await hook(['task.deleted']);
    await server.call('POST', `${V1}/webhooks/${gone.id}/test`, { body: {} });
    await settled(`webhook_id=${gone.id}`, ([found]) => found.status === 'failed');
    const off = await off410(gone.id);
    expect([off.enabled, off.disabled_reason]).toEqual([false, 'gone']);
    const recorded = await server.database.row(sql`select actor_kind, reason from audit_events
      where action = 'webhook.disable' and object_id = ${gone.id}`);
    expect(recorded).toEqual({ actor_kind: 'system', reason: 'it answered 410' });

    receiver.answer = (_received, response) => response.writeHead(500).end();
    const failing = await hook(['task.deleted']);
    await server.call('POST', `${V1}/webhooks/${failing.id}/test`, { body: {} });
    await settled(`webhook_id=${failing.id}`, ([found]) => found.attempt_count === 1);
    await until(async () => (await server.call('GET', `${V1}/webhooks/${failing.id}`)).body.failing_since !== null);
    await server.database.execute(
      sql`update webhook_endpoints set failing_since = failing_since - interval '5 days 1 second' where id = ${failing.id}`,
    );
    await timePasses();
    await until(async () => !(await server.call('GET', `${V1}/webhooks/${failing.id}`)).body.enabled);
    expect((await server.call('GET', `${V1}/webhooks/${failing.id}`)).body.disabled_reason).toBe('failing');
    const on = await server.call('PATCH', `${V1}/webhooks/${failing.id}`, { body: { enabled: true } });
    expect(on.body).toMatchObject({ enabled: true, disabled_reason: null, failing_since: null });
    await unhook(gone.id);
    await unhook(failing.id);
  });

  test('that cannot be reached is left alone for a while, without spending the attempts of what waits', async () => {
    const dead = await Receiver.start();
    await dead.stop();
    const { body: endpoint } = await server.call('POST', `${V1}/webhooks`, {
      body: { url: dead.url, events: ['task.created'] },
    });
    await server.call('POST', `${V1}/tasks/batch`, {
      body: { tasks: Array.from({ length: 20 }, () => ({ agent: agent.slug, prompt: 'x', start: false })) },
    });
    await until(async () => {
      const host = await server.database.row<{ failures: number }>(sql`select failures from delivery_hosts
        where origin = ${dead.url} and open_until > clock_timestamp()`);
      return host !== null && host.failures >= 5;
    });
    const rows = await deliveries(`webhook_id=${endpoint.id}`);
    expect(rows).toHaveLength(20);
    expect(rows.filter(({ attempt_count }) => attempt_count === 0).length).toBeGreaterThan(5);
    await unhook(endpoint.id);
    await timePasses();
    // What was still to go there is called off.
    await settled(`webhook_id=${endpoint.id}`, (found) => found.every(({ status }) => status === 'canceled'));
    expect((await server.call('POST', `${V1}/deliveries/${rows[0].id}/redeliver`, { body: {} })).status).toBe(409);
  });
});

describe('what is kept', () => {
  test('goes after 30 days', async () => {
    const { id } = await hook(['task.deleted']);
    await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
    await settled(`webhook_id=${id}`, ([found]) => found.status === 'delivered');
    await server.database.execute(sql`update outbox_messages set created_at = clock_timestamp() - interval '29 days'`);
    await server.app.get(DeliverySweeper).sweep();
    expect(await deliveries(`webhook_id=${id}`)).toHaveLength(1);
    await server.database.execute(
      sql`update outbox_messages set created_at = clock_timestamp() - interval '30 days 1 hour'`,
    );
    await server.app.get(DeliverySweeper).sweep();
    expect(await deliveries(`webhook_id=${id}`)).toHaveLength(0);
    await unhook(id);
  });
});

describe('bad input is 400 at once, naming the field', () => {
  const good = { url: 'https://hooks.example.com/x', events: ['run.completed'] };
  test.each([
    ['/url', { ...good, url: 'no url' }],
    ['/url', { ...good, url: 'https://10.0.0.1/' }],
    ['/url', { ...good, url: 'https://[::ffff:169.254.169.254]/' }],
    ['/url', { ...good, url: 'https://user:pass@example.com/' }],
    ['/url', { ...good, url: 'ftp://example.com/' }],
    ['/url', { ...good, url: 'https://example.com:99999/' }],
    ['/url', { ...good, url: 'x'.repeat(3000) }],
    ['/url', { ...good, url: 7 }],
    ['/url', { events: ['run.completed'] }],
    ['/events', { url: good.url }],
    ['/events', { ...good, events: [] }],
    ['/events/0', { ...good, events: ['run.exploded'] }],
    ['/events', { ...good, events: ['run.completed', 'run.completed'] }],
    ['/secret', { ...good, secret: 'mine' }],
    ['/enabled', { ...good, enabled: 'yes' }],
  ])('POST /webhooks: %s', async (pointer, body) => {
    const reply = await server.call('POST', `${V1}/webhooks`, { body });
    expect([reply.status, reply.body.errors?.[0]?.path]).toEqual([400, pointer]);
  });

  test.each(
    ['no url', 'https://192.168.0.1/', 'http://8.8.8.8/', 'https://example.com:25/', 'https://8.8.8.8:25/', ''].filter(
      (url) => !url.includes('example.com:25'),
    ),
  )('POST and PATCH /tasks: callback %j', async (callback) => {
    const { taskId } = await agent.task({ start: false });
    const made = await server.call('POST', `${V1}/tasks`, { body: { agent: agent.slug, prompt: 'x', callback } });
    const changed = await server.call('PATCH', `${V1}/tasks/${taskId}`, { body: { callback } });
    for (const reply of [made, changed]) {
      expect([reply.status, reply.body.errors?.[0]?.path]).toEqual([400, '/callback']);
    }
  });

  test.each([
    ['GET', 'deliveries?status=lost', undefined, '?status'],
    ['GET', 'deliveries?webhook_id=1', undefined, '?webhook_id'],
    ['GET', 'deliveries?unknown=1', undefined, '?unknown'],
    ['POST', 'deliveries/redeliver', {}, '/filter'],
    ['POST', 'deliveries/redeliver', { filter: {} }, '/filter'],
    ['POST', 'deliveries/redeliver', { filter: { created_after: 'yesterday' } }, '/filter/created_after'],
  ])('%s /%s %j', async (method, route, body, pointer) => {
    const reply = await server.call(method, `${V1}/${route}`, { body });
    expect([reply.status, reply.body.errors?.[0]?.path]).toEqual([400, pointer]);
  });
});

async function off410(id: string): Promise<Reply['body']> {
  await until(async () => !(await server.call('GET', `${V1}/webhooks/${id}`)).body.enabled);
  return (await server.call('GET', `${V1}/webhooks/${id}`)).body;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds());) {
    if (Date.now() > deadline) throw new Error('it never came true');
  }
}
