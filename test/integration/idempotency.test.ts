/**
 * One effect per Idempotency-Key: on every route that takes one, as the OpenAPI document says, and under senders who do not wait for
 * their reply.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { request } from 'node:http';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { PASSWORD } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type Reply, type TestServer } from '../support/server.js';

const V1 = '/api/v1';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  await server.call('POST', `${V1}/agents`, { body: { slug: 'keyed', name: 'Keyed', kind: 'worker' } });
});

afterAll(() => server.stop());

function post(path: string, body: unknown, key: string): Promise<Reply> {
  return server.call('POST', path, { body, headers: { 'idempotency-key': key } });
}

async function task(): Promise<{ task: string; run: string }> {
  const { body } = await server.call('POST', `${V1}/tasks`, { body: { agent: 'keyed', prompt: 'for others' } });
  return { task: body.task.id, run: body.stream.streamId };
}

const WEBHOOK = { url: 'https://hooks.example.com/', events: ['asset.ready'] };

async function webhook(): Promise<string> {
  return (await server.call('POST', `${V1}/webhooks`, { body: WEBHOOK })).body.id;
}

interface Sample {
  path: string;
  body: unknown;
  /** Of the rows that the request is to add to exactly once. */
  table:
    | 'organizations'
    | 'users'
    | 'teams'
    | 'projects'
    | 'accounts'
    | 'api_keys'
    | 'api_key_secrets'
    | 'agents'
    | 'tasks'
    | 'runs'
    | 'messages'
    | 'schedules'
    | 'assets'
    | 'budgets'
    | 'bulk_operations'
    | 'webhook_endpoints'
    | 'signing_secrets'
    | 'deliveries';
  /** How many it adds. */
  rows?: number;
  /** The field of the first reply that a replay leaves out. */
  secret?: string;
}

/** Another request of the same route: of something else, or for something else, or with a body where there was none. */
function otherThan({ path, body }: Sample): { path: string; body: unknown } {
  const elsewhere = path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, newId());
  if (elsewhere !== path) return { path: elsewhere, body };
  const text = JSON.stringify(body);
  const changed = text.replace(/once|nobody|hooks|0 9/i, (found) => (found === '0 9' ? '1 9' : 'else'));
  return { path, body: changed === text ? undefined : JSON.parse(changed) };
}

/** A schedule of a task of its own; its id. */
async function schedule(): Promise<string> {
  const made = await server.call('POST', `${V1}/schedules`, {
    body: { task_id: (await task()).task, cron: '0 9 * * *' },
  });
  return made.body.id;
}

