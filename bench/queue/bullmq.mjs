// BullMQ 6 on Redis with its default configuration: no write is on disk when it is acknowledged. Its concurrency is its batching.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { serve, inSlices } from './variant.mjs';

const connect = () =>
  new Redis({ host: '127.0.0.1', port: Number(process.env.REDIS_PORT), maxRetriesPerRequest: null });
const connection = connect();
const queue = new Queue('noop', { connection });
await queue.waitUntilReady();

serve({
  create: (jobs, mode) =>
    inSlices(jobs, mode, (count) =>
      mode.batch === 1
        ? queue.add('noop', {})
        : queue.addBulk(Array.from({ length: count }, () => ({ name: 'noop', data: {} }))),
    ),
  async work(jobs, mode) {
    let done = 0;
    let finish;
    const all = new Promise((resolve) => (finish = resolve));
    const own = connect();
    const worker = new Worker('noop', async () => undefined, {
      connection: own,
      concurrency: mode.senders * mode.batch,
    });
    worker.on('completed', () => {
      if ((done += 1) === jobs) finish();
    });
    await all;
    await worker.close();
    own.disconnect();
  },
  close: async () => {
    await queue.close();
    connection.disconnect();
  },
});
