import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { UrlSigner } from '../../src/infrastructure/signed-urls/url-signer.js';
import { ConnectionRegistry } from '../../src/modules/streams/index.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { builtPath } from '../support/build.js';
import { PASSWORD, person } from '../support/actors.js';
import { firstOrganizationId } from '../support/seeds.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';
import { openSse, type SseReader } from '../support/sse-reader.js';

const ROOT_KEY = Buffer.alloc(32, 7).toString('base64');
const BYTES = Buffer.from('what a session may see\n');

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api', ROOT_KEY });
  await AgentAtWork.make(server, 'linker');
});
afterAll(() => server.stop());

const local = (url: string): string => url.replace(/^https?:\/\/[^/]+/, server.url);

/** Every kind of link that there is, as somebody with this credential gets them; each as a request by it alone. */
async function everyLink(as: Credential): Promise<Map<string, () => Promise<number>>> {
  const call = async (method: string, path: string, body?: object): Promise<Reply> => {
    const reply = await server.call(method, path, { as, ...(body === undefined ? {} : { body }) });
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply;
  };
  const made = await call('POST', '/api/v1/tasks', { prompt: 'Links', agent: 'linker', visibility: 'private' });
  const taskId: string = made.body.task.id;
  const runId: string = made.body.stream.streamId;
  const announce = (more: object): Promise<Reply> =>
    call('POST', '/api/v1/assets', {
      task_id: taskId,
      name: 'a.txt',
      content_type: 'text/plain',
      type: 'file',
      ...more,
    });
  const put = (url: string, type: string) => async (): Promise<number> =>
    (await fetch(local(url), { method: 'PUT', body: BYTES, headers: { 'content-type': type } })).status;
  const get = (url: string) => async (): Promise<number> => {
    const reply = await fetch(local(url), { headers: { accept: 'application/x-ndjson' } });
    await reply.text();
    return reply.status;
  };

  const ready = await announce({ size: BYTES.length });
  expect(await put(ready.body.upload.url, 'text/plain')()).toBe(200);
  const asset = (await call('GET', `/api/v1/assets/${ready.body.asset.id}`)).body;
  const whole = await announce({ size: BYTES.length });
  const inParts = await announce({ size: 8_388_608 + BYTES.length, part_size: 8_388_608 });
  const detail = await call('GET', `/api/v1/tasks/${taskId}`);
  const stream = (await call('POST', `/api/v1/streams/${runId}/url`)).body.url;
  const page = asset.url.replace('/content?', '/embed?');
  return new Map([
    ['the bytes of an asset', get(asset.url)],
    ['its thumbnail', async () => ((await get(asset.url.replace('/content?', '/thumbnail?'))()) === 401 ? 401 : 200)],
    ['its page', get(page)],
    ['the link in its page', get(contentLink(await (await fetch(local(page))).text(), asset.id))],
    ['a stream', get(stream)],
    ['a stream in a detail', get(detail.body.streamUrls[0].url)],
    ['a place for bytes', put(whole.body.upload.url, 'text/plain')],
    ['a place for parts', put(inParts.body.upload.url.replace('{number}', '2'), 'application/octet-stream')],
  ]);
}

function contentLink(html: string, assetId: string): string {
  const [, link] = /"(content\?[^"]*)"/.exec(html) ?? [];
  if (link === undefined) throw new Error(`no link in ${html}`);
  return new URL(link.replaceAll('&amp;', '&'), `${server.url}/api/v1/assets/${assetId}/`).href;
}

async function statuses(links: Map<string, () => Promise<number>>): Promise<Record<string, number>> {
  const entries: [string, number][] = [];
  for (const [name, use] of links) entries.push([name, await use()]);
  return Object.fromEntries(entries);
}

const all = (links: Map<string, unknown>, status: number): Record<string, number> =>
  Object.fromEntries([...links.keys()].map((name) => [name, status]));

interface Session {
  access_token: string;
  refresh_token: string;
}

async function signIn(email: string): Promise<Session> {
  const reply = await server.call('POST', '/api/v1/auth/login', { as: null, body: { email, password: PASSWORD } });
  expect(reply.status).toBe(200);
  return reply.body;
}

let people = 0;
const newPerson = (): Promise<{ id: string; email: string }> => person(server, `linker-${(people += 1)}`, 'member');

