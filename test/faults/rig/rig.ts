/**
 * The rig: real processes under a seeded nemesis, and a checker that reads the database and the clients' journals afterwards. It is
 * Jepsen's method in small.
 *
 * One PostgreSQL with its default, durable settings; two replicas that serve; one process that runs agents; four workers over HTTP. The
 * parent makes runs as a client that asks again until it knows. Nothing here looks into the server's memory: what counts is what was
 * acknowledged and what is stored.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgres } from '../../../src/database/embedded/index.js';
import { buildInto } from '../../support/build.js';
import { check, type Findings } from './checker.js';
import { Replicas } from './client.js';
import { Creator } from './creator.js';
import { readJournal } from './journal.js';
import { Nemesis, type Deeds, type FaultCounts } from './nemesis.js';
import { Observer } from './observer.js';
import { RigProcess, type Recipe } from './processes.js';
import { seededRandom } from './random.js';

export interface RigOptions {
  seed: number;
  runs: number;
  /** Runs of the builtin agent, for the process that runs agents. */
  builtinRuns: number;
  faults: FaultCounts;
  /** Longest wait for what is still in the queue once the faults are over. */
  drainSeconds: number;
  say?: (sentence: string) => void;
}

export interface RigReport extends Findings {
  seed: number;
  deeds: Omit<Deeds, 'taken'>;
  leasesTaken: number;
  created: number;
  canceled: number;
  failedStarts: number;
  /** From an empty queue to all runs ended. */
  settleSeconds: number;
  seconds: number;
}

/** Where the rig's data and logs are, and where the programs are. */
interface Folders {
  folder: string;
  built: string;
}

const KEY = 'rig_key_rig_key_rig_key_rig_key_rig_key_0001';
const AGENT = 'rigged';
const LEASE_SECONDS = 5;
const WORKERS = 4;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

export async function runRig(options: RigOptions): Promise<RigReport> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-rig-'));
  // The database's user has to walk there where this is root.
  await chmod(folder, 0o755);
  const database = new EmbeddedPostgres({ dataDir: join(folder, 'data'), log: quiet });
  const processes: RigProcess[] = [];
  let isSound = false;
  try {
    const built = process.env['TEST_BUILD'] ?? join(folder, 'built');
    if (process.env['TEST_BUILD'] === undefined) {
      await mkdir(built);
      await buildInto(built, process.cwd());
    }
    const report = await play(options, { folder, built }, database, processes);
    isSound = report.violations.length === 0;
    return report;
  } finally {
    processes.forEach((one) => one.destroy());
    await database.stop();
    if (isSound) {
      await rm(folder, { recursive: true, force: true });
    } else {
      await rm(join(folder, 'data'), { recursive: true, force: true });
      process.stderr.write(`rig: seed ${options.seed}; logs and journals are in ${folder}\n`);
    }
  }
}

async function play(
  options: RigOptions,
  { folder, built }: Folders,
  database: EmbeddedPostgres,
  processes: RigProcess[],
): Promise<RigReport> {
  const startedMs = performance.now();
  const say = options.say ?? (() => undefined);
  const { url } = await database.start();
  const ports = await freePorts(3);
  const observer = new Observer(url);
  await mkdir(join(folder, 'journals'));
  const progress = { done: 0 };
  const victims = recipes(options.seed, { folder, built }, url, ports, (count) => (progress.done += count));
  const [first, ...others] = [...victims.replicas, victims.roleWorker, ...victims.workers].map(
    (recipe) => new RigProcess(recipe),
  );
  processes.push(...(first === undefined ? [] : [first]), ...others);
  // The first makes the schema.
  await first?.start();
  const people = new Replicas(ports.slice(0, 2), KEY);
  await makeAgents(people);
  await Promise.all(others.map((one) => one.start()));
  say('all processes are up');

  const creator = new Creator(people, options.seed);
  const workersClient = new Replicas(ports.slice(0, 2), KEY, 1);
  const of = (role: Recipe['role']): RigProcess[] => processes.filter(({ recipe }) => recipe.role === role);
  const [roleWorker] = of('role-worker');
  if (roleWorker === undefined) {
    throw new Error('the rig has no process that runs agents');
  }
  const nemesis = new Nemesis(
    seededRandom(options.seed),
    { replicas: of('api'), roleWorker, workers: of('worker') },
    database,
    observer,
    { workers: workersClient, people },
  );
  const settled = (): number => progress.done + creator.canceled;
  const talk = setInterval(
    () => say(`${settled()} of ${options.runs} runs, faults ${JSON.stringify(told(nemesis.deeds))}`),
    10_000,
  );
  try {
    await Promise.all([
      creator.create(AGENT, options.runs, {
        settled,
        allowed: () => Math.ceil(nemesis.share * options.runs),
        isOver: () => nemesis.isOver,
      }),
      makeBuiltinRuns(people, options.builtinRuns),
      nemesis.run(options.faults, () => settled() / options.runs),
    ]);
  } finally {
    clearInterval(talk);
  }
  say('the faults are over');
  await Promise.all(processes.map((one) => one.untilReady()));
  const settleSeconds = await drain(observer, options.drainSeconds);
  await Promise.all(processes.map((one) => one.stop()));
  const journal = processes.flatMap(({ recipe, incarnation }) =>
    recipe.role === 'worker'
      ? Array.from({ length: incarnation }, (_, index) =>
          readJournal(journalPath(folder, `${recipe.name}.${index + 1}`)),
        ).flat()
      : [],
  );
  const { taken } = nemesis.deeds;
  const findings = await check(observer, { created: creator.created, journal, taken });
  await observer.close();
  people.close();
  workersClient.close();
  return {
    ...findings,
    violations: [
      ...findings.violations,
      ...nemesis.deeds.lateAccepted.map((late) => `accepted late: ${late}`),
      ...processes.flatMap(({ surprises }) => surprises),
      ...(settleSeconds > 2 * LEASE_SECONDS
        ? [`runs were left over two lease periods after quiet: ${settleSeconds} s`]
        : []),
    ],
    seed: options.seed,
    deeds: told(nemesis.deeds),
    leasesTaken: taken.length,
    created: creator.created.acknowledged.length,
    canceled: creator.canceled,
    failedStarts: processes.reduce((sum, { failedStarts }) => sum + failedStarts, 0),
    settleSeconds,
    seconds: Math.round((performance.now() - startedMs) / 1000),
  };
}

