import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { TaskPurger } from '../../src/modules/tasks/index.js';
import { makeYard, type Yard } from '../support/actors.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
let agent: string;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  agent = 'hand';
  const made = await server.call('POST', '/api/v1/agents', {
    body: { slug: agent, name: 'Hand', kind: 'worker', default_run_config: { model: 'agent-model', max_steps: 50 } },
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
});

afterAll(async () => {
  await server.stop();
});

beforeEach(() => {
  serial += 1;
});

function create(body: object, as?: Credential, headers?: Record<string, string>): Promise<Reply> {
  return server.call('POST', '/api/v1/tasks', {
    body: { agent, prompt: 'do it', ...body },
    ...(as === undefined ? {} : { as }),
    ...(headers === undefined ? {} : { headers }),
  });
}

async function count(table: 'tasks' | 'runs' | 'messages' | 'schedules'): Promise<number> {
  const counts = {
    tasks: sql`select count(*)::int as n from tasks`,
    runs: sql`select count(*)::int as n from runs`,
    messages: sql`select count(*)::int as n from messages`,
    schedules: sql`select count(*)::int as n from schedules`,
  };
  return (await server.database.row<{ n: number }>(counts[table]))?.n ?? -1;
}

async function counters(): Promise<{ shown: number; private: number }> {
  const row = await server.database.row<{ shown: number; private: number }>(
    sql`select coalesce(sum(shown), 0)::int as shown, coalesce(sum(shown_private), 0)::int as private from task_counters`,
  );
  return row ?? { shown: -1, private: -1 };
}

async function claim(): Promise<{ runId: string; fence: string }> {
  const reply = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [agent] } });
  return { runId: reply.body.runs[0].run.id, fence: reply.body.runs[0].lease.fence };
}

