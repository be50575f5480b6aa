/**
 * The root key changes, back and forth, while secrets are written and read, and the process that does it is killed each time. In the
 * end every secret must have a value that was put last (or was under way when the process died), nothing may be left under the old
 * key, and no byte of any value may stand in the database or in what the processes said.
 *
 * The short form has 500 reads and writes and 3 kills; `npm run soak -- secrets` has 10,000 and 20.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { rootKeyId } from '../../src/infrastructure/keyring/sealed-box.js';
import { BOOTSTRAP_KEY, call, type Reply } from '../support/server.js';
import { startProcess, type ServerProcess } from '../support/server-process.js';
import { seededRandom } from './rig/random.js';

export interface RotationPlan {
  databaseUrl: string;
  folder: string;
  seed: number;
  agents: number;
  /** Reads and writes beyond the first values and the last reads. */
  operations: number;
  kills: number;
}

export interface RotationReport {
  operations: number;
  secrets: number;
  violations: string[];
}

export const NAMES_PER_AGENT = 50;
const LANES = 8;
/** Every value begins so: what is searched for where no value may be. */
const MARK = 'PLAIN_7f3a_';
const WAIT_MS = 100;
const MAX_WAITS = 1_200;

interface Kept {
  agent: string;
  name: string;
  /** Values that may be the present one: the last acknowledged, and what was sent since. */
  values: string[];
}

