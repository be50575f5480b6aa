// create → claim → complete, the same no-op job through: our engine alone, our engine over HTTP, graphile-worker, pg-boss and BullMQ.
// Every engine is a process of its own; in each round they take turns, one at a time, each mode. Ratios are to graphile-worker and BullMQ.
import { fork, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { BENCH_KEY, median, ROOT_KEY, startDatabase, startProcess } from './harness.mjs';
import { finished } from './queue/finished.mjs';

const { values } = parseArgs({
  options: {
    /** Jobs of a measurement, one at a time; twice as many in batches. */
    jobs: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    /** Finished runs in the table for the second measurement of ours; 0 leaves it out. */
    finished: { type: 'string', default: '0' },
    /** Engines, comma-separated: ours, http, graphile, pgboss, bullmq. */
    only: { type: 'string', default: 'ours,http,graphile,pgboss,bullmq' },
    /** The plans of our statements, too. */
    explain: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const jobs = Number(values.jobs);
const MODES = [
  { name: 'one at a time', senders: 8, batch: 1, jobs },
  { name: 'batches of 10', senders: 4, batch: 10, jobs: jobs * 2 },
  { name: 'batches of 100', senders: 4, batch: 100, jobs: jobs * 2 },
];
const FOLDER = join(import.meta.dirname, 'queue');
const stops = [];

function installPeers() {
  if (existsSync(join(FOLDER, 'node_modules/bullmq'))) return;
  console.error('Installing the engines to compare with, in bench/queue.');
  const { status } = spawnSync(
    'npm',
    ['install', '--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: FOLDER,
      stdio: 'inherit',
    },
  );
  if (status !== 0) throw new Error('npm install in bench/queue failed');
}

/** A variant's process; `ask` sends one deed and resolves with its milliseconds. */
async function startVariant(file, environment) {
  const child = fork(join(FOLDER, file), {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const waiting = new Map();
  let serial = 0;
  await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
    child.on('message', (message) => {
      if (message.ready) return resolve();
      const { settle, fail } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error === undefined) settle(message);
      else fail(new Error(`${file}: ${message.error}`));
    });
  });
  child.removeAllListeners('exit');
  const ask = (deed, jobsToDo, mode) =>
    new Promise((settle, fail) => {
      serial += 1;
      waiting.set(serial, { settle, fail });
      child.send({ id: serial, deed, jobs: jobsToDo, mode });
    });
  stops.push(async () => {
    if (child.exitCode !== null) return;
    child.send({ id: 0, deed: 'close' });
    await once(child, 'exit');
  });
  return ask;
}

async function startRedis() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-redis-'));
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder], {
    stdio: 'ignore',
  });
  // Rejects where there is no such program.
  await once(child, 'spawn');
  stops.push(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await rm(folder, { recursive: true, force: true });
  });
  for (let tries = 0; tries < 100; tries += 1) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isUp) return port;
    await delay(50);
  }
  throw new Error('redis-server does not answer');
}

