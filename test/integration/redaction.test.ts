import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { raw, sql } from '../../src/database/sql.js';
import { SecretsRepository } from '../../src/modules/secrets/secrets.repository.js';
import { type Lease, TestQueue } from '../support/queue.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  await server.stop();
});

const put = async (name: string, value: string): Promise<void> => {
  const reply = await server.call('PUT', `/api/v1/secrets/${name}`, { body: { value } });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
};
const patch = async (path: string, body: object): Promise<void> => {
  const reply = await server.call('PATCH', `/api/v1/${path}`, { body });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
};

/** Tables with a row that holds the text, of all that there are. */
async function tablesWith(text: string): Promise<string[]> {
  const tables = await server.database.rows<{ name: string }>(
    sql`select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
  );
  const found = await Promise.all(
    tables.map(async ({ name }) => {
      const hit = await server.database.row(
        sql`select 1 from ${raw(`"${name}"`)} x where position(${text} in x::text) > 0 limit 1`,
      );
      return hit === null ? [] : [name];
    }),
  );
  return found.flat();
}

/** Everything that a worker may write, with the value in each text. The run ends, completed. */
async function sayEverywhere(queue: TestQueue, lease: Lease, taskId: string, value: string): Promise<void> {
  const upload = (body: object) =>
    server.call('POST', '/api/v1/assets', {
      body: { task_id: taskId, run_id: lease.runId, fence: lease.fence, ...body },
    });
  const announced = await upload({ name: `${value}.txt`, content_type: 'text/plain', size: 2 });
  expect([announced.status, announced.text]).toEqual([201, expect.any(String)]);
  const odd = await upload({ name: 'odd', type: 'file', content_type: `application/${value}`, size: 2 });
  expect([odd.status, odd.text]).toEqual([201, expect.any(String)]);
  const form = new FormData();
  form.set('task_id', taskId);
  form.set('run_id', lease.runId);
  form.set('fence', lease.fence);
  form.set('file', new Blob(['hi'], { type: 'text/plain' }), `form ${value}.txt`);
  const sent = await fetch(`${server.url}/api/v1/assets/upload`, {
    method: 'POST',
    body: form,
    headers: { 'x-api-key': BOOTSTRAP_KEY },
  });
  expect([sent.status, await sent.text()]).toEqual([201, expect.any(String)]);
  const bytes = await fetch(announced.body.upload.url, {
    method: 'PUT',
    body: 'hi',
    headers: announced.body.upload.headers,
  });
  expect([bytes.status, await bytes.text()]).toEqual([200, expect.any(String)]);
  const events = [
    { type: 'message', data: { id: `m ${value}`, role: 'assistant', parts: [{ type: 'text', text: value }] } },
    {
      type: 'message',
      data: {
        role: 'assistant',
        parts: [
          { type: 'data', data: { [value]: [value] } },
          { type: 'file', asset_id: announced.body.asset.id, name: value, media_type: `text/${value}` },
        ],
      },
    },
    { type: 'delta', data: { message_id: value, text: value } },
    { type: 'log', data: { level: 'info', text: value } },
    { type: 'tool_call', data: { id: value, name: value, input: { [value]: value } } },
    { type: 'tool_result', data: { id: value, output: value } },
    { type: 'usage', data: { model: value, input_tokens: 4711 } },
    { type: 'problem', data: { name: value, message: value } },
    { type: 'custom', data: { progress: value } },
  ];
  const batch = { events, batch_id: `b ${value}` };
  const said = await queue.act(lease, 'events', batch);
  expect([said.status, said.text]).toEqual([200, expect.any(String)]);
  expect((await queue.act(lease, 'events', batch)).body).toEqual(said.body);
  const child = await queue.act(lease, 'children', {
    batch_id: value,
    runs: [{ agent: queue.agent, payload: { [value]: value }, run_config: { model: value } }],
  });
  expect([child.status, child.text]).toEqual([200, expect.any(String)]);
  const ended = await queue.act(lease, 'complete', { output: { [value]: value } });
  expect([ended.status, ended.text]).toEqual([200, expect.any(String)]);
}

/** A run of a new task that was given the secret; the agent is a new one. */
async function given(
  agent: string,
  secret: string,
  value: string,
): Promise<{ queue: TestQueue; lease: Lease; taskId: string }> {
  await put(secret, value);
  const queue = await TestQueue.make(server, agent, { allowed_secret_names: [secret], max_attempts: 3 });
  await queue.run({ secret_names: [secret] });
  const lease = await queue.one();
  return { queue, lease, taskId: lease.run.task_id };
}

describe('what a run was given is redacted from all that it says, although meanwhile', () => {
  const CHANGES: Record<string, (now: { queue: TestQueue; taskId: string; secret: string }) => Promise<unknown>> = {
    'nothing changed': () => Promise.resolve(),
    'the task names it no more': ({ taskId }) => patch(`tasks/${taskId}`, { secret_names: [] }),
    'the agent may have it no more': ({ queue }) => patch(`agents/${queue.agentId}`, { allowed_secret_names: [] }),
    'the task belongs to another agent': async ({ taskId, queue }) => {
      await TestQueue.make(server, `${queue.agent}-next`);
      await patch(`tasks/${taskId}`, { agent: `${queue.agent}-next`, secret_names: [] });
    },
    'the secret has another value': ({ secret }) => put(secret, 'quite-another-value'),
    'the secret is deleted': ({ secret }) => server.call('DELETE', `/api/v1/secrets/${secret}`),
    'the secret is deleted, and its name given to another': async ({ secret }) => {
      await server.call('DELETE', `/api/v1/secrets/${secret}`);
      await put(secret, 'quite-another-value');
      await server.app.get(SecretsRepository).sweep(100);
    },
    'all of that happened': async ({ taskId, queue, secret }) => {
      await patch(`tasks/${taskId}`, { secret_names: [] });
      await patch(`agents/${queue.agentId}`, { allowed_secret_names: [], slug: `${queue.agent}-renamed` });
      await server.call('DELETE', `/api/v1/secrets/${secret}`);
      await server.app.get(SecretsRepository).sweep(100);
    },
  };

  test.each(Object.keys(CHANGES))('%s', async (name) => {
    const index = Object.keys(CHANGES).indexOf(name);
    const secret = `SPOKEN_${index}`;
    const value = `sk-spoken-${index}-7c1f9e`;
    const { queue, lease, taskId } = await given(`speaker-${index}`, secret, value);
    await CHANGES[name]?.({ queue, taskId, secret });
    const speaking =
      name === 'all of that happened' ? new TestQueue(server, `${queue.agent}-renamed`, queue.agentId) : queue;
    await sayEverywhere(speaking, lease, taskId, value);
    expect(await tablesWith(value)).toEqual([]);
    const names = await server.database.rows<{ name: string; content_type: string }>(
      sql`select name, content_type from assets where task_id = ${taskId}::uuid order by name`,
    );
    expect(names).toEqual([
      { name: `[secret ${secret}].txt`, content_type: 'text/plain' },
      { name: `form [secret ${secret}].txt`, content_type: 'text/plain' },
      { name: 'odd', content_type: 'application/octet-stream' },
    ]);
    const run = await queue.get(lease.runId);
    expect(run.output).toEqual({ [`[secret ${secret}]`]: `[secret ${secret}]` });
    expect(run.input_tokens ?? run.usage?.input_tokens ?? 4711).toBe(4711);
  });
});

describe('redaction', () => {
  test('holds for an error and for a question after the task names nothing any more', async () => {
    const { queue, lease, taskId } = await given('asker', 'ASKED', 'sk-asked-41d0');
    await patch(`tasks/${taskId}`, { secret_names: [] });
    const asked = await queue.act(lease, 'ask', {
      question: 'Use sk-asked-41d0?',
      options: ['sk-asked-41d0', 'no'],
      default: 'sk-asked-41d0',
      timeout_seconds: 4711,
    });
    expect([asked.status, asked.text]).toEqual([200, expect.any(String)]);
    await server.call('POST', `/api/v1/runs/${lease.runId}/answer`, { body: { text: 'no' } });
    const again = await queue.one();
    const failed = await queue.fail(again, {
      error: { name: 'sk-asked-41d0', message: 'bad sk-asked-41d0', stack_trace: 'at sk-asked-41d0' },
      retry: false,
    });
    expect(failed.status).toBe(200);
    expect((await queue.get(lease.runId)).error).toMatchObject({
      name: '[secret ASKED]',
      message: 'bad [secret ASKED]',
      stack_trace: 'at [secret ASKED]',
    });
    expect(await tablesWith('sk-asked-41d0')).toEqual([]);
  });

  test('knows the values of every attempt, where each was given another', async () => {
    const { queue, lease } = await given('patient', 'MOVING', 'sk-moving-first');
    await put('MOVING', 'sk-moving-second');
    await queue.fail(lease);
    await queue.pass(lease.runId, 3_600);
    const second = await queue.one();
    await put('MOVING', 'sk-moving-third');
    await server.app.get(SecretsRepository).sweep(100);
    const said = 'sk-moving-first sk-moving-second sk-moving-third';
    expect((await queue.act(second, 'complete', { output: { said } })).status).toBe(200);
    expect((await queue.get(lease.runId)).output).toEqual({ said: '[secret MOVING] [secret MOVING] sk-moving-third' });
  });

  test('covers a child and a replay of the task, which were given nothing themselves', async () => {
    const { queue, lease, taskId } = await given('parent', 'FAMILY', 'sk-family-5e2b');
    await TestQueue.make(server, 'child');
    const child = new TestQueue(server, 'child', '');
    await queue.act(lease, 'children', { runs: [{ agent: 'child' }] });
    await patch(`tasks/${taskId}`, { secret_names: [] });
    const [held] = await child.claim();
    await child.act(held ?? lease, 'complete', { output: { said: 'sk-family-5e2b' } });
    await queue.complete(lease);
    const replayed = await server.call('POST', `/api/v1/runs/${lease.runId}/replay`, { body: {} });
    expect([replayed.status, replayed.text]).toEqual([200, expect.any(String)]);
    const again = await queue.one();
    await queue.act(again, 'complete', { output: { said: 'sk-family-5e2b' } });
    expect(await tablesWith('sk-family-5e2b')).toEqual([]);
  });

  test('cannot be turned off by leaving the mark of the fence away', async () => {
    const { queue, lease } = await given('forger', 'FORGED', 'sk-forged-90aa');
    const bare = { ...lease, fence: lease.fence.replace(/\.s$/, '') };
    expect(bare.fence).not.toBe(lease.fence);
    const reply = await queue.act(bare, 'complete', { output: { said: 'sk-forged-90aa' } });
    expect([reply.status, reply.body.code]).toEqual([409, 'lease-lost']);
    expect((await queue.complete(lease)).status).toBe(200);
  });

  test('leaves ids and counted numbers as they are, and texts within their limits', async () => {
    const { queue, lease } = await given('counter', 'PIN', '4711');
    const events = [
      { type: 'usage', data: { input_tokens: 4711, cost_in_cents: 4711 } },
      { type: 'message', data: { id: '4711'.repeat(50), role: 'assistant', parts: [{ type: 'text', text: '4711' }] } },
    ];
    const said = await queue.act(lease, 'events', { events });
    expect([said.status, said.text]).toEqual([200, expect.any(String)]);
    const asked = await queue.act(lease, 'ask', { question: '4711?', timeout_seconds: 4711 });
    expect([asked.status, asked.text]).toEqual([200, expect.any(String)]);
  });
});

describe('a value that is replaced or deleted', () => {
  const versions = (secret: string) =>
    server.database.rows<{ version: number }>(
      sql`select v.version from secret_versions v where v.name = ${secret} order by v.version`,
    );

  test('is kept, sealed, while a run is there that was given it, and no longer', async () => {
    await put('KEPT', 'sk-kept-unused');
    const { queue, lease, taskId } = await given('keeper', 'KEPT', 'sk-kept-given');
    await put('KEPT', 'sk-kept-never-given');
    await server.call('DELETE', '/api/v1/secrets/KEPT');
    expect((await server.call('GET', '/api/v1/secrets?limit=100')).text).not.toContain('"KEPT"');
    expect(await versions('KEPT')).toEqual([{ version: 2 }]);
    await server.app.get(SecretsRepository).sweep(100);
    expect(await versions('KEPT')).toEqual([{ version: 2 }]);
    await queue.complete(lease);
    await server.database.execute(sql`delete from runs where task_id = ${taskId}::uuid`);
    await server.app.get(SecretsRepository).sweep(100);
    expect(await versions('KEPT')).toEqual([]);
  });

  test('is given to nobody any more', async () => {
    const { queue, taskId } = await given('former', 'FORMER', 'sk-former-1');
    await server.call('DELETE', '/api/v1/secrets/FORMER');
    await server.call('POST', `/api/v1/tasks/${taskId}/runs`, { body: {} });
    const reply = await server.call('POST', '/api/v1/worker/claim', { body: { agents: [queue.agent] } });
    expect(reply.body.runs.map(({ secrets }: { secrets: unknown }) => secrets)).toEqual([{}]);
  });
});

test('a claim of a run whose task has nothing to do with secrets asks for none: its fence has no mark', async () => {
  const queue = await TestQueue.make(server, 'plain');
  await queue.run();
  const lease = await queue.one();
  expect(lease.fence).toMatch(/^\d+\.[0-9a-f-]{36}$/);
});
