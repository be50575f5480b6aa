import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { RunTransitionsRepository } from '../../src/modules/runs/maintenance/run-transitions.repository.js';
import { type Lease, TestQueue } from '../support/queue.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

/** Whatever a test did: slot rows say what counting says. */
afterEach(async () => {
  expect(await server.app.get(RunTransitionsRepository).slotDrift()).toEqual([]);
});

const NOW = { min_seconds: 0, max_seconds: 0 };

function queue(settings: object = {}): Promise<TestQueue> {
  serial += 1;
  return TestQueue.make(server, `limits-${serial}`, { retry: NOW, ...settings });
}

async function times<Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}

async function running(q: TestQueue, key: string | null = null): Promise<number> {
  const row = await server.database.row<{ count: number }>(sql`
    select count(*)::int as count from runs where agent_id = ${q.agentId} and status = 'running'
      and (${key}::text is null or concurrency_key = ${key})`);
  return row?.count ?? 0;
}

async function heldBack(q: TestQueue): Promise<number> {
  const row = await server.database.row<{ count: number }>(
    sql`select count(*)::int as count from runs where agent_id = ${q.agentId} and held_back and status = 'queued'`,
  );
  return row?.count ?? 0;
}

describe('the slug that a claim names', () => {
  test('is the agent that has it now, however busy the claimer was with the one before', async () => {
    const [before, after] = [await queue(), await queue()];
    await times(3, () => before.run());
    const own = await after.run();
    expect(await before.claim(1)).toHaveLength(1);

    const rename = (q: TestQueue, slug: string) =>
      server.call('PATCH', `/api/v1/agents/${q.agentId}`, { body: { slug } });
    expect((await rename(before, `${before.agent}-old`)).status).toBe(200);
    const claim = (slug: string) => server.call('POST', '/api/v1/worker/claim', { body: { agents: [slug], max: 5 } });
    expect((await claim(before.agent)).status).toBe(400);
    expect((await rename(after, before.agent)).status).toBe(200);
    const { body } = await claim(before.agent);
    expect(body.runs.map(({ run }: { run: { id: string } }) => run.id)).toEqual([own]);
    expect((await claim(`${before.agent}-old`)).body.runs).toHaveLength(2);
  });
});

