// Appends per second (single, in batches of 100) beside the bare INSERT, and events delivered per second to many readers of one process
// beside a bare node:http broadcaster that writes one framed buffer to every socket; memory per idle reader. One run, in turns.
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { BENCH_KEY, median, ROOT_KEY, startDatabase, startProcess } from './harness.mjs';

const { values } = parseArgs({
  options: {
    readers: { type: 'string', default: '1,100,1000,5000' },
    /** Batches of ten events sent to every reader in a round. */
    batches: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '3' },
    appends: { type: 'string', default: '2000' },
    senders: { type: 'string', default: '16' },
  },
});
const [batches, rounds, appends, senders] = ['batches', 'rounds', 'appends', 'senders'].map((name) =>
  Number(values[name]),
);
const EVENTS = 10;
const text = 'x'.repeat(60);

const database = await startDatabase();
const server = await startProcess('node', ['dist/src/main.js'], {
  DATABASE_URL: database.url,
  DATA_DIR: database.folder,
  ROOT_KEY,
  BOOTSTRAP_API_KEY: BENCH_KEY,
  PORT: '0',
  ROLE: 'api',
  LOG_LEVEL: 'warn',
  // All readers come from one address here.
  MAX_CONNECTIONS_PER_ADDRESS: '10000',
});
const bare = await startProcess('node', [join(import.meta.dirname, 'streams/broadcaster.mjs')], {});
const pool = new pg.Pool({ connectionString: database.url, max: senders });

async function ask(method, path, body, key = BENCH_KEY) {
  const reply = await fetch(`${server.url}/api/v1${path}`, {
    method,
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const said = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${said}`);
  return said === '' ? undefined : JSON.parse(said);
}

async function lease() {
  await ask('POST', '/tasks', { agent: 'benched', prompt: 'bench', visibility: 'organization' });
  const { runs } = await ask('POST', '/worker/claim', { agents: ['benched'], max: 1 });
  return { runId: runs[0].run.id, fence: runs[0].lease.fence };
}

const eventsOf = (count) => Array.from({ length: count }, () => ({ type: 'log', data: { text } }));
const append = ({ runId, fence }, count) =>
  ask('POST', `/worker/runs/${runId}/events`, { fence, events: eventsOf(count) });

/** Calls `one` so often, from as many senders at once; calls a second. */
async function rate(count, one) {
  const startedAt = performance.now();
  let left = count;
  await Promise.all(
    Array.from({ length: senders }, async (_, sender) => {
      while (left > 0) {
        left -= 1;
        await one(sender);
      }
    }),
  );
  return (count * 1000) / (performance.now() - startedAt);
}

/** Sockets that read a stream and count the events in it. */
async function openReaders(count, url, headersOf) {
  const { port, pathname } = new URL(url);
  const readers = { seen: 0, sockets: [] };
  for (let index = 0; index < count; index += 1) {
    const socket = connect(Number(port), '127.0.0.1');
    await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('data', (head) => (head.includes(' 200 ') ? resolve() : reject(new Error(String(head)))));
      socket.write(`GET ${pathname} HTTP/1.1\r\nhost: bench\r\n${headersOf(index)}\r\n`);
    });
    socket.on('data', (bytes) => {
      for (let at = bytes.indexOf('\nid: '); at !== -1; at = bytes.indexOf('\nid: ', at + 5)) readers.seen += 1;
    });
    readers.sockets.push(socket);
  }
  return readers;
}

async function until(holds) {
  const startedAt = performance.now();
  while (!holds()) {
    if (performance.now() - startedAt > 60_000) throw new Error('not everything was delivered');
    await delay(1);
  }
}

const residentKiB = async (child) =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]);

try {
  await ask('POST', '/agents', { slug: 'benched', kind: 'worker', lease_seconds: 3600 });
  // A principal opens a thousand streams at most.
  const keys = [];
  for (let index = 0; index < 6; index += 1)
    keys.push((await ask('POST', '/api-keys', { name: `reader ${index}`, role: 'viewer' })).key);

  const leases = await Promise.all(Array.from({ length: senders }, lease));
  await pool.query('create table bare_events (run uuid, seq bigserial, events jsonb, primary key (run, seq))');
  const insert = (count) => (sender) =>
    pool.query({
      name: `i${count}`,
      text: 'insert into bare_events (run, events) values ($1, $2)',
      values: [leases[sender].runId, JSON.stringify(eventsOf(count))],
    });
  const appended = [];
  for (const count of [1, 100]) {
    const samples = { ours: [], bare: [] };
    for (let round = 0; round <= rounds; round += 1) {
      const calls = count === 1 ? appends : appends / 10;
      const bareRate = await rate(calls, insert(count));
      const ourRate = await rate(calls, (sender) => append(leases[sender], count));
      if (round > 0) {
        samples.bare.push(bareRate * count);
        samples.ours.push(ourRate * count);
      }
    }
    const [ours, limit] = [median(samples.ours), median(samples.bare)];
    appended.push({
      'events a batch': count,
      'over HTTP, events/s': Math.round(ours),
      'bare INSERT, events/s': Math.round(limit),
      ratio: (ours / limit).toFixed(2),
    });
  }
  console.log(`\nappends, ${senders} senders, acknowledged durable, median of ${rounds} rounds`);
  console.table(appended);

  const delivered = [];
  for (const count of values.readers.split(',').map(Number)) {
    const followed = await lease();
    const before = await residentKiB(server.child);
    const ours = await openReaders(
      count,
      `${server.url}/api/v1/streams/${followed.runId}`,
      (index) => `x-api-key: ${keys[index % keys.length]}\r\n`,
    );
    await delay(500);
    const idleKiB = ((await residentKiB(server.child)) - before) / count;
    const limit = await openReaders(count, `${bare.url}/`, () => '');
    const frame = `id: 1\nevent: log\ndata: ${JSON.stringify({ seq: 1, type: 'log', at: '2026-01-31T09:00:00.000Z', data: { text } })}\n\n`;
    const samples = { ours: [], bare: [] };
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, readers, send] of [
        ['bare', limit, () => fetch(`${bare.url}/send`, { method: 'POST', body: `\n${frame.repeat(EVENTS)}` })],
        ['ours', ours, () => append(followed, EVENTS)],
      ]) {
        readers.seen = 0;
        const startedAt = performance.now();
        for (let batch = 0; batch < batches; batch += 1) await send();
        await until(() => readers.seen >= count * batches * EVENTS);
        if (round > 0) samples[name].push((count * batches * EVENTS * 1000) / (performance.now() - startedAt));
      }
    }
    for (const socket of [...ours.sockets, ...limit.sockets]) socket.destroy();
    await delay(500);
    const [mine, most] = [median(samples.ours), median(samples.bare)];
    delivered.push({
      readers: count,
      'ours, events/s': Math.round(mine),
      'bare broadcaster, events/s': Math.round(most),
      ratio: (mine / most).toFixed(2),
      'KiB an idle reader': idleKiB.toFixed(1),
    });
  }
  console.log(`\nfan-out, batches of ${EVENTS} events, median of ${rounds} rounds`);
  console.table(delivered);
} finally {
  await pool.end();
  await server.stop();
  await bare.stop();
  await database.stop();
}
