import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createSocketServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { parseNetwork } from '../../src/infrastructure/egress/address.js';
import { checkDestination, type EgressRules } from '../../src/infrastructure/egress/destination.js';
import { EgressError, type EgressReply, type EgressRequest } from '../../src/infrastructure/egress/egress.js';
import { NodeEgress, type Resolve } from '../../src/infrastructure/egress/node-egress.js';

const FIXTURES = join(import.meta.dirname, 'fixtures/tls');
const CERTIFICATE = readFileSync(join(FIXTURES, 'agent.example.cert.pem'), 'utf8');

/** Listens on loopback and counts: whatever reaches it has got past the guard. */
let canary: Server;
let canaryPort: number;
let seen = 0;

beforeAll(async () => {
  canary = createSocketServer((socket) => {
    seen += 1;
    socket.destroy();
  });
  canary.listen(0, '127.0.0.1');
  await once(canary, 'listening');
  canaryPort = (canary.address() as AddressInfo).port;
});

afterAll(() => {
  canary.close();
});

const own = [
  { hostname: 'taskyard.example', port: 443 },
  { hostname: '127.0.0.1', port: 3000 },
];
const STRICT: EgressRules = { allowed: [], own };
const LOOPBACK_ALLOWED: EgressRules = { allowed: [parseNetwork('127.0.0.1/32')], own };

/** As wrong as they come; `PORT` becomes the canary's. */
const HOSTILE = [
  'https://127.0.0.1:PORT/',
  'http://127.0.0.1:PORT/',
  'http://127.0.0.1/',
  'https://127.0.0.1/',
  'https://127.0.0.1:443/',
  'https://127.1/',
  'https://127.0.1/',
  'https://127.1.2.3/',
  'https://2130706433/',
  'https://017700000001/',
  'https://0x7f000001/',
  'https://0x7f.0.0.1/',
  'https://0x7f.1/',
  'https://0177.0.0.1/',
  'https://0177.0x0.0.01/',
  'https://127.0.0.1%2f/',
  'https://１２７.０.０.１/',
  'https://①②⑦.⓪.⓪.①/',
  'https://127。0。0。1/',
  'https://%31%32%37.0.0.1/',
  'https://0/',
  'https://0.0.0.0/',
  'https://0.1.2.3/',
  'https://10.0.0.1/',
  'https://10.255.255.255/',
  'https://172.16.0.1/',
  'https://172.31.255.255/',
  'https://192.168.0.1/',
  'https://100.64.0.1/',
  'https://169.254.169.254/latest/meta-data/',
  'https://168.63.129.16/',
  'https://192.0.0.8/',
  'https://192.0.2.1/',
  'https://192.88.99.1/',
  'https://198.18.0.1/',
  'https://198.51.100.1/',
  'https://203.0.113.1/',
  'https://224.0.0.1/',
  'https://240.0.0.1/',
  'https://255.255.255.255/',
  'https://[::]/',
  'https://[::1]/',
  'https://[0:0:0:0:0:0:0:1]/',
  'https://[::127.0.0.1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[::ffff:7f00:1]/',
  'https://[::ffff:10.0.0.1]/',
  'https://[::ffff:0:127.0.0.1]/',
  'https://[64:ff9b::127.0.0.1]/',
  'https://[64:ff9b::7f00:1]/',
  'https://[64:ff9b:1::7f00:1]/',
  'https://[2002:7f00:1::]/',
  'https://[2002:0a00:0001::1]/',
  'https://[2001:0:7f00:1::1]/',
  'https://[2606:4700::5efe:7f00:1]/',
  'https://[2606:4700::200:5efe:7f00:1]/',
  'https://[fe80::1]/',
  'https://[fe80::1%25lo]/',
  'https://[fec0::1]/',
  'https://[fc00::1]/',
  'https://[fd00:ec2::254]/',
  'https://[ff02::1]/',
  'https://[100::1]/',
  'https://[2001:db8::1]/',
  'https://[3fff::1]/',
  'https://[5f00::1]/',
  'https://[4000::1]/',
  'https://[1::1]/',
  'https://localhost/',
  'https://LOCALHOST/',
  'https://localhost./',
  'https://localhost.:PORT/',
  'https://a.localhost/',
  'https://a.b.localhost./',
  'https://ⓛocalhost/',
  'https://example.com./',
  'https://user@example.com/',
  'https://user:password@example.com/',
  'https://:password@example.com/',
  'https://@example.com/',
  'https://example.com@127.0.0.1/',
  'https://127.0.0.1#@example.com/',
  'https://example.com\\@127.0.0.1/',
  'https://example.com/ https://127.0.0.1/',
  'https://exam\tple.com/',
  'https://example.com/\r\nhost: 127.0.0.1',
  ' https://example.com/',
  'https://example.com/#fragment',
  'http://example.com/',
  'https://example.com:22/',
  'https://example.com:80/',
  'https://example.com:6379/',
  'https://example.com:0/',
  'https://example.com:65536/',
  'https://taskyard.example/api/v1/tasks',
  'https://TASKYARD.example:443/',
  'ftp://example.com/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:PORT/_x',
  'data:text/plain,x',
  'javascript:alert(1)',
  'unix:/var/run/docker.sock',
  'blob:https://example.com/x',
  '//127.0.0.1/',
  '/relative',
  'https://',
  'https:///',
  'https://[::1',
  'https://exa mple.com/',
  '',
  `https://example.com/${'x'.repeat(3000)}`,
].map((url) => url.replace('PORT', '1'));

