import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import { BudgetEnforcer } from '../../src/modules/runs/index.js';
import { key, person } from '../support/actors.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

const BUDGETS = '/api/v1/budgets';

let server: TestServer;
let agent: { id: string; slug: string };
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
});

afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  const slug = `agent-${serial}`;
  const made = await server.call('POST', '/api/v1/agents', { body: { slug, name: slug, kind: 'worker' } });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  agent = { id: made.body.id, slug };
});

afterEach(async () => {
  const { body } = await server.call('GET', `${BUDGETS}?limit=100`);
  for (const { id } of body.data) {
    await server.call('DELETE', `${BUDGETS}/${id}`);
  }
});

async function budget(body: object): Promise<string> {
  const made = await server.call('POST', BUDGETS, { body: { name: 'Pocket money', ...body } });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  return made.body.id;
}

async function standing(id: string): Promise<Record<string, unknown>> {
  return (await server.call('GET', `${BUDGETS}/${id}`)).body.standing;
}

function handIn(as?: Credential): Promise<Reply> {
  const body = { agent: agent.slug, prompt: 'work on this' };
  return server.call('POST', '/api/v1/tasks', as === undefined ? { body } : { body, as });
}

async function task(): Promise<string> {
  const reply = await handIn();
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return reply.body.task.id;
}

async function claim(max = 1): Promise<{ runId: string; fence: string }[]> {
  const reply = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent.slug], max } });
  expect(reply.status).toBe(200);
  return reply.body.runs.map((one: { run: { id: string }; lease: { fence: string } }) => ({
    runId: one.run.id,
    fence: one.lease.fence,
  }));
}

async function claimOne(): Promise<{ runId: string; fence: string }> {
  const [lease] = await claim();
  if (lease === undefined) throw new Error('nothing to claim');
  return lease;
}

function spend({ runId, fence }: { runId: string; fence: string }, cents: number): Promise<Reply> {
  const events = [{ type: 'usage', data: { cost_in_cents: cents } }];
  return server.call('POST', `/api/v1/worker/runs/${runId}/events`, { body: { fence, events } });
}

function complete({ runId, fence }: { runId: string; fence: string }, cents = 0): Promise<Reply> {
  return server.call('POST', `/api/v1/worker/runs/${runId}/complete`, {
    body: { fence, output: {}, cost_in_cents: cents },
  });
}