describe('the limit of an agent', () => {
  test('is never exceeded by sixty-four claimers, whatever each asks for, and is filled', async () => {
    const q = await queue({ concurrency_limit: 5 });
    await times(40, () => q.run());
    for (let round = 0; round < 3; round += 1) {
      const leases = (await times(64, (index) => q.claim(1 + (index % 3)))).flat();
      expect([leases.length, await running(q)]).toEqual([5, 5]);
      await Promise.all(leases.map((lease) => q.complete(lease)));
    }
  });

  test('is given back by every way out of running', async () => {
    const q = await queue({ concurrency_limit: 1, lease_seconds: 60, max_attempts: 100 });
    await times(8, () => q.run());
    const out: readonly ((lease: Lease) => Promise<unknown>)[] = [
      (lease) => q.act(lease, 'release'),
      (lease) => q.fail(lease),
      (lease) => q.fail(lease, { retry: false }),
      (lease) => q.complete(lease),
      (lease) => q.pass(lease.runId, 61).then(() => q.sweep()),
      (lease) =>
        server.database
          .execute(sql`update runs set deadline_at = clock_timestamp() where id = ${lease.runId}`)
          .then(() => q.sweep()),
      (lease) => server.call('POST', `/api/v1/runs/${lease.runId}/cancel`, { body: { force: true } }),
      (lease) => server.call('POST', `/api/v1/runs/${lease.runId}/cancel`).then(() => q.act(lease, 'canceled')),
      (lease) => server.call('DELETE', `/api/v1/tasks/${lease.run.task_id}`),
    ];
    for (const leave of out) {
      const lease = await q.one();
      expect(await q.claim()).toEqual([]);
      await leave(lease);
      expect(await server.app.get(RunTransitionsRepository).slotDrift()).toEqual([]);
    }
    expect(await running(q)).toBe(0);
    expect(await q.claim()).toHaveLength(1);
  });

  test('is not touched by runs that are canceled while they are delayed, backing off or queued', async () => {
    const q = await queue({ concurrency_limit: 2, retry: { min_seconds: 60, max_seconds: 60 } });
    const delayed = await q.run({ delay: 60 });
    const backingOff = await q.run();
    await q.fail(await q.one());
    const busy = [await q.run(), await q.run()];
    expect(await q.claim(2)).toHaveLength(2);
    const queued = await q.run();
    for (const runId of [delayed, backingOff, queued]) {
      expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`)).body.status).toBe('canceled');
    }
    expect(await running(q)).toBe(busy.length);
    await q.run();
    expect(await q.claim()).toEqual([]);
  });

  test('set while runs run counts them, and lowered below them takes none away', async () => {
    const q = await queue();
    await times(4, () => q.run());
    const leases = await q.claim(3);
    const path = `/api/v1/agents/${q.agentId}`;
    expect((await server.call('PATCH', path, { body: { concurrency_limit: 3 } })).body.concurrency_limit).toBe(3);
    expect(await q.claim()).toEqual([]);
    await server.call('PATCH', path, { body: { concurrency_limit: 2 } });
    await q.complete(leases[0] as Lease);
    expect(await q.claim()).toEqual([]);
    await q.complete(leases[1] as Lease);
    expect(await q.claim(2)).toHaveLength(1);
    await q.run();
    await server.call('PATCH', path, { body: { concurrency_limit: null } });
    expect(await q.claim()).toHaveLength(1);
    await server.call('PATCH', path, { body: { concurrency_limit: 3 } });
  });

  test('does not keep a claim from the runs of another agent', async () => {
    const full = await queue({ concurrency_limit: 1 });
    const free = await queue();
    await times(3, () => full.run({ priority: 50 }));
    await full.one();
    const runId = await free.run();
    const reply = await server.call('POST', '/api/v1/worker/claim', {
      body: { agents: [full.agent, free.agent], max: 5 },
    });
    expect(reply.body.runs.map((claimed: { run: { id: string } }) => claimed.run.id)).toEqual([runId]);
  });

  test('gives each agent of a claim its turn, however long the queue of another', async () => {
    const [long, short] = [await queue(), await queue()];
    await times(6, () => long.run());
    const runId = await short.run();
    const reply = await server.call('POST', '/api/v1/worker/claim', {
      body: { agents: [long.agent, short.agent], max: 3 },
    });
    expect(reply.body.runs.map((claimed: { run: { id: string } }) => claimed.run.id)).toContain(runId);
  });

  test('costs an agent without one no row', async () => {
    const q = await queue();
    await q.run();
    await q.complete(await q.one());
    const rows = await server.database.rows(sql`select 1 from run_slots where agent_id = ${q.agentId}`);
    expect(rows).toEqual([]);
  });
});

describe('the limit of a concurrency key', () => {
  test('is never exceeded by sixty-four claimers, and other keys run beside it', async () => {
    const q = await queue({ concurrency_key_limit: 2 });
    await times(30, (index) => q.run({ concurrency_key: `k${index % 3}` }));
    for (let round = 0; round < 3; round += 1) {
      const leases = (await times(64, (index) => q.claim(1 + (index % 4)))).flat();
      const perKey = await Promise.all(['k0', 'k1', 'k2'].map((key) => running(q, key)));
      expect([leases.length, perKey]).toEqual([6, [2, 2, 2]]);
      await Promise.all(leases.map((lease) => q.complete(lease)));
    }
  });

  test('of one lets a key run in its order: priority first, then age', async () => {
    const q = await queue();
    const low = await q.run({ concurrency_key: 'a', priority: -1 });
    const first = await q.run({ concurrency_key: 'a' });
    const second = await q.run({ concurrency_key: 'a' });
    const order: string[] = [];
    for (let turn = 0; turn < 4; turn += 1) {
      const lease = await q.one();
      order.push(lease.runId);
      if (turn === 0) {
        order.push(await q.run({ concurrency_key: 'a', priority: 5 }));
      }
      await q.complete(lease);
    }
    const [, urgent] = order;
    expect(order).toEqual([first, urgent, urgent, second, low]);
  });

  test('puts the runs of a full key out of the way of claims, and wakes one with each that ends', async () => {
    const q = await queue();
    await q.run({ concurrency_key: 'busy' });
    const busy = await q.one();
    await times(20, () => q.run({ concurrency_key: 'busy', priority: 10 }));
    const other = await q.run({ concurrency_key: 'free' });
    const plain = await q.run();
    expect(await heldBack(q)).toBe(20);
    expect((await q.claim(10)).map((lease) => lease.runId).sort()).toEqual([other, plain].sort());
    await q.complete(busy);
    expect(await heldBack(q)).toBe(19);
    expect(await q.claim(10)).toHaveLength(1);
  });

  test('is kept where many runs of one key became due at once, without a claim stepping over them for long', async () => {
    const q = await queue();
    const runIds = await times(30, () => q.run({ concurrency_key: 'nine', delay: 60, priority: 50 }));
    const plain = await q.run();
    await Promise.all(runIds.map((runId) => q.pass(runId, 61)));
    expect(await q.claim(10)).toHaveLength(2);
    expect(await heldBackOrRunning(q, plain)).toBeGreaterThanOrEqual(9);
    await q.sweep();
    const row = await server.database.row<{ count: number }>(sql`
      select count(*)::int as count from runs where agent_id = ${q.agentId} and status in ('queued', 'delayed') and not held_back`);
    expect(row?.count).toBe(0);
  });

  test('moves the line up where the next of it is canceled, expires, or the limit is raised', async () => {
    const q = await queue();
    await q.run({ concurrency_key: 'line' });
    const first = await q.one();
    const [second, third, fourth] = [
      await q.run({ concurrency_key: 'line' }),
      await q.run({ concurrency_key: 'line', ttl: 60 }),
      await q.run({ concurrency_key: 'line' }),
    ];
    await q.complete(first);
    await server.call('POST', `/api/v1/runs/${second}/cancel`);
    await q.pass(third, 61);
    await q.sweep();
    const next = await q.one();
    expect([next.runId, (await q.get(third)).status]).toEqual([fourth, 'expired']);
    const fifth = await q.run({ concurrency_key: 'line' });
    expect(await q.claim()).toEqual([]);
    await server.call('PATCH', `/api/v1/agents/${q.agentId}`, { body: { concurrency_key_limit: 2 } });
    await q.sweep();
    expect((await q.one()).runId).toBe(fifth);
  });

  test('holds together with the limit of the agent', async () => {
    const q = await queue({ concurrency_limit: 3, concurrency_key_limit: 2 });
    await times(12, (index) => q.run({ concurrency_key: `k${index % 2}` }));
    const leases = (await times(32, () => q.claim(2))).flat();
    expect(leases).toHaveLength(3);
    expect(await running(q, 'k0')).toBeLessThanOrEqual(2);
  });

  test('is the task’s where a run of it names none', async () => {
    const q = await queue();
    const task = (await q.hand({ concurrency_key: 'task', start: false })).body.task.id;
    const start = (body: object) => server.call('POST', `/api/v1/tasks/${task}/runs`, { body });
    expect((await start({})).body.concurrency_key).toBe('task');
    expect((await start({ concurrency_key: 'own' })).body.concurrency_key).toBe('own');
  });

  test('drops the rows of keys that nothing uses any more, and none that is used', async () => {
    const q = await queue();
    await q.run({ concurrency_key: 'gone' });
    await q.complete(await q.one());
    await q.run({ concurrency_key: 'kept' });
    await server.database.execute(
      sql`update run_slots set used_at = used_at - interval '2 hours' where agent_id = ${q.agentId}`,
    );
    await server.app.get(RunTransitionsRepository).dropIdleKeys(1_000);
    const rows = await server.database.rows<{ key: string }>(
      sql`select concurrency_key as key from run_slots where agent_id = ${q.agentId}`,
    );
    expect(rows).toEqual([{ key: 'kept' }]);
    await q.run({ concurrency_key: 'gone' });
    expect(await q.claim(5)).toHaveLength(2);
  });
});

describe('a full key', () => {
  test('refuses the newest where the agent drops it, naming the key, and makes nothing', async () => {
    const q = await queue({ concurrency_strategy: 'drop_newest' });
    const first = await q.run({ concurrency_key: 'once' });
    const refused = await q.hand({ concurrency_key: 'once' });
    expect([refused.status, refused.body.code, refused.body.errors[0].path]).toEqual([
      429,
      'limit-reached',
      '/concurrency_key',
    ]);
    expect(refused.body.detail).toContain("'once'");
    expect((await q.hand({ concurrency_key: 'twice' })).status).toBe(201);
    await q.complete((await q.claim(5)).find((lease) => lease.runId === first) as Lease);
    expect((await q.hand({ concurrency_key: 'once' })).status).toBe(201);
  });

  test('lets in as many as its limit of those that come at once', async () => {
    const q = await queue({ concurrency_strategy: 'drop_newest', concurrency_key_limit: 3 });
    const replies = await times(24, () => q.hand({ concurrency_key: 'rush' }));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(3);
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(21);
  });

  test('ends the oldest that is queued in favour of the newest where the agent cancels it', async () => {
    const q = await queue({ concurrency_strategy: 'cancel_oldest' });
    const [first, second, third] = [
      await q.run({ concurrency_key: 'latest' }),
      await q.run({ concurrency_key: 'latest' }),
      await q.run({ concurrency_key: 'latest' }),
    ];
    expect([(await q.get(first)).status, (await q.get(second)).status]).toEqual(['canceled', 'canceled']);
    expect(await q.told(first)).toEqual(['status queued', 'status canceled', 'end']);
    expect((await q.one()).runId).toBe(third);
  });

  test('asks the worker of the oldest to stop, and starts the newest once it has', async () => {
    const q = await queue({ concurrency_strategy: 'cancel_oldest' });
    await q.run({ concurrency_key: 'latest' });
    const lease = await q.one();
    const newest = await q.run({ concurrency_key: 'latest' });
    expect((await q.act(lease, 'heartbeat')).body.cancel_requested).toBe(true);
    expect(await q.claim()).toEqual([]);
    await q.act(lease, 'canceled');
    expect((await q.one()).runId).toBe(newest);
  });
});

describe('the replay of a run with a full key', () => {
  test('is refused where the agent drops the newest', async () => {
    const q = await queue({ concurrency_strategy: 'drop_newest' });
    const first = await q.run({ concurrency_key: 'once' });
    await q.complete(await q.one());
    expect((await server.call('POST', `/api/v1/runs/${first}/replay`)).status).toBe(200);
    const refused = await server.call('POST', `/api/v1/runs/${first}/replay`);
    expect([refused.status, refused.body.code]).toEqual([429, 'limit-reached']);
  });

  test('takes the place of the oldest where the agent cancels it', async () => {
    const q = await queue({ concurrency_strategy: 'cancel_oldest' });
    const first = await q.run({ concurrency_key: 'latest' });
    await q.complete(await q.one());
    const second = await q.run({ concurrency_key: 'latest' });
    const replay = await server.call('POST', `/api/v1/runs/${first}/replay`);
    expect((await q.get(second)).status).toBe('canceled');
    expect((await q.one()).runId).toBe(replay.body.id);
  });
});

describe('a paused agent', () => {
  test('has no run claimed, says so, and goes on where it is resumed', async () => {
    const q = await queue();
    const runId = await q.run();
    const path = `/api/v1/agents/${q.agentId}`;
    const paused = await server.call('POST', `${path}/pause`, { body: { reason: 'The model is down.' } });
    expect([paused.status, paused.body.paused_at, paused.body.pause_reason]).toEqual([
      200,
      expect.any(String),
      'The model is down.',
    ]);
    expect(await q.claim()).toEqual([]);
    expect((await q.get(runId)).waiting_for).toMatchObject({
      reason: 'paused',
      detail: expect.stringContaining('The model is down.'),
    });
    expect((await server.call('POST', `${path}/pause`)).body).toMatchObject({
      paused_at: paused.body.paused_at,
      pause_reason: null,
    });
    expect((await server.call('POST', `${path}/resume`)).body).toMatchObject({ paused_at: null, pause_reason: null });
    expect((await q.one()).runId).toBe(runId);
  });

  test('lets its running runs end', async () => {
    const q = await queue();
    await q.run();
    const lease = await q.one();
    await server.call('POST', `/api/v1/agents/${q.agentId}/pause`);
    expect((await q.act(lease, 'heartbeat')).status).toBe(200);
    expect((await q.complete(lease)).body.status).toBe('completed');
  });

  test('answers a claim that waits as soon as it is resumed', async () => {
    const q = await queue();
    const runId = await q.run();
    const path = `/api/v1/agents/${q.agentId}`;
    await server.call('POST', `${path}/pause`);
    const waiting = server.call('POST', '/api/v1/worker/claim', { body: { agents: [q.agent], wait_seconds: 30 } });
    await server.call('POST', `${path}/resume`);
    expect((await waiting).body.runs[0].run.id).toBe(runId);
  });

  test('takes a short reason, or none', async () => {
    const q = await queue();
    for (const reason of ['', 'x'.repeat(501), 5, null]) {
      const reply = await server.call('POST', `/api/v1/agents/${q.agentId}/pause`, { body: { reason } });
      expect([reason, reply.status, reply.body.errors[0].path]).toEqual([reason, 400, '/reason']);
    }
  });
});

test('slot rows equal counting after any mixture of what can happen to runs', async () => {
  const q = await queue({ concurrency_limit: 4, concurrency_key_limit: 2, max_attempts: 50 });
  const random = numbers(20_260_131);
  const pick = <Value>(items: readonly Value[]): Value | undefined => items[Math.floor(random() * items.length)];
  const known: string[] = [];
  let held: Lease[] = [];
  const steps: readonly (() => Promise<unknown>)[] = [
    async () => known.push(await q.run({ concurrency_key: pick(['a', 'b', 'c']) })),
    async () => known.push(await q.run({ ttl: 60, delay: pick([0, 60]) })),
    async () => (held = [...held, ...(await q.claim(1 + Math.floor(random() * 4)))]),
    async () => (held = [...held, ...(await times(4, () => q.claim(2))).flat()]),
    ...(['complete', 'release', 'fail', 'canceled', 'heartbeat'] as const).map((action) => async () => {
      const lease = pick(held);
      return (
        lease &&
        q.act(
          lease,
          action,
          action === 'complete' ? { output: {} } : action === 'fail' ? { error: { message: 'x' } } : {},
        )
      );
    }),
    async () => server.call('POST', `/api/v1/runs/${pick(known) ?? ''}/cancel`, { body: { force: random() < 0.5 } }),
    async () => q.pass(pick(known) ?? '', 61),
    async () => q.sweep(),
    async () =>
      server.call('PATCH', `/api/v1/agents/${q.agentId}`, {
        body: { concurrency_limit: pick([null, 2, 4]), concurrency_key_limit: pick([1, 2]) },
      }),
  ];
  await q.run({ concurrency_key: 'a' }).then((runId) => known.push(runId));
  for (let step = 0; step < 150; step += 1) {
    await Promise.all(Array.from({ length: 1 + Math.floor(random() * 4) }, () => (pick(steps) ?? q.sweep)()));
    const drift = await server.app.get(RunTransitionsRepository).slotDrift();
    expect([step, drift]).toEqual([step, []]);
  }
  // Whatever was going on, all of it comes to an end: no run is left behind in a line.
  await server.call('PATCH', `/api/v1/agents/${q.agentId}`, {
    body: { concurrency_limit: 4, concurrency_key_limit: 2 },
  });
  for (const runId of known) {
    await q.pass(runId, 3_600);
  }
  await q.sweep();
  for (let round = 0; round < 200; round += 1) {
    const leases = await q.claim(10);
    if (leases.length === 0) {
      break;
    }
    await Promise.all(leases.map((lease) => q.complete(lease)));
  }
  const left = await server.database.rows(sql`
    select id, status, held_back, available_at from runs where agent_id = ${q.agentId} and finished_at is null and available_at <= clock_timestamp()`);
  expect(left).toEqual([]);
});

async function heldBackOrRunning(q: TestQueue, exceptRunId: string): Promise<number> {
  const row = await server.database.row<{ count: number }>(sql`
    select count(*)::int as count from runs where agent_id = ${q.agentId} and id <> ${exceptRunId} and (held_back or status = 'running')`);
  return row?.count ?? 0;
}

/** Numbers from 0 up to 1 that are the same for the same seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
