import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { BulkWorker } from '../../src/modules/runs/bulk/bulk-worker.js';
import { makeYard, PASSWORD, type Yard } from '../support/actors.js';
import { TestQueue } from '../support/queue.js';
import { TestSchedules } from '../support/schedules.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

function atOnce<Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}

async function times<Value>(count: number, work: (index: number) => Promise<Value>): Promise<Value[]> {
  const made: Value[] = [];
  for (let index = 0; index < count; index += 1) {
    made.push(await work(index));
  }
  return made;
}

function refusal({ status, body, headers }: Reply): unknown[] {
  return [status, body.code, Number(headers.get('retry-after')) > 0];
}

const REFUSED = [429, 'limit-reached', true];

describe('runs of an organization that have not ended', () => {
  const LIMIT = 6;
  let server: TestServer;
  let yard: Yard;
  let queue: TestQueue;
  let schedules: TestSchedules;

  beforeAll(async () => {
    server = await startServer({ ROLE: 'api', MAX_OPEN_RUNS_PER_ORGANIZATION: String(LIMIT) });
    yard = await makeYard(server);
    queue = await TestQueue.make(server, 'limited', { max_attempts: 1 });
    schedules = new TestSchedules(server);
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    await emptied();
  });

  /** Ends what is open. A count serves for a second, or a hundred times as long as counting took. */
  async function emptied(): Promise<void> {
    const live = await server.database.rows<{ id: string }>(
      sql`select id from runs where agent_id = ${queue.agentId} and finished_at is null`,
    );
    for (const { id } of live) {
      expect((await server.call('POST', `/api/v1/runs/${id}/cancel`, { body: { force: true } })).status).toBe(200);
    }
    server.clock.advance(60_000);
  }

  async function open(): Promise<number> {
    const row = await server.database.row<{ count: number }>(
      sql`select count(*)::int as count from runs where agent_id = ${queue.agentId} and finished_at is null`,
    );
    return row?.count ?? 0;
  }

  test('are as many as the limit allows, however many are asked for at once, and one that ends makes room', async () => {
    const replies = await atOnce(20, () => queue.hand());
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(LIMIT);
    for (const reply of replies.filter(({ status }) => status !== 201)) {
      expect(refusal(reply)).toEqual(REFUSED);
      expect(reply.body.detail).toContain('MAX_OPEN_RUNS_PER_ORGANIZATION');
    }
    expect(await open()).toBe(LIMIT);
    await queue.complete(await queue.one());
    server.clock.advance(60_000);
    expect((await queue.hand()).status).toBe(201);
    expect(refusal(await queue.hand())).toEqual(REFUSED);
    // Nothing of what is refused is left: no task without its run.
    expect(await server.database.rows(sql`select 1 from tasks t where t.status = 'idle'`)).toEqual([]);
  });

  test('of another organization are counted apart', async () => {
    await times(LIMIT, () => queue.run());
    expect(refusal(await queue.hand())).toEqual(REFUSED);
    const agent = { slug: 'theirs', kind: 'worker' };
    expect((await server.call('POST', '/api/v1/agents', { as: yard.strangerKey, body: agent })).status).toBe(201);
    const reply = await server.call('POST', '/api/v1/tasks', {
      as: yard.strangerKey,
      body: { agent: 'theirs', prompt: 'work' },
    });
    expect(reply.status).toBe(201);
  });

  test('are limited item by item in a batch', async () => {
    const tasks = Array.from({ length: LIMIT + 3 }, () => ({ agent: queue.agent, prompt: 'work' }));
    const { status, body } = await server.call('POST', '/api/v1/tasks/batch', { body: { tasks } });
    expect(status).toBe(200);
    const results: { status: number; error?: { code: string } }[] = body.results;
    expect(results.map((one) => one.status)).toEqual([
      ...Array.from({ length: LIMIT }, () => 201),
      ...Array.from({ length: 3 }, () => 429),
    ]);
    expect(results.at(-1)?.error?.code).toBe('limit-reached');
    expect(await open()).toBe(LIMIT);
  });

  test('limit children, replays, messages, starts and triggers as well', async () => {
    await queue.run();
    const replayed = await queue.one();
    await queue.complete(replayed);
    const { id, taskId } = await schedules.made({}, {}, queue.agent);
    await times(LIMIT, () => queue.run());
    const parent = await queue.one();
    const refused = [
      await queue.act(parent, 'children', { runs: [{ agent: queue.agent }] }),
      await server.call('POST', `/api/v1/runs/${replayed.runId}/replay`),
      await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} }),
      await server.call('POST', `/api/v1/tasks/${taskId}/messages`, {
        body: { parts: [{ type: 'text', text: 'again' }] },
      }),
      await schedules.post(`${id}/trigger`),
    ];
    expect(refused.map(refusal)).toEqual(refused.map(() => REFUSED));
    expect(await open()).toBe(LIMIT);
  });

  test('are why a slot is skipped, and the schedule goes on', async () => {
    const { id } = await schedules.made({}, {}, queue.agent);
    const others = await times(3, () => schedules.made({}, {}, queue.agent));
    await times(LIMIT - 1, () => queue.run());
    for (const one of [{ id }, ...others]) {
      await schedules.come(one.id);
    }
    expect(await schedules.ledger(id)).toEqual([['fired', null, true]]);
    for (const other of others) {
      expect(await schedules.ledger(other.id)).toEqual([['skipped', 'limit', false]]);
    }
    const { data } = await schedules.get(`/api/v1/schedules/${others[0]?.id ?? ''}/slots`);
    expect(data[0].detail).toContain('runs that have not ended');
    await emptied();
    await schedules.come(others[0]?.id ?? '');
    expect((await schedules.ledger(others[0]?.id ?? '')).at(-1)).toEqual(['fired', null, true]);
    expect(await open()).toBe(1);
  });

  test('limit bulk replays, each of which says so', async () => {
    await times(4, () => queue.run());
    const leases = await queue.claim(4);
    await Promise.all(leases.map((lease) => queue.complete(lease)));
    await times(LIMIT - 1, () => queue.run());
    const { body } = await server.call('POST', '/api/v1/bulk-operations', {
      body: { action: 'replay', filter: { status: 'completed', agent: queue.agent } },
    });
    const worker = server.app.get(BulkWorker);
    const look = (): Promise<Reply> => server.call('GET', `/api/v1/bulk-operations/${body.id}`);
    for (let reply = await look(); reply.body.status === 'running'; reply = await look()) {
      await worker.turn();
    }
    const ended = (await look()).body;
    expect(ended.failures).toEqual({ 'limit-reached': ended.matched - 1 });
    expect(await open()).toBe(LIMIT);
  });
});

