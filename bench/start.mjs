// From the start of the process on an existing data folder to ready, and resident memory when idle.
import { mkdtemp, rm, chmod, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BENCH_KEY, median, options, startProcess } from './harness.mjs';

const folder = await mkdtemp(join(tmpdir(), 'taskyard-bench-'));
await chmod(folder, 0o755);
const environment = { DATA_DIR: folder, PORT: '0', BOOTSTRAP_API_KEY: BENCH_KEY, LOG_LEVEL: 'warn' };
const seconds = [];
let memory = 0;
for (let round = 0; round <= options.rounds; round += 1) {
  const startedAt = performance.now();
  const server = await startProcess('node', ['dist/src/main.js'], environment);
  while ((await fetch(`${server.url}/health/ready`)).status !== 200) {
    await delay(10);
  }
  const took = (performance.now() - startedAt) / 1000;
  // The first round makes the folder.
  if (round > 0) seconds.push(took);
  if (round === options.rounds) {
    await delay(10_000);
    const status = await readFile(`/proc/${server.child.pid}/status`, 'utf8');
    memory = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }
  await server.stop();
}
await rm(folder, { recursive: true, force: true });
console.table([
  {
    'ready, s (median)': median(seconds).toFixed(2),
    'worst, s': Math.max(...seconds).toFixed(2),
    'idle resident, MiB': memory.toFixed(0),
  },
]);
