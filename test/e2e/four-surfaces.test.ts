/**
 * One task on four published surfaces, seen by everyone there is: two organisations, three teams, a maintainer, a member, a viewer,
 * an outsider and a stranger. It is told in order; each test leaves rights as it found them.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '../../src/kernel/ids.js';
import { join, key, makeYard, type Person, type Yard } from '../support/actors.js';
import { BOOTSTRAP_KEY, type Credential, type Reply, startServer, type TestServer } from '../support/server.js';
import { openSse } from '../support/sse-reader.js';

const TEXT = `# The lighthouse

The lighthouse at the cape was built in 1861 to warn ships off the reef. Its first keeper counted forty-one wrecks in ten years.
After the light was lit, he counted two. The lamp burned oil until 1926, and electricity after that. Nobody lives in the lighthouse
now: the lamp is a diode, and a computer in the town looks after it. Ships still steer by the light.`;

let server: TestServer;
let yard: Yard;
let taskId: string;
let runId: string;

beforeAll(async () => {
  server = await startServer();
  yard = await makeYard(server);
});

afterAll(() => server.stop());

/** Where the one task can be read: on each surface by itself, and in the lists. */
const VIEWS: Readonly<Record<string, (id: string) => string>> = {
  neocu: (id) => `/v1/task/${id}`,
  recoupable: (id) => `/api/tasks?id=${id}`,
  neo: (id) => `/api/v1/tasks/${id}`,
  nla: (id) => `/api/v1/task/${id}`,
};

/** Where it can be changed. Neocu only shows. */
const CHANGES: Readonly<Record<string, (id: string) => { method: string; path: string; body?: unknown }>> = {
  'recoupable PATCH': (id) => ({ method: 'PATCH', path: '/api/tasks', body: { id, title: 'Changed' } }),
  'recoupable DELETE': (id) => ({ method: 'DELETE', path: `/api/tasks?id=${id}` }),
  'neo PATCH': (id) => ({ method: 'PATCH', path: `/api/v1/tasks/${id}`, body: { title: 'Changed' } }),
  'neo DELETE': (id) => ({ method: 'DELETE', path: `/api/v1/tasks/${id}` }),
  'nla DELETE': (id) => ({ method: 'DELETE', path: `/api/v1/task/${id}` }),
  'native message': (id) => ({ method: 'POST', path: `/api/v1/tasks/${id}/messages`, body: { text: 'Again' } }),
  'native run': (id) => ({ method: 'POST', path: `/api/v1/tasks/${id}/runs`, body: {} }),
  'native share': (id) => ({
    method: 'PUT',
    path: `/api/v1/tasks/${id}/shares/${yard.teams.red}`,
    body: { access: 'write' },
  }),
};

type Sight = 'all of it' | 'nothing' | Record<string, unknown>;

/** How the task shows to somebody, on all surfaces together; whatever is neither of the two is told in full. */
async function sightOf(as: Credential, id = taskId): Promise<Sight> {
  const replies = await Promise.all(Object.values(VIEWS).map((path) => server.call('GET', path(id), { as })));
  const [neocu, recoupable, neo, nla] = replies;
  const [listed, paged] = await Promise.all([
    server.call('GET', '/api/v1/tasks?limit=100', { as }),
    server.call('GET', '/v1/task?limit=100', { as }),
  ]);
  const facts = {
    neocu: neocu?.status,
    recoupable: recoupable?.body.tasks.length,
    neo: neo?.status,
    nla: nla?.status,
    listed: listed.body.data.some((item: { id: string }) => item.id === id),
    paged: paged.body.taskList.some(({ task }: { task: { _id: string } }) => task._id === id),
    counted: paged.body.totalTasks === paged.body.taskList.length,
  };
  const all = { neocu: 200, recoupable: 1, neo: 200, nla: 200, listed: true, paged: true, counted: true };
  const none = { neocu: 404, recoupable: 0, neo: 404, nla: 404, listed: false, paged: false, counted: true };
  return sameFacts(facts, all) ? 'all of it' : sameFacts(facts, none) ? 'nothing' : facts;
}

