// A worker that leaves files: for each run of the agent `sing` it makes a tune of the prompt's words, as sound, and uploads it under its fence.
//
//   TASKYARD_URL=http://localhost:3000 TASKYARD_KEY=<a worker's or admin's key> node examples/media-worker.mjs
//
// Make the agent once (admin key):
//   curl -X POST $TASKYARD_URL/api/v1/agents -H "x-api-key: $TASKYARD_KEY" -H 'content-type: application/json' \
//     -d '{"slug": "sing", "name": "Sing", "kind": "worker"}'
import { createHash } from 'node:crypto';
import process from 'node:process';
import { claimAndWork, fetchWithRetry, get, post } from './client.mjs';

const RATE = 16_000;

/** A note for each word, by its length: 16 bits, mono. */
function tune(words) {
  const note = RATE / 4;
  const bytes = Buffer.alloc(44 + words.length * note * 2);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(RATE, 24);
  bytes.writeUInt32LE(RATE * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(bytes.length - 44, 40);
  words.forEach((word, index) => {
    const hertz = 220 * 2 ** ((word.length % 12) / 12);
    for (let at = 0; at < note; at += 1) {
      const sample = Math.sin((2 * Math.PI * hertz * at) / RATE) * Math.sin((Math.PI * at) / note) * 24_000;
      bytes.writeInt16LE(Math.round(sample), 44 + (index * note + at) * 2);
    }
  });
  return bytes;
}

/** Announced under the fence, sent to its link: the bytes come in under the lease, or not at all. */
async function leave({ run, task, lease }, name, contentType, bytes) {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const announcement = { task_id: task.id, run_id: run.id, fence: lease.fence, name, content_type: contentType };
  const { asset, upload } = await post('/assets', { ...announcement, size: bytes.length, sha256 });
  const sent = fetchWithRetry(upload.url, { method: upload.method, headers: upload.headers, body: bytes });
  await sent.catch(async (error) => {
    // Sent again after a lost reply: the bytes are there.
    const { status } = await get(`/assets/${asset.id}`);
    if (status !== 'ready') throw error;
  });
  return asset.id;
}

async function work(held) {
  const send = (action, body) => post(`/worker/runs/${held.run.id}/${action}`, { fence: held.lease.fence, ...body });
  try {
    const words = held.task.prompt.split(/\s+/).slice(0, 240);
    const assetId = await leave(held, 'tune.wav', 'audio/wav', tune(words));
    await send('complete', { output: { asset_id: assetId, notes: words.length } });
  } catch (error) {
    if (error.status !== 409) await send('fail', { error: { name: error.name, message: error.message } });
  }
}

await claimAndWork([process.env.TASKYARD_AGENT ?? 'sing'], work);
