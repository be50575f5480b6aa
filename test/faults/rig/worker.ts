/**
 * A worker of the rig, a process of its own: claims, appends, ends, and writes down what it asked for and was told. It is an honest but
 * stubborn one: it asks again for as long as it does not know the outcome, and never looks at a clock, so that one that was frozen
 * past its leases goes on writing until it is refused.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Replicas, type Answer } from './client.js';
import { Journal, type JournalLine } from './journal.js';
import { seededRandom } from './random.js';

interface WorkerOptions {
  name: string;
  ports: number[];
  key: string;
  agent: string;
  journal: string;
  seed: number;
  most: number;
}

const AGAIN_MS = 250;
const MAX_TRIES = 120;

const options = JSON.parse(process.argv[2] ?? '{}') as WorkerOptions;
const journal = new Journal(options.journal);
const random = seededRandom(options.seed);
const replicas = new Replicas(options.ports, options.key, Math.floor(random() * 2));
const held = new Map<string, string>();
let requests = 0;
let isStopping = false;

process.on('SIGTERM', () => void stop());
// Whoever started this one is gone.
process.on('disconnect', () => process.exit(0));

async function stop(): Promise<void> {
  isStopping = true;
  await Promise.all([...held].map(([runId, fence]) => ask({ kind: 'release', runId, fence }, 'release', { fence })));
  process.exit(0);
}

/** Asks until the outcome is known. */
async function ask(
  what: Pick<JournalLine, 'kind' | 'runId' | 'fence' | 'batch' | 'texts'>,
  route: string,
  body: object,
): Promise<Answer> {
  const line = { ...what, request: `${options.name}-${(requests += 1)}` };
  for (let tries = 1; ; tries += 1) {
    journal.write({ ...line, state: 'invoke' });
    const answer = await replicas.call('POST', `/api/v1/worker/runs/${what.runId}/${route}`, body);
    const lastSeq = answer.body?.last_seq;
    journal.write({
      ...line,
      state: answer.outcome,
      status: answer.status,
      ...(typeof lastSeq === 'number' ? { lastSeq } : {}),
    });
    if (answer.outcome !== 'unknown' || tries >= MAX_TRIES) {
      return answer;
    }
    await delay(AGAIN_MS);
  }
}

async function work(runId: string, fence: string): Promise<void> {
  held.set(runId, fence);
  try {
    for (let batch = 0; batch < 2; batch += 1) {
      await delay(random() * 12);
      const texts = [`${fence}#${batch}.0`, `${fence}#${batch}.1`];
      const events = texts.map((text) => ({ type: 'log', data: { text } }));
      const told = await ask({ kind: 'append', runId, fence, batch: `b${batch}`, texts }, 'events', {
        fence,
        batch_id: `b${batch}`,
        events,
      });
      if (isStopping || told.outcome !== 'ok') {
        return;
      }
    }
    const drawn = random();
    if (drawn < 0.02) {
      await ask({ kind: 'release', runId, fence }, 'release', { fence });
    } else if (drawn < 0.04) {
      await ask({ kind: 'fail', runId, fence }, 'fail', { fence, error: { message: 'drawn' }, retry: true });
    } else {
      const told = await ask({ kind: 'complete', runId, fence }, 'complete', {
        fence,
        output: { by: options.name, fence },
      });
      if (told.outcome === 'ok') {
        process.send?.({ done: 1 });
      }
    }
  } finally {
    held.delete(runId);
  }
}

while (!isStopping) {
  const claimed = await replicas.call('POST', '/api/v1/worker/claim', {
    agents: [options.agent],
    max: options.most,
    wait_seconds: 1,
    worker_id: options.name,
  });
  const leases: { run: { id: string }; lease: { fence: string } }[] = claimed.outcome === 'ok' ? claimed.body.runs : [];
  if (claimed.outcome !== 'ok') {
    await delay(AGAIN_MS);
  }
  if (isStopping) {
    break;
  }
  await Promise.all(leases.map(({ run, lease }) => work(run.id, lease.fence)));
}