function sameFacts(left: object, right: object): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

async function isReadOnly(as: Credential): Promise<unknown> {
  const detail = await server.call('GET', `/api/v1/tasks/${taskId}`, { as });
  const list = await server.call('GET', '/api/v1/tasks?limit=100', { as });
  const item = list.body.data.find(({ id }: { id: string }) => id === taskId);
  return detail.body.read_only === item.read_only ? detail.body.read_only : [detail.body.read_only, item.read_only];
}

/** The statuses of everything that changes the task. */
async function refusals(as: Credential): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  for (const [name, change] of Object.entries(CHANGES)) {
    const { method, path, body } = change(taskId);
    statuses[name] = (await server.call(method, path, { as, ...(body === undefined ? {} : { body }) })).status;
  }
  return statuses;
}

const everyChange = (status: number): Record<string, number> =>
  Object.fromEntries(Object.keys(CHANGES).map((name) => [name, status]));

/** A change by the maintainer, whose task it is. */
async function change(
  method: string,
  path: string,
  body?: unknown,
  as: Credential = yard.maintainer.token,
): Promise<Reply> {
  const reply = await server.call(method, path, { as, ...(body === undefined ? {} : { body }) });
  expect([method, path, reply.status < 300 ? 'done' : reply.text]).toEqual([method, path, 'done']);
  return reply;
}

const setVisibility = (visibility: string): Promise<Reply> =>
  change('PATCH', `/api/v1/tasks/${taskId}`, { visibility });

async function leave(teamId: string, who: Person): Promise<void> {
  const reply = await server.call('DELETE', `/api/v1/teams/${teamId}/members/${who.id}`);
  expect(reply.status).toBe(204);
}

test('a maintainer hands a task to their team, and watches the digest agent do it', async () => {
  const made = await change('POST', '/api/v1/tasks', {
    title: 'The lighthouse',
    prompt: TEXT,
    team_id: yard.teams.red,
  });
  expect([made.status, made.body.task.visibility, made.body.read_only]).toEqual([201, 'team', false]);
  taskId = made.body.task.id;
  runId = made.body.stream.streamId;

  const stream = await openSse(`${server.url}/api/v1/streams/${runId}`, { as: yard.maintainer.token });
  const frames = await stream.until(({ event }) => event === 'end');
  stream.close();
  const end = frames.at(-1)?.data.data;
  expect([end.status, end.error, typeof end.output]).toEqual(['completed', null, 'object']);
  expect(frames.flatMap(({ event }) => (event === 'asset' || event === 'message' ? [event] : []))).toEqual(
    expect.arrayContaining(['asset', 'message']),
  );
});

test('the result is the same on the four surfaces, each in its own words', async () => {
  const as = yard.maintainer.token;
  const [neocu, recoupable, neo, nla] = await Promise.all(
    Object.values(VIEWS).map((path) => server.call('GET', path(taskId), { as })),
  );
  const output = (await server.call('GET', `/api/v1/runs/${runId}`, { as })).body.output;
  expect(neocu?.body).toMatchObject({ isSuccess: true, task: { _id: taskId, status: 'completed' } });
  expect(neocu?.body.asset).toEqual([expect.objectContaining({ type: 'image', status: 'completed' })]);
  expect(recoupable?.body.tasks[0]).toMatchObject({
    id: taskId,
    recent_runs: [{ id: runId, status: 'COMPLETED', output }],
  });
  expect(neo?.body).toMatchObject({ stream: { hasStream: true, streamId: runId, streamStatus: 'completed' } });
  expect(nla?.body).toMatchObject({ id: taskId, status: 'complete', output, user: { id: yard.maintainer.id } });
});

