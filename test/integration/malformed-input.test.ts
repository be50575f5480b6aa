/**
 * The API's word that bad input is a clear 4xx: requests drawn from the OpenAPI document with something wrong in them. `npm test` sends
 * a few thousand; MALFORMED_REQUESTS=20000 (or any number) sends as many, MALFORMED_SEED others.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { type KnownIds, Malformed, type Operation, operationsOf } from '../support/malformed.js';
import { RawClient, type RawReply, type RawRequest, sendBytes } from '../support/raw-http.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const REQUESTS = Number(process.env['MALFORMED_REQUESTS'] ?? 4_000);
const SEED = Number(process.env['MALFORMED_SEED'] ?? 20_260_131);
const AT_ONCE = 8;

/** What no reply may give away: stacks, paths of our files, SQL, the driver's and the runtime's words. */
const INTERNALS =
  /\n\s+at |node_modules|\.[jt]s:\d|\bselect .+ from\b|insert into|update \w+ set|delete from|SQLSTATE|pg_catalog|syntax error at|relation "|violates |constraint "|invalid input syntax|TypeError|ReferenceError|RangeError|ZodError|QueryFailed|Cannot read prop|FST_ERR|ECONN|\/work\/|\/tmp\//i;

let server: TestServer;
let client: RawClient;
let operations: Operation[];
let ids: KnownIds;
const inherited = Reflect.ownKeys(Object.prototype);

beforeAll(async () => {
  // Work in this process would be busy with the tasks made by accident; none of the routes needs it.
  server = await startServer({ ROLE: 'api' });
  client = new RawClient(server.url);
  ids = await makeThings();
  const document = (await server.call('GET', '/openapi.json', { as: null })).body;
  operations = operationsOf(document);
  for (const { operationId, body } of operations) {
    // Its example waits for work.
    if (operationId === 'workerClaim' && body !== null) body.example.wait_seconds = 0;
  }
});
afterAll(async () => {
  client.close();
  await server.stop();
});

/** One of each thing that a path can name. */
async function makeThings(): Promise<KnownIds> {
  const make = async (path: string, body: object): Promise<string> => {
    const reply = await server.call('POST', path, { body });
    expect([path, reply.status, reply.text]).toEqual([path, 201, reply.text]);
    return reply.body.id ?? reply.body.task.id;
  };
  const agents = await make('/api/v1/agents', { slug: 'odd', kind: 'worker' });
  const tasks = await make('/api/v1/tasks', { prompt: 'Odd', agent: 'odd', visibility: 'organization' });
  const runs = (await server.call('GET', `/api/v1/tasks/${tasks}/runs`)).body.data[0].id;
  return {
    agents,
    tasks,
    runs,
    streams: runs,
    task: tasks,
    users: await make('/api/v1/users', {
      email: 'odd@first.example',
      display_name: 'Odd',
      role: 'member',
      password: 'correct horse battery',
    }),
    teams: await make('/api/v1/teams', { name: 'Odd', slug: 'odd' }),
    projects: await make('/api/v1/projects', { name: 'Odd' }),
    accounts: await make('/api/v1/accounts', { name: 'Odd', kind: 'customer' }),
    schedules: await make('/api/v1/schedules', { task_id: tasks, cron: '0 9 * * *' }),
    organizations: (await server.call('GET', '/api/v1/organization')).body.id,
  };
}

/** What is wrong with a reply, whatever was asked; null where nothing is. */
function faultOf({ path }: RawRequest, { status, headers, text }: RawReply): string | null {
  if (status >= 500) return 'a fault of ours';
  if (headers['x-request-id'] === undefined) return 'no request id';
  if (status < 400) return null;
  if (INTERNALS.test(text)) return 'internals in the body';
  const [bare = ''] = path.split('?');
  const type = String(headers['content-type']);
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(text);
  } catch {
    return 'an error that is no JSON';
  }
  const keys = Object.keys(body).sort().join();
  if (/^\/(v1|api\/v1\/task)(\/|$)/.test(bare)) {
    return keys === 'error' && typeof body['error'] === 'string' && type.startsWith('application/json')
      ? null
      : 'not the surface’s error';
  }
  if (/^\/api\/tasks(\/|$)/.test(bare)) {
    return /^error,(missing_fields,)?(runs,status|status,tasks)$/.test(keys) && type.startsWith('application/json')
      ? null
      : 'not the surface’s error';
  }
  const isProblem = keys === 'code,detail,errors,instance,request_id,status,title,type' && body['status'] === status;
  return isProblem && type.startsWith('application/problem+json') ? null : 'no problem document';
}

/** A request as a person can read it in a failed test. */
function shown({ method, path, headers, body }: RawRequest, reply: RawReply): string {
  const { authorization: _, ...rest } = headers;
  return `${method} ${path} ${JSON.stringify(rest)} ${body?.subarray(0, 300).toString('latin1') ?? ''} -> ${reply.status} ${reply.text.slice(0, 300)}`;
}