describe('a budget', () => {
  test('is made, shown, listed, changed and deleted, with its standing', async () => {
    const made = await server.call('POST', BUDGETS, {
      body: { name: ' Agent ', scope: { kind: 'agent', id: agent.id }, limit_cents: 12.5 },
    });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${BUDGETS}/${made.body.id}`);
    expect(made.body).toMatchObject({
      name: 'Agent',
      scope: { kind: 'agent', id: agent.id },
      period: 'month',
      limit_cents: 12.5,
      limit_runs: null,
      action: 'refuse',
      enabled: true,
      standing: { spent_cents: 0, spent_runs: 0, exceeded: false },
    });
    expect(made.body.standing.period_start).toMatch(/^\d{4}-\d\d-01T00:00:00\.000Z$/);
    expect((await server.call('GET', BUDGETS)).body.data).toEqual([made.body]);
    expect((await server.call('GET', `${BUDGETS}?kind=task`)).body.data).toEqual([]);
    const changed = await server.call('PATCH', `${BUDGETS}/${made.body.id}`, {
      body: { limit_cents: null, limit_runs: 3, action: 'stop', enabled: false },
    });
    expect(changed.body).toMatchObject({
      limit_cents: null,
      limit_runs: 3,
      action: 'stop',
      enabled: false,
      period: 'month',
    });
    expect((await server.call('DELETE', `${BUDGETS}/${made.body.id}`)).status).toBe(204);
    expect((await server.call('GET', `${BUDGETS}/${made.body.id}`)).status).toBe(404);
  });

  test('is made once for an Idempotency-Key', async () => {
    const ask = () =>
      server.call('POST', BUDGETS, {
        body: { name: 'Once', scope: { kind: 'organization' }, limit_runs: 100 },
        headers: { 'idempotency-key': 'budget-once' },
      });
    const [first, again] = [await ask(), await ask()];
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  test.each([
    [{ scope: { kind: 'organization' } }, '/limit_cents'],
    [{ scope: { kind: 'organization', id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0b01' }, limit_cents: 1 }, '/scope/id'],
    [{ scope: { kind: 'agent' }, limit_cents: 1 }, '/scope/id'],
    [{ scope: { kind: 'agent', id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0b01' }, limit_cents: 1 }, '/scope/id'],
    [{ scope: { kind: 'api_key', id: '019a2f60-7c1e-7d2a-9a1f-2f8f6b6f0b01' }, limit_cents: 1 }, '/scope/id'],
    [{ scope: { kind: 'task', id: 'mine' }, limit_cents: 1 }, '/scope/id'],
    [{ scope: { kind: 'team' }, limit_cents: 1 }, '/scope/kind'],
    [{ scope: { kind: 'organization' }, limit_cents: -1 }, '/limit_cents'],
    [{ scope: { kind: 'organization' }, limit_runs: 1.5 }, '/limit_runs'],
    [{ scope: { kind: 'organization' }, limit_cents: 1, period: 'week' }, '/period'],
    [{ scope: { kind: 'run' }, limit_cents: 1, period: 'day' }, '/period'],
    [{ scope: { kind: 'run' }, limit_cents: 1, action: 'refuse' }, '/action'],
    [{ scope: { kind: 'run' }, limit_cents: 1, limit_runs: 1 }, '/limit_runs'],
  ])('that cannot be is refused with its pointer: %j', async (body, path) => {
    const reply = await server.call('POST', BUDGETS, { body: { name: 'No', ...body } });
    expect([reply.status, reply.body.errors.map((issue: { path: string }) => issue.path)]).toEqual([400, [path]]);
  });

  test('keeps a limit, its scope and its period whatever a patch says', async () => {
    const id = await budget({ scope: { kind: 'organization' }, limit_cents: 1, limit_runs: 1_000 });
    const patch = (body: object) => server.call('PATCH', `${BUDGETS}/${id}`, { body });
    expect((await patch({ limit_cents: null, limit_runs: null })).status).toBe(400);
    expect((await patch({ period: 'day' })).status).toBe(400);
    expect((await patch({ scope: { kind: 'run' } })).status).toBe(400);
    const perRun = await budget({ scope: { kind: 'run' }, limit_cents: 1 });
    expect((await server.call('PATCH', `${BUDGETS}/${perRun}`, { body: { action: 'refuse' } })).status).toBe(400);
    expect((await server.call('PATCH', `${BUDGETS}/${perRun}`, { body: { limit_runs: 1 } })).status).toBe(400);
  });

  test('is for admins only', async () => {
    const member = await person(server, 'budget-member', 'member');
    const id = await budget({ scope: { kind: 'organization' }, limit_runs: 1_000 });
    for (const [method, path, body] of [
      ['GET', BUDGETS, undefined],
      ['GET', `${BUDGETS}/${id}`, undefined],
      ['POST', BUDGETS, { name: 'x', scope: { kind: 'organization' }, limit_runs: 1 }],
      ['PATCH', `${BUDGETS}/${id}`, { limit_runs: 1 }],
      ['DELETE', `${BUDGETS}/${id}`, undefined],
    ] as const) {
      expect([method, (await server.call(method, path, { as: member.token, body })).status]).toEqual([method, 403]);
    }
  });
});

describe('a budget that is used up', () => {
  test('refuses new runs with its name and the end of its period, and lets nothing of them stay', async () => {
    const taskId = await task();
    const id = await budget({ name: 'Tight', scope: { kind: 'organization' }, period: 'day', limit_cents: 10 });
    await complete(await claimOne(), 10);
    expect(await standing(id)).toMatchObject({ spent_cents: 10, spent_runs: 0, exceeded: true });
    const before = (await server.call('GET', '/api/v1/tasks?limit=100')).body.data.length;
    const refused = await handIn();
    expect([refused.status, refused.body.code]).toEqual([429, 'budget-exceeded']);
    expect(refused.body.detail).toMatch(
      /^The budget "Tight" is used up: 10 of 10 cents are spent\. Its period ends at \d{4}-\d\d-\d\dT00:00:00\.000Z\.$/,
    );
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(86_400);
    expect((await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} })).status).toBe(429);
    expect((await server.call('GET', '/api/v1/tasks?limit=100')).body.data).toHaveLength(before);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data).toHaveLength(1);
    expect(await standing(id)).toMatchObject({ spent_runs: 0 });
  });

  test('holds nobody once it is raised, disabled, deleted or in its next period, and counts on meanwhile', async () => {
    const id = await budget({ scope: { kind: 'agent', id: agent.id }, period: 'day', limit_runs: 1 });
    expect((await handIn()).status).toBe(201);
    expect((await handIn()).status).toBe(429);
    await server.call('PATCH', `${BUDGETS}/${id}`, { body: { limit_runs: 2 } });
    expect((await handIn()).status).toBe(201);
    await server.call('PATCH', `${BUDGETS}/${id}`, { body: { enabled: false } });
    expect((await handIn()).status).toBe(201);
    expect(await standing(id)).toMatchObject({ spent_runs: 3, exceeded: true });
    await server.call('PATCH', `${BUDGETS}/${id}`, { body: { enabled: true } });
    expect((await handIn()).status).toBe(429);
    await server.database.execute(
      sql`update budget_counters set period_start = period_start - 1 where budget_id = ${id}`,
    );
    expect(await standing(id)).toMatchObject({ spent_runs: 0, exceeded: false });
    expect((await handIn()).status).toBe(201);
    expect((await server.call('DELETE', `${BUDGETS}/${id}`)).status).toBe(204);
    expect((await handIn()).status).toBe(201);
    expect(await server.database.rows(sql`select 1 from budget_counters where budget_id = ${id}`)).toEqual([]);
  });

  test('of one agent, key or task leaves others alone', async () => {
    const secret = await key(server, { name: `spender ${serial}`, role: 'admin' });
    const keys = await server.call('GET', '/api/v1/api-keys?limit=100');
    const keyId = keys.body.data.find(({ name }: { name: string }) => name === `spender ${serial}`).id;
    await budget({ scope: { kind: 'api_key', id: keyId }, limit_runs: 1 });
    expect([(await handIn(secret)).status, (await handIn(secret)).status, (await handIn()).status]).toEqual([
      201, 429, 201,
    ]);

    const taskId = await task();
    await budget({ scope: { kind: 'task', id: taskId }, limit_runs: 1 });
    const again = () => server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
    expect([(await again()).status, (await again()).status, (await handIn()).status]).toEqual([201, 429, 201]);
  });

  test('of a key holds children of the runs it started, by whatever statement they come', async () => {
    const name = `parent ${serial}`;
    const secret = await key(server, { name, role: 'admin' });
    const keys = await server.call('GET', '/api/v1/api-keys?limit=100');
    const keyId = keys.body.data.find((one: { name: string }) => one.name === name).id;
    const parent = (await handIn(secret)).body.stream.streamId;
    const id = await budget({ scope: { kind: 'api_key', id: keyId }, limit_runs: 1 });
    const child = (number: number): Promise<number> =>
      server.database.execute(sql`
        insert into runs (organization_id, id, task_id, number, agent_id, status, lease_seconds, timeout_seconds, max_attempts, run_config,
          parent_run_id, root_run_id, depth)
        select r.organization_id, ${newId()}, r.task_id, ${number}::int, r.agent_id, 'queued', 60, 60, 3, '{}', r.id, r.id, 1
        from runs r where r.id = ${parent}`);
    expect(await child(2)).toBe(1);
    await expect(child(3)).rejects.toMatchObject({ code: 'budget-exceeded' });
    expect(await standing(id)).toMatchObject({ spent_runs: 1, exceeded: true });
  });

  test('of no runs and of no cents freezes what it is for', async () => {
    const runs = await budget({ scope: { kind: 'agent', id: agent.id }, limit_runs: 0 });
    expect((await handIn()).status).toBe(429);
    await server.call('DELETE', `${BUDGETS}/${runs}`);
    await budget({ scope: { kind: 'agent', id: agent.id }, limit_cents: 0 });
    expect((await handIn()).status).toBe(429);
  });

  test('that refuses lets runs under way go on', async () => {
    await task();
    const id = await budget({ scope: { kind: 'organization' }, limit_cents: 1 });
    const lease = await claimOne();
    expect((await spend(lease, 5)).status).toBe(200);
    await server.app.get(BudgetEnforcer).sweep();
    expect((await complete(lease, 5)).status).toBe(200);
    expect(await standing(id)).toMatchObject({ spent_cents: 10, exceeded: true });
  });
});

describe('a budget that stops', () => {
  test('ends the run that goes over it under its worker, says why, and not the one that just reaches it', async () => {
    await Promise.all([task(), task()]);
    await budget({ name: 'Hard', scope: { kind: 'agent', id: agent.id }, limit_cents: 10, action: 'stop' });
    const [first, second] = await claim(2);
    if (first === undefined || second === undefined) throw new Error('two runs were queued');
    expect((await spend(first, 10)).status).toBe(200);
    await server.app.get(BudgetEnforcer).sweep();
    expect(
      (await server.call('POST', `/api/v1/worker/runs/${first.runId}/heartbeat`, { body: { fence: first.fence } }))
        .status,
    ).toBe(200);

    expect((await spend(second, 0.5)).status).toBe(200);
    await server.app.get(BudgetEnforcer).sweep();
    const run = (await server.call('GET', `/api/v1/runs/${second.runId}`)).body;
    expect(run).toMatchObject({
      status: 'failed',
      error: {
        name: 'BudgetExceeded',
        message: 'The budget "Hard" is used up: 10.5 of 10 cents are spent.',
        stack_trace: null,
      },
      cost_in_cents: 0.5,
      attempts: [{ status: 'failed', error: { name: 'BudgetExceeded' } }],
    });
    for (const action of ['heartbeat', 'complete'] as const) {
      const body = { fence: second.fence, ...(action === 'complete' ? { output: {} } : {}) };
      const late = await server.call('POST', `/api/v1/worker/runs/${second.runId}/${action}`, { body });
      expect([late.status, late.body.code]).toEqual([409, 'lease-lost']);
    }
    const { data, ended } = (await server.call('GET', `/api/v1/streams/${second.runId}/events?after=0&limit=100`)).body;
    expect([ended, data.at(-1).type, data.at(-1).data.error.name]).toEqual([true, 'end', 'BudgetExceeded']);
    expect((await server.call('GET', `/api/v1/tasks/${run.task_id}`)).body.task.status).toBe('failed');
    expect(await server.database.rows(sql`select 1 from run_stops`)).toEqual([]);
  });

  test('leaves a run alone that ended with the cost that went over', async () => {
    await task();
    await budget({ scope: { kind: 'agent', id: agent.id }, limit_cents: 1, action: 'stop' });
    const lease = await claimOne();
    expect((await complete(lease, 50)).status).toBe(200);
    await server.app.get(BudgetEnforcer).sweep();
    expect((await server.call('GET', `/api/v1/runs/${lease.runId}`)).body).toMatchObject({
      status: 'completed',
      cost_in_cents: 50,
    });
  });

  test('of every run by itself ends those that cost too much, and no other', async () => {
    await Promise.all([task(), task()]);
    const id = await budget({ scope: { kind: 'run' }, limit_cents: 3 });
    const [dear, cheap] = await claim(2);
    if (dear === undefined || cheap === undefined) throw new Error('two runs were queued');
    await spend(dear, 2);
    await spend(cheap, 3);
    await spend(dear, 2);
    await server.app.get(BudgetEnforcer).sweep();
    expect((await server.call('GET', `/api/v1/runs/${dear.runId}`)).body).toMatchObject({
      status: 'failed',
      error: { name: 'BudgetExceeded' },
    });
    expect((await complete(cheap)).status).toBe(200);
    expect(await standing(id)).toMatchObject({ spent_cents: null, spent_runs: null, exceeded: false });
    expect((await handIn()).status).toBe(201);
  });

  test('ends each run that crosses it, whichever of many spends last', async () => {
    await Promise.all(Array.from({ length: 16 }, () => task()));
    await budget({ scope: { kind: 'agent', id: agent.id }, limit_cents: 15, action: 'stop' });
    const leases = await claim(100);
    expect(leases).toHaveLength(16);
    expect((await Promise.all(leases.map((lease) => spend(lease, 1)))).map((reply) => reply.status)).toEqual(
      leases.map(() => 200),
    );
    await server.app.get(BudgetEnforcer).sweep();
    const failed = (await server.call('GET', `/api/v1/runs?agent=${agent.slug}&status=failed&limit=100`)).body.data;
    expect(failed).toHaveLength(1);
  });
});

describe('the count', () => {
  test.each(['refuse', 'stop'])(
    'is what sixty-four appenders at once add up to, with the action %s',
    async (action) => {
      const all = await budget({
        scope: { kind: 'organization' },
        limit_cents: 1_000_000,
        limit_runs: 1_000_000,
        action,
      });
      const own = await budget({ scope: { kind: 'agent', id: agent.id }, limit_cents: 1_000_000, action });
      expect((await Promise.all(Array.from({ length: 64 }, () => handIn()))).map((reply) => reply.status)).toEqual(
        Array(64).fill(201),
      );
      const leases = await claim(100);
      expect(leases).toHaveLength(64);
      const replies = await Promise.all(
        leases.flatMap((lease, index) => [spend(lease, index + 0.25), spend(lease, 0.5), spend(lease, 0.000001)]),
      );
      expect(replies.filter((reply) => reply.status !== 200)).toEqual([]);
      await Promise.all(leases.map((lease) => complete(lease, 1)));
      const summed = await server.database.row<{ cents: number; runs: number }>(
        sql`select sum(cost_in_cents)::float8 as cents, count(*)::int as runs from runs where agent_id = ${agent.id}`,
      );
      const expected = { spent_cents: summed?.cents, spent_runs: summed?.runs, exceeded: false };
      expect(summed?.cents).toBeCloseTo((63 * 64) / 2 + 64 * 1.750001, 6);
      expect(await standing(own)).toMatchObject(expected);
      expect(await standing(all)).toMatchObject(expected);
    },
  );

  test('lets exactly as many runs start as are allowed, of sixty-four at once', async () => {
    const id = await budget({ scope: { kind: 'agent', id: agent.id }, limit_runs: 10 });
    const statuses = (await Promise.all(Array.from({ length: 64 }, () => handIn()))).map((reply) => reply.status);
    expect([
      statuses.filter((status) => status === 201).length,
      statuses.filter((status) => status === 429).length,
    ]).toEqual([10, 54]);
    expect(await standing(id)).toMatchObject({ spent_runs: 10, exceeded: true });
  });

  test('costs nobody without a budget a row or a statement', async () => {
    const costOfSpending = async (): Promise<number> => {
      await task();
      const lease = await claimOne();
      let statements = 0;
      const watch = (_text: string, values: readonly unknown[]): void =>
        void (statements += values.includes(lease.runId) ? 1 : 0);
      server.database.observers.add(watch);
      await spend(lease, 1);
      server.database.observers.delete(watch);
      await complete(lease);
      return statements;
    };
    const without = await costOfSpending();
    expect(await server.database.rows(sql`select 1 from budget_counters`)).toEqual([]);
    await budget({ scope: { kind: 'organization' }, limit_cents: 1_000 });
    expect([without, await costOfSpending()]).toEqual([1, 1]);
    expect(await server.database.rows(sql`select 1 from budget_counters`)).not.toEqual([]);
  });
});
