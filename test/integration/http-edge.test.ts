import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { RawClient, sendBytes } from '../support/raw-http.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

const KIB = 1024;
const ABSENT = '0198f0a0-0000-7000-8000-000000000001';

let server: TestServer;
let client: RawClient;
beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  client = new RawClient(server.url);
});
afterAll(async () => {
  client.close();
  await server.stop();
});

const AUTHORIZED = { authorization: `Bearer ${BOOTSTRAP_KEY}` };

describe('headers of every reply', () => {
  const REPLIES: [what: string, method: string, path: string, as: string | null, status: number, caching?: string][] = [
    ['a success', 'GET', '/api/v1/me', BOOTSTRAP_KEY, 200],
    ['a reply without a body', 'DELETE', `/api/v1/tasks/${ABSENT}/shares/${ABSENT}`, BOOTSTRAP_KEY, 404],
    ['a page of a surface', 'GET', '/v1/task', BOOTSTRAP_KEY, 200],
    ['a streamed list', 'GET', '/api/v1/task', BOOTSTRAP_KEY, 200],
    ['a refused credential', 'GET', '/api/v1/tasks', 'wrong', 401],
    ['a missing credential', 'GET', '/api/tasks', null, 401],
    ['an unknown path', 'GET', '/nowhere', null, 404],
    ['a path that cannot be decoded', 'GET', '/api/v1/tasks/%zz', BOOTSTRAP_KEY, 400],
    ['health', 'GET', '/health/live', null, 200],
    ['the document', 'GET', '/openapi.json', null, 200, 'no-cache'],
    ['Swagger UI', 'GET', '/docs', null, 200, 'no-cache'],
  ];

  test.each(REPLIES)(
    '%s carries a request id of its own, how it may be kept and the security headers',
    async (_, method, path, as, status, caching = 'no-store') => {
      const reply = await server.call(method, path, { as });
      expect(reply.status).toBe(status);
      expect(reply.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      expect(reply.headers.get('cache-control')).toBe(caching);
      expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
      expect(reply.headers.get('x-frame-options')).toBe('DENY');
      expect(reply.headers.get('referrer-policy')).toBe('no-referrer');
      expect(reply.headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(reply.headers.get('content-security-policy')).toMatch(/^default-src 'none';.*frame-ancestors 'none'/);
      expect(reply.headers.get('x-powered-by')).toBeNull();
      expect(reply.headers.get('server')).toBeNull();
      if (reply.text !== '') {
        expect(reply.headers.get('content-type')).toMatch(/; ?charset=utf-8$/);
      }
    },
  );

  test('a request id of the client’s is not taken over', async () => {
    const reply = await server.call('GET', '/health/live', {
      as: null,
      headers: { 'x-request-id': 'mine', 'request-id': 'mine' },
    });
    expect(reply.headers.get('x-request-id')).not.toBe('mine');
  });

  test('the request id of the header is the one in the problem', async () => {
    const reply = await server.call('GET', `/api/v1/tasks/${ABSENT}`);
    expect(reply.body).toEqual({
      type: 'urn:taskyard:problem:not-found',
      title: 'Not found',
      status: 404,
      detail: 'No such task.',
      instance: `/api/v1/tasks/${ABSENT}`,
      code: 'not-found',
      request_id: reply.headers.get('x-request-id'),
      errors: [],
    });
  });

  test('a 401 says which credentials are taken', async () => {
    const reply = await server.call('GET', '/api/v1/tasks', { as: null });
    expect(reply.headers.get('www-authenticate')).toContain('Bearer');
  });
});

describe('what is not there', () => {
  const SURFACES: [name: string, path: string, body: unknown][] = [
    ['Neocu', '/v1/nothing', { error: expect.any(String) }],
    ['NLA', '/api/v1/task/x/y', { error: expect.any(String) }],
    ['Recoupable', '/api/tasks/nothing', { status: 'error', tasks: [], error: expect.any(String) }],
    ['Recoupable’s runs', '/api/tasks/runs/nothing', { status: 'error', runs: [], error: expect.any(String) }],
    ['the native API', '/api/v1/nothing', expect.objectContaining({ code: 'not-found', status: 404 })],
    ['the root', '/', expect.objectContaining({ code: 'not-found', status: 404 })],
  ];

  test.each(SURFACES)(
    'an unknown path under %s is 404 in its words, with a credential and without',
    async (_, path, body) => {
      for (const as of [BOOTSTRAP_KEY, null]) {
        for (const method of ['GET', 'POST', 'DELETE']) {
          const reply = await server.call(method, path, { as, ...(method === 'POST' ? { body: { a: 1 } } : {}) });
          expect([method, reply.status, reply.body]).toEqual([method, 404, body]);
        }
      }
    },
  );

  test.each([
    ['PUT', '/v1/task', { error: expect.any(String) }],
    ['POST', '/api/v1/task', { error: expect.any(String) }],
    ['PUT', '/api/tasks', { status: 'error', tasks: [], error: expect.any(String) }],
    ['PUT', '/api/v1/tasks', expect.objectContaining({ code: 'not-found' })],
    ['POST', '/health/live', expect.objectContaining({ code: 'not-found' })],
  ])('a method that a path does not have (%s %s) is 404, in the surface’s words', async (method, path, body) => {
    const reply = await server.call(method, path, { body: {} });
    expect([reply.status, reply.body]).toEqual([404, body]);
  });

  test('paths are taken as they are: no trailing slash, no other case, no second decoding', async () => {
    for (const path of [
      '/api/v1/tasks/',
      '/api/v1/Tasks',
      '/API/v1/tasks',
      '//api/v1/tasks',
      '/api//v1/tasks',
      '/api%2Fv1%2Ftasks',
      '/api/v1/%2574asks',
    ]) {
      const reply = await client.send({ method: 'GET', path, headers: AUTHORIZED, body: null });
      expect([path, reply.status]).toEqual([path, 404]);
    }
  });

  test('headers and parameters that name another method do nothing', async () => {
    const reply = await server.call('POST', `/api/v1/tasks?_method=DELETE`, {
      headers: { 'x-http-method-override': 'DELETE', 'x-method-override': 'GET' },
      body: { nothing: 1 },
    });
    expect(reply.status).toBe(400);
  });
});

describe('a request that can be read in two ways', () => {
  const problem = (detail: string): unknown =>
    expect.objectContaining({ code: 'invalid-request', title: 'The request is not valid', status: 400, detail });
  const SURFACES: [path: string, worded: (detail: string) => unknown][] = [
    ['/api/v1/me', problem],
    ['/health/live', problem],
    ['/nowhere', problem],
    ['/v1/task', (error) => ({ error })],
    ['/api/tasks', (error) => ({ status: 'error', error, tasks: [] })],
    ['/api/v1/task', (error) => ({ error })],
  ];
  const KEY = BOOTSTRAP_KEY;
  const REPEATED: [name: string, lines: string][] = [
    ['Host', 'Host: elsewhere'],
    ['Host', 'host: localhost'],
    ['Authorization', `Authorization: Bearer ${KEY}\r\nauthorization: Bearer other`],
    ['Authorization', `Authorization: Bearer ${KEY}\r\nAuthorization: Bearer ${KEY}`],
    ['x-api-key', `x-api-key: ${KEY}\r\nX-API-Key: other`],
    ['api-key', `api-key: other\r\napi-key: ${KEY}`],
    ['apikey', `apikey: ${KEY}\r\napikey: ${KEY}`],
    ['Content-Type', `api-key: ${KEY}\r\nContent-Type: application/json\r\nContent-Type: text/plain`],
    ['Idempotency-Key', `api-key: ${KEY}\r\nIdempotency-Key: one\r\nIdempotency-Key: two`],
    ['Last-Event-ID', `api-key: ${KEY}\r\nLast-Event-ID: 1\r\nLast-Event-ID: 2`],
  ];

  async function said(path: string, lines: string, method = 'GET'): Promise<{ status: string; body: unknown }> {
    const text = await sendBytes(
      server.url,
      `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines}\r\n\r\n`,
    );
    const [head = '', body = ''] = text.split('\r\n\r\n');
    return { status: head.slice(9, 12), body: JSON.parse(body) };
  }

  test.each(REPEATED)(
    'is refused with 400 where it has two %s headers, as each surface words it: %s',
    async (name, lines) => {
      const detail = `The request has several ${name} headers; send one.`;
      for (const [path, worded] of SURFACES) {
        expect([path, await said(path, lines)]).toEqual([path, { status: '400', body: worded(detail) }]);
      }
    },
  );

  test('is refused with 400 where it says its length twice, as each surface words it', async () => {
    const detail =
      'The length of the body is not clear; send one Content-Length header, or Transfer-Encoding: chunked without one.';
    for (const lines of ['Content-Length: 1\r\nContent-Length: 2', 'Content-Length: 1\r\nTransfer-Encoding: chunked']) {
      for (const [path, worded] of SURFACES) {
        expect([path, await said(`${path}?a=b`, lines, 'POST')]).toEqual([
          path,
          { status: '400', body: worded(detail) },
        ]);
      }
    }
  });

  test.each([
    ['without Host', 'POST /api/v1/tasks HTTP/1.1\r\nConnection: close\r\n\r\n', '400', 'Host'],
    [
      'in a coding that is not decoded',
      'POST /api/v1/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n',
      '400',
      'Transfer-Encoding',
    ],
    [
      'with another Expect',
      'GET /api/v1/me HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nConnection: close\r\n\r\n',
      '400',
      'Expect',
    ],
    ['for a tunnel', 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n', '405', 'proxy'],
  ])('%s is refused with a problem document', async (_what, bytes, status, part) => {
    const [head = '', body = ''] = (await sendBytes(server.url, bytes)).split('\r\n\r\n');
    expect(head.slice(9, 12)).toBe(status);
    expect(JSON.parse(body).detail).toContain(part);
  });

  test('of HTTP/1.0 needs no Host', async () => {
    expect(await sendBytes(server.url, 'GET /health/live HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('is none where other headers come twice', async () => {
    const reply = await said('/api/v1/me', `api-key: ${KEY}\r\nAccept: text/plain\r\nAccept: */*\r\nX-A: 1\r\nX-A: 2`);
    expect(reply.status).toBe('200');
  });
});

describe('methods', () => {
  test.each(['TRACE', 'CONNECT', 'PROPFIND', 'SEARCH', 'LOCK', 'PURGE'])('%s is refused with a 4xx', async (method) => {
    const said = await sendBytes(
      server.url,
      `${method} /health/live HTTP/1.1\r\nHost: localhost\r\nX-Mark: seen\r\nConnection: close\r\n\r\n`,
    );
    expect(said).toMatch(/^HTTP\/1\.1 4\d\d |^$/);
    expect(said).not.toContain('X-Mark');
  });

  test('HEAD answers as GET does, without the body', async () => {
    const get = await server.call('GET', '/api/v1/me');
    const head = await server.call('HEAD', '/api/v1/me');
    expect([head.status, head.text]).toEqual([200, '']);
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    expect((await server.call('HEAD', '/api/v1/me', { as: null })).status).toBe(401);
    expect((await server.call('HEAD', '/nowhere', { as: null })).status).toBe(404);
  });

  test('HEAD of a stream ends, although its GET would go on', async () => {
    const agent = await server.call('POST', '/api/v1/agents', { body: { slug: 'head', kind: 'worker' } });
    const task = await server.call('POST', '/api/v1/tasks', { body: { prompt: 'Head', agent: 'head' } });
    expect([agent.status, task.status]).toEqual([201, 201]);
    const head = await server.call('HEAD', `/api/v1/streams/${task.body.stream.streamId}`);
    expect([head.status < 500, head.text]).toEqual([true, '']);
  });
});

describe('other origins', () => {
  const PREFLIGHT = {
    origin: 'https://app.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization',
  };

  test('pages of other origins get no permission unless they are named', async () => {
    const preflight = await server.call('OPTIONS', '/api/v1/tasks', { as: null, headers: PREFLIGHT });
    expect(preflight.status).toBe(404);
    const read = await server.call('GET', '/api/v1/me', { headers: { origin: 'https://app.example' } });
    for (const reply of [preflight, read]) {
      expect([...reply.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
    }
  });

  test('pages of the origins named may call, others may not, and none with cookies', async () => {
    const open = await startServer({ ROLE: 'api', CORS_ORIGINS: 'https://app.example, https://other.example' });
    try {
      const preflight = await open.call('OPTIONS', '/api/v1/tasks', { as: null, headers: PREFLIGHT });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get('access-control-allow-origin')).toBe('https://app.example');
      expect(preflight.headers.get('access-control-allow-headers')).toContain('authorization');
      expect(preflight.headers.get('access-control-allow-methods')).toContain('DELETE');
      const read = await open.call('GET', '/api/v1/me', { headers: { origin: 'https://other.example' } });
      expect(read.headers.get('access-control-allow-origin')).toBe('https://other.example');
      expect(read.headers.get('access-control-expose-headers')).toContain('x-request-id');
      expect(read.headers.get('vary')?.toLowerCase()).toContain('origin');
      const refused = await open.call('GET', '/api/v1/me', { as: null, headers: { origin: 'https://app.example' } });
      expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([
        401,
        'https://app.example',
      ]);
      const stranger = await open.call('GET', '/api/v1/me', { headers: { origin: 'https://evil.example' } });
      expect(stranger.headers.get('access-control-allow-origin')).toBeNull();
      for (const reply of [preflight, read, stranger]) {
        expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
      }
    } finally {
      await open.stop();
    }
  });

  test('what a client says of proxies and hosts is believed of nobody', async () => {
    const reply = await server.call('POST', '/api/v1/agents', {
      body: { slug: 'host', kind: 'worker' },
      headers: {
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example',
        'x-original-url': '/evil',
      },
    });
    expect(reply.status).toBe(201);
    expect(`${reply.headers.get('location')} ${reply.text}`).not.toContain('evil');
  });
});

describe('sizes of bodies', () => {
  /** A JSON body of exactly so many bytes, refused for what it says by any route that reads it. */
  const sized = (sizeBytes: number): Buffer => Buffer.from(`{"no_such_field":"${'a'.repeat(sizeBytes - 20)}"}`);

  const ROUTES: [method: string, path: string, limitBytes: number, tooLarge: unknown][] = [
    ['POST', '/api/v1/auth/login', 64 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', '/api/v1/auth/refresh', 64 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', '/api/v1/auth/logout', 64 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', '/api/v1/teams', 1024 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['PATCH', '/api/v1/organization', 1024 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', '/api/tasks', 1024 * KIB, { status: 'error', tasks: [], error: expect.any(String) }],
    ['POST', '/api/v1/tasks', 2048 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', `/api/v1/tasks/${ABSENT}/runs`, 2048 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    ['POST', `/api/v1/tasks/${ABSENT}/messages`, 2048 * KIB, expect.objectContaining({ code: 'payload-too-large' })],
    [
      'POST',
      `/api/v1/worker/runs/${ABSENT}/events`,
      2048 * KIB,
      expect.objectContaining({ code: 'payload-too-large' }),
    ],
    [
      'POST',
      `/api/v1/worker/runs/${ABSENT}/complete`,
      2048 * KIB,
      expect.objectContaining({ code: 'payload-too-large' }),
    ],
  ];

  test.each(ROUTES)(
    '%s %s reads a body of its limit, and answers 413 to one byte more',
    async (method, path, limitBytes, tooLarge) => {
      const headers = { ...AUTHORIZED, 'content-type': 'application/json' };
      const fits = await client.send({ method, path, headers, body: sized(limitBytes) });
      expect(sized(limitBytes)).toHaveLength(limitBytes);
      expect([fits.status, fits.text.slice(0, 2_000)]).toEqual([400, expect.stringContaining('no_such_field')]);
      const over = await client.send({ method, path, headers, body: sized(limitBytes + 1) });
      expect([over.status, JSON.parse(over.text)]).toEqual([413, tooLarge]);
    },
  );

  test('a body sent in chunks is held to the same limit, however little it says of its length', async () => {
    const chunk = 'a'.repeat(16 * KIB);
    const chunks = Array.from({ length: 5 }, () => `4000\r\n${chunk}\r\n`).join('');
    const said = await sendBytes(
      server.url,
      `POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    );
    expect(said).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('a prompt of 1 MiB is kept whole, and one byte more is refused', async () => {
    const agent = await server.call('POST', '/api/v1/agents', { body: { slug: 'large', kind: 'worker' } });
    expect(agent.status).toBe(201);
    const prompt = 'é'.repeat(512 * KIB);
    const kept = await server.call('POST', '/api/v1/tasks', { body: { prompt, agent: 'large', start: false } });
    expect(kept.status).toBe(201);
    const read = await server.call('GET', `/api/v1/tasks/${kept.body.task.id}`);
    expect(read.body.task.prompt === prompt).toBe(true);
    const over = await server.call('POST', '/api/v1/tasks', {
      body: { prompt: `${prompt}a`, agent: 'large', start: false },
    });
    expect([over.status, over.body.errors?.[0]?.path]).toEqual([400, '/prompt']);
  });
});

describe('what a route does not take', () => {
  test('is refused by name where it takes no body or no query at all', async () => {
    const { body: agent } = await server.call('POST', '/api/v1/agents', { body: { slug: 'still', kind: 'worker' } });
    await server.call('POST', `/api/v1/agents/${agent.id}/pause`);
    const resume = `/api/v1/agents/${agent.id}/resume`;
    const body = await server.call('POST', resume, { body: { at: 'noon' } });
    expect([body.status, body.body.code, body.body.errors[0].path]).toEqual([400, 'invalid-request', '/at']);
    expect((await server.call('POST', resume, { body: [] })).status).toBe(400);
    const query = await server.call('GET', '/api/v1/me?verbose=1');
    expect([query.status, query.body.errors[0].path]).toEqual([400, '?verbose']);
    expect((await server.call('GET', `/api/v1/agents/${agent.id}`)).body.paused_at).toEqual(expect.any(String));
    expect((await server.call('POST', resume, { body: {} })).status).toBe(200);
  });

  test('is passed over in the query of the pages that say so, and of what supervisors ask', async () => {
    for (const [path, status] of [
      [`/v1/task/${ABSENT}?x=1`, 404],
      ['/v1/task?x=1', 200],
      [`/api/v1/task/${ABSENT}?x=1`, 404],
      ['/health/live?x=1', 200],
      ['/.well-known/jwks.json?x=1', 200],
    ] as const) {
      expect([path, (await server.call('GET', path)).status]).toEqual([path, status]);
    }
    const body = await server.call('DELETE', `/api/v1/task/${ABSENT}`, { body: { force: true } });
    expect([body.status, body.body]).toEqual([400, { error: expect.stringContaining('/force') }]);
  });
});

describe('the body of a stranger', () => {
  const STRANGER = 'POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

  test('is not read: the refusal comes first, and the connection serves the next request', async () => {
    for (const [name, text] of [
      ['no JSON', '{"prompt":'],
      ['what would be refused as too much', 'a'.repeat(2_000 * KIB)],
    ]) {
      const reply = await server.call('POST', '/api/v1/tasks', {
        as: null,
        body: text,
        headers: { 'content-type': 'application/json' },
      });
      expect([name, reply.status, reply.body.code]).toEqual([name, 401, 'unauthenticated']);
    }
    const said = await sendBytes(
      server.url,
      `${STRANGER}Content-Length: 10\r\n\r\n{"prompt":GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect(said.match(/HTTP\/1\.1 \d\d\d/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200']);
  });

  test('that is longer than the route takes, or does not say how long, ends the connection', async () => {
    for (const length of ['Content-Length: 3000000', 'Transfer-Encoding: chunked']) {
      const said = await sendBytes(server.url, `${STRANGER}${length}\r\n\r\n`);
      expect([length, said.slice(0, 12)]).toEqual([length, 'HTTP/1.1 401']);
    }
  });
});

describe('kinds of bodies', () => {
  let yard: Yard;
  beforeAll(async () => {
    yard = await makeYard(server);
  });

  test('a form or a file where JSON is wanted is 415, and 403 for those who may not send it at all', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain']) {
      for (const [as, status, code] of [
        [BOOTSTRAP_KEY, 415, 'unsupported-media-type'],
        [yard.viewer.token, 403, 'forbidden'],
      ] as const) {
        const reply = await server.call('POST', '/api/v1/teams', {
          as,
          body: 'name=a',
          headers: { 'content-type': type },
        });
        expect([type, reply.status, reply.body.code]).toEqual([type, status, code]);
      }
    }
  });

  test('a merge patch is taken by PATCH of the native API alone', async () => {
    const headers = { 'content-type': 'application/merge-patch+json' };
    const patched = await server.call('PATCH', `/api/v1/teams/${yard.teams.red}`, {
      body: { name: 'Redder' },
      headers,
    });
    expect([patched.status, patched.body.name]).toEqual([200, 'Redder']);
    expect((await server.call('POST', '/api/v1/teams', { body: { name: 'x', slug: 'x' }, headers })).status).toBe(415);
  });

  test('an empty object changes nothing and is no error', async () => {
    const before = await server.call('GET', `/api/v1/teams/${yard.teams.blue}`);
    const patched = await server.call('PATCH', `/api/v1/teams/${yard.teams.blue}`, { body: {} });
    expect([patched.status, patched.body.name]).toEqual([200, before.body.name]);
  });

  test('a body that is missing where one is needed is 400', async () => {
    for (const [method, path] of [
      ['POST', '/api/v1/teams'],
      ['PATCH', `/api/v1/teams/${yard.teams.red}`],
      ['POST', '/api/v1/tasks'],
      ['PATCH', '/api/tasks'],
    ]) {
      const reply = await server.call(method ?? '', path ?? '', {});
      expect([method, path, reply.status]).toEqual([method, path, 400]);
    }
  });
});
