import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { sql } from '../../src/database/sql.js';
import { makeYard, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

const AGENT = 'hand';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  const made = await server.call('POST', '/api/v1/agents', {
    body: { slug: AGENT, name: 'Hand', kind: 'worker', default_run_config: { model: 'agent-model' } },
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
});

afterAll(() => server.stop());

function send(tasks: unknown, options: { as?: Credential; key?: string } = {}): Promise<Reply> {
  return server.call('POST', '/api/v1/tasks/batch', {
    body: { tasks },
    ...(options.as === undefined ? {} : { as: options.as }),
    ...(options.key === undefined ? {} : { headers: { 'idempotency-key': options.key } }),
  });
}

async function count(): Promise<number> {
  return (await server.database.row<{ n: number }>(sql`select count(*)::int as n from tasks`))?.n ?? -1;
}

/** All that is stored of a task, but for what must differ between two: ids, times, and the batch it came in. */
async function stored(taskId: string): Promise<unknown> {
  const row = await server.database.row<{ body: unknown }>(sql`
    select jsonb_build_object(
      'task', to_jsonb(t) - array['id', 'created_at', 'updated_at', 'latest_run_id'],
      'runs', (select jsonb_agg((to_jsonb(r) - array['id', 'task_id', 'root_run_id', 'batch_id', 'created_at', 'updated_at', 'queued_at',
        'available_at']) || jsonb_build_object('root', r.root_run_id = r.id, 'latest', t.latest_run_id = r.id)) from runs r where r.task_id = t.id),
      'events', (select jsonb_agg((to_jsonb(e) - array['run_id', 'xid', 'created_at']) #- '{events,0,at}') from run_events e join runs r on r.id = e.run_id
        where r.task_id = t.id),
      'messages', (select jsonb_agg((to_jsonb(m) - array['id', 'task_id', 'run_id', 'created_at'])
        || jsonb_build_object('of_run', m.run_id = t.latest_run_id)) from messages m where m.task_id = t.id)) as body
    from tasks t where t.id = ${taskId}`);
  return row?.body;
}

const SEALING = /\baudit_(?:unsealed|seals|heads)\b/;

describe('a batch of tasks', () => {
  test('makes of each item exactly what a single create makes of it', async () => {
    const items = [
      { agent: AGENT, prompt: 'plain' },
      {
        agent: AGENT,
        prompt: 'all there is to say \u{1F642}',
        title: 'Title',
        payload: { deep: [1, { two: null }], big: 1e15 },
        model: 'own-model',
        run_config: { max_steps: 7 },
        team_id: yard.teams.red,
        visibility: 'organization',
        is_isolated: true,
        tags: ['a', 'b,"c'],
        metadata: { k: 'v' },
        enabled: false,
        priority: -3,
        max_attempts: 2,
      },
      { agent: AGENT, prompt: 'in line', concurrency_key: 'one' },
      { agent: AGENT, prompt: 'not yet', start: false },
      { agent: AGENT, prompt: 'null', payload: null, account_id: null },
      { agent: AGENT, prompt: 'scheduled', schedule: { cron: '0 9 * * *', timezone: 'Europe/London' } },
    ];
    const batch = await send(items, { as: yard.maintainer.token });
    expect([batch.status, batch.body.results.map(({ status }: { status: number }) => status)]).toEqual([
      200,
      items.map(() => 201),
    ]);
    for (const [index, body] of items.entries()) {
      const single = await server.call('POST', '/api/v1/tasks', { body, as: yard.maintainer.token });
      expect(await stored(batch.body.results[index].task_id)).toEqual(await stored(single.body.task.id));
    }
  });

  describe('of which the text of an item cannot be read', () => {
    const task = (prompt: string, more = ''): string => `{"agent":"${AGENT}","prompt":"${prompt}"${more}}`;
    async function sendText(
      text: string,
      headers: Record<string, string> = {},
    ): Promise<Pick<Reply, 'status' | 'body'>> {
      const reply = await fetch(`${server.url}/api/v1/tasks/batch`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': BOOTSTRAP_KEY, ...headers },
        body: text,
      });
      return { status: reply.status, body: await reply.json() };
    }

    test.each([
      ['a number that would change', ',"payload":{"n":[1,12345678901234567890]}', '/tasks/1/payload/n/1'],
      ['a repeated name', ',"metadata":{"a":1,"a":2}', '/tasks/1/metadata/a'],
      ['a reserved name', ',"metadata":{"__proto__":1}', '/tasks/1/metadata/__proto__'],
      ['a NUL', ',"title":"a\\u0000b"', '/tasks/1/title'],
      ['half a surrogate pair', ',"title":"a\\ud83d"', '/tasks/1/title'],
      [
        'too many levels',
        `,"payload":${'['.repeat(100)}${']'.repeat(100)}`,
        expect.stringMatching(/^\/tasks\/1\/payload/),
      ],
      [
        'too many members',
        `,"payload":{${Array.from({ length: 2_001 }, (_, index) => `"m${index}":0`).join()}}`,
        '/tasks/1/payload/m2000',
      ],
    ])('refuses that item alone: %s', async (_, member, path) => {
      const { status, body } = await sendText(
        `{"tasks": [ ${task('a, [b] {"}'.replaceAll('"', '\\"'))} , ${task('bad', member)},\n${task('also bad', member)},${task('last')} ]}`,
      );
      expect([status, body.results?.map((result: { status: number }) => result.status)]).toEqual([
        200,
        [201, 400, 400, 201],
      ]);
      expect(body.results[1].error).toMatchObject({ code: 'invalid-request', errors: [{ path }] });
    });

    test('refuses all for what is wrong around the items, and for text that is not JSON', async () => {
      const bad = task('bad', ',"payload":12345678901234567890');
      const before = await count();
      for (const [text, code] of [
        [`{"tasks":[${task('good')},${bad}],"other":12345678901234567890}`, 'invalid-request'],
        [`{"tasks":[${task('good')},${bad}],"tasks":[]}`, 'invalid-request'],
        [`{"tasks":[${task('good')},${bad},]}`, 'malformed-json'],
        [`{"tasks":[${task('good')},${bad}]}}`, 'malformed-json'],
        [`{"tasks":{"0":${bad}}}`, 'invalid-request'],
        [`[${bad}]`, 'invalid-request'],
      ] as const) {
        const { status, body } = await sendText(text);
        expect([text, status, body.code]).toEqual([text, 400, code]);
      }
      expect(await count()).toBe(before);
    });

    test('is the same request with the same text only', async () => {
      const headers = { 'idempotency-key': 'batch-of-a-bad-number' };
      const text = (number: string): string => `{"tasks":[${task('good')},${task('bad', `,"payload":${number}`)}]}`;
      const first = await sendText(text('12345678901234567890'), headers);
      expect(await sendText(text('12345678901234567890'), headers)).toEqual(first);
      expect((await sendText(text('12345678901234567891'), headers)).status).toBe(422);
    });
  });

  test('answers every item in its place, and refuses a bad one alone, as its own problem', async () => {
    const before = await count();
    const { status, body } = await send([
      { agent: AGENT, prompt: 'first' },
      { agent: AGENT },
      { agent: 'nobody-of-this-name', prompt: 'second' },
      { agent: AGENT, prompt: 'third', colour: 'red' },
      'not an object',
      { agent: AGENT, prompt: 'fourth', team_id: '0198f0a0-0000-7000-8000-000000000009' },
      { agent: AGENT, prompt: 'fifth', run_config: { agent_ids: ['0198f0a0-0000-7000-8000-000000000009'] } },
      { agent: AGENT, prompt: 'sixth', schedule: { cron: '0 9 31 2 *' } },
      { agent: AGENT, prompt: 'last' },
    ]);
    expect(status).toBe(200);
    expect(body.results.map((result: { status: number }) => result.status)).toEqual([
      201, 400, 404, 400, 400, 400, 400, 400, 201,
    ]);
    expect(body.results[1]).toEqual({
      status: 400,
      error: {
        type: 'urn:taskyard:problem:invalid-request',
        title: 'The request is not valid',
        status: 400,
        detail: expect.stringContaining('/prompt'),
        code: 'invalid-request',
        errors: [{ path: '/tasks/1/prompt', message: expect.any(String) }],
      },
    });
    const paths = body.results.map(
      ({ error }: { error?: { errors: { path: string }[] } }) => error?.errors[0]?.path ?? null,
    );
    expect(paths).toEqual([
      null,
      '/tasks/1/prompt',
      '/tasks/2/agent',
      '/tasks/3/colour',
      '/tasks/4',
      '/tasks/5/team_id',
      '/tasks/6/run_config/agent_ids/0',
      expect.stringMatching('^/tasks/7/'),
      null,
    ]);
    expect(await count()).toBe(before + 2);
  });

  test('holds each item to the rights of its sender', async () => {
    const refused = await send(
      [
        { agent: AGENT, prompt: 'x', team_id: yard.teams.green },
        { agent: AGENT, prompt: 'y' },
      ],
      {
        as: yard.member.token,
      },
    );
    expect(refused.body.results.map(({ status }: { status: number }) => status)).toEqual([403, 201]);
    const viewer = await send([{ agent: AGENT, prompt: 'x' }], { as: yard.viewer.token });
    expect(viewer.status).toBe(403);
  });

  test.each([
    ['no list', {}],
    ['an empty list', { tasks: [] }],
    ['a list of more than a thousand', { tasks: Array.from({ length: 1001 }, () => ({ prompt: 'x' })) }],
    ['another field', { tasks: [{ prompt: 'x' }], more: 1 }],
  ])('is refused whole with %s', async (_name, body) => {
    const reply = await server.call('POST', '/api/v1/tasks/batch', { body });
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid-request']);
  });

  test('takes a thousand tasks in a few statements, and counts and numbers them as single ones', async () => {
    const shown = sql`select coalesce(sum(shown), 0)::int as n from task_counters`;
    const before = (await server.database.row<{ n: number }>(shown))?.n ?? 0;
    const reply = await send(
      Array.from({ length: 1000 }, (_, index) => ({ agent: AGENT, prompt: `number ${index}`, tags: ['thousand'] })),
    );
    const ids: string[] = reply.body.results.map(({ task_id: id }: { task_id: string }) => id);
    expect([reply.status, new Set(ids).size]).toEqual([200, 1000]);
    expect((await server.database.row<{ n: number }>(shown))?.n).toBe(before + 1000);
    // One transaction wrote them, whatever their number: their rows share it. In the order of the list they were made and are queued.
    const rows = await server.database.rows<{ id: string; writer: string }>(sql`
      select t.id, r.xmin::text as writer from runs r join tasks t on t.id = r.task_id where 'thousand' = any(t.tags)
      order by r.available_at, r.id`);
    expect(rows.map(({ id }) => id)).toEqual(ids);
    expect(new Set(rows.map(({ writer }) => writer)).size).toBe(1);
    const { body } = await server.call('GET', '/api/v1/tasks?tag=thousand&sort=created_at&limit=3');
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 3));
  });

  test('costs no more statements for many items than for few', async () => {
    const as = yard.stranger.token;
    const me = await server.call('GET', '/api/v1/me', { as });
    const statements: number[] = [];
    for (const size of [1, 200]) {
      let seen = 0;
      // Nobody else is at work in that organisation but the sealer of its audit trail, when its time comes.
      const observe = (text: string, values: readonly unknown[]): void =>
        void (seen += values.includes(me.body.organization.id) && !SEALING.test(text) ? 1 : 0);
      await send([{ prompt: 'warm' }], { as });
      server.database.observers.add(observe);
      const reply = await send(
        Array.from({ length: size }, () => ({ prompt: 'counted' })),
        { as },
      );
      server.database.observers.delete(observe);
      expect(reply.body.results.at(-1).status).toBe(201);
      statements.push(seen);
    }
    expect(statements[1]).toBe(statements[0]);
    expect(statements[0]).toBeLessThan(12);
  });

  test('has one effect under an Idempotency-Key, refusals included', async () => {
    const tasks = [{ agent: AGENT, prompt: 'once' }, { agent: AGENT }];
    const first = await send(tasks, { key: 'batch-1' });
    const before = await count();
    const second = await send(tasks, { key: 'batch-1' });
    expect([second.status, second.body, second.headers.get('idempotency-replayed')]).toEqual([200, first.body, 'true']);
    expect(await count()).toBe(before);
    expect((await send([{ agent: AGENT, prompt: 'other' }], { key: 'batch-1' })).status).toBe(422);
  });

  test('goes on item by item where a row is refused that looked fine', async () => {
    const doomed = await server.call('POST', '/api/v1/agents', {
      body: { slug: 'doomed', name: 'Doomed', kind: 'worker' },
    });
    await server.database.execute(sql`
      create function refuse_doomed() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '23514'; end $$`);
    await server.database.execute(sql`create trigger refuse_doomed before insert on runs for each row
      when (new.payload = '"doomed"') execute function refuse_doomed()`);
    try {
      const reply = await send([
        { agent_id: doomed.body.id, prompt: 'lives' },
        { agent_id: doomed.body.id, prompt: 'dies', payload: 'doomed' },
        { agent: AGENT, prompt: 'lives too' },
      ]);
      expect([reply.status, reply.body.results.map(({ status }: { status: number }) => status)]).toEqual([
        200,
        [201, 400, 201],
      ]);
      const { body } = await server.call('GET', `/api/v1/tasks/${reply.body.results[2].task_id}`);
      expect([body.task.status, body.messages.length]).toEqual(['queued', 1]);
    } finally {
      await server.database.execute(sql`drop trigger refuse_doomed on runs`);
    }
  });
});

test('a principal has two batches under way, and so many in line; another principal does not wait for them', async () => {
  const client = new Client({ connectionString: server.databaseUrl });
  await client.connect();
  await client.query('begin');
  await client.query('select 1 from agents where slug = $1 for update', [AGENT]);
  const one = [{ agent: AGENT, prompt: 'x' }];
  const sent = Array.from({ length: 35 }, () => send(one));
  const refused = await Promise.race(sent);
  expect([refused.status, refused.body.code, Number(refused.headers.get('retry-after'))]).toEqual([
    429,
    'rate-limited',
    1,
  ]);
  expect((await send([{ agent: 'absent', prompt: 'x' }], { as: yard.member.token })).status).toBe(200);
  await client.query('commit');
  await client.end();
  const statuses = (await Promise.all(sent)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(34);
});
