/**
 * Webhooks through outages: a receiver that a seed makes go down, be slow, hang up, fail and ask to wait, and dispatchers that are killed while
 * they send. Afterwards every message has been accepted at least once, by its one id and body, under a signature, hardly any twice,
 * and its order key says what happened after what.
 *
 * Dispatchers are real processes that SIGKILL ends; one at a time, so that what the dead one held can be given back at once instead of
 * when its lease runs out (that a living one's is not taken: test/integration/webhook-lanes.test.ts). Waits between attempts are shortened in the database,
 * as if that time had passed.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { Webhook } from 'standardwebhooks';
import { call, type Reply } from '../../support/server.js';
import { type ServerProcess, startProcess } from '../../support/server-process.js';
import { seededRandom } from '../rig/random.js';

export interface OutageOptions {
  seed: number;
  databaseUrl: string;
  /** Messages; three for each run. */
  events: number;
  kills: number;
  say?: (sentence: string) => void;
}

export interface OutageReport {
  seed: number;
  messages: number;
  requests: number;
  accepted: number;
  duplicates: number;
  kills: number;
  /** Of those, the ones while the dispatcher was sending; the others found it done. */
  killsMidway: number;
  /** How often the receiver answered so. */
  answers: Record<string, number>;
  violations: string[];
  seconds: number;
}

const KEY = 'outage_key_outage_key_outage_key_0001';
const V1 = '/api/v1';
const BATCH = 167;
const CLAIMED_AT_ONCE = 100;
/** What a receiver does in a phase; it is well in between. */
const TROUBLES = ['down', 'slow', 'reset', '500', '429', 'mixed'] as const;
type Mood = 'well' | (typeof TROUBLES)[number];
/** Longest without any progress; not a measure of speed. */
const PATIENCE_MS = 240_000;

/** The far side. */
class Far {
  readonly requests: {
    id: string;
    text: string;
    accepted: boolean;
    genuine: boolean;
    orderKey: number;
    type: string;
    run: string | null;
    task: string;
  }[] = [];
  readonly accepted = new Map<string, number>();
  readonly answers: Record<string, number> = {};
  mood: Mood = 'well';
  webhook: Webhook | null = null;
  #then: { accepted: number; act: () => void } | null = null;
  #server: Server | null = null;
  #port = 0;

  constructor(private readonly random: () => number) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Acts once, in the moment in which so many messages have been accepted. */
  when(accepted: number, act: () => void): void {
    this.#then = { accepted, act };
  }

  async up(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const answer = this.#draw();
        this.answers[answer] = (this.answers[answer] ?? 0) + 1;
        this.#note(
          String(request.headers['webhook-id']),
          text,
          request.headers as Record<string, string>,
          answer === 'ok' || answer === 'slow',
        );
        switch (answer) {
          case 'reset':
            request.socket.destroy();
            break;
          case 'slow':
            setTimeout(() => response.writeHead(200).end('thank you'), 20);
            break;
          case '500':
            response.writeHead(500).end('x'.repeat(100_000));
            break;
          case '429':
            response.writeHead(429, { 'retry-after': '30' }).end();
            break;
          default:
            response.writeHead(204).end();
        }
      });
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async down(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server !== null) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }

  async become(mood: Mood): Promise<void> {
    this.mood = mood;
    if (mood === 'down') {
      await this.down();
    } else if (this.#server === null) {
      await this.up();
    }
  }

  #draw(): string {
    const draw = this.random();
    switch (this.mood) {
      case 'well':
      case 'down':
        return 'ok';
      case 'mixed':
        return draw < 0.7 ? 'ok' : (['reset', '500', '429', 'slow'][Math.floor(this.random() * 4)] ?? 'ok');
      default:
        return this.mood;
    }
  }

  #note(id: string, text: string, headers: Record<string, string>, accepted: boolean): void {
    let genuine = true;
    try {
      this.webhook?.verify(text, headers);
    } catch {
      genuine = false;
    }
    const body = JSON.parse(text);
    this.requests.push({
      id,
      text,
      accepted,
      genuine,
      orderKey: body.order_key,
      type: body.type,
      run: body.data.run?.id ?? null,
      task: body.data.task.id,
    });
    if (accepted) {
      this.accepted.set(id, (this.accepted.get(id) ?? 0) + 1);
      if (this.#then !== null && this.accepted.size >= this.#then.accepted) {
        const { act } = this.#then;
        this.#then = null;
        act();
      }
    }
  }
}

