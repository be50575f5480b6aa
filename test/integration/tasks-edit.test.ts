import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { makeYard, type Yard } from '../support/actors.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});

afterAll(async () => {
  await server.stop();
});

async function create(body: object = {}, as: Credential = yard.maintainer.token): Promise<string> {
  const reply = await server.call('POST', '/api/v1/tasks', { as, body: { prompt: 'x', start: false, ...body } });
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return reply.body.task.id;
}

function patch(id: string, body: object, as: Credential = yard.maintainer.token): Promise<Reply> {
  return server.call('PATCH', `/api/v1/tasks/${id}`, { as, body });
}

describe('a merge patch', () => {
  test('changes what it names, merges objects, and clears by null', async () => {
    const id = await create({
      payload: { a: 1, b: { c: 2 } },
      metadata: { k: 1, gone: true },
      tags: ['t'],
      priority: 5,
      model: 'm',
    });
    const reply = await patch(id, {
      title: 'new',
      payload: { b: { d: 3 } },
      metadata: { gone: null, more: { deep: 1 } },
      tags: null,
      priority: null,
      max_attempts: 7,
      enabled: false,
      is_isolated: true,
      secret_names: [],
    });
    expect(reply.status).toBe(200);
    expect(reply.body.task).toMatchObject({
      title: 'new',
      payload: { a: 1, b: { c: 2, d: 3 } },
      metadata: { k: 1, more: { deep: 1 } },
      tags: [],
      priority: 0,
      max_attempts: 7,
      enabled: false,
      is_isolated: true,
      model: 'm',
      prompt: 'x',
    });
    expect((await patch(id, { payload: [1] })).body.task.payload).toEqual([1]);
    expect((await patch(id, { payload: null })).body.task.payload).toBeNull();
    expect((await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.maintainer.token })).body.task.metadata).toEqual(
      { k: 1, more: { deep: 1 } },
    );
  });

  test('of model and of run_config.model is a patch of one thing', async () => {
    const id = await create({ run_config: { max_steps: 9 } });
    expect((await patch(id, { model: 'a' })).body.stream.run_config).toMatchObject({ model: 'a', max_steps: 9 });
    expect((await patch(id, { run_config: { model: 'b' } })).body.task.model).toBe('b');
    expect((await patch(id, { run_config: { max_steps: null } })).body.task).toMatchObject({
      model: 'b',
      run_config: {},
    });
    expect((await patch(id, { run_config: { model: null } })).body.task.model).toBeNull();
    expect((await patch(id, { model: 'c', run_config: { model: 'd' } })).status).toBe(400);
    const invalid = await patch(id, { run_config: { max_steps: 1000 } });
    expect([invalid.status, invalid.body.errors[0].path]).toEqual([400, '/run_config/max_steps']);
  });

  test('makes, changes and takes away the schedule', async () => {
    const id = await create();
    expect((await patch(id, { schedule: { enabled: false } })).body.errors[0].path).toBe('/schedule/cron');
    const madeOne = (await patch(id, { schedule: { cron: '0 9 * * *', timezone: 'Asia/Tokyo' } })).body.task;
    expect(madeOne).toMatchObject({ is_scheduled: true, schedule_info: { start_time: '09:00', schedule_name: 'x' } });
    const changed = (await patch(id, { schedule: { cron: '30 10 * * *', name: 'Later' } })).body.task.schedule_info;
    expect(changed).toMatchObject({
      schedule_id: madeOne.schedule_info.schedule_id,
      start_time: '10:30',
      schedule_name: 'Later',
    });
    expect((await patch(id, { enabled: false })).body.task.schedule_info.next_execution_at).toBeNull();
    expect((await patch(id, { schedule: null })).body.task).toMatchObject({ is_scheduled: false, schedule_info: null });
  });

  test('that would make metadata too large is refused, and nothing of it is kept', async () => {
    const id = await create({ metadata: { a: 'x'.repeat(60_000) } });
    const reply = await patch(id, { title: 'not kept', metadata: { b: 'x'.repeat(6_000) } });
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, '/metadata']);
    expect((await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.maintainer.token })).body.task.title).toBe('x');
  });

  test('moves the exact counts with the visibility', async () => {
    const hidden = async () =>
      (
        await server.database.row<{ n: number }>(
          sql`select coalesce(sum(shown_private), 0)::int as n from task_counters`,
        )
      )?.n ?? -1;
    const before = await hidden();
    const id = await create({ start: true });
    expect(await hidden()).toBe(before + 1);
    await patch(id, { visibility: 'organization' });
    await patch(id, { visibility: 'organization' });
    expect(await hidden()).toBe(before);
    await patch(id, { visibility: 'private' });
    expect(await hidden()).toBe(before + 1);
  });
});

