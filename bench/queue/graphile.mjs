// graphile-worker 0.16: its pool of workers takes one job at a time each; `add_jobs` is its batch insert.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { serve, inSlices } from './variant.mjs';

const logger = new Logger(() => () => undefined);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 12 });
pool.on('error', () => undefined);
const utils = await makeWorkerUtils({ pgPool: pool, logger });
await utils.migrate();

serve({
  create: (jobs, mode) =>
    inSlices(jobs, mode, (count) =>
      mode.batch === 1
        ? utils.addJob('noop', {})
        : pool.query(
            `select count(*) from graphile_worker.add_jobs(array(select row('noop', '{}', null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1)))`,
            [count],
          ),
    ),
  async work(jobs, mode) {
    let done = 0;
    let finish;
    const all = new Promise((resolve) => (finish = resolve));
    const runner = await run({
      pgPool: pool,
      logger,
      // Its jobs are never batched; more of them at once is what it has instead.
      concurrency: mode.batch === 1 ? mode.senders : 12,
      noHandleSignals: true,
      taskList: {
        noop: async () => {
          if ((done += 1) === jobs) finish();
        },
      },
    });
    await all;
    await runner.stop();
  },
  close: async () => {
    await utils.release();
    await pool.end();
  },
});
