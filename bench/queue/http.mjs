// Our engine through HTTP: this process is the clients, `SERVER_URL` the server.
import { Agent, request } from 'node:http';
import { serve, inSlices, untilDone } from './variant.mjs';

const agent = new Agent({ keepAlive: true, maxSockets: 128 });
const base = new URL(process.env.SERVER_URL);

function post(path, body) {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: base.hostname,
        port: base.port,
        method: 'POST',
        path,
        headers: {
          'x-api-key': process.env.BENCH_KEY,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        },
      },
      (reply) => {
        const chunks = [];
        reply.on('data', (chunk) => chunks.push(chunk));
        reply.on('end', () => {
          const told = Buffer.concat(chunks).toString();
          if (reply.statusCode >= 300) reject(new Error(`${path}: ${reply.statusCode} ${told}`));
          else resolve(JSON.parse(told));
        });
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}

const task = { agent: 'benched', prompt: 'x' };

serve({
  create: (jobs, mode) =>
    inSlices(jobs, mode, (count) =>
      mode.batch === 1 ? post('/api/v1/tasks', task) : post('/api/v1/tasks/batch', { tasks: Array(count).fill(task) }),
    ),
  work: (jobs, mode) =>
    untilDone(jobs, mode, async () => {
      const { runs } = await post('/api/v1/worker/claim', { agents: ['benched'], max: mode.batch });
      await Promise.all(
        runs.map(({ run, lease }) =>
          post(`/api/v1/worker/runs/${run.id}/complete`, { fence: lease.fence, output: {} }),
        ),
      );
      return runs.length;
    }),
  close: async () => agent.destroy(),
});