describe('rows of an organization', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({
      ROLE: 'api',
      MAX_TASKS_PER_ORGANIZATION: '3',
      MAX_SCHEDULES_PER_ORGANIZATION: '2',
      MAX_ASSETS_PER_ORGANIZATION: '2',
      MAX_AGENTS_PER_ORGANIZATION: '4',
      MAX_USERS_PER_ORGANIZATION: '2',
      MAX_TEAMS_PER_ORGANIZATION: '2',
      MAX_PROJECTS_PER_ORGANIZATION: '2',
      MAX_ACCOUNTS_PER_ORGANIZATION: '6',
      MAX_API_KEYS_PER_ORGANIZATION: '3',
      MAX_SECRETS_PER_ORGANIZATION: '2',
      MAX_WEBHOOKS_PER_ORGANIZATION: '2',
      MAX_BUDGETS_PER_ORGANIZATION: '2',
    });
  });
  afterAll(() => server.stop());

  const email = (serial: number): string => `person-${String(serial)}@first.example`;
  test.each<[what: string, table: string, limit: number, path: string, body: (serial: number) => object]>([
    ['agents', 'agents', 4, 'agents', (serial) => ({ slug: `agent-${serial}`, kind: 'worker' })],
    ['teams', 'teams', 2, 'teams', (serial) => ({ name: 'Team', slug: `team-${serial}` })],
    ['projects', 'projects', 2, 'projects', () => ({ name: 'Project' })],
    [
      'users',
      'users',
      2,
      'users',
      (serial) => ({ email: email(serial), display_name: 'Person', role: 'member', password: PASSWORD }),
    ],
    ['accounts', 'accounts', 6, 'accounts', () => ({ name: 'Account', kind: 'customer' })],
    ['API keys', 'api_keys', 3, 'api-keys', () => ({ name: 'Key', role: 'member' })],
    [
      'webhooks',
      'webhook_endpoints',
      2,
      'webhooks',
      () => ({ url: 'https://hooks.example.com/x', events: ['run.completed'] }),
    ],
    ['budgets', 'budgets', 2, 'budgets', () => ({ name: 'Budget', scope: { kind: 'organization' }, limit_runs: 1000 })],
    ['tasks', 'tasks', 3, 'tasks', () => ({ agent: 'digest', prompt: 'Sum up', start: false })],
  ])(
    'of kind %s are as many as the operator allows, however many are asked for at once',
    async (_, table, limit, path, body) => {
      const count = async (): Promise<number> => {
        const rows = await server.database.rows(
          sql`select 1 from ${table === 'tasks' ? sql`tasks x where deleted_at is null` : table === 'api_keys' ? sql`principals x where kind = 'api_key' and disabled_at is null` : table === 'agents' ? sql`agents x where deleted_at is null` : named(table)}`,
        );
        return rows.length;
      };
      const replies = await atOnce(limit + 4, (index) => server.call('POST', `/api/v1/${path}`, { body: body(index) }));
      expect(await count()).toBe(limit);
      const refused = replies.filter(({ status }) => status !== 201);
      expect(refused.length).toBeGreaterThanOrEqual(4);
      expect(refused.map(refusal)).toEqual(refused.map(() => REFUSED));
      expect(refused[0]?.body.detail).toMatch(
        /^An organization may have \d+ .* ask its operator to raise MAX_[A-Z_]+\.$/,
      );
      // What goes makes room.
      const made = replies.find(({ status }) => status === 201);
      const id: string = made?.body.id ?? made?.body.task.id;
      expect((await server.call('DELETE', `/api/v1/${path}/${id}`)).status).toBeLessThan(300);
      server.clock.advance(60_000);
      expect((await server.call('POST', `/api/v1/${path}`, { body: body(99) })).status).toBe(201);
      expect(refusal(await server.call('POST', `/api/v1/${path}`, { body: body(100) }))).toEqual(REFUSED);
    },
  );

  function named(table: string) {
    switch (table) {
      case 'teams':
        return sql`teams`;
      case 'projects':
        return sql`projects`;
      case 'users':
        return sql`users where deleted_at is null`;
      case 'accounts':
        return sql`accounts`;
      case 'webhook_endpoints':
        return sql`webhook_endpoints`;
      default:
        return sql`budgets`;
    }
  }

  test('of kind secrets are as many as the operator allows, and those that are there can be given other values', async () => {
    const put = (name: string): Promise<Reply> =>
      server.call('PUT', `/api/v1/secrets/${name}`, { body: { value: 'a value that is long enough' } });
    const replies = await atOnce(5, (index) => put(`SECRET_${index}`));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(2);
    const made = replies.findIndex(({ status }) => status === 200);
    expect((await put(`SECRET_${made}`)).status).toBe(200);
    expect(refusal(await put('ANOTHER'))).toEqual(REFUSED);
  });

  test('are refused on the other surface that makes tasks in its own words', async () => {
    const { data: accounts } = (await server.call('GET', '/api/v1/accounts')).body;
    const reply = await server.call('POST', '/api/tasks', {
      body: { title: 'Digest', prompt: 'Sum up', schedule: '0 9 * * *', artist_account_id: accounts[0].id },
    });
    expect(reply.status).toBe(429);
    expect(reply.body).toMatchObject({ status: 'error', error: expect.stringContaining('MAX_TASKS_PER_ORGANIZATION') });
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  test('of kind schedules and files are limited, too', async () => {
    const { body } = await server.call('GET', '/api/v1/tasks');
    const ids: string[] = body.data.map((item: { id: string }) => item.id);
    const schedules = await times(3, (index) =>
      server.call('POST', '/api/v1/schedules', { body: { task_id: ids[index], cron: '0 9 * * *' } }),
    );
    expect(schedules.filter(({ status }) => status < 300)).toHaveLength(2);
    expect(schedules.filter(({ status }) => status >= 300).map(refusal)).toEqual([REFUSED]);
    const announce = (): Promise<Reply> =>
      server.call('POST', '/api/v1/assets', {
        body: { task_id: ids[0], name: 'a.txt', type: 'file', content_type: 'text/plain', size: 3 },
      });
    const assets = await atOnce(5, announce);
    expect(assets.filter(({ status }) => status === 201)).toHaveLength(2);
    expect(assets.filter(({ status }) => status !== 201).map(refusal)).toEqual([REFUSED, REFUSED, REFUSED]);
  });
});

test('a limit of 0 is none', async () => {
  const server = await startServer({ ROLE: 'api', MAX_TEAMS_PER_ORGANIZATION: '0', MAX_TASKS_PER_ORGANIZATION: '0' });
  try {
    expect((await server.call('POST', '/api/v1/teams', { body: { name: 'Team', slug: 'team' } })).status).toBe(201);
    const task = { agent: 'digest', prompt: 'Sum up', start: false };
    expect((await server.call('POST', '/api/v1/tasks', { body: task })).status).toBe(201);
  } finally {
    await server.stop();
  }
});