/** How to create by each route that takes a key. A route without a sample here fails the test. */
const SAMPLES: Readonly<Record<string, () => Sample | Promise<Sample>>> = {
  'POST /api/v1/organizations': () => ({
    path: `${V1}/organizations`,
    body: { name: 'Once', slug: 'once', owner: { email: 'once@once.example', password: PASSWORD } },
    table: 'organizations',
  }),
  'POST /api/v1/users': () => ({
    path: `${V1}/users`,
    body: { email: 'once@first.example', display_name: 'Once', role: 'viewer', password: PASSWORD },
    table: 'users',
  }),
  'POST /api/v1/teams': () => ({ path: `${V1}/teams`, body: { name: 'Once', slug: 'once' }, table: 'teams' }),
  'POST /api/v1/assets': async () => ({
    path: `${V1}/assets`,
    body: { task_id: (await task()).task, name: 'once.png', content_type: 'image/png', size: 3 },
    table: 'assets',
  }),
  'POST /api/v1/projects': () => ({ path: `${V1}/projects`, body: { name: 'Once' }, table: 'projects' }),
  'POST /api/v1/accounts': () => ({
    path: `${V1}/accounts`,
    body: { name: 'Once', kind: 'artist' },
    table: 'accounts',
  }),
  'POST /api/v1/api-keys': () => ({
    path: `${V1}/api-keys`,
    body: { name: 'once', role: 'viewer' },
    table: 'api_keys',
    secret: 'key',
  }),
  'POST /api/v1/api-keys/{id}/rotate': async () => {
    const made = await server.call('POST', `${V1}/api-keys`, { body: { name: 'turning', role: 'viewer' } });
    return {
      path: `${V1}/api-keys/${made.body.id}/rotate`,
      body: { overlap_seconds: 3600 },
      table: 'api_key_secrets',
      secret: 'key',
    };
  },
  'POST /api/v1/agents': () => ({
    path: `${V1}/agents`,
    body: { slug: 'once', name: 'Once', kind: 'worker' },
    table: 'agents',
  }),
  'POST /api/v1/budgets': () => ({
    path: `${V1}/budgets`,
    body: { name: 'Once', scope: { kind: 'run' }, limit_cents: 1_000_000 },
    table: 'budgets',
  }),
  'POST /api/v1/webhooks': () => ({
    path: `${V1}/webhooks`,
    body: WEBHOOK,
    table: 'webhook_endpoints',
    secret: 'secret',
  }),
  'POST /api/v1/webhooks/{id}/rotate-secret': async () => ({
    path: `${V1}/webhooks/${await webhook()}/rotate-secret`,
    body: {},
    table: 'signing_secrets',
    secret: 'secret',
  }),
  'POST /api/v1/webhooks/{id}/test': async () => ({
    path: `${V1}/webhooks/${await webhook()}/test`,
    body: {},
    table: 'deliveries',
  }),
  'POST /api/v1/callback-secret/rotate': () => ({
    path: `${V1}/callback-secret/rotate`,
    body: {},
    table: 'signing_secrets',
    secret: 'secret',
  }),
  'POST /api/v1/tasks': () => ({ path: `${V1}/tasks`, body: { agent: 'keyed', prompt: 'once' }, table: 'tasks' }),
  'POST /api/v1/tasks/batch': () => ({
    path: `${V1}/tasks/batch`,
    body: { tasks: [{ agent: 'keyed', prompt: 'once' }, { agent: 'keyed', prompt: 'and once' }, {}] },
    table: 'tasks',
    rows: 2,
  }),
  'POST /api/tasks': async () => {
    const artist = await server.call('POST', `${V1}/accounts`, { body: { name: 'Artist', kind: 'artist' } });
    const body = { title: 'Once', prompt: 'Once', schedule: '0 9 * * *', artist_account_id: artist.body.id };
    return { path: '/api/tasks', body, table: 'tasks' };
  },
  'POST /api/v1/tasks/{id}/runs': async () => ({
    path: `${V1}/tasks/${(await task()).task}/runs`,
    body: {},
    table: 'runs',
  }),
  'POST /api/v1/tasks/{id}/messages': async () => ({
    path: `${V1}/tasks/${(await task()).task}/messages`,
    body: { text: 'once' },
    table: 'messages',
  }),
  'POST /api/v1/runs/{id}/replay': async () => {
    const { run } = await task();
    await server.call('POST', `${V1}/runs/${run}/cancel`, { body: {} });
    return { path: `${V1}/runs/${run}/replay`, body: undefined, table: 'runs' };
  },
  'POST /api/v1/schedules': async () => ({
    path: `${V1}/schedules`,
    body: { task_id: (await task()).task, cron: '0 9 * * *' },
    table: 'schedules',
  }),
  'POST /api/v1/schedules/{id}/trigger': async () => ({
    path: `${V1}/schedules/${await schedule()}/trigger`,
    body: {},
    table: 'runs',
  }),
  'POST /api/v1/schedules/{id}/backfill': async () => ({
    path: `${V1}/schedules/${await schedule()}/backfill`,
    body: { from: '2026-01-01T00:00:00Z', to: '2026-01-03T00:00:00Z' },
    table: 'runs',
    rows: 2,
  }),
  'POST /api/v1/bulk-operations': () => ({
    path: `${V1}/bulk-operations`,
    body: { action: 'cancel', filter: { agent: 'nobody' } },
    table: 'bulk_operations',
  }),
};

/** POST routes that answer 201 and are no creating of a client's: workers have their fence and their batch ids. A form is a stream. */
const EXEMPT = /^POST \/api\/v1\/((auth|worker)\/|assets\/upload$)/;

describe('every route that creates', () => {
  test('takes an Idempotency-Key: the same again is the same reply and no second effect, another is refused', async () => {
    const { body: document } = await server.call('GET', '/openapi.json');
    const routes = Object.entries<Record<string, { parameters: { name: string }[]; responses: object }>>(
      document.paths,
    ).flatMap(([path, { post: operation }]) => (operation === undefined ? [] : [{ name: `POST ${path}`, operation }]));
    const takes = ({ parameters }: { parameters: { name: string }[] }): boolean =>
      parameters.some(({ name }) => name === 'Idempotency-Key');
    const creating = routes.filter(({ name, operation }) => '201' in operation.responses && !EXEMPT.test(name));
    expect(creating.filter(({ operation }) => !takes(operation)).map(({ name }) => name)).toEqual([]);
    const taking = routes.filter(({ operation }) => takes(operation)).map(({ name }) => name);
    expect(Object.keys(SAMPLES).toSorted()).toEqual(taking.toSorted());

    for (const name of taking) {
      const sample = await SAMPLES[name]?.();
      if (sample === undefined) continue;
      const { path, body, table, rows = 1, secret } = sample;
      const key = `key of ${name}`.replaceAll(' ', '-');
      const before = await count(table);
      const first = await post(path, body, key);
      const again = await post(path, body, key);
      expect([name, first.status < 300, first.headers.get('idempotency-replayed')]).toEqual([name, true, null]);
      expect([name, again.status, again.headers.get('idempotency-replayed')]).toEqual([name, first.status, 'true']);
      expect([name, again.headers.get('location')]).toEqual([name, first.headers.get('location')]);
      expect([name, (await count(table)) - before]).toEqual([name, rows]);
      expect([name, lasting(again.body)]).toEqual([name, lasting(first.body)]);
      if (secret !== undefined) {
        expect([name, first.body[secret], again.text.includes(first.body[secret])]).toEqual([
          name,
          expect.any(String),
          false,
        ]);
      }
      const other = otherThan(sample);
      expect([name, (await post(other.path, other.body, key)).status]).toEqual([name, 422]);
    }
  }, 120_000);

  test('has no plain digest of what was asked in the table', async () => {
    const { createHash } = await import('node:crypto');
    const body = { email: 'digest@first.example', display_name: 'D', role: 'viewer', password: PASSWORD };
    expect((await post(`${V1}/users`, body, 'digest-1')).status).toBe(201);
    const row = await server.database.row<{ fingerprint: Buffer }>(
      sql`select fingerprint from idempotency_records where key = 'digest-1'`,
    );
    const canonical = Object.entries(body).sort(([left], [right]) => (left < right ? -1 : 1));
    const plain = createHash('sha256')
      .update(JSON.stringify(['POST', `${V1}/users`, canonical]))
      .digest();
    expect(row?.fingerprint.length).toBe(32);
    expect(row?.fingerprint.equals(plain)).toBe(false);
  });

  test.each([
    ['with a space', 'a b'],
    ['of 256 characters', 'x'.repeat(256)],
  ])('refuses a key %s', async (_name, key) => {
    const reply = await post(`${V1}/projects`, { name: 'x' }, key);
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid-request']);
  });

  test('keeps nothing of a request that was refused', async () => {
    expect((await post(`${V1}/projects`, { name: '' }, 'second-try')).status).toBe(400);
    expect((await post(`${V1}/projects`, { name: 'right' }, 'second-try')).status).toBe(201);
  });
});