/** What ends a session, or all of a user. */
const ENDINGS: [string, (session: Session, user: { id: string; email: string }) => Promise<unknown>][] = [
  [
    'a sign-out by the access token',
    async ({ access_token }) => server.call('POST', '/api/v1/auth/logout', { as: access_token }),
  ],
  [
    'a sign-out by the refresh token',
    async ({ refresh_token }) => server.call('POST', '/api/v1/auth/logout', { as: null, body: { refresh_token } }),
  ],
  [
    'a refresh token that is used twice',
    async ({ refresh_token }) => {
      const refresh = (): Promise<Reply> =>
        server.call('POST', '/api/v1/auth/refresh', { as: null, body: { refresh_token } });
      expect((await refresh()).status).toBe(200);
      await server.database.execute(sql`update refresh_tokens set spent_at = spent_at - interval '1 minute'`);
      expect((await refresh()).status).toBe(401);
    },
  ],
  [
    'a change of the password',
    async ({ access_token }) => {
      const body = { current: PASSWORD, new: 'an entirely new password' };
      expect((await server.call('POST', '/api/v1/me/password', { as: access_token, body })).status).toBe(204);
    },
  ],
  [
    'a password that the operator resets',
    async (_, { email }) => {
      const args = ['reset-password', '--email', email, '--password', 'an entirely new password'];
      const reset = spawn(process.execPath, [builtPath('src/admin.ts'), ...args], {
        env: { PATH: process.env['PATH'], DATABASE_URL: server.databaseUrl, ROOT_KEY, DATA_DIR: tmpdir() },
      });
      expect(await once(reset, 'close')).toEqual([0, null]);
    },
  ],
  [
    'the removal of the user',
    async (_, { id }) => expect((await server.call('DELETE', `/api/v1/users/${id}`)).status).toBe(204),
  ],
];

describe('the links of a session', () => {
  it.each(ENDINGS)('end at once, all of them, with %s', async (_name, end) => {
    const user = await newPerson();
    const session = await signIn(user.email);
    const links = await everyLink(session.access_token);
    // Used, so that whatever is remembered of them is.
    expect(await links.get('the bytes of an asset')?.()).toBe(200);
    expect(await links.get('a stream')?.()).toBe(200);
    await end(session, user);
    expect(await statuses(links)).toEqual(all(links, 401));
  });

  it('outlive a refresh, and the end of another session of the same user', async () => {
    const user = await newPerson();
    const [kept, ended] = [await signIn(user.email), await signIn(user.email)];
    const links = await everyLink(kept.access_token);
    const refreshed = await server.call('POST', '/api/v1/auth/refresh', {
      as: null,
      body: { refresh_token: kept.refresh_token },
    });
    expect(refreshed.status).toBe(200);
    expect((await server.call('POST', '/api/v1/auth/logout', { as: ended.access_token })).status).toBe(204);
    expect(await statuses(links)).toEqual(all(links, 200));
  });

  it('cost one statement where nobody remembers their maker, and none of their own from then on', async () => {
    const user = await newPerson();
    const links = await everyLink((await signIn(user.email)).access_token);
    const seen: string[] = [];
    const observe = (text: string): void => void seen.push(text);
    const counted = async (): Promise<number> => {
      seen.length = 0;
      expect(await links.get('its page')?.()).toBe(200);
      return seen.filter((text) => text.includes('operates_instance')).length;
    };
    server.clock.advance(5_000);
    server.database.observers.add(observe);
    const counts = [await counted(), await counted()];
    const total = seen.length;
    server.database.observers.delete(observe);
    expect([...counts, total]).toEqual([1, 0, 1]);
  });

  it('of an earlier version, which name no session, go on until they expire', async () => {
    const user = await newPerson();
    const { access_token } = await signIn(user.email);
    const made = await server.call('POST', '/api/v1/tasks', {
      as: access_token,
      body: { prompt: 'x', agent: 'linker' },
    });
    const runId: string = made.body.stream.streamId;
    const query = server.app.get(UrlSigner).sign({
      purpose: 'stream:get',
      resource: runId,
      issuer: user.id,
      organization: await firstOrganizationId(server),
      credential: null,
      expiresAtMs: server.clock.nowMs() + 60_000,
    });
    const status = async (): Promise<number> =>
      (await fetch(`${server.url}/api/v1/streams/${runId}?${query}`, { method: 'HEAD' })).status;
    expect(await status()).toBe(200);
    server.clock.advance(60_000);
    expect(await status()).toBe(401);
  });
});