describe('who sees it', () => {
  test('its team and the admins do, on every surface; nobody else does, on none', async () => {
    const { maintainer, member, viewer, admin, outsider, stranger } = yard;
    const sights = {
      maintainer: await sightOf(maintainer.token),
      member: await sightOf(member.token),
      viewer: await sightOf(viewer.token),
      admin: await sightOf(admin.token),
      outsider: await sightOf(outsider.token),
      stranger: await sightOf(stranger.token),
      strangerKey: await sightOf(yard.strangerKey),
    };
    expect(sights).toEqual({
      maintainer: 'all of it',
      member: 'all of it',
      viewer: 'all of it',
      admin: 'all of it',
      outsider: 'nothing',
      stranger: 'nothing',
      strangerKey: 'nothing',
    });
  });

  test('a worker’s key sees nothing but its own door', async () => {
    for (const path of Object.values(VIEWS)) {
      expect((await server.call('GET', path(taskId), { as: yard.workerKey })).status).toBe(403);
    }
    expect((await server.call('GET', '/api/v1/me', { as: yard.workerKey })).body.role).toBe('worker');
  });

  test('the second organisation sees its own tasks and the first does not', async () => {
    const made = await change(
      'POST',
      '/api/v1/tasks',
      { prompt: TEXT, visibility: 'organization' },
      yard.stranger.token,
    );
    const stream = await openSse(`${server.url}/api/v1/streams/${made.body.stream.streamId}`, {
      as: yard.stranger.token,
    });
    expect((await stream.until(({ event }) => event === 'end')).at(-1)?.data.data.status).toBe('completed');
    stream.close();
    const { id } = made.body.task;
    expect([
      await sightOf(yard.strangerKey, id),
      await sightOf(yard.admin.token, id),
      await sightOf(BOOTSTRAP_KEY, id),
    ]).toEqual(['all of it', 'nothing', 'nothing']);
  });

  test('NLA lists to each person what they themselves created, and to a key of its own all that it may read', async () => {
    const ids = async (as: Credential): Promise<string[]> =>
      (await server.call('GET', '/api/v1/task', { as })).body.map(({ id }: { id: string }) => id);
    expect(await ids(yard.maintainer.token)).toEqual([taskId]);
    expect(await ids(yard.member.token)).toEqual([]);
    expect(await ids(BOOTSTRAP_KEY)).toEqual([taskId]);
  });
});

describe('who changes it', () => {
  test('read_only says so before anyone tries', async () => {
    const { maintainer, member, viewer, admin } = yard;
    const answers = await Promise.all([maintainer, member, viewer, admin].map(({ token }) => isReadOnly(token)));
    expect(answers).toEqual([false, true, true, false]);
  });

  test('a viewer’s and a plain member’s changes are 403 on every surface', async () => {
    expect(await refusals(yard.viewer.token)).toEqual(everyChange(403));
    expect(await refusals(yard.member.token)).toEqual(everyChange(403));
  });

  test('a viewer who maintains the team still changes nothing', async () => {
    await join(server, yard.teams.red, yard.viewer, 'maintainer');
    expect(await isReadOnly(yard.viewer.token)).toBe(true);
    expect(await refusals(yard.viewer.token)).toEqual(everyChange(403));
    await join(server, yard.teams.red, yard.viewer, 'member');
  });

  test.each(['outsider', 'stranger'] as const)(
    'to the %s it is absent, byte for byte, whatever they try',
    async (who) => {
      const as = yard[who].token;
      const absent = newId();
      const asks = [
        ...Object.values(VIEWS).map((path) => (id: string) => ({ method: 'GET', path: path(id) })),
        ...Object.values(CHANGES),
      ];
      for (const ask of asks) {
        const there = await told(as, ask(taskId), taskId);
        expect(there).toEqual(await told(as, ask(absent), absent));
        expect([there.status, there.text]).toEqual([
          there.path.startsWith('/api/tasks?id=') && there.method === 'GET' ? 200 : 404,
          there.text,
        ]);
      }
    },
  );
});

