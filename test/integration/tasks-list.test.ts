import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { startServer, type Credential, type Reply, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
/** Ids by name, in the order they were made. */
const made = new Map<string, string>();
let projectId: string;
let accountId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
  await server.call('POST', '/api/v1/agents', { body: { slug: 'hand', name: 'Hand', kind: 'worker' } });
  projectId = (await server.call('POST', '/api/v1/projects', { body: { name: 'shared' } })).body.id;
  await server.call('PUT', `/api/v1/projects/${projectId}/shares/${yard.teams.blue}`, { body: { access: 'read' } });
  accountId = (await server.call('POST', '/api/v1/accounts', { body: { name: 'Artist', kind: 'artist' } })).body.id;
  const { maintainer, member } = yard;
  await create('red', { team_id: yard.teams.red, tags: ['x', 'y'], agent: 'hand', start: true }, maintainer.token);
  await create('private', {}, maintainer.token);
  await create(
    'open',
    { visibility: 'organization', account_id: accountId, artist_account_id: accountId },
    maintainer.token,
  );
  await create('of a project', { project_id: projectId, visibility: 'organization' });
  await create('shared', { visibility: 'organization' }, maintainer.token);
  await share('shared', yard.teams.blue, 'write', maintainer.token);
  await create('100% _done_ \\ now', { prompt: 'Needle in THE hay' }, member.token);
});

afterAll(async () => {
  await server.stop();
});

async function create(title: string, body: object, as?: Credential): Promise<void> {
  const reply = await server.call('POST', '/api/v1/tasks', {
    body: { prompt: 'x', title, start: false, ...body },
    ...(as === undefined ? {} : { as }),
  });
  expect([title, reply.status]).toEqual([title, 201]);
  made.set(title, reply.body.task.id);
}

async function share(title: string, teamId: string, access: string, as: Credential): Promise<void> {
  const reply = await server.call('PUT', `/api/v1/tasks/${made.get(title)}/shares/${teamId}`, { as, body: { access } });
  expect(reply.status).toBe(200);
}

function list(query: string, as: Credential = yard.admin.token): Promise<Reply> {
  return server.call('GET', `/api/v1/tasks${query}`, { as });
}

async function titles(query: string, as?: Credential): Promise<string[]> {
  const reply = await list(query, as);
  expect([query, reply.status]).toEqual([query, 200]);
  return reply.body.data.map((task: { title: string }) => task.title);
}

describe('filters', () => {
  test.each([
    ['?status=queued', ['red']],
    ['?agent=hand', ['red']],
    ['?agent=nobody', []],
    ['?tag=y', ['red']],
    ['?tag=y&tag=x', ['red']],
    ['?tag=y&tag=y', ['red']],
    ['?tag=y&tag=nothing', []],
    ['?q=needle', ['100% _done_ \\ now']],
    [`?q=${encodeURIComponent('100% _done')}`, ['100% _done_ \\ now']],
    ['?q=%5C', ['100% _done_ \\ now']],
    ['?q=%25%25', []],
    ['?q=_o_', []],
    ['?created_by=019a2f60-7c00-7b6e-8c5d-5d0a4b1c2e33', []],
    ['?created_after=2999-01-01T00:00:00Z', []],
    ['?created_before=2000-01-01T00:00:00%2B02:00', []],
  ])('%s', async (query, expected) => {
    expect(await titles(query)).toEqual(expected);
  });

  test('by team, project, account and creator, whose e-mail does as well as the id', async () => {
    expect(await titles(`?team_id=${yard.teams.red}`)).toEqual(['red']);
    expect(await titles(`?project_id=${projectId}`)).toEqual(['of a project']);
    expect(await titles(`?account_id=${accountId}`)).toEqual(['open']);
    expect(await titles(`?artist_account_id=${accountId}`)).toEqual(['open']);
    expect(await titles(`?created_by=${yard.member.id}`)).toEqual(['100% _done_ \\ now']);
    expect(await titles(`?created_by=${encodeURIComponent(yard.member.email.toUpperCase())}`)).toEqual([
      '100% _done_ \\ now',
    ]);
  });

  test('several filters narrow each other', async () => {
    expect(await titles('?agent=hand&tag=x&status=queued')).toEqual(['red']);
    expect(await titles('?agent=hand&tag=x&status=running')).toEqual([]);
  });

  test('created_after takes what was made at that moment, created_before does not', async () => {
    const at = (await list('?status=queued')).body.data[0].created_at;
    const moment = encodeURIComponent(at);
    expect(await titles(`?status=queued&created_after=${moment}`)).toEqual(['red']);
    expect(await titles(`?status=queued&created_before=${moment}`)).toEqual([]);
  });
});

