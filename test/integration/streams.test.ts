import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { ConnectionRegistry, StreamLinks } from '../../src/modules/streams/index.js';
import { openSse, type SseReader } from '../support/sse-reader.js';
import {
  appendEvents,
  endRun,
  logEvents,
  seedOrganization,
  seedPrincipal,
  type SeededRun,
  seedRun,
} from '../support/seeds.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ CORS_ORIGINS: 'https://app.example' });
});
afterAll(async () => {
  await server.stop();
});

const streamUrl = (run: SeededRun, query = ''): string => `${server.url}/api/v1/streams/${run.runId}${query}`;

async function follow(run: SeededRun, query = '', headers: Record<string, string> = {}): Promise<SseReader> {
  return openSse(streamUrl(run, query), { as: BOOTSTRAP_KEY, headers });
}

/** A link of a principal that has nothing else, so that its rights can be taken away. */
function issueLink(run: SeededRun, issuerId: string): string {
  return server.app
    .get(StreamLinks)
    .streamUrl({ organizationId: run.organizationId, principalId: issuerId, credentialId: null }, run.runId)
    .url.replace(/^https?:\/\/[^/]+/, server.url);
}

async function untilNoStreamIsOpen(): Promise<void> {
  const open = server.app.get(ConnectionRegistry);
  while (open.count > 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const eventsOf = (frames: { id: string | null; event: string | null }[]): string[] =>
  frames.filter((frame) => frame.event !== null).map((frame) => `${frame.id}:${frame.event}`);

describe('following a stream', () => {
  test('a reader gets what is stored, then what comes, each once and in order, and the stream closes after its end', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(3));
    const reader = await follow(run);
    const stored = await reader.until((frame) => frame.id === '3');
    await appendEvents(server, run, logEvents(2));
    const live = await reader.until((frame) => frame.id === '5');
    await endRun(server, run);
    const rest = await reader.until(() => false);

    expect(eventsOf([...stored, ...live, ...rest])).toEqual(['1:log', '2:log', '3:log', '4:log', '5:log', '6:end']);
    expect(stored.find((frame) => frame.id === '2')?.data).toEqual({
      seq: 2,
      type: 'log',
      at: '2030-01-31T09:00:00.000Z',
      data: { text: 'line 2' },
    });
    await untilNoStreamIsOpen();
  });

  test('the reply tells proxies to leave it alone, browsers not to guess, and clients when to come back', async () => {
    const run = await seedRun(server);
    const reader = await follow(run, '', { origin: 'https://app.example' });
    const first = await reader.next();
    reader.close();

    expect(reader.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(reader.headers.get('cache-control')).toBe('no-store, no-transform');
    expect(reader.headers.get('x-accel-buffering')).toBe('no');
    expect(reader.headers.get('x-content-type-options')).toBe('nosniff');
    expect(reader.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(reader.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(Number(first?.retry)).toBeGreaterThanOrEqual(2000);
    expect(Number(first?.retry)).toBeLessThanOrEqual(5000);
    await untilNoStreamIsOpen();
  });

  test('a client that comes back gets what it has not seen: Last-Event-ID wins over the query', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(5));
    await endRun(server, run);

    const byHeader = await (await follow(run, '?after=1', { 'last-event-id': '4' })).until(() => false);
    const byQuery = await (await follow(run, '?after=3')).until(() => false);
    const byAlias = await (await follow(run, '?last_seq=5')).until(() => false);

    expect(eventsOf(byHeader)).toEqual(['5:log', '6:end']);
    expect(eventsOf(byQuery)).toEqual(['4:log', '5:log', '6:end']);
    expect(eventsOf(byAlias)).toEqual(['6:end']);
  });

  test('a batch many times a page arrives whole, and so do readers that start in its middle', async () => {
    const run = await seedRun(server);
    const text = 'x'.repeat(4000);
    await appendEvents(server, run, logEvents(500, text));
    await endRun(server, run);

    const whole = await (await follow(run)).until(() => false);
    const middle = await (await follow(run, '?after=250')).until(() => false);

    expect(whole.filter((frame) => frame.event !== null).map((frame) => Number(frame.id))).toEqual(
      Array.from({ length: 501 }, (_, index) => index + 1),
    );
    expect(eventsOf(middle)[0]).toBe('251:log');
    expect(eventsOf(middle)).toHaveLength(251);
  });

  test('nothing inside an event can end its frame or start another', async () => {
    const run = await seedRun(server);
    const text = 'a\n\nevent: end\ndata: {}\r\n\r\nid: 99\u2028\u2029\u0085';
    await appendEvents(server, run, [{ type: 'custom', data: { text } }]);
    await endRun(server, run);

    const frames = await (await follow(run)).until(() => false);

    expect(eventsOf(frames)).toEqual(['1:custom', '2:end']);
    expect(frames.find((frame) => frame.event === 'custom')?.data.data.text).toBe(text);
  });

  test('a silent stream sends a heartbeat after 15 s, and after an hour asks its reader to come back with its cursor', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(2));
    const reader = await follow(run);
    await reader.until((frame) => frame.id === '2');
    server.clock.advance(15_000);
    const heartbeat = await reader.next();
    server.clock.advance(60 * 60 * 1000);
    const last = await reader.next();

    expect(heartbeat).toMatchObject({ comment: 'heartbeat', event: null });
    expect(last).toMatchObject({ event: 'reconnect', id: null, data: { after: 2, reason: 'age' } });
    expect(await reader.next()).toBeNull();
  });

  test('events that were dropped for their age are told as a gap, never skipped in silence', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(4));
    await appendEvents(server, run, logEvents(2));
    await endRun(server, run);
    await server.database.execute(sql`delete from run_events where run_id = ${run.runId} and first_seq = 1`);

    const frames = await (await follow(run)).until(() => false);
    const page = await server.call('GET', `/api/v1/streams/${run.runId}/events?after=2`);
    const beyond = await server.call('GET', `/api/v1/streams/${run.runId}/events?after=4`);

    expect(eventsOf(frames)).toEqual(['4:gap', '5:log', '6:log', '7:end']);
    expect(frames.find((frame) => frame.event === 'gap')?.data).toEqual({ from: 1, to: 4, oldest_seq: 5 });
    expect(page.body.gap).toEqual({ from: 3, to: 4, oldest_seq: 5 });
    expect(beyond.body.gap).toBeNull();
  });

  test('a stream of which nothing is kept says so and closes', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(4));
    await endRun(server, run);
    await server.database.execute(sql`delete from run_events where run_id = ${run.runId}`);

    const frames = await (await follow(run)).until(() => false);

    expect(eventsOf(frames)).toEqual(['5:gap', '5:end']);
    expect(
      (await server.call('GET', `/api/v1/streams/${run.runId}`, { headers: { 'last-event-id': '5' } })).status,
    ).toBe(204);
  });

  test('the head of a stream can be asked for without opening it', async () => {
    const run = await seedRun(server);
    const reply = await server.call('HEAD', `/api/v1/streams/${run.runId}`);

    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(server.app.get(ConnectionRegistry).count).toBe(0);
  });
});

