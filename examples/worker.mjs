// A worker of your own, in plain fetch: claims runs of the agent `shout`, works on them, survives anything,
// restarts of the server too (client.mjs).
//
//   TASKYARD_URL=http://localhost:3000 TASKYARD_KEY=<a worker's or admin's key> node examples/worker.mjs
//
// Make the agent once (admin key):
//   curl -X POST $TASKYARD_URL/api/v1/agents -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' \
//     -d '{"slug": "shout", "name": "Shout", "kind": "worker"}'
import process from 'node:process';
import { claimAndWork, post } from './client.mjs';

async function work({ run, task, lease }) {
  const send = (action, body = {}) => post(`/worker/runs/${run.id}/${action}`, { fence: lease.fence, ...body });
  // A heartbeat at a third of the lease keeps it; a 409 means that the run is no longer ours.
  let stop = false;
  let beating = false;
  const heartbeat = async () => {
    if (beating) return; // The last one is still on its way to a server that is away.
    beating = true;
    try {
      stop ||= (await send('heartbeat')).cancel_requested;
    } catch (error) {
      stop ||= error.status === 409;
    }
    beating = false;
  };
  const beat = setInterval(heartbeat, (lease.expires_in_seconds * 1000) / 3);
  try {
    const words = task.prompt.split(/\s+/);
    for (const [index, word] of words.entries()) {
      if (stop) return await send('canceled');
      await send('events', {
        batch_id: `word-${index}`,
        events: [{ type: 'delta', data: { text: `${word.toUpperCase()} ` } }],
      });
    }
    await send('complete', { output: { text: words.join(' ').toUpperCase(), words: words.length } });
  } catch (error) {
    if (error.status !== 409) await send('fail', { error: { name: error.name, message: error.message } });
  } finally {
    clearInterval(beat);
  }
}

await claimAndWork([process.env.TASKYARD_AGENT ?? 'shout'], work);