describe('who may change what', () => {
  test('a write share lets its team edit, and not move, share or delete', async () => {
    const id = await create({ visibility: 'organization' });
    expect((await patch(id, { title: 'no' }, yard.member.token)).status).toBe(403);
    const put = await server.call('PUT', `/api/v1/tasks/${id}/shares/${yard.teams.blue}`, {
      as: yard.maintainer.token,
      body: { access: 'write' },
    });
    expect(put.body).toEqual({
      task_id: id,
      team_id: yard.teams.blue,
      access: 'write',
      created_at: expect.any(String),
    });
    expect((await patch(id, { title: 'yes', schedule: { cron: '0 9 * * *' } }, yard.member.token)).status).toBe(200);
    for (const body of [{ visibility: 'private' }, { team_id: yard.teams.blue }, { project_id: null }]) {
      expect([body, (await patch(id, body, yard.member.token)).status]).toEqual([body, 403]);
    }
    const share = `/api/v1/tasks/${id}/shares/${yard.teams.blue}`;
    expect((await server.call('PUT', share, { as: yard.member.token, body: { access: 'read' } })).status).toBe(403);
    expect((await server.call('DELETE', share, { as: yard.member.token })).status).toBe(403);
    expect((await server.call('DELETE', `/api/v1/tasks/${id}`, { as: yard.member.token })).status).toBe(403);
    expect((await server.call('DELETE', share, { as: yard.maintainer.token })).status).toBe(204);
    expect((await server.call('DELETE', share, { as: yard.maintainer.token })).status).toBe(404);
    expect((await patch(id, { title: 'no more' }, yard.member.token)).status).toBe(403);
  });

  test('a viewer of the organisation changes nothing, and a stranger finds nothing', async () => {
    const id = await create({ team_id: yard.teams.red });
    for (const [as, status] of [
      [yard.viewer.token, 403],
      [yard.outsider.token, 404],
      [yard.stranger.token, 404],
    ] as const) {
      expect((await patch(id, { title: 'x' }, as)).status).toBe(status);
      expect((await server.call('DELETE', `/api/v1/tasks/${id}`, { as })).status).toBe(status);
      expect((await server.call('POST', `/api/v1/tasks/${id}/messages`, { as, body: { text: 'x' } })).status).toBe(
        status,
      );
    }
  });

  test('a task goes only to a team one works in, and falls back to its creator when it leaves one', async () => {
    const id = await create({ team_id: yard.teams.red });
    expect((await patch(id, { team_id: yard.teams.blue })).status).toBe(403);
    expect((await patch(id, { team_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33' })).status).toBe(400);
    expect((await patch(id, { team_id: null })).body.task).toMatchObject({ team_id: null, visibility: 'private' });
    expect((await patch(id, { visibility: 'team' })).status).toBe(400);
    expect((await patch(id, { team_id: yard.teams.red, visibility: 'team' })).body.task.visibility).toBe('team');
  });

  test('nobody hides from themselves what only an admin could show again', async () => {
    const id = await create({ team_id: yard.teams.red }, yard.member.token);
    const reply = await patch(id, { visibility: 'private' }, yard.maintainer.token);
    expect([reply.status, reply.body.code]).toEqual([409, 'conflict']);
    expect((await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.maintainer.token })).body.task.visibility).toBe(
      'team',
    );
  });

  test('shares are listed for every reader, in pages; a team that is not there is 404', async () => {
    const id = await create({ visibility: 'organization' });
    for (const teamId of Object.values(yard.teams)) {
      await server.call('PUT', `/api/v1/tasks/${id}/shares/${teamId}`, {
        as: yard.maintainer.token,
        body: { access: 'read' },
      });
    }
    const first = await server.call('GET', `/api/v1/tasks/${id}/shares?limit=2`, { as: yard.outsider.token });
    const second = await server.call('GET', `/api/v1/tasks/${id}/shares?limit=2&cursor=${first.body.next_cursor}`, {
      as: yard.outsider.token,
    });
    const listed = [...first.body.data, ...second.body.data].map((share: { team_id: string }) => share.team_id);
    expect([listed, second.body.next_cursor]).toEqual([Object.values(yard.teams), null]);
    expect((await server.call('GET', `/api/v1/tasks/${id}/shares`, { as: yard.stranger.token })).status).toBe(404);
    const absent = await server.call('PUT', `/api/v1/tasks/${id}/shares/${id}`, {
      as: yard.maintainer.token,
      body: { access: 'read' },
    });
    expect(absent.status).toBe(404);
  });
});

describe('saying something to a task', () => {
  test('keeps the message and starts one run that has it', async () => {
    const id = await create();
    const path = `/api/v1/tasks/${id}/messages`;
    const headers = { 'idempotency-key': 'say-once' };
    const first = await server.call('POST', path, { as: yard.maintainer.token, body: { text: 'shorter' }, headers });
    const again = await server.call('POST', path, { as: yard.maintainer.token, body: { text: 'shorter' }, headers });
    expect([first.status, again.headers.get('idempotency-replayed'), again.body]).toEqual([201, 'true', first.body]);
    expect(first.body).toMatchObject({
      role: 'user',
      parts: [{ type: 'text', text: 'shorter' }],
      run_id: expect.any(String),
    });
    const parts = [{ type: 'data', data: { n: 1 } }];
    const second = await server.call('POST', path, { as: yard.maintainer.token, body: { parts } });
    const { body } = await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.maintainer.token });
    expect(body.messages.map((message: { parts: unknown[] }) => message.parts[0])).toEqual([
      { type: 'text', text: 'x' },
      first.body.parts[0],
      parts[0],
    ]);
    expect(body.streams.map((stream: { stream_id: string }) => stream.stream_id)).toEqual([
      first.body.run_id,
      second.body.run_id,
    ]);
    expect(body.stream.streamId).toBe(second.body.run_id);
  });

  test.each([
    ['nothing', {}],
    ['both', { text: 'x', parts: [{ type: 'text', text: 'x' }] }],
    ['no words', { text: '' }],
    ['no parts', { parts: [] }],
    ['an unknown part', { parts: [{ type: 'video' }] }],
    [
      'a file of another task',
      { parts: [{ type: 'file', asset_id: '019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33', name: 'a', media_type: 'a/b' }] },
    ],
    ['an unknown key', { text: 'x', role: 'system' }],
  ])('with %s is refused, and starts nothing', async (_, body) => {
    const id = await create();
    expect(
      (await server.call('POST', `/api/v1/tasks/${id}/messages`, { as: yard.maintainer.token, body })).status,
    ).toBe(400);
    const detail = (await server.call('GET', `/api/v1/tasks/${id}`, { as: yard.maintainer.token })).body;
    expect([detail.messages_total, detail.streams_total]).toEqual([1, 0]);
  });
});
