// Requests to Taskyard that outlive a server that is away: sent again, a POST with the same Idempotency-Key, until there is an answer. That is safe
// on every route the examples use: a lease's fence, a batch_id or the key makes what was done once be answered again.
import { randomUUID } from 'node:crypto';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const base = `${process.env.TASKYARD_URL ?? 'http://localhost:3000'}/api/v1`;
const headers = { 'x-api-key': process.env.TASKYARD_KEY ?? '', 'content-type': 'application/json' };
const MAX_WAIT_MS = 10_000;
const stop = new AbortController();

/** Off after SIGINT or SIGTERM: runs under way are finished, and nothing is sent again. */
export const running = { on: true };
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    running.on = false;
    stop.abort();
  });
}

/** Milliseconds until the next try: as Retry-After says, in seconds or as a date, else twice as long each time, with jitter. */
function waitMs(reply, tries) {
  const said = reply?.headers.get('retry-after') ?? '';
  const askedMs = /^\d+$/.test(said) ? Number(said) * 1000 : Date.parse(said) - Date.now();
  return askedMs > 0 ? askedMs : Math.min(MAX_WAIT_MS, 250 * 2 ** tries) * (0.5 + Math.random() / 2);
}

/** `fetch`, again after errors of the connection, 429, 502, 503 and 504, and after a 409 that says when. */
export async function fetchWithRetry(url, init) {
  for (let tries = 0; ; tries += 1) {
    let reply = null;
    let failure;
    try {
      reply = await fetch(url, init);
      const mayComeAgain = [429, 502, 503, 504].includes(reply.status);
      if (!mayComeAgain && !(reply.status === 409 && reply.headers.has('retry-after'))) {
        // Read here: a reply can break off half-way too.
        const text = await reply.text();
        if (reply.ok) return text === '' ? null : JSON.parse(text);
        throw Object.assign(new Error(`${url}: ${reply.status} ${text}`), { status: reply.status });
      }
      failure = new Error(`${url}: ${reply.status} ${await reply.text()}`);
    } catch (error) {
      // What fetch fails with where there is no connection, or none any more.
      if (!(error instanceof TypeError)) throw error;
      failure = error;
    }
    if (!running.on) throw failure;
    console.error(`${failure.message}: trying again`);
    await sleep(waitMs(reply, tries), null, { signal: stop.signal }).catch(() => null);
  }
}

export const post = (path, body) =>
  fetchWithRetry(base + path, {
    method: 'POST',
    headers: { ...headers, 'idempotency-key': randomUUID() },
    body: JSON.stringify(body),
  });

export const get = (path) => fetchWithRetry(base + path, { headers });

/** Works on what it claims, a few runs at a time, until it is stopped. A run that cannot be worked on does not end the worker. */
export async function claimAndWork(agents, work) {
  while (running.on) {
    try {
      const { runs } = await post('/worker/claim', { agents, max: 4, wait_seconds: 20 });
      await Promise.all(runs.map((run) => work(run).catch((error) => console.error(error.message))));
    } catch (error) {
      // Refused (a wrong key, an agent that is not there): it may be put right.
      console.error(error.message);
      await sleep(2_000, null, { signal: stop.signal }).catch(() => null);
    }
  }
}