describe('what changes takes effect at the very next request, on every surface:', () => {
  test('visibility', async () => {
    const { member, viewer, outsider, admin } = yard;
    const sights = async (): Promise<Sight[]> =>
      Promise.all([member, viewer, outsider, admin].map(({ token }) => sightOf(token)));
    await setVisibility('private');
    expect(await sights()).toEqual(['nothing', 'nothing', 'nothing', 'all of it']);
    await setVisibility('organization');
    expect(await sights()).toEqual(['all of it', 'all of it', 'all of it', 'all of it']);
    expect(await isReadOnly(outsider.token)).toBe(true);
    expect(await sightOf(yard.stranger.token)).toBe('nothing');
    await setVisibility('team');
    expect(await sights()).toEqual(['all of it', 'all of it', 'nothing', 'all of it']);
  });

  test('a share of the task, and joining and leaving the team it is shared with', async () => {
    const { outsider, teams } = yard;
    const share = `/api/v1/tasks/${taskId}/shares/${teams.green}`;
    await change('PUT', share, { access: 'read' });
    expect(await sightOf(outsider.token)).toBe('nothing');
    await join(server, teams.green, outsider, 'member');
    expect([await sightOf(outsider.token), await isReadOnly(outsider.token)]).toEqual(['all of it', true]);
    expect(await refusals(outsider.token)).toEqual(everyChange(403));

    await change('PUT', share, { access: 'write' });
    expect(await isReadOnly(outsider.token)).toBe(false);
    await change('PATCH', '/api/tasks', { id: taskId, title: 'The lighthouse, shared' }, outsider.token);
    const { 'neo DELETE': neo, 'nla DELETE': nla, 'recoupable DELETE': recoupable, 'native share': again } = CHANGES;
    for (const forbidden of [neo, nla, recoupable, again]) {
      const { method = '', path = '', body } = forbidden?.(taskId) ?? {};
      expect(
        (await server.call(method, path, { as: outsider.token, ...(body === undefined ? {} : { body }) })).status,
      ).toBe(403);
    }
    await join(server, teams.green, outsider, 'viewer');
    expect(await isReadOnly(outsider.token)).toBe(true);
    await leave(teams.green, outsider);
    expect(await sightOf(outsider.token)).toBe('nothing');
    await join(server, teams.green, outsider, 'member');
    expect(await isReadOnly(outsider.token)).toBe(false);
    await change('DELETE', share);
    expect(await sightOf(outsider.token)).toBe('nothing');
    await leave(teams.green, outsider);
  });

  test('a share of its project', async () => {
    const { outsider, teams } = yard;
    await join(server, teams.green, outsider, 'member');
    const project = await change('POST', '/api/v1/projects', { name: 'Lights', team_id: teams.red });
    const share = `/api/v1/projects/${project.body.id}/shares/${teams.green}`;
    await change('PUT', share, { access: 'read' });
    expect(await sightOf(outsider.token)).toBe('nothing');
    await change('PATCH', `/api/v1/tasks/${taskId}`, { project_id: project.body.id });
    expect([await sightOf(outsider.token), await isReadOnly(outsider.token)]).toEqual(['all of it', true]);
    await change('PUT', share, { access: 'write' });
    expect(await isReadOnly(outsider.token)).toBe(false);
    await change('DELETE', share);
    expect(await sightOf(outsider.token)).toBe('nothing');
    await change('PATCH', `/api/v1/tasks/${taskId}`, { project_id: null });
    await leave(teams.green, outsider);
  });

  test('a role in the team, and losing it', async () => {
    const { member, teams } = yard;
    await join(server, teams.red, member, 'maintainer');
    expect(await isReadOnly(member.token)).toBe(false);
    await change('PATCH', '/api/tasks', { id: taskId, title: 'The lighthouse, maintained' }, member.token);
    await join(server, teams.red, member, 'member');
    expect(await refusals(member.token)).toEqual(everyChange(403));
    await leave(teams.red, member);
    expect(await sightOf(member.token)).toBe('nothing');
    await join(server, teams.red, member, 'member');
    expect(await sightOf(member.token)).toBe('all of it');
  });

  test('a role in the organisation', async () => {
    const { admin, maintainer } = yard;
    const setRole = (who: Person, role: string): Promise<Reply> =>
      change('PATCH', `/api/v1/users/${who.id}`, { role }, BOOTSTRAP_KEY);
    await setRole(maintainer, 'viewer');
    expect([await sightOf(maintainer.token), await isReadOnly(maintainer.token)]).toEqual(['all of it', true]);
    expect(await refusals(maintainer.token)).toEqual(everyChange(403));
    await setRole(maintainer, 'member');
    expect(await isReadOnly(maintainer.token)).toBe(false);
    await setRole(admin, 'member');
    expect(await sightOf(admin.token)).toBe('nothing');
    await setRole(admin, 'admin');
    expect(await sightOf(admin.token)).toBe('all of it');
  });

  test('the end of a key, and of the person that a key stands for', async () => {
    const { member } = yard;
    const made = await server.call('POST', '/api/v1/api-keys', {
      body: { name: 'red', role: 'member', team_ids: [yard.teams.red] },
    });
    const bound = await key(server, { name: 'of member', role: 'admin', user_id: member.id });
    expect([await sightOf(made.body.key), await sightOf(bound), await isReadOnly(bound)]).toEqual([
      'all of it',
      'all of it',
      true,
    ]);
    await leave(yard.teams.red, member);
    expect(await sightOf(bound)).toBe('nothing');
    await join(server, yard.teams.red, member, 'member');
    expect((await server.call('DELETE', `/api/v1/api-keys/${made.body.id}`)).status).toBe(204);
    for (const path of Object.values(VIEWS)) {
      expect((await server.call('GET', path(taskId), { as: made.body.key })).status).toBe(401);
    }
  });
});

