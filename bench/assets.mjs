// Files in and out: ours against bare node:http and @fastify/static, turn by turn; then one large file both ways, with the memory it takes.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BENCH_KEY, median, ROOT_KEY, startDatabase, startProcess } from './harness.mjs';

const MIB = 1024 * 1024;
const { values } = parseArgs({
  options: {
    /** MiB of the file that is sent to and fro for throughput. */
    size: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '3' },
    /** MiB of the large file whose memory is measured; 0 leaves it out. */
    large: { type: 'string', default: '256' },
  },
});
const sizeBytes = Number(values.size) * MIB;
const rounds = Number(values.rounds);

const folder = await mkdtemp(join(tmpdir(), 'taskyard-bench-'));
const database = await startDatabase();
const environment = {
  DATABASE_URL: database.url,
  DATA_DIR: folder,
  ROOT_KEY,
  PORT: '0',
  BOOTSTRAP_API_KEY: BENCH_KEY,
  LOG_LEVEL: 'warn',
};
const ours = await startProcess('node', ['dist/src/main.js'], environment);
const bare = await startProcess('node', ['bench/assets-bare.mjs', folder], {});

async function api(method, path, body) {
  const reply = await fetch(ours.url + path, {
    method,
    headers: { 'x-api-key': BENCH_KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

const local = (url) => url.replace(/^https?:\/\/[^/]+/, ours.url);

/** Sends `count` times the piece; resolves with the reply's body. */
function send(url, piece, count) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-bench', 'content-length': piece.length * count };
    const outgoing = request(url, { method: 'PUT', headers }, (reply) => {
      const pieces = [];
      reply.on('data', (bytes) => pieces.push(bytes));
      reply.on('end', () =>
        reply.statusCode === 200
          ? resolve(Buffer.concat(pieces).toString())
          : reject(new Error(String(Buffer.concat(pieces)))),
      );
    });
    outgoing.on('error', reject);
    let left = count;
    const write = () => {
      while (left > 0) {
        left -= 1;
        if (!outgoing.write(piece)) return outgoing.once('drain', write);
      }
      outgoing.end();
    };
    write();
  });
}

function take(url) {
  return new Promise((resolve, reject) => {
    request(url, (reply) => {
      let bytes = 0;
      reply.on('data', (piece) => (bytes += piece.length));
      reply.on('end', () =>
        reply.statusCode === 200 ? resolve(bytes) : reject(new Error(`${url}: ${reply.statusCode}`)),
      );
    })
      .on('error', reject)
      .end();
  });
}

async function announced(bytes) {
  return api('POST', '/api/v1/assets', {
    task_id: task.id,
    name: 'a.bin',
    type: 'file',
    content_type: 'application/x-bench',
    size: bytes,
  });
}

async function timed(bytes, work) {
  const startedAt = performance.now();
  await work();
  return bytes / MIB / ((performance.now() - startedAt) / 1000);
}

async function residentMiB() {
  const status = await readFile(`/proc/${ours.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

let task;
await delay(5_000);
// Before anything was sent to it.
const fresh = await residentMiB();
try {
  await api('POST', '/api/v1/agents', { slug: 'bench', name: 'bench', kind: 'worker' });
  ({ task } = await api('POST', '/api/v1/tasks', { agent: 'bench', prompt: 'x' }));
  const piece = randomBytes(64 * 1024);
  const count = sizeBytes / piece.length;
  await writeFile(join(folder, 'file.bin'), Buffer.concat(Array.from({ length: count }, () => piece)));
  const first = await announced(sizeBytes);
  const { url } = JSON.parse(await send(local(first.upload.url), piece, count));
  const figures = new Map();
  const note = (name, perSecond) => figures.set(name, [...(figures.get(name) ?? []), perSecond]);
  for (let round = 0; round < rounds; round += 1) {
    note('down: bare node:http', await timed(sizeBytes, () => take(`${bare.url}/file.bin`)));
    note('down: @fastify/static', await timed(sizeBytes, () => take(`${bare.url}/static/file.bin`)));
    note('down: ours', await timed(sizeBytes, () => take(local(url))));
    note('up: bare node:http, hashed, synced', await timed(sizeBytes, () => send(`${bare.url}/in`, piece, count)));
    note(
      'up: ours',
      await timed(sizeBytes, async () => send(local((await announced(sizeBytes)).upload.url), piece, count)),
    );
  }
  const bareOf = {
    down: median(figures.get('down: bare node:http')),
    up: median(figures.get('up: bare node:http, hashed, synced')),
  };
  console.log(`${values.size} MiB, ${rounds} rounds, medians`);
  console.table(
    [...figures].map(([name, all]) => ({
      name,
      'MiB/s': Math.round(median(all)),
      'to bare': (median(all) / bareOf[name.split(':')[0]]).toFixed(2),
    })),
  );

  if (Number(values.large) > 0) {
    const largeBytes = Number(values.large) * MIB;
    const idle = fresh;
    let most = await residentMiB();
    const watch = setInterval(() => residentMiB().then((now) => (most = Math.max(most, now))), 50);
    const big = await announced(largeBytes);
    const up = await timed(
      largeBytes,
      async () => (big.done = JSON.parse(await send(local(big.upload.url), piece, largeBytes / piece.length))),
    );
    const mostUp = most;
    const down = await timed(largeBytes, () => take(local(big.done.url)));
    clearInterval(watch);
    const hash = createHash('sha256');
    for (let index = 0; index < largeBytes / piece.length; index += 1) hash.update(piece);
    console.table([
      {
        'large file': `${values.large} MiB`,
        'up MiB/s': Math.round(up),
        'down MiB/s': Math.round(down),
        'idle MiB': Math.round(idle),
        'over idle, up': Math.round(mostUp - idle),
        'over idle, both': Math.round(most - idle),
        'digest holds': hash.digest('hex') === big.done.sha256,
      },
    ]);
  }
} finally {
  await bare.stop();
  await ours.stop();
  await database.stop();
  await rm(folder, { recursive: true, force: true });
}