describe('cursors', () => {
  test('the end of an ended stream is 204, the end of a living one waits, and beyond the last is 409', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(2));
    const living = await follow(run, '?after=2');
    await living.next();
    await endRun(server, run);
    const rest = await living.until(() => false);
    const atEnd = await server.call('GET', `/api/v1/streams/${run.runId}?after=3`);
    const ahead = await server.call('GET', `/api/v1/streams/${run.runId}?after=4`);

    expect(eventsOf(rest)).toEqual(['3:end']);
    expect({ status: atEnd.status, text: atEnd.text }).toEqual({ status: 204, text: '' });
    expect({ status: ahead.status, code: ahead.body.code }).toEqual({ status: 409, code: 'cursor-ahead' });
    expect((await server.call('GET', `/api/v1/streams/${run.runId}/events?after=4`)).status).toBe(409);
  });

  test.each(['-2', 'abc', '1.5', '01', '1e3', '0x1', '9007199254740992', '99999999999999999999', '1,2', '%00', '１'])(
    'the cursor %j is refused with 400, in the header, in the query and for pages',
    async (cursor) => {
      const run = await seedRun(server);
      const path = `/api/v1/streams/${run.runId}`;
      const query = await server.call('GET', `${path}?after=${cursor}`);
      const alias = await server.call('GET', `${path}?last_seq=${cursor}`);
      const page = await server.call('GET', `${path}/events?after=${cursor}`);

      expect([query.status, alias.status, page.status]).toEqual([400, 400, 400]);
      if (/^[\x20-\x7e]+$/.test(cursor)) {
        const header = await server.call('GET', path, { headers: { 'last-event-id': cursor } });
        expect(header.status).toBe(400);
      }
    },
  );

  test('unknown, repeated and contradicting parameters are refused with 400', async () => {
    const run = await seedRun(server);
    const path = `/api/v1/streams/${run.runId}`;
    const statuses = [];
    for (const query of ['?since=1', '?after=1&after=1', '?after=0&last_seq=1', '?format=xml']) {
      statuses.push((await server.call('GET', path + query)).status);
    }
    expect(statuses).toEqual([400, 400, 400, 400]);
  });

  test('pages of events tell where to go on, where the stream is, and whether it is over', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(3));
    const first = await server.call('GET', `/api/v1/streams/${run.runId}/events?limit=2`);
    const second = await server.call(
      'GET',
      `/api/v1/streams/${run.runId}/events?limit=2&after=${first.body.next_after}`,
    );
    await endRun(server, run);
    const last = await server.call('GET', `/api/v1/streams/${run.runId}/events?after=${second.body.next_after}`);
    const none = await server.call('GET', `/api/v1/streams/${run.runId}/events?after=${last.body.next_after}`);

    expect(first.body).toMatchObject({ next_after: 2, last_seq: 3, ended: false, gap: null });
    expect(first.body.data.map((event: { seq: number }) => event.seq)).toEqual([1, 2]);
    expect(second.body).toMatchObject({ next_after: 3, last_seq: 3, ended: false });
    expect(last.body).toMatchObject({ next_after: 4, last_seq: 4, ended: true });
    expect(none.body).toEqual({ data: [], next_after: 4, last_seq: 4, ended: true, gap: null });
  });

  test('a page of events is one statement', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(3));
    await server.call('GET', `/api/v1/streams/${run.runId}/events`);
    const statements: string[] = [];
    const observer = (text: string): unknown => text.includes('run_events') && statements.push(text);
    server.database.observers.add(observer);
    await server.call('GET', `/api/v1/streams/${run.runId}/events`);
    server.database.observers.delete(observer);

    expect(statements).toHaveLength(1);
  });
});