describe('what is mine, of my teams, shared with me', () => {
  test('a member sees what each path gives, and nothing private of others', async () => {
    const as = yard.member.token;
    expect(await titles('?sort=created_at', as)).toEqual([
      'red',
      'open',
      'of a project',
      'shared',
      '100% _done_ \\ now',
    ]);
    expect(await titles('?scope=all&sort=created_at', as)).toHaveLength(5);
    expect(await titles('?scope=mine', as)).toEqual(['100% _done_ \\ now']);
    expect(await titles('?scope=team', as)).toEqual(['red']);
    expect(await titles('?scope=shared&sort=created_at', as)).toEqual(['of a project', 'shared']);
  });

  test('read_only of each item is what a change of it would find, and a filter', async () => {
    const as = yard.member.token;
    expect(await titles('?read_only=false&sort=created_at', as)).toEqual(['shared', '100% _done_ \\ now']);
    expect(await titles('?read_only=true&sort=created_at', as)).toEqual(['red', 'open', 'of a project']);
    for (const item of (await list('', as)).body.data) {
      const change = await server.call('PATCH', `/api/v1/tasks/${item.id}`, {
        as,
        body: { metadata: { touched: true } },
      });
      expect([item.title, change.status]).toEqual([item.title, item.read_only ? 403 : 200]);
    }
  });

  test('a viewer of the organisation only ever reads', async () => {
    expect(await titles('?read_only=false', yard.viewer.token)).toEqual([]);
    expect((await titles('?read_only=true', yard.viewer.token)).sort()).toEqual([
      'of a project',
      'open',
      'red',
      'shared',
    ]);
  });

  test('another organisation sees none of it', async () => {
    expect(await titles('', yard.stranger.token)).toEqual([]);
    expect(await titles(`?team_id=${yard.teams.red}`, yard.strangerKey)).toEqual([]);
  });
});

describe('pages', () => {
  test.each(['-created_at', 'created_at', '-updated_at', 'updated_at'])(
    'by %s show every task once, in order',
    async (sort) => {
      const whole = await titles(`?sort=${sort}`);
      expect(whole).toHaveLength(6);
      const paged: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const { body } = await list(`?sort=${sort}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
        expect(body.data.length).toBeLessThanOrEqual(2);
        paged.push(...body.data.map((task: { title: string }) => task.title));
        cursor = body.next_cursor;
      }
      expect(paged).toEqual(whole);
    },
  );

  test('the newest come first where nothing is said', async () => {
    expect(await titles('')).toEqual([...made.keys()].reverse());
  });

  test('a cursor is good for its own list only: order, filter, organisation, and as it was made', async () => {
    const { next_cursor: cursor } = (await list('?limit=1&scope=all')).body;
    expect((await list(`?limit=2&scope=all&cursor=${cursor}`)).status).toBe(200);
    const strangers = [
      await list(`?limit=1&cursor=${cursor}`),
      await list(`?limit=1&scope=all&sort=created_at&cursor=${cursor}`),
      await list(`?limit=1&scope=all&q=x&cursor=${cursor}`),
      await list(`?limit=1&scope=all&cursor=${cursor}`, yard.stranger.token),
      await list(`?limit=1&scope=all&cursor=${cursor.slice(0, -2)}xx`),
      await list('?cursor=nonsense'),
    ];
    expect(strangers.map(({ status, body }) => [status, body.code])).toEqual(
      strangers.map(() => [400, 'invalid-cursor']),
    );
  });

  test('a page ends early rather than be many megabytes, and the next goes on from there', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `big ${index}`);
    for (const name of names) {
      await create(name, { prompt: 'p'.repeat(1_000_000), payload: 'q'.repeat(900_000), tags: ['big'] });
    }
    const first = await list('?tag=big&sort=created_at');
    expect(first.body.data.map((task: { title: string }) => task.title)).toEqual(names.slice(0, 9));
    const second = await list(`?tag=big&sort=created_at&cursor=${first.body.next_cursor}`);
    expect([second.body.data.map((task: { title: string }) => task.title), second.body.next_cursor]).toEqual([
      ['big 9'],
      null,
    ]);
  });

  test('long prompts are cut in the list, which says so, and whole in the detail', async () => {
    const prompts = ['a'.repeat(4_096), 'a'.repeat(4_097), '😀'.repeat(4_096), `${'😀'.repeat(4_096)}a`, 'short'];
    for (const prompt of prompts) {
      await create('long', { prompt, tags: ['long'] });
    }
    const { body } = await list('?tag=long&sort=created_at');
    const shown: { id: string; prompt: string; prompt_truncated: boolean }[] = body.data;
    expect(shown.map(({ prompt, prompt_truncated }) => [prompt, prompt_truncated])).toEqual(
      prompts.map((prompt) => [Array.from(prompt).slice(0, 4_096).join(''), Array.from(prompt).length > 4_096]),
    );
    for (const [index, { id }] of shown.entries()) {
      expect((await server.call('GET', `/api/v1/tasks/${id}`)).body.task.prompt).toBe(prompts[index]);
    }
  });
});

describe('a malformed query is 400, and names what is wrong', () => {
  test.each([
    ['?limit=0', '?limit'],
    ['?limit=101', '?limit'],
    ['?limit=1e1', '?limit'],
    ['?limit=', '?limit'],
    ['?limit=1&limit=2', '?limit'],
    ['?status=generating', '?status'],
    ['?scope=everything', '?scope'],
    ['?read_only=1', '?read_only'],
    ['?team_id=red', '?team_id'],
    ['?created_by=somebody', '?created_by'],
    ['?created_after=yesterday', '?created_after'],
    ['?created_after=2026-02-30T00:00:00Z', '?created_after'],
    ['?sort=title', '?sort'],
    ['?q=', '?q'],
    ['?page=2', '?page'],
    ['?q[]=a', '?q[]'],
  ])('%s', async (query, path) => {
    const reply = await list(query);
    expect([reply.status, reply.body.code, reply.body.errors?.[0]?.path]).toEqual([400, 'invalid-request', path]);
  });

  test('and so is text that cannot be stored', async () => {
    expect((await list('?q=%00')).status).toBe(400);
    expect((await list('?tag=%ED%A0%80')).status).toBeLessThan(500);
    expect((await list('?created_after=0000-01-01T00:00:00Z')).status).toBeLessThan(500);
  });
});
