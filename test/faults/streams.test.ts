/** The short forms of the proof of streams; `npm run soak -- streams` runs the same with the figures of the long ones. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { ConnectionRegistry } from '../../src/modules/streams/index.js';
import { join, key, person, signIn, team } from '../support/actors.js';
import { appendEvents, logEvents, seedRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';
import { openSse } from '../support/sse-reader.js';
import { proveResume } from './streams/resume.js';

const figure = (name: string, short: number): number => Number(process.env[`STREAMS_${name}`] ?? short);
const seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const LONG = 6 * 60 * 60 * 1000;
const limitMs = process.env['STREAMS_CLIENTS'] === undefined ? 300_000 : LONG;

const servers: TestServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function start(): Promise<TestServer> {
  const server = await startServer({ ROLE: 'api' });
  servers.push(server);
  return server;
}

test(
  `every reader sees what is stored, once and in order, through kills, cuts and the loss of Redis (seed ${seed})`,
  async () => {
    const clients = figure('CLIENTS', 20);
    const report = await proveResume({
      seed,
      clients,
      events: figure('EVENTS', 400),
      kills: figure('KILLS', 2),
      cuts: figure('CUTS', 6),
      redisLosses: figure('REDIS_LOSSES', 3),
    });
    process.stderr.write(`${JSON.stringify(report)}\n`);
    expect({ seed, wrong: report.wrong }).toEqual({ seed, wrong: [] });
    expect(report.readers).toBe(clients + (report.chromium ? 1 : 0));
    // What was appended, beside what the server itself says: queued, running, completed, end.
    expect([report.acknowledged, report.stored]).toEqual([figure('EVENTS', 400), figure('EVENTS', 400) + 4]);
  },
  limitMs,
);

test(
  'readers that never read cost a bounded memory, and the others get everything',
  async () => {
    const stalledCount = figure('STALLED', 100);
    const server = await start();
    const run = await seedRun(server);
    const batch = logEvents(100, 'x'.repeat(2_000));
    const stalled: Socket[] = [];
    const path = `/api/v1/streams/${run.runId}`;
    for (let index = 0; index < stalledCount; index += 1) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(`GET ${path} HTTP/1.1\r\nhost: taskyard\r\nauthorization: Bearer ${BOOTSTRAP_KEY}\r\n\r\n`);
      await once(socket, 'data');
      socket.pause();
      stalled.push(socket);
    }
    const healthy = await openSse(`${server.url}${path}`, { as: BOOTSTRAP_KEY });
    const before = process.memoryUsage();
    let seen = 0;
    // Together more than the system's own buffers take for each of them.
    for (let round = 1; round <= figure('ROUNDS', 30); round += 1) {
      await appendEvents(server, run, batch);
      const frames = await healthy.until(({ id }) => id === String(round * 100));
      seen += frames.filter(({ id }) => id !== null).length;
    }
    const after = process.memoryUsage();
    const written = figure('ROUNDS', 30) * 100;
    expect(seen).toBe(written);
    // Bytes outside the heap are what waits in sockets; what it would be if each had its own: 12 MB for each.
    expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(128 * 1024 * 1024);
    expect(server.app.get(ConnectionRegistry).count).toBe(stalledCount + 1);
    server.clock.advance(31_000);
    while (server.app.get(ConnectionRegistry).count > 1) await new Promise((resolve) => setTimeout(resolve, 20));
    await appendEvents(server, run, logEvents(1));
    expect((await healthy.until(({ id }) => id === String(written + 1))).at(-1)?.id).toBe(String(written + 1));
    healthy.close();
    for (const socket of stalled) socket.destroy();
  },
  limitMs,
);

test(
  'whoever loses a key, a membership or all access is refused at once, and loses open streams and links by themselves',
  async () => {
    const server = await start();
    const red = await team(server, 'red');
    const member = await person(server, 'member', 'member');
    const leaver = await person(server, 'leaver', 'member');
    await join(server, red, leaver, 'member');
    const issued = await key(server, { name: 'issued', role: 'viewer' });
    const run = await seedRun(server, { teamId: red, visibility: 'team' });
    const open = await seedRun(server);
    const shared = `/api/v1/streams/${run.runId}`;
    const session = await signIn(server, member.email);
    const taken: { who: string; path: string; take: () => Promise<number> }[] = [
      {
        who: issued,
        path: `/api/v1/streams/${open.runId}`,
        take: async () => {
          const { body } = await server.call('GET', '/api/v1/api-keys?limit=100');
          const { id } = body.data.find(({ name }: { name: string }) => name === 'issued');
          return (await server.call('DELETE', `/api/v1/api-keys/${id}`)).status;
        },
      },
      {
        who: session,
        path: `/api/v1/streams/${open.runId}`,
        take: async () => (await server.call('DELETE', `/api/v1/users/${member.id}`)).status,
      },
      {
        who: leaver.token,
        path: shared,
        take: async () => (await server.call('DELETE', `/api/v1/teams/${red}/members/${leaver.id}`)).status,
      },
    ];
    for (const { who, path, take } of taken) {
      const link = await server.call('POST', `${path}/url`, { as: who });
      expect([link.status, link.text]).toEqual([200, expect.any(String)]);
      const linked = new URL(link.body.url);
      const streams = [
        await openSse(`${server.url}${path}`, { as: who }),
        await openSse(`${server.url}${linked.pathname}${linked.search}`),
        await openSse(`${server.url}/api/v1/tasks/${path === shared ? run.taskId : open.taskId}/stream`, { as: who }),
      ];
      for (const stream of streams) await stream.next();
      expect([200, 204]).toContain(await take());
      // No event and no request of theirs is needed for it.
      const refused = await server.call('GET', path, { as: who });
      expect([401, 404]).toContain(refused.status);
      expect([401, 404]).toContain((await fetch(`${server.url}${linked.pathname}${linked.search}`)).status);
      for (const stream of streams) {
        expect((await stream.until(() => false)).at(-1)).toMatchObject({
          event: 'reconnect',
          data: { reason: 'rights' },
        });
      }
    }
  },
  limitMs,
);