export async function runOutages(options: OutageOptions): Promise<OutageReport> {
  const began = performance.now();
  const say = options.say ?? (() => undefined);
  const random = seededRandom(options.seed);
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-outages-'));
  const far = new Far(seededRandom(options.seed + 1));
  await far.up();
  const database = new Client({ connectionString: options.databaseUrl });
  await database.connect();
  const processes: ServerProcess[] = [];
  const start = (role: 'api' | 'worker'): ServerProcess => {
    const one = startProcess({
      ROLE: role,
      DATABASE_URL: options.databaseUrl,
      DATA_DIR: join(folder, String(processes.length)),
      ROOT_KEY: Buffer.alloc(32, 7).toString('base64'),
      BOOTSTRAP_API_KEY: KEY,
      EGRESS_ALLOW_CIDRS: '127.0.0.1/32',
      EGRESS_MEMBER_ALLOW_CIDRS: '127.0.0.1/32',
      LOG_LEVEL: 'fatal',
      DATABASE_POOL_SIZE: '6',
    });
    processes.push(one);
    return one;
  };
  try {
    const url = await start('api').url;
    const ask = async (method: string, path: string, body?: unknown): Promise<Reply> => {
      const reply = await call(url, method, `${V1}${path}`, { as: KEY, body });
      if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
      return reply;
    };
    await ask('POST', '/agents', { slug: 'outage', kind: 'worker', lease_seconds: 3600 });
    const hook = await ask('POST', '/webhooks', {
      url: far.url,
      events: ['task.created', 'run.started', 'run.completed'],
    });
    far.webhook = new Webhook(hook.body.secret);

    const messages = async (): Promise<number> =>
      Number((await database.query('select count(*) from outbox_messages')).rows[0].count);
    const pending = async (): Promise<number> =>
      Number((await database.query(`select count(*) from deliveries where status = 'pending'`)).rows[0].count);
    const timePasses = async (): Promise<void> => {
      await database.query(`update delivery_lanes set paused_until = '-infinity'`);
      await database.query(`update delivery_hosts set open_until = '-infinity'`);
      // All by as much, so that who was tried last still comes last.
      await database.query(
        `update deliveries set next_attempt_at = next_attempt_at - interval '10 days' where status = 'pending' and next_attempt_at > clock_timestamp()`,
      );
    };
    let dispatcher = start('worker');
    await dispatcher.url;

    const batches = Math.ceil(options.events / 3 / BATCH);
    let kills = 0;
    let killsMidway = 0;
    for (let batch = 0; batch < batches; batch += 1) {
      const made = Math.min(BATCH, Math.ceil(options.events / 3) - batch * BATCH);
      const trouble = TROUBLES[(batch + Math.floor(random() * 2)) % TROUBLES.length] ?? 'mixed';
      const isKilled = Math.floor(((batch + 1) * options.kills) / batches) > kills;
      // Work goes on while the receiver is in trouble.
      await far.become(trouble);
      await ask('POST', '/tasks/batch', {
        tasks: Array.from({ length: made }, () => ({ agent: 'outage', prompt: 'x' })),
      });
      await timePasses();
      const ids: string[] = [];
      while (ids.length < made) {
        const claimed = await ask('POST', '/worker/claim', { agents: ['outage'], max: CLAIMED_AT_ONCE });
        ids.push(...claimed.body.runs.map((one: { run: { id: string } }) => one.run.id));
      }
      const before = far.requests.length;
      if (trouble !== 'down') {
        // Felt: the receiver was asked at least once while it was so.
        await progress(() => Promise.resolve(far.requests.length > before), timePasses);
      }
      await far.become('well');
      await timePasses();
      if (isKilled) {
        // In the midst of sending: in the very moment in which the receiver accepts one of those that wait.
        const death = { isMidway: false };
        const kill = (): void => {
          death.isMidway = true;
          dispatcher.child.kill('SIGKILL');
        };
        far.when(far.accepted.size + 10 + Math.floor((random() * made) / 2), kill);
        await progress(async () => death.isMidway || (await pending()) === 0, timePasses);
        killsMidway += death.isMidway ? 1 : 0;
        kill();
        await dispatcher.exit;
        kills += 1;
        await database.query(`update delivery_lanes set leased_until = '-infinity'`);
        dispatcher = start('worker');
      }
      // An end as the engine writes it, for all at once: what tells of it is the table's own trigger.
      await database.query(
        `update runs set status = 'completed', finished_at = clock_timestamp(), lease_expires_at = null, deadline_at = null, fence_nonce = null,
          output = '{}' where id = any($1::uuid[])`,
        [ids],
      );
      await dispatcher.url;
      await progress(async () => (await pending()) === 0, timePasses);
      say(`${far.accepted.size} of ${await messages()} accepted, ${kills} kills`);
    }
    const stored = await database.query<{ id: string; status: string; body: string }>(
      `select m.id, d.status, m.body from outbox_messages m join deliveries d on d.organization_id = m.organization_id and d.message_id = m.id`,
    );
    return {
      seed: options.seed,
      messages: stored.rows.length,
      requests: far.requests.length,
      accepted: [...far.accepted.values()].reduce((sum, count) => sum + count, 0),
      duplicates: [...far.accepted.values()].reduce((sum, count) => sum + count - 1, 0),
      kills,
      killsMidway,
      answers: far.answers,
      violations: violations(far, stored.rows),
      seconds: Math.round((performance.now() - began) / 100) / 10,
    };
  } finally {
    for (const { child } of processes) child.kill('SIGKILL');
    await Promise.all(processes.map(({ exit }) => exit));
    await far.down();
    await database.end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Looks until it holds, letting time pass now and then. */
async function progress(holds: () => Promise<boolean>, timePasses: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let look = 1; !(await holds()); look += 1) {
    if (performance.now() > deadline) throw new Error('nothing moves any more');
    await delay(20);
    if (look % 50 === 0) await timePasses();
  }
}

function violations(far: Far, stored: readonly { id: string; status: string; body: string }[]): string[] {
  const found: string[] = [];
  const bodies = new Map(stored.map(({ id, body }) => [id, body]));
  for (const { id, status } of stored) {
    if (!far.accepted.has(id)) found.push(`${id} was never accepted; the ledger says ${status}`);
    else if (status !== 'delivered') found.push(`${id} was accepted; the ledger says ${status}`);
  }
  for (const { id, text, genuine } of far.requests) {
    if (!genuine) found.push(`${id} came without a good signature`);
    if (bodies.get(id) !== text) found.push(`${id} came with another body`);
  }
  const order: Record<string, number> = { 'task.created': 0, 'run.started': 1, 'run.completed': 2 };
  const tasks = new Map<string, number[]>();
  for (const { task, type, orderKey } of far.requests) {
    const keys = tasks.get(task) ?? [];
    keys[order[type] ?? 3] = orderKey;
    tasks.set(task, keys);
  }
  for (const [task, [made = 0, started = 0, ended = 0]] of tasks) {
    if (!(made > 0 && made < started && started < ended))
      found.push(`the order of ${task} is ${made}, ${started}, ${ended}`);
  }
  return found.slice(0, 50);
}
