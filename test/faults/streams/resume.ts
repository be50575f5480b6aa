/**
 * Readers through faults: replicas killed with -9 and started again, connections cut, Redis killed, emptied and started again, while a worker
 * appends. At the end every reader must have seen exactly what is stored: no hole, nothing twice, nothing of another run.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cloneDatabase } from '../../support/databases.js';
import { REDIS_PROGRAM, startRedis } from '../../support/redis-server.js';
import { startProcess, type ServerProcess } from '../../support/server-process.js';
import { seededRandom, shuffled } from '../rig/random.js';
import { type MovingDoor, openDoor } from './moving-door.js';
import { browserPage, byCurl, byEventSource, byFetch, CHROMIUM, type Reader } from './readers.js';

const KEY = 'a_bootstrap_key_of_the_stream_rig_0123456789';

export interface ResumePlan {
  seed: number;
  clients: number;
  events: number;
  kills: number;
  cuts: number;
  /** Of Redis: killed, emptied, started again; without Redis on the machine PostgreSQL carries the hints and these are left out. */
  redisLosses: number;
}

export interface ResumeReport {
  seed: number;
  stored: number;
  acknowledged: number;
  redisLosses: number;
  chromium: boolean;
  /** Readers by kind, and what was wrong with any: empty where nothing is. */
  readers: number;
  wrong: string[];
}

interface Replica {
  door: MovingDoor;
  environment: Record<string, string>;
  process: ServerProcess;
}

export async function proveResume(plan: ResumePlan): Promise<ResumeReport> {
  const random = seededRandom(plan.seed);
  const cleanups: (() => Promise<unknown>)[] = [];
  try {
    const database = await cloneDatabase();
    cleanups.push(() => database.drop());
    const redis = REDIS_PROGRAM === null ? null : await startRedis();
    if (redis !== null) cleanups.push(() => redis.close());
    const page = CHROMIUM === null ? null : await browserPage();
    if (page !== null) cleanups.push(() => page.close());

    const replicas = await Promise.all(
      [0, 1].map(() => startReplica(database.url, redis?.url ?? '', page?.origin ?? '', cleanups)),
    );
    const [first, second] = replicas;
    if (first === undefined || second === undefined) throw new Error('two replicas were started');
    const doors = replicas.map(({ door }) => door.url);
    const ask = caller(doors);

    await ask('POST', '/api/v1/agents', { slug: 'told', kind: 'worker', lease_seconds: 3600 }, [201]);
    // A run beside it, on the same replicas, whose events must never be shown.
    const runId = await hand(ask);
    await hand(ask);
    const { body } = await ask('POST', '/api/v1/worker/claim', { agents: ['told'], max: 2 }, [200]);
    const fences = new Map<string, string>(
      body.runs.map(({ run, lease }: { run: { id: string }; lease: { fence: string } }) => [run.id, lease.fence]),
    );
    const [otherId = ''] = [...fences.keys()].filter((id) => id !== runId);

    const urls = doors.map((door) => `${door}/api/v1/streams/${runId}`);
    const kinds: Reader[] = [byCurl, byEventSource, byEventSource];
    const reading = Array.from({ length: plan.clients }, (_, index) => {
      const read = kinds[index] ?? byFetch;
      return read({ urls: index % 2 === 0 ? urls : [...urls].reverse(), key: KEY });
    });
    if (page !== null) {
      const link = await ask('POST', `/api/v1/streams/${runId}/url`, undefined, [200]);
      reading.push(page.read(String(link.body.url).replace(/^https?:\/\/[^/]+/, first.door.url)));
    }
    const read = Promise.all(reading);
    // Told where it is awaited; until then a failed reader is no unhandled rejection.
    read.catch(() => undefined);

    const nemesis = shuffled(
      [
        ...Array.from({ length: plan.kills }, (_, index) => () => kill(index % 2 === 0 ? first : second)),
        ...Array.from({ length: plan.cuts }, (_, index) => () => {
          (index % 2 === 0 ? first : second).door.cut();
          return Promise.resolve();
        }),
        ...Array.from({ length: redis === null ? 0 : plan.redisLosses }, () => async () => {
          await redis?.flush();
          await redis?.kill();
          await redis?.start();
        }),
      ],
      random,
    );
    const every = Math.max(1, Math.floor(plan.events / (nemesis.length + 1)));
    let acknowledged = 0;
    let number = 0;
    let faults: Promise<void> = Promise.resolve();
    while (number < plan.events) {
      const count = Math.min(1 + Math.floor(random() * 10), plan.events - number);
      const events = Array.from({ length: count }, (_, index) => ({
        type: 'log',
        data: { text: `event ${number + index}` },
      }));
      await ask(
        'POST',
        `/api/v1/worker/runs/${runId}/events`,
        { fence: fences.get(runId), batch_id: `batch ${number}`, events },
        [200],
      );
      acknowledged += count;
      if (number % 5 === 0) {
        const foreign = [{ type: 'log', data: { text: 'foreign' } }];
        await ask(
          'POST',
          `/api/v1/worker/runs/${otherId}/events`,
          { fence: fences.get(otherId), batch_id: `batch ${number}`, events: foreign },
          [200],
        );
      }
      if (Math.floor((number + count) / every) > Math.floor(number / every)) {
        // One after the other: with both replicas gone for long nothing would be proved.
        const strike = nemesis.shift();
        if (strike !== undefined) faults = faults.then(strike);
      }
      number += count;
    }
    await faults;
    for (const strike of nemesis) await strike();
    await ask('POST', `/api/v1/worker/runs/${runId}/complete`, { fence: fences.get(runId), output: {} }, [200]);
    const seen = await read;

    const stored = (await ask('GET', `/api/v1/runs/${runId}`, undefined, [200])).body.last_seq;
    const expected = Array.from({ length: stored }, (_, index) => String(index + 1)).join();
    return {
      seed: plan.seed,
      stored,
      acknowledged,
      redisLosses: redis === null ? 0 : plan.redisLosses,
      chromium: page !== null,
      readers: seen.length,
      wrong: seen.flatMap((ids, index) =>
        ids.join() === expected ? [] : [`reader ${index}: ${differenceOf(ids, stored)}`],
      ),
    };
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup();
  }
}

