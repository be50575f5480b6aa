// pg-boss 10: fetch and complete by hand, which leaves its polling out.
import PgBoss from 'pg-boss';
import { serve, inSlices, untilDone } from './variant.mjs';

const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, max: 10, supervise: false, schedule: false });
boss.on('error', () => undefined);
await boss.start();
await boss.createQueue('noop');

serve({
  create: (jobs, mode) =>
    inSlices(jobs, mode, (count) =>
      mode.batch === 1
        ? boss.send('noop', {})
        : boss.insert(Array.from({ length: count }, () => ({ name: 'noop', data: {} }))),
    ),
  work: (jobs, mode) =>
    untilDone(jobs, mode, async () => {
      const taken = await boss.fetch('noop', { batchSize: mode.batch });
      if (taken.length > 0) {
        await boss.complete(
          'noop',
          taken.map((job) => job.id),
        );
      }
      return taken.length;
    }),
  close: () => boss.stop({ graceful: false, wait: true }),
});
