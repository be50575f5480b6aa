// A worker of your own, in plain fetch: claims runs of the agent `shout`, works on them, survives anything.
//
//   TASKYARD_URL=http://localhost:3000 TASKYARD_KEY=<a worker's or admin's key> node examples/worker.mjs
//
// Make the agent once (admin key):
//   curl -X POST $TASKYARD_URL/api/v1/agents -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' \
//     -d '{"slug": "shout", "name": "Shout", "kind": "worker"}'
import process from 'node:process';

const base = `${process.env.TASKYARD_URL ?? 'http://localhost:3000'}/api/v1/worker`;
const headers = { 'x-api-key': process.env.TASKYARD_KEY ?? '', 'content-type': 'application/json' };
const agents = [process.env.TASKYARD_AGENT ?? 'shout'];

async function post(path, body) {
  const reply = await fetch(base + path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!reply.ok)
    throw Object.assign(new Error(`${path}: ${reply.status} ${await reply.text()}`), { status: reply.status });
  return reply.json();
}

async function work({ run, task, lease }) {
  const send = (action, body = {}) => post(`/runs/${run.id}/${action}`, { fence: lease.fence, ...body });
  // A heartbeat at a third of the lease keeps it; a 409 means that the run is no longer ours.
  let stop = false;
  const beat = setInterval(
    () =>
      send('heartbeat').then(
        (reply) => (stop ||= reply.cancel_requested),
        (error) => (stop ||= error.status === 409),
      ),
    (lease.expires_in_seconds * 1000) / 3,
  );
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

for (
  const running = { on: true }, off = () => (running.on = false), _ = process.once('SIGINT', off).once('SIGTERM', off);
  running.on;
) {
  const { runs } = await post('/claim', { agents, max: 4, wait_seconds: 20 }).catch((error) => {
    console.error(error.message);
    return new Promise((resolve) => setTimeout(resolve, 2000, { runs: [] }));
  });
  await Promise.all(runs.map(work));
}
