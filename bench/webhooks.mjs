// Deliveries per second to a fast receiver, beside a bare client that keeps its connections and signs; and the same while a thousand
// receivers never answer. `npx nest build` first: what is measured is `dist`.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { BENCH_KEY, median, ROOT_KEY, startDatabase, startProcess } from './harness.mjs';

const { values } = parseArgs({
  options: {
    deliveries: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '3' },
    dead: { type: 'string', default: '1000' },
  },
});
const [deliveries, rounds, dead] = [values.deliveries, values.rounds, values.dead].map(Number);
/** As many requests at once as a dispatcher makes to one receiver. */
const AT_ONCE = 8;
const FOLDER = join(import.meta.dirname, 'webhooks');

const database = await startDatabase();
const data = await mkdtemp(join(tmpdir(), 'taskyard-bench-webhooks-'));
const client = new pg.Client({ connectionString: database.url });
const receiver = fork(join(FOLDER, 'receiver.mjs'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
const [{ port, deadPort }] = await once(receiver, 'message');
const environment = (role) => ({
  ROLE: role,
  PORT: '0',
  DATA_DIR: join(data, role),
  DATABASE_URL: database.url,
  ROOT_KEY,
  BOOTSTRAP_API_KEY: BENCH_KEY,
  EGRESS_ALLOW_CIDRS: '127.0.0.0/8',
  EGRESS_MEMBER_ALLOW_CIDRS: '127.0.0.0/8',
  LOG_LEVEL: 'error',
});
const serve = (role) => startProcess(process.execPath, ['dist/src/main.js'], environment(role));
const api = await serve('api');
await client.connect();

async function ask(path, body) {
  const reply = await fetch(`${api.url}/api/v1${path}`, {
    method: 'POST',
    headers: { 'x-api-key': BENCH_KEY, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

async function makeTasks(count, task) {
  for (let made = 0; made < count; made += 500) {
    const tasks = Array.from({ length: Math.min(500, count - made) }, (_, index) => task(made + index));
    const { results } = await ask('/tasks/batch', { tasks });
    const refused = results.find(({ status }) => status !== 201);
    if (refused !== undefined) throw new Error(JSON.stringify(refused));
  }
}

async function expect(count) {
  receiver.send({ expect: count });
  await once(receiver, 'message');
  const done = once(receiver, 'message').then(([told]) => told);
  return () => done;
}

/** Seconds from the first arrival to the last, of messages that wait when the dispatcher starts. */
async function ours() {
  await makeTasks(deliveries, () => ({ agent: 'benched', prompt: 'x', start: false }));
  const done = await expect(deliveries);
  const worker = await serve('worker');
  const told = await done();
  await worker.stop();
  await client.query(`update delivery_lanes set paused_until = '-infinity'`);
  return told.seconds;
}

async function bare(body, secret) {
  const done = await expect(deliveries);
  const told = JSON.stringify({ port, count: deliveries, atOnce: AT_ONCE, body, secret });
  const child = spawn(process.execPath, [join(FOLDER, 'bare.mjs'), told], { stdio: 'inherit' });
  const { seconds } = await done();
  if (child.exitCode === null) await once(child, 'exit');
  return seconds;
}

await ask('/agents', { slug: 'benched', kind: 'worker' });
const { secret } = await ask('/webhooks', { url: `http://127.0.0.1:${port}/`, events: ['task.created'] });
const seconds = { bare: [], ours: [], oursAmongDead: [] };
// Once to warm up, and so that the receiver is one that is known to live.
await ours();
const { rows } = await client.query('select body from outbox_messages limit 1');
for (let round = 0; round < rounds; round += 1) {
  seconds.bare.push(await bare(rows[0].body, secret));
  seconds.ours.push(await ours());
}
for (let round = 0; round < rounds; round += 1) {
  // Each round dead ones that nobody has met yet: callbacks to as many origins, where connections are taken and nothing is said.
  await makeTasks(dead, (index) => ({
    agent: 'benched',
    prompt: 'x',
    callback: `http://127.${round + 1}.${Math.floor(index / 250)}.${1 + (index % 250)}:${deadPort}/`,
  }));
  await client.query(`update runs set status = 'canceled', finished_at = clock_timestamp() where finished_at is null`);
  seconds.oursAmongDead.push(await ours());
}
const perSecond = (list) => Math.round(deliveries / median(list));
const report = {
  deliveries,
  bytes: Buffer.byteLength(rows[0].body),
  bare: perSecond(seconds.bare),
  ours: perSecond(seconds.ours),
  ratio: Number((median(seconds.bare) / median(seconds.ours)).toFixed(2)),
  dead,
  oursAmongDead: perSecond(seconds.oursAmongDead),
  ratioAmongDead: Number((median(seconds.ours) / median(seconds.oursAmongDead)).toFixed(2)),
};
console.log(JSON.stringify(report, null, 2));
await api.stop();
receiver.kill();
await client.end();
await database.stop();
await rm(data, { recursive: true, force: true });
