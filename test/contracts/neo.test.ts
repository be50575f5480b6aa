/**
 * The Neo page, held from outside: what a client of `GET /api/v1/tasks/{id}` may count on is made from the page's own example
 * (`neo-page.json`, as published), and every reply is held against it. Nothing here knows the source.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { makeYard, type Yard } from '../support/actors.js';
import { startServer, type Reply, type TestServer } from '../support/server.js';
import { openSse } from '../support/sse-reader.js';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Schema = Record<string, unknown>;

/** What may be null where there is no value, by JSON Pointer: the list in src/modules/tasks/COVERAGE.md, and nothing else. */
const NULLABLE = new Set([
  '/task/created_by',
  '/task/model',
  '/task/project_id',
  '/task/schedule_info',
  '/task/schedule_info/execution_info',
  '/task/schedule_info/execution_info/started_at',
  '/task/schedule_info/execution_info/completed_at',
  '/task/schedule_info/last_executed_at',
  '/task/schedule_info/next_execution_at',
  '/task/schedule_info/start_time',
  '/stream/streamId',
  '/stream/streamStatus',
  '/stream/run_config/model',
  '/stream/run_config/sandbox_id',
  '/streams/-/completed_at',
  '/streams/-/run_config/model',
  '/streams/-/run_config/sandbox_id',
]);

/** The page's examples are made from its types: its middles of ranges tell the ranges. */
const RANGES: Readonly<Record<string, Schema>> = {
  max_iterations: { minimum: 0, maximum: 5 },
  max_steps: { minimum: 4, maximum: 200 },
};

function typeOf(example: Json, pointer: string): Schema {
  if (Array.isArray(example)) {
    return { type: 'array', items: schemaOf(example[0] ?? {}, `${pointer}/-`) };
  }
  switch (typeof example) {
    case 'boolean':
      return { type: 'boolean' };
    case 'number':
      return { type: 'integer', ...RANGES[pointer.split('/').at(-1) ?? ''] };
    case 'string':
      return { type: 'string', ...formatOf(example) };
    default: {
      const properties = Object.entries(example ?? {});
      return {
        type: 'object',
        required: properties.map(([name]) => name),
        properties: Object.fromEntries(
          properties.map(([name, value]) => [name, schemaOf(value, `${pointer}/${name}`)]),
        ),
      };
    }
  }
}

function formatOf(example: string): Schema {
  if (/^\d{4}-\d\d-\d\dT/.test(example)) {
    return { format: 'date-time', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' };
  }
  return /^[0-9a-f]{8}-/.test(example) ? { format: 'uuid' } : example.includes('@') ? { format: 'email' } : {};
}

function schemaOf(example: Json, pointer = ''): Schema {
  const schema = typeOf(example, pointer);
  return NULLABLE.has(pointer) ? { anyOf: [schema, { type: 'null' }] } : schema;
}

const page: Json = JSON.parse(readFileSync(new URL('./neo-page.json', import.meta.url), 'utf8'));
const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);
const validate = ajv.compile(schemaOf(page));

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

async function detail(id: string, as?: string): Promise<Reply> {
  const reply = await server.call('GET', `/api/v1/tasks/${id}`, as === undefined ? {} : { as });
  expect(reply.status).toBe(200);
  expect([validate(reply.body), validate.errors]).toEqual([true, null]);
  return reply;
}

async function create(body: object, as?: string): Promise<string> {
  const reply = await server.call('POST', '/api/v1/tasks', { body, ...(as === undefined ? {} : { as }) });
  expect([reply.status, validate(reply.body), validate.errors]).toEqual([201, true, null]);
  return reply.body.task.id;
}

async function ended(streamId: string): Promise<void> {
  const stream = await openSse(`${server.url}/api/v1/streams/${streamId}`, { as: yard.member.token });
  const frames = await stream.until((frame) => frame.event === 'end');
  stream.close();
  expect(frames.at(-1)?.event).toBe('end');
}

test('the schema that the replies are held against comes from the page, and refuses what the page would', () => {
  expect(validate(page)).toBe(false); // The page's own times lack the milliseconds that ours always have.
  expect(validate(JSON.parse(JSON.stringify(page).replaceAll('56Z', '56.000Z')))).toBe(true);
  expect(validate({})).toBe(false);
});