describe('a presigned link', () => {
  const follow = async (link: string): Promise<number> => {
    const { pathname, search } = new URL(link);
    return (await server.call('GET', `${pathname}${search}`, { as: null })).status;
  };

  test('to the stream lives and dies with its issuer’s right to read', async () => {
    const { member, teams } = yard;
    const link: string = (await change('POST', `/api/v1/streams/${runId}/url`, undefined, member.token)).body.url;
    const detail = await server.call('GET', `/api/v1/tasks/${taskId}`, { as: member.token });
    const links = [link, detail.body.streamUrls[0].url];
    expect(await Promise.all(links.map(follow))).toEqual([200, 200]);
    await leave(teams.red, member);
    expect(await Promise.all(links.map(follow))).toEqual([404, 404]);
    await join(server, teams.red, member, 'member');
    expect(await Promise.all(links.map(follow))).toEqual([200, 200]);
    await setVisibility('private');
    expect(await Promise.all(links.map(follow))).toEqual([404, 404]);
    await setVisibility('team');
  });

  test('to an asset does so too, on the surfaces that show it', async () => {
    const { member, teams } = yard;
    const { asset } = (await server.call('GET', `/v1/task/${taskId}`, { as: member.token })).body;
    expect(await follow(asset[0].url)).toBe(200);
    await leave(teams.red, member);
    expect(await follow(asset[0].url)).toBe(404);
    await join(server, teams.red, member, 'member');
    expect(await follow(asset[0].url)).toBe(200);
  });

  test('of a key is refused once the key is revoked', async () => {
    const made = await server.call('POST', '/api/v1/api-keys', {
      body: { name: 'linker', role: 'viewer', team_ids: [yard.teams.red] },
    });
    const link: string = (await change('POST', `/api/v1/streams/${runId}/url`, undefined, made.body.key)).body.url;
    expect(await follow(link)).toBe(200);
    await server.call('DELETE', `/api/v1/api-keys/${made.body.id}`);
    expect(await follow(link)).toBe(401);
  });

  test('opens nothing but the stream it was made for', async () => {
    const link: string = (await change('POST', `/api/v1/streams/${runId}/url`)).body.url;
    const { search } = new URL(link);
    for (const path of [
      `/api/v1/streams/${runId}/events`,
      `/api/v1/runs/${runId}`,
      ...Object.values(VIEWS).map((view) => view(taskId)),
    ]) {
      const joined = `${path}${path.includes('?') ? search.replace('?', '&') : search}`;
      expect([path, (await server.call('GET', joined, { as: null })).status]).toEqual([path, 401]);
    }
    expect(await follow(link.replace(runId, newId()))).toBe(401);
  });
});