describe('handing in a task', () => {
  test('makes the task, its first run and its first message together, and answers its detail', async () => {
    const reply = await create({
      prompt: 'Read the handbook',
      payload: { pages: [1, 2] },
      tags: ['a', 'b', 'a'],
      metadata: { k: { n: 1 } },
    });
    expect(reply.status).toBe(201);
    const { task, stream, streams, messages } = reply.body;
    expect(reply.headers.get('location')).toBe(`/api/v1/tasks/${task.id}`);
    expect(task).toMatchObject({
      title: 'Read the handbook',
      status: 'queued',
      agent,
      payload: { pages: [1, 2] },
      tags: ['a', 'b'],
      metadata: { k: { n: 1 } },
      visibility: 'private',
      team_id: null,
      enabled: true,
      priority: 0,
      run_count: 1,
    });
    expect(stream).toMatchObject({ hasStream: true, streamStatus: 'pending', last_seq: 1 });
    expect(stream.run_config).toMatchObject({
      model: 'agent-model',
      max_steps: 50,
      agent_id: task.agent_id,
      agent_ids: [task.agent_id],
    });
    expect(streams).toHaveLength(1);
    expect(messages).toEqual([
      {
        id: expect.any(String),
        role: 'user',
        parts: [{ type: 'text', text: 'Read the handbook' }],
        created_at: expect.any(String),
        run_id: stream.streamId,
      },
    ]);
    const again = (await server.call('GET', `/api/v1/tasks/${task.id}`)).body;
    expect({ ...again, streamUrls: [] }).toEqual({ ...reply.body, streamUrls: [] });
  });

  test('needs no more than a prompt, and takes the default agent', async () => {
    const reply = await server.call('POST', '/api/v1/tasks', { body: { prompt: 'x' } });
    expect([reply.status, reply.body.task.agent]).toEqual([201, 'digest']);
  });

  test('takes the first 80 characters of the prompt as title, and cuts none of them in two', async () => {
    const { body } = await create({ prompt: '🙂'.repeat(100), start: false });
    expect(body.task.title).toBe('🙂'.repeat(80));
    const lines = await create({ prompt: `\n  Read this:\r\n\n\t${'a b\n'.repeat(40)}`, start: false });
    expect(lines.body.task.title).toBe(`Read this: ${'a b '.repeat(40)}`.slice(0, 80).trim());
  });

  test('is the team’s to see with a team, the creator’s without', async () => {
    expect((await create({ team_id: yard.teams.red, start: false })).body.task.visibility).toBe('team');
    expect((await create({ start: false })).body.task.visibility).toBe('private');
    expect((await create({ start: false, visibility: 'organization' })).body.task.visibility).toBe('organization');
  });

  test('is for the creator’s own account, unless it says for whom or for nobody', async () => {
    const accounts = (await server.call('GET', '/api/v1/accounts?limit=100')).body.data;
    const own = accounts.find((account: { user_id: string }) => account.user_id === yard.member.id);
    expect((await create({ start: false }, yard.member.token)).body.task.account_id).toBe(own.id);
    expect((await create({ start: false, account_id: null }, yard.member.token)).body.task.account_id).toBeNull();
    expect((await create({ start: false })).body.task.account_id).toBeNull();
    expect((await create({ start: false, artist_account_id: own.id })).body.task.artist_account_id).toBe(own.id);
  });

  test('with a schedule waits for it, unless told to start as well', async () => {
    const waiting = await create({ schedule: { cron: '0 9 * * *', timezone: 'Europe/London' } });
    expect(waiting.body).toMatchObject({ task: { is_scheduled: true, status: 'idle' }, stream: { hasStream: false } });
    const started = await create({ schedule: { cron: '0 9 * * *' }, start: true });
    expect(started.body).toMatchObject({ task: { is_scheduled: true, status: 'queued' }, stream: { hasStream: true } });
  });

  test('takes model as short for run_config.model, and refuses two different ones', async () => {
    const short = await create({ model: 'm', start: false });
    const long = await create({ run_config: { model: 'm', max_steps: 9 } });
    const both = await create({ model: 'm', run_config: { model: 'm' }, start: false });
    expect([short, long, both].map(({ body }) => [body.task.model, body.stream.run_config.model])).toEqual([
      ['m', 'm'],
      ['m', 'm'],
      ['m', 'm'],
    ]);
    expect(long.body.stream.run_config.max_steps).toBe(9);
    const differing = await create({ model: 'm', run_config: { model: 'n' } });
    expect([differing.status, differing.body.errors[0].path]).toEqual([400, '/model']);
  });

  test('leaves nothing behind where a part of it cannot be', async () => {
    const before = [await count('tasks'), await count('runs'), await count('messages'), await count('schedules')];
    expect((await create({ schedule: { cron: '0 0 31 4 *' }, start: true })).status).toBe(400);
    expect((await create({ account_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33' })).status).toBe(400);
    expect((await create({ agent: 'nobody' })).status).toBe(404);
    expect([await count('tasks'), await count('runs'), await count('messages'), await count('schedules')]).toEqual(
      before,
    );
  });
});

describe('a team or project that a task is put into', () => {
  test.each([
    ['a member of the team may', () => yard.member.token, 201],
    ['an admin may', () => yard.admin.token, 201],
    ['whoever is not of the team may not', () => yard.outsider.token, 403],
    ['a viewer of the organisation makes no tasks at all', () => yard.viewer.token, 403],
    ['to another organisation there is no such team', () => yard.stranger.token, 400],
  ])('%s', async (_, token, status) => {
    const reply = await server.call('POST', '/api/v1/tasks', {
      as: token(),
      body: { prompt: 'x', start: false, team_id: yard.teams.red },
    });
    expect(reply.status).toBe(status);
    if (status === 400) {
      expect(reply.body.errors[0].path).toBe('/team_id');
    }
  });

  test('a project of a team is for those who work in the team, or in one it is shared with for writing', async () => {
    const project = await server.call('POST', '/api/v1/projects', {
      body: { name: `p${serial}`, team_id: yard.teams.red },
    });
    const put = (as: string) => create({ start: false, project_id: project.body.id }, as);
    expect((await put(yard.member.token)).status).toBe(201);
    expect((await put(yard.outsider.token)).status).toBe(403);
    expect(
      (await create({ agent: undefined, start: false, project_id: project.body.id }, yard.stranger.token)).status,
    ).toBe(400);
  });
});

describe('Idempotency-Key', () => {
  test('makes one task of two requests, and the second is told it was one', async () => {
    const headers = { 'idempotency-key': `create-${serial}` };
    const first = await create({ title: 'once' }, undefined, headers);
    const tasks = await count('tasks');
    const again = await create({ title: 'once' }, undefined, headers);
    expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    expect([again.status, again.headers.get('location')]).toEqual([201, first.headers.get('location')]);
    expect({ ...again.body, streamUrls: [] }).toEqual({ ...first.body, streamUrls: [] });
    expect(await count('tasks')).toBe(tasks);
    const other = await create({ title: 'other' }, undefined, headers);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-mismatch']);
  });

  test('is kept by the run it started', async () => {
    const { body } = await create({}, undefined, { 'idempotency-key': `kept-${serial}` });
    expect((await server.call('GET', `/api/v1/runs/${body.stream.streamId}`)).body.idempotency_key).toBe(
      `kept-${serial}`,
    );
  });
});

describe('deleting a task', () => {
  test('is final at once: gone for every reader, its run ended, its worker fenced off', async () => {
    await server.database.execute(sql`update runs set available_at = 'infinity' where status = 'queued'`);
    const { body } = await create({ priority: 100 });
    const { runId, fence } = await claim();
    expect(runId).toBe(body.stream.streamId);
    const deleted = await server.call('DELETE', `/api/v1/tasks/${body.task.id}`);
    expect([deleted.status, deleted.text]).toEqual([204, '']);
    for (const path of [
      `tasks/${body.task.id}`,
      `runs/${runId}`,
      `streams/${runId}/events?after=0`,
      `tasks/${body.task.id}/messages`,
    ]) {
      expect([path, (await server.call('GET', `/api/v1/${path}`)).status]).toEqual([path, 404]);
    }
    const late = await server.call('POST', `/api/v1/worker/runs/${runId}/complete`, { body: { fence, output: {} } });
    expect([late.status, late.body.code]).toEqual([409, 'lease-lost']);
    expect((await server.call('DELETE', `/api/v1/tasks/${body.task.id}`)).status).toBe(404);
  });

  test('takes it off the exact counts, once, as it was counted', async () => {
    const before = await counters();
    const seen = await create({ visibility: 'organization' });
    const hidden = await create({});
    const idle = await create({ start: false });
    expect(await counters()).toEqual({ shown: before.shown + 2, private: before.private + 1 });
    for (const { body } of [seen, hidden, idle]) {
      expect((await server.call('DELETE', `/api/v1/tasks/${body.task.id}`)).status).toBe(204);
      expect((await server.call('DELETE', `/api/v1/tasks/${body.task.id}`)).status).toBe(404);
    }
    expect(await counters()).toEqual(before);
  });

  test('is followed by the purge of its rows', async () => {
    const { body } = await create({ schedule: { cron: '0 9 * * *' }, start: true });
    await server.call('DELETE', `/api/v1/tasks/${body.task.id}`);
    await Promise.all([server.app.get(TaskPurger).purge(), server.app.get(TaskPurger).purge()]);
    const left = await server.database.row<{
      n: number;
    }>(sql`select (select count(*) from tasks where id = ${body.task.id})::int
      + (select count(*) from runs where task_id = ${body.task.id})::int + (select count(*) from messages where task_id = ${body.task.id})::int
      + (select count(*) from schedules where task_id = ${body.task.id})::int as n`);
    expect(left?.n).toBe(0);
  });
});

describe('one round trip to the database', () => {
  /** The fewest of several requests: a credential that is due to be checked again, or another request's statement, only adds. */
  async function statementsOf(path: string): Promise<number> {
    const counts: number[] = [];
    for (let request = 0; request < 5; request += 1) {
      counts.push(await statementsOfOne(path));
    }
    return Math.min(...counts);
  }

  async function statementsOfOne(path: string): Promise<number> {
    const seen: string[] = [];
    // Every statement for a caller asks whether the caller still is who it was; the sweeps of the process have no caller.
    const observe = (text: string) => (text.includes('p.epoch') ? seen.push(text) : 0);
    server.database.observers.add(observe);
    const reply = await server.call('GET', path);
    server.database.observers.delete(observe);
    expect(reply.status).toBe(200);
    return seen.length;
  }

  test('serves the detail, with all it shows', async () => {
    const { body } = await create({ schedule: { cron: '0 9 * * *' }, start: true });
    await server.call('POST', `/api/v1/tasks/${body.task.id}/runs`, { body: {} });
    expect(await statementsOf(`/api/v1/tasks/${body.task.id}`)).toBe(1);
  });

  test('serves a page of the list, whatever is filtered', async () => {
    expect(await statementsOf('/api/v1/tasks')).toBe(1);
    expect(
      await statementsOf(
        `/api/v1/tasks?agent=${agent}&status=queued&q=do&scope=mine&read_only=false&sort=updated_at&limit=5`,
      ),
    ).toBe(1);
  });
});