export async function rotateUnderFire(plan: RotationPlan): Promise<RotationReport> {
  const random = seededRandom(plan.seed);
  const keys = [randomBytes(32), randomBytes(32)].map((key) => key.toString('base64'));
  const [old = '', present = ''] = keys;
  const secrets = Array.from({ length: plan.agents * NAMES_PER_AGENT }, (_, index): Kept => ({
    agent: `vault-${Math.floor(index / NAMES_PER_AGENT)}`,
    name: `SECRET_${index}`,
    values: [],
  }));
  const outputs: string[] = [];
  const violations: string[] = [];
  let operations = 0;

  const start = (rootKeys: readonly string[]): ServerProcess =>
    startProcess({
      DATABASE_URL: plan.databaseUrl,
      DATA_DIR: plan.folder,
      DATABASE_POOL_SIZE: '8',
      ROOT_KEY: rootKeys.join(','),
      BOOTSTRAP_API_KEY: BOOTSTRAP_KEY,
    });
  const end = async (server: ServerProcess): Promise<void> => {
    server.child.kill('SIGKILL');
    await server.exit;
    outputs.push(server.output());
  };
  const put = async (url: string, secret: Kept): Promise<void> => {
    const value = `${MARK}${randomBytes(8).toString('hex')}`;
    secret.values.push(value);
    const reply = await call(url, 'PUT', `/api/v1/secrets/${secret.name}`, { body: { value } });
    if (reply.status === 200) {
      secret.values = [value];
      operations += 1;
    }
  };
  const read = async (url: string, chosen: readonly Kept[]): Promise<void> => {
    const [{ agent } = { agent: '' }] = chosen;
    const body = { agent, prompt: 'read', secret_names: chosen.map(({ name }) => name) };
    const made = await call(url, 'POST', '/api/v1/tasks', { body });
    const claim =
      made.status === 201 ? await call(url, 'POST', '/api/v1/worker/claim', { body: { agents: [agent] } }) : made;
    check(claim, made.body?.stream?.streamId, chosen);
  };
  const check = (claim: Reply, runId: string, chosen: readonly Kept[]): void => {
    const [given] = claim.body?.runs ?? [];
    // Another lane's run, or none: it is looked at by whoever claims it.
    if (claim.status !== 200 || given === undefined) return;
    operations += Object.keys(given.secrets).length;
    const known = new Map(secrets.map((secret) => [secret.name, secret]));
    for (const [name, value] of Object.entries<string>(given.secrets)) {
      if (!value.startsWith(MARK)) violations.push(`${name} was read as something else`);
      known.delete(name);
    }
    if (given.run.id === runId && Object.keys(given.secrets).length !== chosen.length) {
      violations.push(`${chosen.length - Object.keys(given.secrets).length} secrets could not be read`);
    }
  };

  const first = start([old]);
  const firstUrl = await first.url;
  for (let agent = 0; agent < plan.agents; agent += 1) {
    const names = secrets.slice(agent * NAMES_PER_AGENT, (agent + 1) * NAMES_PER_AGENT).map(({ name }) => name);
    await call(firstUrl, 'POST', '/api/v1/agents', {
      body: { slug: `vault-${agent}`, kind: 'worker', allowed_secret_names: names },
    });
  }
  await inLanes(secrets, (secret) => put(firstUrl, secret));
  if (operations !== secrets.length) violations.push(`${secrets.length - operations} secrets were refused`);
  await end(first);

  for (let round = 0; round < plan.kills; round += 1) {
    // Each start makes the other key the first one, so that there is everything to re-wrap again.
    const server = start(round % 2 === 0 ? [present, old] : [old, present]);
    const url = await server.url;
    const goal = operations + (round === 0 ? 0 : Math.ceil(plan.operations / Math.max(1, plan.kills - 1)));
    const lane = async (): Promise<void> => {
      while (operations < goal) {
        const at = Math.floor(random() * secrets.length);
        const chosen = secrets.slice(at, at + 1);
        await (random() < 0.5 && chosen[0] !== undefined ? put(url, chosen[0]) : read(url, chosen));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    // Something is always under way when it is killed.
    const last = Promise.allSettled(secrets.slice(0, LANES).map((secret) => put(url, secret)));
    await end(server);
    await last;
  }

  const database = new Client({ connectionString: plan.databaseUrl });
  await database.connect();
  const rotating = start([present, old]);
  await rotating.url;
  const presentId = rootKeyId(Buffer.from(present, 'base64'));
  let left = -1;
  for (let waits = 0; left !== 0 && waits < MAX_WAITS; waits += 1) {
    const { rows } = await database.query<{ count: number }>(
      `select (select count(*) from secret_versions where root_key_id <> $1)::int + (select count(*) from sealed_keys where root_key_id <> $1)::int as count`,
      [presentId],
    );
    left = rows[0]?.count ?? -1;
    await delay(left === 0 ? 0 : WAIT_MS);
  }
  if (left !== 0) violations.push(`${left} records are left under the old key`);
  await end(rotating);

  const after = start([present]);
  const afterUrl = await after.url;
  await drain(afterUrl, plan.agents);
  for (let agent = 0; agent < plan.agents; agent += 1) {
    const ours = secrets.slice(agent * NAMES_PER_AGENT, (agent + 1) * NAMES_PER_AGENT);
    const body = { agent: `vault-${agent}`, prompt: 'read all', secret_names: ours.map(({ name }) => name) };
    const made = await call(afterUrl, 'POST', '/api/v1/tasks', { body });
    const claim = (): Promise<Reply> =>
      call(afterUrl, 'POST', '/api/v1/worker/claim', { body: { agents: [`vault-${agent}`] } });
    let [last] = (await claim()).body.runs;
    // Runs of earlier rounds whose leases ran out come first: on a slow machine that is while this goes on.
    while (last !== undefined && last.run.id !== made.body.stream.streamId) [last] = (await claim()).body.runs;
    const given: Record<string, string> = last?.secrets ?? {};
    for (const { name, values } of ours) {
      operations += 1;
      if (!values.includes(given[name] ?? ''))
        violations.push(`${name} is ${given[name] === undefined ? 'unreadable' : 'not what was put last'}`);
    }
  }
  await end(after);
  violations.push(...(await plaintextIn(database)));
  await database.end();
  violations.push(...outputs.filter((text) => text.includes(MARK)).map(() => 'a process said a value in its log'));
  return { operations, secrets: secrets.length, violations };
}

/** Claims what earlier rounds left in the queue, until there is nothing. */
async function drain(url: string, agents: number): Promise<void> {
  const slugs = Array.from({ length: agents }, (_, index) => `vault-${index}`);
  for (let claimed = 1; claimed > 0;) {
    const reply = await call(url, 'POST', '/api/v1/worker/claim', { body: { agents: slugs, max: 100 } });
    claimed = reply.body.runs.length;
  }
}

/** Tables in which a value, or its base64, stands in the clear. */
async function plaintextIn(database: Client): Promise<string[]> {
  const { rows: tables } = await database.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public'`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const forms = [MARK, Buffer.from(MARK).toString('hex'), Buffer.from(MARK).toString('base64').slice(0, 12)];
    const { rows } = await database.query<{ count: number }>(
      `select count(*)::int as count from ${name} t where ${forms.map((_, index) => `strpos(t::text, $${index + 1}) > 0`).join(' or ')}`,
      forms,
    );
    if ((rows[0]?.count ?? 0) > 0) found.push(`${name} holds a value in the clear`);
  }
  return found;
}

async function inLanes<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const rest = [...items];
  const lane = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) {
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