describe('senders who hang up and send again', () => {
  const KEYS = 500;
  const SENDERS = 8;
  /** In progress, or no connection free on a busy machine: nothing happened, ask again. */
  const REFUSED_FOR_NOW = [409, 503];

  test('have one effect per key, and are all told the same', async () => {
    const before = await count('projects');
    const told = new Map<string, Set<string>>();
    const unexpected: string[] = [];
    let heard = 0;
    const send = async (number: number, sender: number): Promise<void> => {
      const key = `storm-${number}`;
      // Seeded by its numbers: about a third hang up, at moments spread over the request.
      const patienceMs = (number * 7 + sender * 13) % 3 === 0 ? ((number * 31 + sender * 17) % 40) / 10 : null;
      const reply = await impatiently({ name: key }, key, patienceMs);
      if (reply === null) return;
      heard += 1;
      if (reply.status === 201) {
        told.set(key, (told.get(key) ?? new Set()).add(reply.text));
      } else if (!REFUSED_FOR_NOW.includes(reply.status)) {
        unexpected.push(`${key}: ${reply.status} ${reply.text}`);
      }
    };
    for (let first = 0; first < KEYS; first += 10) {
      const numbers = Array.from({ length: 10 }, (_, index) => first + index);
      await Promise.all(
        numbers.flatMap((number) => Array.from({ length: SENDERS }, (_, sender) => send(number, sender))),
      );
    }
    expect(unexpected).toEqual([]);
    expect(heard).toBeGreaterThan(KEYS);
    // Whoever heard nothing, or "in progress", asks again, and is told what the others were.
    for (let number = 0; number < KEYS; number += 1) {
      const key = `storm-${number}`;
      let reply = await impatiently({ name: key }, key, null);
      while (reply !== null && REFUSED_FOR_NOW.includes(reply.status)) {
        reply = await impatiently({ name: key }, key, null);
      }
      told.set(key, (told.get(key) ?? new Set()).add(reply?.text ?? ''));
    }
    expect([...told].filter(([, texts]) => texts.size !== 1)).toEqual([]);
    expect(told.size).toBe(KEYS);
    expect((await count('projects')) - before).toBe(KEYS);
  }, 240_000);

  /** The reply, or null where the connection was cut before it came. */
  function impatiently(
    body: object,
    key: string,
    patienceMs: number | null,
  ): Promise<{ status: number; text: string } | null> {
    return new Promise((resolve) => {
      const text = JSON.stringify(body);
      const outgoing = request(
        `${server.url}${V1}/projects`,
        {
          method: 'POST',
          headers: {
            'api-key': BOOTSTRAP_KEY,
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(text),
            'idempotency-key': key,
          },
        },
        (incoming) => {
          let received = '';
          incoming.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
          incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text: received }));
          incoming.on('error', () => resolve(null));
        },
      );
      outgoing.on('error', () => resolve(null));
      outgoing.end(text, () => {
        if (patienceMs !== null) setTimeout(() => outgoing.destroy(), patienceMs);
      });
    });
  }
});

/** A reply, to the letter, without what a replay leaves out and says of it, and links, which are signed anew. */
function lasting({
  key: _key,
  secret: _secret,
  note: _note,
  streamUrls: _urls,
  upload: _upload,
  ...rest
}: Reply['body']): string {
  return JSON.stringify(rest);
}

async function count(table: Sample['table']): Promise<number> {
  const row = await server.database.row<{ n: number }>(
    sql`select (xpath('//n/text()', query_to_xml(${`select count(*) as n from ${table}`}, true, true, '')))[1]::text::int as n`,
  );
  return row?.n ?? -1;
}