function request(url: string, more: Partial<EgressRequest> = {}): EgressRequest {
  return {
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
    totalTimeoutMs: 20_000,
    replyLimitBytes: 1_000_000,
    signal: new AbortController().signal,
    ...more,
  };
}

async function text(reply: EgressReply): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reply.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function kindOf(error: unknown): string {
  return error instanceof EgressError ? error.kind : String(error);
}

describe('a destination', () => {
  test.each(HOSTILE)('%j is refused where it is saved, and where it is called', async (url) => {
    const { destination, reason } = checkDestination(url, STRICT);
    expect([destination, reason]).toEqual([null, expect.stringMatching(/^(must|the) /)]);
    const egress = new NodeEgress({ rules: STRICT, resolve: () => Promise.resolve(['127.0.0.1']) });
    expect(await egress.send(request(url)).catch(kindOf)).toBe('barred');
    expect(seen).toBe(0);
  });

  test.each([
    'https://example.com/',
    'https://example.com:443/run?x=1',
    'https://example.com:8443/',
    'https://8.8.8.8/',
    'https://[2606:4700::1111]/',
    'https://xn--bcher-kva.example/',
    'https://bücher.example/',
    'https://taskyard.example:8443/',
    'https://notlocalhost/',
  ])('%j is fine', (url) => {
    expect(checkDestination(url, STRICT).reason).toBeNull();
  });

  test('in a network of the operator’s may be http, of any port, and this server itself', () => {
    const rules: EgressRules = { ...STRICT, allowed: [parseNetwork('127.0.0.0/8'), parseNetwork('fd00::/8')] };
    for (const url of [
      'http://127.0.0.1:3000/',
      'https://127.9.9.9:22/',
      'http://[::ffff:127.0.0.1]/',
      'http://[fd00::1]:81/',
    ]) {
      expect([url, checkDestination(url, rules).reason]).toEqual([url, null]);
    }
    for (const url of [
      'http://10.0.0.1/',
      'http://8.8.8.8/',
      'https://8.8.8.8:22/',
      'https://[fe80::1]/',
      'https://user@127.0.0.1/',
    ]) {
      expect([url, checkDestination(url, rules).reason]).toEqual([url, expect.any(String)]);
    }
  });
});

