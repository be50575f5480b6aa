import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WaitingClaims } from '../../src/modules/runs/worker/waiting-claims.js';
import { key, makeYard, type Yard } from '../support/actors.js';
import { TestQueue } from '../support/queue.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

/** A claim that waits, with a way to hang up. */
class Claim {
  readonly #gone = new AbortController();
  readonly reply: Promise<{ status: number; body: Reply['body']; retryAfter: string | null } | null>;

  constructor(server: TestServer, as: string, agent: string) {
    this.reply = fetch(`${server.url}/api/v1/worker/claim`, {
      method: 'POST',
      headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
      body: JSON.stringify({ agents: [agent], wait_seconds: 30 }),
      signal: this.#gone.signal,
    }).then(
      async (reply) => ({
        status: reply.status,
        body: await reply.json(),
        retryAfter: reply.headers.get('retry-after'),
      }),
      () => null,
    );
  }

  async hangUp(): Promise<void> {
    this.#gone.abort();
    await this.reply;
  }
}

/** The first so many that are answered. */
async function answered(claims: readonly Claim[], count: number): Promise<NonNullable<Awaited<Claim['reply']>>[]> {
  const replies: NonNullable<Awaited<Claim['reply']>>[] = [];
  return new Promise((resolve) => {
    for (const claim of claims) {
      void claim.reply.then((reply) => {
        if (reply !== null && replies.push(reply) === count) {
          resolve([...replies]);
        }
      });
    }
  });
}

describe('claims that wait for work', () => {
  let server: TestServer;
  let yard: Yard;
  let queue: TestQueue;

  beforeAll(async () => {
    server = await startServer({
      ROLE: 'api',
      MAX_WAITING_CLAIMS_PER_KEY: '3',
      MAX_WAITING_CLAIMS_PER_ORGANIZATION: '5',
    });
    yard = await makeYard(server);
    queue = await TestQueue.make(server, 'patient');
  });
  afterAll(() => server.stop());

  test('are few of one key and of one organization; the next is told when to come back, and who hangs up makes room', async () => {
    const other = await key(server, { name: 'other', role: 'worker' });
    const ours = Array.from({ length: 4 }, () => new Claim(server, yard.workerKey, queue.agent));
    const [refused] = await answered(ours, 1);
    expect([refused?.status, refused?.body.code, refused?.retryAfter]).toEqual([429, 'limit-reached', '5']);
    expect(refused?.body.detail).toContain('3 claims of this key');

    const theirs = Array.from({ length: 3 }, () => new Claim(server, other, queue.agent));
    const [beyond] = await answered(theirs, 1);
    expect([beyond?.status, beyond?.body.code]).toEqual([429, 'limit-reached']);
    expect(beyond?.body.detail).toContain('5 claims of this organization');

    // A claim that does not wait, and one of another organization.
    const at = (as: string, agent: string): Promise<Reply> =>
      server.call('POST', '/api/v1/worker/claim', { as, body: { agents: [agent] } });
    expect((await at(yard.workerKey, queue.agent)).status).toBe(200);
    await server.call('POST', '/api/v1/agents', { as: yard.strangerKey, body: { slug: 'theirs', kind: 'worker' } });
    const elsewhere = new Claim(server, yard.strangerKey, 'theirs');
    await server.call('POST', '/api/v1/tasks', { as: yard.strangerKey, body: { agent: 'theirs', prompt: 'work' } });
    expect(await elsewhere.reply).toMatchObject({ status: 200, body: { runs: [{}] } });

    for (const claim of [...ours, ...theirs]) await claim.hangUp();
    await noneWait(server);
    const again = new Claim(server, yard.workerKey, queue.agent);
    const run = await queue.run();
    expect(await again.reply).toMatchObject({ status: 200, body: { runs: [{ run: { id: run } }] } });
  });

  test('are not refused where there is work, however many wait for other work', async () => {
    const idle = await TestQueue.make(server, 'idle');
    const waiting = Array.from({ length: 4 }, () => new Claim(server, yard.workerKey, idle.agent));
    await answered(waiting, 1);
    const run = await queue.run();
    expect(await new Claim(server, yard.workerKey, queue.agent).reply).toMatchObject({
      status: 200,
      body: { runs: [{ run: { id: run } }] },
    });
    for (const claim of waiting) await claim.hangUp();
    await noneWait(server);
  });
});

/** Returns when the server has noticed that everybody hung up. */
async function noneWait(server: TestServer): Promise<void> {
  const { body } = await server.call('GET', '/api/v1/organization');
  while (server.app.get(WaitingClaims).countOf(body.id) > 0) await new Promise((resolve) => setImmediate(resolve));
}

test('a thousand waiting claims of one key are a hundred, and the work of others is claimed meanwhile', async () => {
  const server = await startServer({ ROLE: 'api' });
  const claims: Claim[] = [];
  try {
    const { body: organization } = await server.call('GET', '/api/v1/organization');
    const waiting = (): number => server.app.get(WaitingClaims).countOf(organization.id);
    let most = 0;
    const queue = await TestQueue.make(server, 'flooded');
    const [flooding, other] = [
      await key(server, { name: 'flooding', role: 'worker' }),
      await key(server, { name: 'other', role: 'worker' }),
    ];
    for (let at = 0; at < 1_000; at += 1) {
      const claim = new Claim(server, flooding, queue.agent);
      void claim.reply.then(() => (most = Math.max(most, waiting())));
      claims.push(claim);
    }
    const replies = await answered(claims, 900);
    // On a slow machine the first may have waited to their end by now.
    expect(replies.filter(({ status, body }) => status !== 429 && body.runs.length !== 0)).toEqual([]);
    expect(replies.some(({ status }) => status === 429)).toBe(true);
    expect(most).toBe(100);
    const busy = await TestQueue.make(server, 'busy');
    const run = await busy.run();
    expect(await new Claim(server, other, busy.agent).reply).toMatchObject({
      status: 200,
      body: { runs: [{ run: { id: run } }] },
    });
  } finally {
    await Promise.all(claims.map((claim) => claim.hangUp()));
    await server.stop();
  }
});
