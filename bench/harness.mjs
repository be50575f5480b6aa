// What every benchmark needs: the project's TypeScript in plain Node, a database, rows, processes, load.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, chmod } from 'node:fs/promises';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';

register('../test/support/typescript-hooks.mjs', import.meta.url);

export const ROOT_KEY = Buffer.alloc(32, 9).toString('base64');
export const BENCH_KEY = 'bench_key_bench_key_bench_key_bench_key_0001';

export const options = (() => {
  const { values } = parseArgs({
    // Benchmarks have options of their own beside these.
    strict: false,
    options: {
      tasks: { type: 'string', default: '10000' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '16' },
    },
  });
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
})();

/** A throw-away PostgreSQL with its default settings (durable commits). */
export async function startDatabase() {
  const { EmbeddedPostgres } = await import('../src/database/embedded/index.ts');
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-bench-'));
  await chmod(folder, 0o755);
  const log = { info() {}, warn: console.warn, error: console.error };
  const embedded = new EmbeddedPostgres({ dataDir: folder, log });
  const { url } = await embedded.start();
  return {
    url,
    folder,
    async stop() {
      await embedded.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A child process that prints `listening on <port>`; ends with the returned stop. */
export async function startProcess(command, args, env) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const port = await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${args.join(' ')} exited with ${code}: ${text}`)));
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const found = /(?:listening on |localhost:|127\.0\.0\.1:)(\d{2,5})/.exec(text);
      if (found !== null) resolve(Number(found[1]));
    });
  });
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.removeAllListeners('exit');
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
    },
  };
}

/** Requests per second of one variant for some seconds; every reply must be 2xx. */
export async function load(url, headers) {
  const result = await autocannon({ url, headers, connections: options.connections, duration: options.seconds });
  if (result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${url}: ${result.non2xx} replies other than 2xx, ${result.errors} errors`);
  }
  return { perSecond: result.requests.average, p50: result.latency.p50, p99: result.latency.p99 };
}

/** Variants taken in turn, round after round; the median of each and its ratio to the first. */
export async function interleave(variants) {
  const samples = variants.map(() => []);
  for (let round = 0; round < options.rounds; round += 1) {
    for (const [index, variant] of variants.entries()) {
      samples[index].push(await load(variant.url, variant.headers ?? {}));
    }
  }
  const medians = samples.map((list) => median(list.map((sample) => sample.perSecond)));
  return variants.map((variant, index) => ({
    name: variant.name,
    perSecond: Math.round(medians[index]),
    p99ms: median(samples[index].map((sample) => sample.p99)),
    ratio: Number((medians[index] / medians[0]).toFixed(2)),
  }));
}

export function median(numbers) {
  const sorted = [...numbers].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)];
}