describe('the links of an API key', () => {
  const newKey = async (more: object = {}): Promise<{ id: string; key: string }> => {
    const made = await server.call('POST', '/api/v1/api-keys', { body: { name: 'linker', role: 'member', ...more } });
    expect(made.status).toBe(201);
    return made.body;
  };
  const rotate = (id: string, seconds: number): Promise<Reply> =>
    server.call('POST', `/api/v1/api-keys/${id}/rotate`, { body: { overlap_seconds: seconds } });

  it('end with the key when it is revoked, and when it expires', async () => {
    const revoked = await newKey();
    const expiring = await newKey({ expires_at: new Date(Date.now() + 3_600_000).toISOString() });
    const links = await everyLink(revoked.key);
    const others = await everyLink(expiring.key);
    expect((await server.call('DELETE', `/api/v1/api-keys/${revoked.id}`)).status).toBe(204);
    await server.database.execute(sql`update principals set expires_at = clock_timestamp() where id = ${expiring.id}`);
    expect(await statuses(links)).toEqual(all(links, 401));
    expect(await statuses(others)).toEqual(all(others, 401));
  });

  it('end with the secret that they were made with, when that is rotated away, and those of the new one begin', async () => {
    const { id, key } = await newKey();
    const links = await everyLink(key);
    const rotated = await rotate(id, 0);
    expect(rotated.status).toBe(200);
    expect(await statuses(links)).toEqual(all(links, 401));
    const next = await everyLink(rotated.body.key);
    expect(await statuses(next)).toEqual(all(next, 200));
  });

  it('live through the overlap of a rotation and not beyond', async () => {
    const { id, key } = await newKey();
    const links = await everyLink(key);
    expect((await rotate(id, 3600)).status).toBe(200);
    expect(await statuses(links)).toEqual(all(links, 200));
    await server.database.execute(
      sql`update api_key_secrets set expires_at = clock_timestamp() where api_key_id = ${id} and expires_at is not null`,
    );
    server.clock.advance(5_000);
    expect(await links.get('the bytes of an asset')?.()).toBe(401);
  });
});

describe('the open streams of a session', () => {
  async function openStreams(as: Credential): Promise<{ readers: SseReader[]; runId: string }> {
    const made = await server.call('POST', '/api/v1/tasks', { as, body: { prompt: 'x', agent: 'linker' } });
    const runId: string = made.body.stream.streamId;
    const link = await server.call('POST', `/api/v1/streams/${runId}/url`, { as });
    const readers = [
      await openSse(local(link.body.url)),
      await openSse(`${server.url}/api/v1/streams/${runId}`, { as }),
      await openSse(`${server.url}/api/v1/tasks/${made.body.task.id}/stream`, { as }),
      await openSse(`${server.url}/api/v1/streams`, { as }),
    ];
    expect(readers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    for (const reader of readers) expect(await reader.next()).not.toBeNull();
    return { readers, runId };
  }

  it.each(ENDINGS)('are closed with %s, those opened by its links as well', async (_name, end) => {
    const user = await newPerson();
    const [session, other] = [await signIn(user.email), await signIn(user.email)];
    const { readers } = await openStreams(session.access_token);
    await end(session, user);
    for (const reader of readers) {
      const last = (await reader.until(() => false)).at(-1);
      expect([last?.event, last?.data.reason]).toEqual(['reconnect', 'rights']);
    }
    expect(other.access_token).not.toBe('');
  });

  it('stay open where another session of the user ends', async () => {
    const user = await newPerson();
    const [kept, ended] = [await signIn(user.email), await signIn(user.email)];
    const { readers, runId } = await openStreams(kept.access_token);
    expect((await server.call('POST', '/api/v1/auth/logout', { as: ended.access_token })).status).toBe(204);
    // So that the credential is looked up as well.
    server.clock.advance(3_000);
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).status).toBeLessThan(300);
    for (const reader of readers.slice(0, 2)) {
      const frames = await reader.until(({ event }) => event === 'end' || event === 'reconnect');
      expect(frames.at(-1)?.event).toBe('end');
    }
    readers.forEach((reader) => reader.close());
    while (server.app.get(ConnectionRegistry).count > 0) await new Promise((resolve) => setImmediate(resolve));
  });
});
