import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/kernel/ids.js';
import { resolveRunConfig } from '../../src/modules/agents/index.js';
import { type Yard, makeYard } from '../support/actors.js';
import { type TestServer, startServer } from '../support/server.js';
import { worded } from '../support/worded.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

const AGENTS = '/api/v1/agents';

async function agent(slug: string, body: object = {}): Promise<string> {
  const reply = await server.call('POST', AGENTS, { as: yard.admin.token, body: { slug, kind: 'worker', ...body } });
  expect(reply.status).toBe(201);
  return reply.body.id;
}

describe('agents', () => {
  test('are made by admins with the documented defaults, and read by viewers', async () => {
    const made = await server.call('POST', AGENTS, { as: yard.admin.token, body: { slug: 'painter', kind: 'worker' } });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`${AGENTS}/${made.body.id}`);
    expect(made.body).toEqual({
      id: made.body.id,
      slug: 'painter',
      name: 'painter',
      kind: 'worker',
      version: '1',
      description: '',
      config: {},
      max_attempts: 3,
      timeout_seconds: 3600,
      lease_seconds: 60,
      retry: { min_seconds: 1, max_seconds: 3600, factor: 2, jitter: true },
      concurrency_limit: null,
      concurrency_key_limit: 1,
      concurrency_strategy: 'queue',
      paused_at: null,
      pause_reason: null,
      default_run_config: {},
      allowed_secret_names: [],
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await server.call('GET', `${AGENTS}/${made.body.id}`, { as: yard.viewer.token })).body).toEqual(made.body);
    const bySlug = await server.call('GET', `${AGENTS}?slug=painter`, { as: yard.viewer.token });
    expect(bySlug.body).toEqual({ data: [made.body], next_cursor: null });
  });

  test('change by merge patch; null gives back the default', async () => {
    const id = await agent('patched', {
      config: { url: 'a', deep: { x: 1 } },
      lease_seconds: 30,
      default_run_config: { max_steps: 10 },
    });
    const patch = {
      config: { url: null, deep: { y: 2 } },
      lease_seconds: null,
      default_run_config: { model: 'm' },
      name: 'Patched',
    };
    const reply = await server.call('PATCH', `${AGENTS}/${id}`, { as: yard.admin.token, body: patch });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({ name: 'Patched', config: { deep: { x: 1, y: 2 } }, lease_seconds: 60 });
    expect(reply.body.default_run_config).toEqual({ max_steps: 10, model: 'm' });
    const invalid = await server.call('PATCH', `${AGENTS}/${id}`, {
      as: yard.admin.token,
      body: { default_run_config: { max_steps: 3 } },
    });
    expect([invalid.status, invalid.body.errors[0].path]).toEqual([400, '/default_run_config/max_steps']);
  });

  test('are not managed by anybody below admin, keys of workers included', async () => {
    const id = await agent('guarded');
    for (const as of [yard.member.token, yard.maintainer.token, yard.viewer.token, yard.workerKey]) {
      expect((await server.call('POST', AGENTS, { as, body: { slug: 'mine', kind: 'worker' } })).status).toBe(403);
      expect((await server.call('PATCH', `${AGENTS}/${id}`, { as, body: { name: 'mine' } })).status).toBe(403);
      expect((await server.call('DELETE', `${AGENTS}/${id}`, { as })).status).toBe(403);
    }
  });

  test('of another organization cannot be told from agents that are nowhere', async () => {
    const id = await agent('ours');
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { name: 'Mine' }],
      ['DELETE', undefined],
    ] as const) {
      const options = { as: yard.strangerKey, ...(body === undefined ? {} : { body }) };
      const theirs = await server.call(method, `${AGENTS}/${id}`, options);
      const nowhere = await server.call(method, `${AGENTS}/${newId()}`, options);
      expect([method, theirs.status]).toEqual([method, 404]);
      expect(worded(theirs)).toEqual(worded(nowhere));
    }
    const seen = await server.call('GET', AGENTS, { as: yard.strangerKey });
    expect(seen.body.data.map((one: { slug: string }) => one.slug)).toEqual(['digest']);
  });

  test('have a slug that is theirs until they are deleted', async () => {
    const id = await agent('reused');
    const again = await server.call('POST', AGENTS, { body: { slug: 'reused', kind: 'worker' } });
    expect([again.status, again.body.code]).toEqual([409, 'already-exists']);
    expect((await server.call('DELETE', `${AGENTS}/${id}`, { as: yard.admin.token })).status).toBe(204);
    expect((await server.call('GET', `${AGENTS}/${id}`)).status).toBe(404);
    expect(await agent('reused')).not.toBe(id);
  });

  test('are made once however often a key is sent', async () => {
    const headers = { 'idempotency-key': newId() };
    const body = { slug: 'once', kind: 'worker' };
    const first = await server.call('POST', AGENTS, { body, headers });
    const again = await server.call('POST', AGENTS, { body, headers });
    expect([first.status, again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true']);
    expect(again.body).toEqual(first.body);
  });

  test('that are the default, or have runs that have not ended, are not deleted; with nothing but ended work they are', async () => {
    const { default_agent_id: digest } = (await server.call('GET', '/api/v1/organization')).body;
    const refused = await server.call('DELETE', `${AGENTS}/${digest}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'still-referenced']);

    const id = await agent('busy');
    const task = await server.call('POST', '/api/v1/tasks', { body: { agent: 'busy', prompt: 'Wait' } });
    expect(task.status).toBe(201);
    const running = await server.call('DELETE', `${AGENTS}/${id}`);
    expect([running.status, running.body.code]).toEqual([409, 'still-referenced']);
    const [run] = (await server.call('GET', `/api/v1/tasks/${task.body.task.id}/runs`)).body.data;
    expect((await server.call('POST', `/api/v1/runs/${run.id}/cancel`, { body: {} })).status).toBe(200);
    expect((await server.call('DELETE', `${AGENTS}/${id}`)).status).toBe(204);
    expect((await server.call('GET', `/api/v1/tasks/${task.body.task.id}`)).status).toBe(200);
    const late = await server.call('POST', '/api/v1/tasks', { body: { agent: 'busy', prompt: 'Wait' } });
    expect([late.status, late.body.errors[0].path]).toEqual([404, '/agent']);
  });

  test('become the default, and then stay', async () => {
    const id = await agent('chosen');
    const { default_agent_id: before } = (await server.call('GET', '/api/v1/organization')).body;
    const set = await server.call('PATCH', '/api/v1/organization', { body: { default_agent_id: id } });
    expect(set.body.default_agent_id).toBe(id);
    expect((await server.call('DELETE', `${AGENTS}/${id}`)).status).toBe(409);
    await server.call('PATCH', '/api/v1/organization', { body: { default_agent_id: before } });
    expect((await server.call('DELETE', `${AGENTS}/${id}`)).status).toBe(204);
    const gone = await server.call('PATCH', '/api/v1/organization', { body: { default_agent_id: id } });
    expect([gone.status, gone.body.errors[0].path]).toEqual([400, '/default_agent_id']);
  });
});

describe('what says nothing', () => {
  test('is taken where it says the same as nothing', async () => {
    const id = await agent('quiet', { concurrency_limit: null, allowed_secret_names: [] });
    expect((await server.call('GET', `${AGENTS}/${id}`)).body).toMatchObject({
      concurrency_limit: null,
      allowed_secret_names: [],
    });
  });
});

describe('bad agents', () => {
  test.each([
    ['no kind', { slug: 'bad' }, '/kind'],
    ['an unknown kind', { slug: 'bad', kind: 'robot' }, '/kind'],
    ['a bad slug', { slug: '-bad', kind: 'worker' }, '/slug'],
    [
      'a secret badly named',
      { slug: 'bad', kind: 'worker', allowed_secret_names: ['token'] },
      '/allowed_secret_names/0',
    ],
    ['a secret twice', { slug: 'bad', kind: 'worker', allowed_secret_names: ['A', 'A'] }, '/allowed_secret_names'],
    ['no attempt', { slug: 'bad', kind: 'worker', max_attempts: 0 }, '/max_attempts'],
    ['half a second', { slug: 'bad', kind: 'worker', timeout_seconds: 0.5 }, '/timeout_seconds'],
    ['a lease past an hour', { slug: 'bad', kind: 'worker', lease_seconds: 3601 }, '/lease_seconds'],
    ['a command nobody listed', { slug: 'bad', kind: 'command', config: { command: 'x' } }, '/config/command'],
    ['a command of no name', { slug: 'bad', kind: 'command' }, '/config/command'],
    ['a builtin of no name', { slug: 'bad', kind: 'builtin' }, '/config/builtin'],
    ['a builtin nobody wrote', { slug: 'bad', kind: 'builtin', config: { builtin: 'magic' } }, '/config/builtin'],
    ['a builtin with more', { slug: 'bad', kind: 'builtin', config: { builtin: 'digest', path: '/' } }, '/config'],
    ['a config past its size', { slug: 'bad', kind: 'worker', config: { text: 'x'.repeat(65 * 1024) } }, '/config'],
    [
      'too many steps',
      { slug: 'bad', kind: 'worker', default_run_config: { max_steps: 201 } },
      '/default_run_config/max_steps',
    ],
    [
      'an unknown run setting',
      { slug: 'bad', kind: 'worker', default_run_config: { speed: 1 } },
      '/default_run_config/speed',
    ],
    ['an id', { slug: 'bad', kind: 'worker', id: '0198c0de-0000-7000-8000-000000000001' }, '/id'],
    [
      'a tenant',
      { slug: 'bad', kind: 'worker', organization_id: '0198c0de-0000-7000-8000-000000000001' },
      '/organization_id',
    ],
  ])('%s is a clear 400', async (_what, body, path) => {
    const reply = await server.call('POST', AGENTS, { body });
    expect([reply.status, reply.body.code, reply.body.errors[0].path]).toEqual([400, 'invalid-request', path]);
  });

  test('a kind is for good', async () => {
    const id = await agent('kept');
    const reply = await server.call('PATCH', `${AGENTS}/${id}`, { body: { kind: 'builtin' } });
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, '/kind']);
  });

  test('a run configuration names no agent of another tenant, in the words used for one that is nowhere', async () => {
    const { default_agent_id: foreign } = (await server.call('GET', '/api/v1/organization', { as: yard.strangerKey }))
      .body;
    const [theirs, nowhere] = [foreign, newId()].map((id) => ({
      slug: 'bad',
      kind: 'worker',
      default_run_config: { agent_ids: [id] },
    }));
    const first = await server.call('POST', AGENTS, { body: theirs });
    expect(first.body.errors).toEqual([
      { path: '/default_run_config/agent_ids/0', message: 'There is no such agent.' },
    ]);
    expect(worded(first)).toEqual(worded(await server.call('POST', AGENTS, { body: nowhere })));
  });
});

describe('the configuration of a run', () => {
  const agentId = newId();

  test('is ours where nobody says anything', () => {
    expect(resolveRunConfig({ agentId, agentDefault: {}, task: {}, taskModel: null })).toEqual({
      agent_id: agentId,
      agent_ids: [agentId],
      ask_question: true,
      auto_execute: true,
      max_iterations: 5,
      max_steps: 100,
      model: null,
      sandbox_id: null,
    });
  });

  test('is decided part by part by the most specific: run, then task, then agent', () => {
    const agentDefault = { max_steps: 10, max_iterations: 1, model: 'agent', ask_question: false };
    const task = { max_steps: 20, max_iterations: 2 };
    const resolved = resolveRunConfig(
      { agentId, agentDefault, task, taskModel: 'task' },
      { max_steps: 30, auto_execute: undefined },
    );
    expect(resolved).toMatchObject({
      max_steps: 30,
      max_iterations: 2,
      model: 'task',
      ask_question: false,
      auto_execute: true,
    });
    expect(resolveRunConfig({ agentId, agentDefault, task, taskModel: null }, { model: null }).model).toBeNull();
  });
});
