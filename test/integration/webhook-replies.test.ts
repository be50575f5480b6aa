/** What of a receiver's reply counts, and whom its failures concern. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { EventBus, OUTBOX_TOPIC } from '../../src/infrastructure/event-bus/event-bus.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { Receiver } from '../support/receiver.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

const V1 = '/api/v1';

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

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds());) {
    if (Date.now() > deadline) throw new Error('it never came true');
  }
}

describe('a receiver', () => {
  test('is heard by its status whatever the encoding, the length or the end of its reply', async () => {
    const { id } = await hook(['task.deleted']);
    const sent = async (answer: Receiver['answer']): Promise<Reply['body']> => {
      receiver.answer = answer;
      const { body } = await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
      await timePasses();
      const rows = await settled(`webhook_id=${id}`, (found) =>
        found.some((row) => row.id === body.id && row.attempt_count === 1),
      );
      return rows.find((row) => row.id === body.id);
    };
    const encoded = await sent((_one, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'));
    expect([encoded.status, encoded.attempts[0].status_code]).toEqual(['delivered', 200]);
    const endless = await sent((_one, response) => response.writeHead(200).write('and so on'));
    expect(endless.status).toBe('delivered');
    expect(endless.attempts[0].duration_ms).toBeLessThan(15_000);
    const doubled = await sent((_one, response) => {
      response.socket?.end('HTTP/1.1 202 Yes\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx');
    });
    expect([doubled.status, doubled.attempts[0].status_code]).toEqual(['delivered', 202]);
    const later = await sent((_one, response) =>
      response.writeHead(503, { 'content-encoding': 'gzip', 'retry-after': '1000' }).end('x'),
    );
    expect(Date.parse(later.next_attempt_at) - Date.parse(later.updated_at)).toBeGreaterThanOrEqual(999_000);
    await unhook(id);
    receiver.answer = (_one, response) => response.writeHead(410, { 'content-encoding': 'zstd' }).end('x');
    const { id: other } = await hook(['task.deleted']);
    await server.call('POST', `${V1}/webhooks/${other}/test`, { body: {} });
    const [gone] = await settled(`webhook_id=${other}`, ([row]) => row.status === 'failed');
    expect(gone.attempts[0].status_code).toBe(410);
    await unhook(other);
  });

  test('whose kept connection breaks before the reply gets the message once more under the same id, as the same attempt', async () => {
    const { id } = await hook(['task.deleted']);
    const known = new WeakSet<object>();
    const broken: string[] = [];
    receiver.answer = (one, response, { socket }) => {
      if (known.has(socket)) {
        broken.push(one.id);
        socket.resetAndDestroy();
        return;
      }
      known.add(socket);
      response.writeHead(204).end();
    };
    // How long a connection is kept is up to the sender: send until one is used again.
    for (let sent = 0; broken.length === 0 && sent < 50; sent += 1) {
      const { body } = await server.call('POST', `${V1}/webhooks/${id}/test`, { body: {} });
      await settled(`webhook_id=${id}`, (rows) =>
        rows.some((row) => row.id === body.id && row.status === 'delivered' && row.attempt_count === 1),
      );
    }
    expect(broken).toHaveLength(1);
    const copies = receiver.at(path).filter((one) => one.id === broken[0]);
    expect(copies.map((one) => one.headers['taskyard-attempt'])).toEqual(['1', '1']);
    await unhook(id);
  });

  test('on one path does not hold up the other webhooks of its origin, nor the other callbacks', async () => {
    const bad = await hook(['task.deleted']);
    const badPath = path;
    receiver.answer = ({ path: at }, response) => (at === badPath ? response.destroy() : response.writeHead(204).end());
    await server.call('POST', `${V1}/webhooks/${bad.id}/test`, { body: {} });
    await until(async () => {
      await timePasses();
      return (await deliveries(`webhook_id=${bad.id}`))[0].attempt_count >= 6;
    });
    expect(await server.database.row(sql`select 1 from delivery_hosts where origin = ${receiver.url}`)).toBeNull();
    for (let round = 0; round < 6; round += 1) {
      const { taskId } = await work({ callback: `${receiver.url}${badPath}` });
      await settled(`task_id=${taskId}`, ([row]) => row?.attempt_count >= 1);
    }
    const { taskId } = await work({ callback: `${receiver.url}/good-${place}` });
    await settled(`task_id=${taskId}`, ([row]) => row?.status === 'delivered');
    await unhook(bad.id);
  });

  test('that is deleted takes with it what was known of its host', async () => {
    const dead = await Receiver.start();
    await dead.stop();
    const { body: endpoint } = await server.call('POST', `${V1}/webhooks`, {
      body: { url: dead.url, events: ['task.deleted'] },
    });
    await server.call('POST', `${V1}/webhooks/${endpoint.id}/test`, { body: {} });
    const host = () => server.database.row(sql`select 1 as known from delivery_hosts where origin = ${dead.url}`);
    await until(async () => (await host()) !== null);
    await unhook(endpoint.id);
    expect(await host()).toBeNull();
  });
});