async function startVariants() {
  const database = await startDatabase();
  stops.push(() => database.stop());
  const admin = new pg.Client({ connectionString: database.url });
  admin.on('error', () => undefined);
  await admin.connect();
  const only = values.only.split(',');
  const other = async (name) => {
    await admin.query(`create database ${name}`);
    return database.url.replace(/\/[^/?]+(\?|$)/, `/${name}$1`);
  };
  const environment = {
    DATABASE_URL: database.url,
    DATA_DIR: database.folder,
    DATABASE_POOL_SIZE: '16',
    ROOT_KEY,
    BOOTSTRAP_API_KEY: BENCH_KEY,
    PORT: '0',
    ROLE: 'api',
    LOG_LEVEL: 'warn',
  };
  const variants = [];
  const server = await startProcess('node', ['dist/src/main.js'], environment);
  stops.push(() => server.stop());
  const made = await fetch(`${server.url}/api/v1/agents`, {
    method: 'POST',
    headers: { 'x-api-key': BENCH_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ slug: 'benched', kind: 'worker' }),
  });
  if (made.status !== 201) throw new Error(`the agent: ${made.status} ${await made.text()}`);
  const add = async (key, name, file, env) => {
    if (only.includes(key)) variants.push({ key, name, ask: await startVariant(file, env) });
  };
  if (only.some((key) => ['graphile', 'pgboss', 'bullmq'].includes(key))) installPeers();
  await add('ours', 'ours, engine alone', 'engine.mjs', environment);
  await add('http', 'ours, over HTTP', 'http.mjs', { SERVER_URL: server.url, BENCH_KEY });
  await add(
    'graphile',
    'graphile-worker 0.16.6',
    'graphile.mjs',
    only.includes('graphile') ? { DATABASE_URL: await other('graphile') } : {},
  );
  await add(
    'pgboss',
    'pg-boss 10.4.2',
    'pgboss.mjs',
    only.includes('pgboss') ? { DATABASE_URL: await other('pgboss') } : {},
  );
  if (only.includes('bullmq'))
    await add('bullmq', 'BullMQ 6.5.1, Redis', 'bullmq.mjs', { REDIS_PORT: String(await startRedis()) });
  await admin.end();
  return { database, variants };
}

async function measure(variants) {
  const samples = new Map();
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const mode of MODES) {
      for (const { key, ask } of variants) {
        // The first round warms up.
        const count = round === 0 ? mode.jobs / 4 : mode.jobs;
        const created = await ask('create', count, mode);
        const worked = await ask('work', count, mode);
        if (round > 0) {
          const at = `${key} ${mode.name}`;
          samples.set(at, [
            ...(samples.get(at) ?? []),
            { create: (count * 1000) / created.ms, work: (count * 1000) / worked.ms },
          ]);
        }
      }
    }
  }
  return (key, mode, what) => {
    const list = samples.get(`${key} ${mode.name}`);
    return list === undefined ? null : median(list.map((sample) => sample[what]));
  };
}

function ratio(value, other) {
  return value === null || other === null ? '' : (value / other).toFixed(2);
}

try {
  const { database, variants } = await startVariants();
  const figure = await measure(variants);
  for (const mode of MODES) {
    console.log(`\n${mode.name} (${mode.senders} claimers), jobs per second, median of ${values.rounds} rounds`);
    console.table(
      variants.map(({ key, name }) => {
        const [create, work] = [figure(key, mode, 'create'), figure(key, mode, 'work')];
        return {
          engine: name,
          create: Math.round(create),
          'claim + complete': Math.round(work),
          '/ graphile-worker': ratio(work, figure('graphile', mode, 'work')),
          '/ BullMQ': ratio(work, figure('bullmq', mode, 'work')),
          '/ engine alone': ratio(work, figure('ours', mode, 'work')),
        };
      }),
    );
  }
  const ours = variants.filter(({ key }) => key === 'ours' || key === 'http');
  if (Number(values.finished) > 0) {
    const before = await finished(database.url, 0);
    const few = await measure(ours);
    await finished(database.url, Number(values.finished));
    const many = await measure(ours);
    console.log(
      `\nclaim + complete with ${before} and with ${before + Number(values.finished)} finished runs and more in the table`,
    );
    console.table(
      MODES.flatMap((mode) =>
        ours.map(({ key, name }) => ({
          mode: mode.name,
          engine: name,
          few: Math.round(few(key, mode, 'work')),
          many: Math.round(many(key, mode, 'work')),
          ratio: ratio(many(key, mode, 'work'), few(key, mode, 'work')),
        })),
      ),
    );
  }
  if (values.explain) {
    const engine = ours.find(({ key }) => key === 'ours');
    await engine.ask('create', 200, MODES[1]);
    console.log((await engine.ask('explain', 10, MODES[1])).value);
    await engine.ask('work', 199, MODES[1]);
  }
} finally {
  for (const stop of stops.reverse()) {
    await stop().catch((error) => console.error(error));
  }
}