describe('formats', () => {
  test('NDJSON is a download of what is there, ended or not', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(3));
    const authorization = `Bearer ${BOOTSTRAP_KEY}`;
    const byAccept = await fetch(streamUrl(run), { headers: { authorization, accept: 'application/x-ndjson' } });
    const byFormat = await fetch(streamUrl(run, '?format=ndjson&after=2'), { headers: { authorization } });
    const lines = await byAccept.text();
    const rest = await byFormat.text();

    expect(byAccept.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
    expect(lines.endsWith('\n')).toBe(true);
    expect(
      lines
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
    ).toEqual([1, 2, 3]);
    expect(
      rest
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
    ).toEqual([3]);
  });

  test('plain text is lines for people, follows to the end, and hands no escape sequence to their terminal', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, [
      { type: 'status', data: { status: 'running', attempt: 1 } },
      { type: 'delta', data: { message_id: 'm1', text: 'Hello, ' } },
      { type: 'delta', data: { message_id: 'm1', text: 'world' } },
      { type: 'message', data: { id: 'm1', role: 'assistant', parts: [{ type: 'text', text: 'Hello, world' }] } },
      { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'two\nlines' }] } },
      { type: 'log', data: { level: 'error', text: '\u001b[2Jgone\u009b1m\r' } },
    ]);
    await endRun(server, run);
    const reply = await server.call('GET', `/api/v1/streams/${run.runId}`, { headers: { accept: 'text/plain' } });

    expect(reply.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(reply.text).toBe(
      [
        '09:00:00  running (attempt 1)',
        'Hello, world',
        '09:00:00  assistant: two',
        '          lines',
        '09:00:00  error: [2Jgone1m',
        '09:00:00  end: completed',
        '          {}',
        '',
      ].join('\n'),
    );
  });

  test.each([
    ['*/*', 'text/event-stream'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'text/event-stream'],
    ['text/plain;q=0.5, application/x-ndjson', 'application/x-ndjson'],
    ['application/x-ndjson;q=0, text/*', 'text/event-stream'],
  ])('Accept: %s is answered with %s', async (accept, contentType) => {
    const run = await seedRun(server);
    await endRun(server, run);
    const reply = await server.call('GET', `/api/v1/streams/${run.runId}`, { headers: { accept } });

    expect(reply.headers.get('content-type')).toBe(`${contentType}; charset=utf-8`);
  });

  test('a client that takes none of the formats is told so with 406', async () => {
    const run = await seedRun(server);
    const reply = await server.call('GET', `/api/v1/streams/${run.runId}`, { headers: { accept: 'application/json' } });

    expect({ status: reply.status, code: reply.body.code }).toEqual({ status: 406, code: 'not-acceptable' });
  });
});