function told(deeds: Deeds): Omit<Deeds, 'taken'> {
  return Object.fromEntries(Object.entries(deeds).filter(([name]) => name !== 'taken')) as Omit<Deeds, 'taken'>;
}

function recipes(
  seed: number,
  { folder, built }: Folders,
  databaseUrl: string,
  ports: readonly number[],
  onDone: (count: number) => void,
): { replicas: Recipe[]; roleWorker: Recipe; workers: Recipe[] } {
  const orphan = ['--import', pathToFileURL(join(built, 'test/faults/rig/orphan.js')).href];
  const server = (name: string, role: 'api' | 'role-worker', port: number): Recipe => ({
    name,
    role,
    log: join(folder, `${name}.log`),
    command: () => ({
      args: [...orphan, join(built, 'src/main.js')],
      environment: {
        ROLE: role === 'api' ? 'api' : 'worker',
        PORT: String(port),
        DATA_DIR: join(folder, 'files'),
        DATABASE_URL: databaseUrl,
        DATABASE_POOL_SIZE: '12',
        ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
        BOOTSTRAP_API_KEY: KEY,
        LOG_LEVEL: 'warn',
      },
    }),
    isReady: () => isReady(port),
  });
  const worker = (name: string, number: number): Recipe => ({
    name,
    role: 'worker',
    log: join(folder, `${name}.log`),
    onDone,
    command: (incarnation) => ({
      args: [
        ...orphan,
        join(built, 'test/faults/rig/worker.js'),
        JSON.stringify({
          name: `${name}.${incarnation}`,
          ports: ports.slice(0, 2),
          key: KEY,
          agent: AGENT,
          journal: journalPath(folder, `${name}.${incarnation}`),
          seed: seed * 1000 + number * 100 + incarnation,
          most: 8,
        }),
      ],
      environment: {},
    }),
  });
  return {
    replicas: [server('replica-1', 'api', ports[0] ?? 0), server('replica-2', 'api', ports[1] ?? 0)],
    roleWorker: server('agents', 'role-worker', ports[2] ?? 0),
    workers: Array.from({ length: WORKERS }, (_, index) => worker(`worker-${index + 1}`, index + 1)),
  };
}

function journalPath(folder: string, workerId: string): string {
  return join(folder, 'journals', `${workerId}.ndjson`);
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (
      (await fetch(`http://127.0.0.1:${port}/health/ready`, { signal: AbortSignal.timeout(2_000) })).status === 200
    );
  } catch {
    return false;
  }
}

/** Ports that are free now; each stays the replica's, so that clients find it again after a restart. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function makeAgents(people: Replicas): Promise<void> {
  const patient = { lease_seconds: LEASE_SECONDS, max_attempts: 100, retry: { min_seconds: 0, max_seconds: 0 } };
  const made = await people.call('POST', '/api/v1/agents', {
    slug: AGENT,
    kind: 'worker',
    concurrency_limit: 10_000,
    ...patient,
  });
  const known = await people.call('GET', '/api/v1/agents', {});
  const digest = known.body?.data?.find(({ slug }: { slug: string }) => slug === 'digest');
  const patched = await people.call('PATCH', `/api/v1/agents/${digest?.id}`, patient);
  if (made.outcome !== 'ok' || patched.outcome !== 'ok') {
    throw new Error(`the agents could not be made: ${JSON.stringify([made, known.status, patched])}`);
  }
}

async function makeBuiltinRuns(people: Replicas, count: number): Promise<void> {
  for (let number = 1; number <= count; number += 1) {
    const body = { agent: 'digest', title: `digest-${number}`, prompt: 'Work is kept. Work is done. Nothing is lost.' };
    for (;;) {
      const answer = await people.call('POST', '/api/v1/tasks', body, { 'idempotency-key': `digest-${number}` });
      if (answer.outcome === 'ok') {
        break;
      }
      if (answer.outcome === 'refused' && answer.status !== 409) {
        throw new Error(`refused: ${JSON.stringify(answer)}`);
      }
      await delay(100);
    }
  }
}

/** Waits until the queue is empty, then measures how long the rest takes to end. */
async function drain(observer: Observer, mostSeconds: number): Promise<number> {
  const open = async (): Promise<{ queued: number; rest: number }> => {
    const [row] = await observer.rows<{ queued: number; rest: number }>(
      `select count(*) filter (where status in ('queued', 'delayed'))::int as queued, count(*)::int as rest from runs where finished_at is null`,
    );
    return row ?? { queued: 0, rest: 0 };
  };
  for (let waitedMs = 0; (await open()).queued > 0 && waitedMs < mostSeconds * 1000; waitedMs += 100) {
    await delay(100);
  }
  const quietMs = performance.now();
  while ((await open()).rest > 0 && performance.now() - quietMs < (4 * LEASE_SECONDS + 1) * 1000) {
    await delay(50);
  }
  return Math.round((performance.now() - quietMs) / 100) / 10;
}