describe('every state of a task keeps to the page', () => {
  test('a task that has not been run', async () => {
    const id = await create({ prompt: 'later', start: false }, yard.member.token);
    const { body } = await detail(id, yard.member.token);
    expect(body.task).toMatchObject({
      id,
      title: 'later',
      created_by: yard.member.email,
      is_scheduled: false,
      schedule_info: null,
      status: 'idle',
    });
    expect(body.stream).toMatchObject({ hasStream: false, last_seq: 0, streamId: null, streamStatus: null });
    expect(body.stream.run_config).toMatchObject({ ask_question: true, auto_execute: true, sandbox_id: null });
    expect(body).toMatchObject({ streams: [], streamUrls: [], read_only: false, messages_total: 1, streams_total: 0 });
  });

  test('a real run of the builtin agent, followed to its end through its presigned link', async () => {
    const id = await create(
      { prompt: 'The yard keeps its tasks. Each task has runs. Each run has one stream.' },
      yard.member.token,
    );
    const begun = await detail(id, yard.member.token);
    const { streamId } = begun.body.stream;
    await ended(streamId);
    const { body } = await detail(id, yard.member.token);
    expect(body.task.status).toBe('completed');
    expect(body.stream).toMatchObject({ hasStream: true, streamId, streamStatus: 'completed' });
    expect(body.stream.last_seq).toBeGreaterThan(2);
    expect(body.streams).toMatchObject([
      { stream_id: streamId, status: 'completed', completed_at: expect.any(String) },
    ]);
    expect(body.streams[0].run_config).toEqual(body.stream.run_config);
    expect(body.messages.length).toBeGreaterThan(1);
    expect(body.messages[0]).toMatchObject({ role: 'user', run_id: streamId });

    const [link] = body.streamUrls;
    expect(link).toMatchObject({ streamId, status: 'completed' });
    const path = new URL(link.url);
    const replay = await fetch(`${server.url}${path.pathname}${path.search}&format=ndjson`);
    expect(replay.status).toBe(200);
    const lines = (await replay.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(body.stream.last_seq);
    expect(lines.at(-1)).toMatchObject({ type: 'end', seq: body.stream.last_seq });
  });

  test('a task with a schedule', async () => {
    const schedule = { cron: '30 9 * * *', timezone: 'Asia/Tokyo', name: 'Mornings' };
    const id = await create(
      { prompt: 'daily', schedule, run_config: { max_iterations: 0, max_steps: 4 }, model: 'm-1' },
      yard.member.token,
    );
    const { body } = await detail(id, yard.member.token);
    expect(body.task).toMatchObject({ is_scheduled: true, model: 'm-1' });
    expect(body.task.schedule_info).toEqual({
      execution_count: 0,
      schedule_id: expect.any(String),
      execution_info: null,
      last_executed_at: null,
      next_execution_at: expect.stringMatching(/T00:30:00\.000Z$/),
      schedule_name: 'Mornings',
      start_time: '09:30',
    });
    expect(body.stream.run_config).toMatchObject({ max_iterations: 0, max_steps: 4, model: 'm-1' });
  });

  test('a task made by a key that stands for no user has no e-mail', async () => {
    const id = await create({ prompt: 'by a key', start: false });
    expect((await detail(id)).body.task.created_by).toBeNull();
  });
});

describe('the credential', () => {
  test.each([
    ['none', null],
    ['a key that is none', 'nonsense'],
    ['a token that is none', 'aaa.bbb.ccc'],
  ])('%s is 401', async (_, as) => {
    const id = await create({ prompt: 'x', start: false });
    const reply = await server.call('GET', `/api/v1/tasks/${id}`, { as });
    expect([reply.status, reply.headers.get('www-authenticate') !== null]).toEqual([401, true]);
  });

  test('a JWT as Bearer, as the page has it, is taken', async () => {
    const id = await create({ prompt: 'x', start: false }, yard.member.token);
    expect(yard.member.token.split('.')).toHaveLength(3);
    await detail(id, yard.member.token);
  });
});

describe('who may read it', () => {
  test('a team member reads a team task read-only; its maintainer does not', async () => {
    const id = await create({ prompt: 'of the team', start: false, team_id: yard.teams.red }, yard.maintainer.token);
    expect((await detail(id, yard.maintainer.token)).body.read_only).toBe(false);
    expect((await detail(id, yard.member.token)).body.read_only).toBe(true);
    expect((await detail(id, yard.viewer.token)).body.read_only).toBe(true);
  });

  test('hidden, foreign, absent and malformed ids are the same 404', async () => {
    const id = await create({ prompt: 'mine alone', start: false }, yard.maintainer.token);
    const replies = [
      await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.outsider.token }),
      await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.stranger.token }),
      await server.call('GET', '/api/v1/tasks/019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33', { as: yard.outsider.token }),
    ];
    const said = replies.map(({ status, body }) => ({ status, ...body, instance: '', request_id: '' }));
    expect(said.map(({ status }) => status)).toEqual([404, 404, 404]);
    expect(new Set(said.map((reply) => JSON.stringify(reply))).size).toBe(1);
    expect((await server.call('GET', '/api/v1/tasks/not-an-id')).status).toBe(404);
  });
});