describe('who may read', () => {
  test('a stream of another organisation is not to be told from none at all', async () => {
    const foreign = await seedRun(server, { organizationId: await seedOrganization(server) });
    const absent = '0198f0a0-0000-7000-8000-000000000000';
    for (const [method, rest] of [
      ['GET', ''],
      ['GET', '/events'],
      ['POST', '/url'],
    ] as const) {
      const hidden = await server.call(method, `/api/v1/streams/${foreign.runId}${rest}`);
      const none = await server.call(method, `/api/v1/streams/${absent}${rest}`);
      const blank = (reply: typeof none): unknown => ({ ...reply.body, request_id: '', instance: '' });

      expect(hidden.status).toBe(404);
      expect(blank(hidden)).toEqual(blank(none));
    }
  });

  test('nobody reads without a credential, and a malformed id names nothing', async () => {
    const run = await seedRun(server);
    expect((await server.call('GET', `/api/v1/streams/${run.runId}`, { as: null })).status).toBe(401);
    expect((await server.call('GET', `/api/v1/streams/${run.runId}/events`, { as: null })).status).toBe(401);
    expect((await server.call('GET', '/api/v1/streams/not-an-id')).status).toBe(404);
  });

  test('a link reads its one stream without a credential, in any format, from any cursor, for 15 minutes', async () => {
    const run = await seedRun(server);
    const other = await seedRun(server);
    await appendEvents(server, run, logEvents(2));
    await endRun(server, run);
    const made = await server.call('POST', `/api/v1/streams/${run.runId}/url`);
    const link = new URL(made.body.url);
    const read = (path: string, query: string): Promise<Response> => fetch(`${server.url}${path}?${query}`);
    const query = link.search.slice(1);

    expect(made.status).toBe(200);
    expect(Date.parse(made.body.expires_at) - server.clock.nowMs()).toBeLessThanOrEqual(15 * 60 * 1000);
    const whole = await read(link.pathname, `${query}&after=1&format=ndjson`);
    expect((await whole.text()).trimEnd().split('\n')).toHaveLength(2);
    expect((await read(link.pathname, query.replace(/signature=./, 'signature=~'))).status).toBe(401);
    expect((await read(link.pathname, query.replace(/expires=\d/, 'expires=3'))).status).toBe(401);
    expect((await read(link.pathname, `${query}&extra=1`)).status).toBe(401);
    expect((await read(`/api/v1/streams/${other.runId}`, query)).status).toBe(401);
    expect((await read(`${link.pathname}/events`, query)).status).toBe(401);
    server.clock.advance(15 * 60 * 1000);
    expect((await read(link.pathname, query)).status).toBe(401);
  });

  test('a disabled issuer ends the open streams of its links, and nobody opens another', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(1));
    const issuer = await seedPrincipal(server, run.organizationId);
    const link = issueLink(run, issuer);
    const reader = await openSse(link);
    await reader.until((frame) => frame.id === '1');
    await server.database.execute(
      sql`update principals set disabled_at = clock_timestamp(), epoch = epoch + 1 where organization_id = ${run.organizationId} and id = ${issuer}`,
    );
    const last = await reader.until(() => false);

    expect(eventsOf(last)).toEqual(['null:reconnect']);
    expect((await fetch(link)).status).toBe(401);
  });

  test('a task that stops being readable ends its open streams, without another event', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(1));
    const reader = await openSse(issueLink(run, await seedPrincipal(server, run.organizationId)));
    await reader.until((frame) => frame.id === '1');
    await server.database.execute(sql`update tasks set visibility = 'private' where id = ${run.taskId}`);
    await appendEvents(server, run, logEvents(1, 'secret'));
    const last = await reader.until(() => false);

    expect(eventsOf(last)).toEqual(['null:reconnect']);
    expect(last.at(-1)?.data).toEqual({ after: 1, reason: 'rights' });
  });

  test('rights that changed but still suffice do not end a stream', async () => {
    const run = await seedRun(server);
    const issuer = await seedPrincipal(server, run.organizationId);
    const reader = await openSse(issueLink(run, issuer));
    await reader.next();
    await server.database.execute(
      sql`update principals set role = 'viewer', epoch = epoch + 1 where organization_id = ${run.organizationId} and id = ${issuer}`,
    );
    await appendEvents(server, run, logEvents(1));
    await endRun(server, run);

    expect(eventsOf(await reader.until(() => false))).toEqual(['1:log', '2:end']);
  });

  test('a link that runs out ends the streams it opened', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(1));
    const reader = await openSse(issueLink(run, await seedPrincipal(server, run.organizationId)));
    await reader.until((frame) => frame.id === '1');
    server.clock.advance(15 * 60 * 1000);

    expect(eventsOf(await reader.until((frame) => frame.event === 'reconnect'))).toEqual(['null:reconnect']);
  });

  test.each(['perPrincipal', 'perOrganization'] as const)(
    'so many streams and no more are open %s; a closed one makes room',
    async (limit) => {
      const run = await seedRun(server);
      const link = issueLink(run, await seedPrincipal(server, run.organizationId));
      const { limits } = server.app.get(ConnectionRegistry);
      const before = limits[limit];
      limits[limit] = 2;
      try {
        const first = await openSse(link);
        const second = await openSse(link);
        const refused = await fetch(link);
        expect(refused.status).toBe(429);
        expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
        second.close();
        while (server.app.get(ConnectionRegistry).count > 1) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        const third = await openSse(link);
        expect([first.status, third.status]).toEqual([200, 200]);
        first.close();
        third.close();
      } finally {
        limits[limit] = before;
        await untilNoStreamIsOpen();
      }
    },
  );
});