async function startReplica(
  databaseUrl: string,
  redisUrl: string,
  origin: string,
  cleanups: (() => Promise<unknown>)[],
): Promise<Replica> {
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-streams-'));
  await chmod(folder, 0o755);
  const door = await openDoor();
  const environment = {
    DATABASE_URL: databaseUrl,
    DATABASE_POOL_SIZE: '8',
    REDIS_URL: redisUrl,
    CORS_ORIGINS: origin,
    ROOT_KEY: Buffer.alloc(32, 9).toString('base64'),
    DATA_DIR: folder,
    BOOTSTRAP_API_KEY: KEY,
    ROLE: 'api',
    LOG_LEVEL: 'warn',
  };
  const replica = { door, environment, process: startProcess(environment) };
  cleanups.push(async () => {
    await door.close();
    const { child, exit } = replica.process;
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exit;
    await rm(folder, { recursive: true, force: true });
  });
  door.lead(await replica.process.url);
  return replica;
}

async function kill(replica: Replica): Promise<void> {
  replica.process.child.kill('SIGKILL');
  replica.door.lead(null);
  await replica.process.exit;
  replica.process = startProcess(replica.environment);
  replica.door.lead(await replica.process.url);
}

type Ask = (method: string, path: string, body: object | undefined, ok: readonly number[]) => Promise<{ body: any }>; // eslint-disable-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape

/** Asks one replica after the other until one answers; what is refused is an error. Only what is safe to repeat is asked. */
function caller(doors: readonly string[]): Ask {
  let turn = 0;
  return async (method, path, body, ok) => {
    for (;;) {
      turn += 1;
      try {
        const response = await fetch(`${doors[turn % doors.length]}${path}`, {
          method,
          headers: {
            authorization: `Bearer ${KEY}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await response.text();
        if (ok.includes(response.status)) return { body: text === '' ? undefined : JSON.parse(text) };
        if (response.status !== 503) throw new Refused(`${method} ${path}: ${response.status} ${text}`);
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
}

class Refused extends Error {}

async function hand(ask: Ask): Promise<string> {
  const { body } = await ask('POST', '/api/v1/tasks', { agent: 'told', prompt: 'tell' }, [201]);
  return body.stream.streamId;
}

function differenceOf(ids: readonly string[], stored: number): string {
  const at = ids.findIndex((id, index) => id !== String(index + 1));
  return at === -1 ? `ends at ${ids.length} of ${stored}` : `place ${at + 1} is ${ids[at]} (of ${ids.length})`;
}