/** Sends them all, some at once; what is wrong with their replies. */
async function sendAll(
  requests: readonly RawRequest[],
  faultIn: (request: RawRequest, reply: RawReply) => string | null,
): Promise<string[]> {
  const faults: string[] = [];
  let next = 0;
  const sender = async (): Promise<void> => {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
      const sent = request;
      const reply = await client
        .send(sent)
        .catch((error: unknown) => ({ status: 999, headers: {}, text: String(error) }));
      const fault = faultIn(sent, reply);
      if (fault !== null) faults.push(`${fault}: ${shown(sent, reply)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  return faults;
}

/** The trail is sealed when its time comes, whatever is sent. What is sealed is in `audit_events`. */
const SEALING = ['audit_heads', 'audit_seals', 'audit_unsealed'];

/** A digest of every row of every table; when credentials were last used is left out. */
async function contents(): Promise<Record<string, string>> {
  const database = new Client({ connectionString: server.databaseUrl });
  await database.connect();
  try {
    const { rows: tables } = await database.query<{ name: string }>(
      `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> all($1) order by relname`,
      [SEALING],
    );
    const digests: Record<string, string> = {};
    for (const { name } of tables) {
      const { rows } = await database.query<{ digest: string }>(
        `select count(*) || ' rows, ' || coalesce(md5(string_agg(row, ',' order by row)), '-') as digest
         from (select (to_jsonb(t) - 'last_used_at')::text as row from ${name} t) each`,
      );
      digests[name] = rows[0]?.digest ?? '';
    }
    return digests;
  } finally {
    await database.end();
  }
}

function inTurn(from: readonly Operation[], index: number): Operation {
  const operation = from[index % from.length];
  if (operation === undefined) throw new Error('there are no operations');
  return operation;
}

describe('malformed input', () => {
  test('requests that cannot be meant are refused in the surface’s own words, on every route, and leave nothing behind', async () => {
    const malformed = new Malformed(SEED, BOOTSTRAP_KEY, ids);
    const open = operations.filter((operation) => malformed.canBeRefused(operation));
    const requests = Array.from({ length: Math.floor(REQUESTS / 2) }, (_, index) =>
      malformed.refused(inTurn(open, index)),
    );
    const before = await contents();
    const faults = await sendAll(requests, (request, reply) =>
      reply.status < 400 ? 'not refused' : faultOf(request, reply),
    );
    expect(faults).toEqual([]);
    expect(await contents()).toEqual(before);
  }, 300_000);

  test('whatever is sent, no route answers 5xx, breaks the connection or shows its insides', async () => {
    const malformed = new Malformed(SEED + 1, BOOTSTRAP_KEY, ids);
    const requests = Array.from({ length: Math.ceil(REQUESTS / 2) }, (_, index) =>
      malformed.odd(inTurn(operations, index)),
    );
    expect(await sendAll(requests, faultOf)).toEqual([]);
    expect((await server.call('GET', '/health/ready', { as: null })).status).toBe(200);
  }, 300_000);

  test('nothing sent has changed what every object of the process inherits', () => {
    expect(Reflect.ownKeys(Object.prototype)).toEqual(inherited);
  });
});

describe('bad HTTP', () => {
  const HEAD = `POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${BOOTSTRAP_KEY}\r\nContent-Type: application/json\r\n`;
  const CASES: [what: string, bytes: string | Buffer][] = [
    [
      'both Content-Length and Transfer-Encoding',
      `${HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\n\r\n`,
    ],
    ['two Content-Lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
    ['a Content-Length that is no number', `${HEAD}Content-Length: 2x\r\n\r\n{}`],
    ['a negative Content-Length', `${HEAD}Content-Length: -1\r\n\r\n{}`],
    ['a Transfer-Encoding that is not chunked', `${HEAD}Transfer-Encoding: gzip\r\n\r\n{}`],
    ['a chunk whose size is no number', `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`],
    ['a chunk longer than its size', `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{}{}\r\n0\r\n\r\n`],
    ['a header with a space in its name', 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n'],
    ['a header that is folded', 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n 2\r\n\r\n'],
    ['a NUL in a header', 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n'],
    ['headers of 64 KiB', `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(65_536)}\r\n\r\n`],
    ['a path of 64 KiB', `GET /${'a'.repeat(65_536)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['a method that does not exist', 'FETCH /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a TLS hello', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])],
    ['HTTP/1.1 without Host', 'GET /health/live HTTP/1.1\r\n\r\n'],
  ];

  test.each(CASES)('%s is refused with a 4xx, and the connection is closed', async (_, bytes) => {
    const said = await sendBytes(server.url, bytes);
    expect(said).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(said.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(said).not.toMatch(INTERNALS);
    expect((await server.call('GET', '/health/live', { as: null })).status).toBe(200);
  });

  test('a body that stops before its length keeps nothing from others, and is never answered with success', async () => {
    const said = sendBytes(server.url, `${HEAD}Content-Length: 500\r\n\r\n{"prompt":"half`);
    expect((await server.call('GET', '/api/v1/tasks')).status).toBe(200);
    server.app.getHttpAdapter().getInstance().server.closeAllConnections();
    expect(await said).not.toMatch(/^HTTP\/1\.1 2/);
  });
});