describe('credentials', () => {
  const HEADERS = ['api-key', 'apikey', 'x-api-key'] as const;

  test('work on every surface in every header', async () => {
    for (const [surface, path] of Object.entries(VIEWS)) {
      for (const as of [
        ...HEADERS.map((header) => ({ header, value: BOOTSTRAP_KEY })),
        BOOTSTRAP_KEY,
        yard.viewer.token,
      ]) {
        expect([surface, as, (await server.call('GET', path(taskId), { as })).status]).toEqual([surface, as, 200]);
      }
    }
  });

  test('are 401 on every surface where there are two different ones, and fine where they are the same', async () => {
    const other = await key(server, { name: 'other', role: 'admin' });
    for (const path of Object.values(VIEWS)) {
      const both = (headers: Record<string, string>): Promise<Reply> =>
        server.call('GET', path(taskId), { as: null, headers });
      expect((await both({ 'api-key': BOOTSTRAP_KEY, apikey: other })).status).toBe(401);
      expect((await both({ 'x-api-key': BOOTSTRAP_KEY, authorization: `Bearer ${yard.admin.token}` })).status).toBe(
        401,
      );
      expect((await both({ 'api-key': BOOTSTRAP_KEY, 'x-api-key': 'nonsense' })).status).toBe(401);
      expect((await both({ 'api-key': other, apikey: other, authorization: `Bearer ${other}` })).status).toBe(200);
    }
  });

  test('are 401 with a challenge on every surface where there are none', async () => {
    for (const path of Object.values(VIEWS)) {
      const reply = await server.call('GET', path(taskId), { as: null });
      expect([reply.status, reply.headers.get('www-authenticate')]).toEqual([401, expect.stringContaining('Bearer')]);
    }
  });

  test('in the query are none', async () => {
    for (const path of Object.values(VIEWS)) {
      const joined = `${path(taskId)}${path(taskId).includes('?') ? '&' : '?'}api-key=${BOOTSTRAP_KEY}&access_token=${BOOTSTRAP_KEY}`;
      expect((await server.call('GET', joined, { as: null })).status).toBe(401);
    }
  });
});

test('deleted on one surface, it is gone from all of them, for everyone', async () => {
  const deleted = await server.call('DELETE', `/api/v1/task/${taskId}`, { as: yard.maintainer.token });
  expect([deleted.status, deleted.body.id, deleted.body.status]).toEqual([200, taskId, 'complete']);
  const { maintainer, member, viewer, admin } = yard;
  const sights = await Promise.all([maintainer, member, viewer, admin].map(({ token }) => sightOf(token)));
  expect(sights).toEqual(['nothing', 'nothing', 'nothing', 'nothing']);
  expect((await server.call('GET', `/api/v1/streams/${runId}/events`, { as: maintainer.token })).status).toBe(404);
});

/** A reply with what must differ between any two requests taken out. */
async function told(
  as: Credential,
  { method, path, body }: { method: string; path: string; body?: unknown },
  id: string,
) {
  const reply = await server.call(method, path, { as, ...(body === undefined ? {} : { body }) });
  const { date: _date, 'x-request-id': request = '', ...headers } = Object.fromEntries(reply.headers);
  const text = reply.text.replaceAll(id, '<id>').replaceAll(request, '<request>');
  return { method, path: path.replaceAll(id, '<id>'), status: reply.status, headers, text };
}