describe('a name', () => {
  const bad = [
    ['127.0.0.1'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
    ['10.0.0.1'],
    ['169.254.169.254'],
    ['93.184.216.34', '127.0.0.1'],
    ['127.0.0.1', '93.184.216.34'],
    ['2606:4700::1111', 'fd00::1'],
    ['fe80::1%lo'],
    ['2130706433'],
    ['0x7f.1'],
    ['not an address'],
  ];
  test.each(bad)('that resolves to %j … is not connected to', async (...addresses) => {
    const egress = new NodeEgress({ rules: STRICT, resolve: () => Promise.resolve(addresses) });
    const refused = egress.send(request('https://rebound.example/')).catch((error: unknown) => error);
    expect(await refused).toMatchObject({ kind: 'barred', message: expect.not.stringMatching(/\d+\.\d+|::/) });
    expect(seen).toBe(0);
  });

  test('is resolved once, and what was checked is what is connected to: rebinding in between finds nobody', async () => {
    const answers = [['127.0.0.1'], ['127.0.0.1']];
    let asked = 0;
    const resolve: Resolve = () => {
      asked += 1;
      return Promise.resolve(answers.shift() ?? ['127.0.0.1']);
    };
    const rules: EgressRules = { ...STRICT, allowed: [parseNetwork('127.0.0.2/32')] };
    const egress = new NodeEgress({ rules, resolve });
    expect(await egress.send(request(`http://rebound.example:${canaryPort}/`)).catch(kindOf)).toBe('barred');
    expect([asked, seen]).toEqual([1, 0]);
  });

  test('that is public may not be called by http or on another port, even where networks are allowed', async () => {
    const rules: EgressRules = { ...STRICT, allowed: [parseNetwork('127.0.0.2/32')] };
    const egress = new NodeEgress({ rules, resolve: () => Promise.resolve(['93.184.216.34']) });
    for (const url of ['http://public.example/', 'https://public.example:6379/', 'https://taskyard.example/']) {
      expect([url, await egress.send(request(url)).catch(kindOf)]).toEqual([url, 'barred']);
    }
  });

  test('that does not resolve is unreachable, not barred', async () => {
    const egress = new NodeEgress({ rules: STRICT, resolve: () => Promise.reject(new Error('ENOTFOUND')) });
    expect(await egress.send(request('https://nowhere.example/')).catch(kindOf)).toBe('unreachable');
  });

  test('whose resolver hangs is given up at the connect timeout', async () => {
    const egress = new NodeEgress({ rules: STRICT, resolve: () => new Promise(() => undefined), connectTimeoutMs: 20 });
    expect(await egress.send(request('https://slow.example/')).catch(kindOf)).toBe('timed-out');
  });
});

describe('a URL that a member gave', () => {
  const outcome = async (url: string, resolve: Resolve, rules: EgressRules = STRICT): Promise<unknown> => {
    const egress = new NodeEgress({ rules, resolve, hidesReasons: true, connectTimeoutMs: 20 });
    const error: unknown = await egress.send(request(url)).catch((caught: unknown) => caught);
    return error instanceof EgressError ? [error.kind, error.message] : error;
  };

  test('is refused in the same words whether its host is not there, must not be called or does not answer', async () => {
    const outcomes = await Promise.all([
      outcome('https://nowhere.example/', () => Promise.reject(new Error('ENOTFOUND'))),
      outcome('https://nothing.example/', () => Promise.resolve([])),
      outcome('https://internal.example/', () => Promise.resolve(['10.0.0.1'])),
      outcome('https://rebound.example/', () => Promise.resolve(['93.184.216.34', '127.0.0.1'])),
      outcome('https://slow.example/', () => new Promise(() => undefined)),
      outcome('https://127.0.0.1/', () => Promise.resolve(['127.0.0.1'])),
      outcome('http://closed.example:1/', () => Promise.resolve(['127.0.0.1']), LOOPBACK_ALLOWED),
      outcome('http://internal.example/', () => Promise.resolve(['10.0.0.1']), LOOPBACK_ALLOWED),
    ]);
    const [first] = outcomes;
    expect(first).toEqual(['unreachable', 'The host of this URL cannot be reached at a public address.']);
    expect(outcomes).toEqual(outcomes.map(() => first));
    expect(seen).toBe(0);
  });
});

describe('a request', () => {
  const servers: HttpServer[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function far(
    handler: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<{ url: string; server: HttpServer }> {
    const server = createServer(handler);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
  }

  const egress = new NodeEgress({ rules: LOOPBACK_ALLOWED });

  test('arrives as it was given, and its reply comes back in pieces as they are sent', async () => {
    let received: unknown;
    let release: () => void = () => undefined;
    const { url } = await far((incoming, response) => {
      const chunks: Uint8Array[] = [];
      incoming.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      incoming.on('end', () => {
        received = {
          method: incoming.method,
          url: incoming.url,
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString(),
        };
        response.writeHead(202, { 'x-two': ['a', 'b'] });
        response.write('first ');
        release = () => response.end('second');
      });
    });
    const reply = await egress.send(request(`${url}/run?x=%20y`, { headers: { 'x-mine': '1' }, body: 'grüße' }));
    expect(reply.status).toBe(202);
    const seenChunks: string[] = [];
    for await (const chunk of reply.body) {
      seenChunks.push(Buffer.from(chunk).toString());
      release();
    }
    expect(seenChunks.join('|')).toBe('first |second');
    expect(received).toMatchObject({
      method: 'POST',
      url: '/run?x=%20y',
      body: 'grüße',
      headers: { host: new URL(url).host, 'x-mine': '1', 'accept-encoding': 'identity', connection: 'close' },
    });
  });

  test.each([301, 302, 303, 307, 308])(
    'does not follow a redirect (%d), not even to where it may go',
    async (status) => {
      const { url } = await far((_incoming, response) =>
        response.writeHead(status, { location: `http://127.0.0.1:${canaryPort}/` }).end(),
      );
      const reply = await egress.send(request(url));
      expect([reply.status, await text(reply), seen]).toEqual([status, '', 0]);
    },
  );

  test('takes no proxy from the environment', async () => {
    const before = { ...process.env };
    const proxy = `http://127.0.0.1:${canaryPort}`;
    Object.assign(process.env, {
      http_proxy: proxy,
      HTTP_PROXY: proxy,
      https_proxy: proxy,
      HTTPS_PROXY: proxy,
      ALL_PROXY: proxy,
      NODE_USE_ENV_PROXY: '1',
    });
    try {
      const { url } = await far((_incoming, response) => response.end('direct'));
      expect([await text(await egress.send(request(url))), seen]).toEqual(['direct', 0]);
    } finally {
      process.env = before;
    }
  });

  test('has a connection of its own', async () => {
    const sockets = new Set<Socket>();
    const { url, server } = await far((_incoming, response) => response.end('x'));
    server.on('connection', (socket) => sockets.add(socket));
    await text(await egress.send(request(url)));
    await text(await egress.send(request(url)));
    expect(sockets.size).toBe(2);
  });

  test('breaks off a reply that is longer than asked for', async () => {
    const { url } = await far((_incoming, response) => response.end('x'.repeat(1001)));
    const reply = await egress.send(request(url, { replyLimitBytes: 1000 }));
    expect(await text(reply).catch(kindOf)).toBe('too-large');
  });

  test('ends at the total timeout, before the head and after it', async () => {
    const silent = await far(() => undefined);
    expect(await egress.send(request(silent.url, { totalTimeoutMs: 50 })).catch(kindOf)).toBe('timed-out');
    const stalled = await far((_incoming, response) => response.write('begun'));
    const reply = await egress.send(request(stalled.url, { totalTimeoutMs: 200 }));
    expect(await text(reply).catch(kindOf)).toBe('timed-out');
  });

  test('ends with the signal’s reason, and closes the connection', async () => {
    const { url, server } = await far((_incoming, response) => response.write('begun'));
    const gone = new Promise<void>((resolve) =>
      server.once('connection', (socket) => socket.once('close', () => resolve())),
    );
    const abort = new AbortController();
    const reply = await egress.send(request(url, { signal: abort.signal }));
    const reading = text(reply).catch((error: unknown) => error);
    const reason = new Error('canceled');
    abort.abort(reason);
    expect(await reading).toBe(reason);
    await gone;
  });

  test('that is cut off in the middle of its reply is told so', async () => {
    const { url } = await far((_incoming, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
    });
    const outcome = await egress.send(request(url)).then(text).catch(kindOf);
    expect(outcome).toBe('broken');
  });

  test('to nobody is unreachable', async () => {
    const { url, server } = await far(() => undefined);
    server.close();
    await once(server, 'close');
    expect(await egress.send(request(url)).catch(kindOf)).toBe('unreachable');
  });

  describe('over TLS', () => {
    async function secure(): Promise<{
      port: number;
      names: (string | false | null)[];
      hosts: (string | undefined)[];
    }> {
      const names: (string | false | null)[] = [];
      const hosts: (string | undefined)[] = [];
      const server = createTlsServer(
        { cert: CERTIFICATE, key: readFileSync(join(FIXTURES, 'agent.example.key.pem')) },
        (incoming, response) => {
          names.push((incoming.socket as TLSSocket & { servername: string | false | null }).servername);
          hosts.push(incoming.headers.host);
          response.end('secure');
        },
      );
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return { port: (server.address() as AddressInfo).port, names, hosts };
    }

    test('carries the name in SNI, Host and certificate, and goes to the checked address', async () => {
      const { port, names, hosts } = await secure();
      const client = new NodeEgress({
        rules: LOOPBACK_ALLOWED,
        certificateAuthority: CERTIFICATE,
        resolve: () => Promise.resolve(['127.0.0.1']),
      });
      expect(await text(await client.send(request(`https://agent.example:${port}/`)))).toBe('secure');
      expect([names, hosts]).toEqual([['agent.example'], [`agent.example:${port}`]]);
    });

    test('is refused where the certificate is not trusted, or another’s', async () => {
      const { port, hosts } = await secure();
      const untrusting = new NodeEgress({ rules: LOOPBACK_ALLOWED, resolve: () => Promise.resolve(['127.0.0.1']) });
      expect(await untrusting.send(request(`https://agent.example:${port}/`)).catch(kindOf)).toBe('unreachable');
      const trusting = new NodeEgress({
        rules: LOOPBACK_ALLOWED,
        certificateAuthority: CERTIFICATE,
        resolve: () => Promise.resolve(['127.0.0.1']),
      });
      expect(await trusting.send(request(`https://other.example:${port}/`)).catch(kindOf)).toBe('unreachable');
      expect(hosts).toEqual([]);
    });
  });
});
