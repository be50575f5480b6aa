import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { secretVariables } from '../../src/modules/executors/command/secret-variables.js';
import { Redactor } from '../../src/modules/secrets/index.js';
import { sql } from '../../src/database/sql.js';
import { makeYard, type Yard } from '../support/actors.js';
import { ended } from '../support/ended.js';
import { type Lease, TestQueue } from '../support/queue.js';
import { startServer, type TestServer } from '../support/server.js';

const VALUE = 'sk-live/4f9a1c77e2+β%20';
const KEY_FILE = '-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nqzZ1kTq0y8QF3v5n4m2x\n-----END KEY-----';

let server: TestServer;
let yard: Yard;
let folder: string;
let heard: Server;
let bodies: { secrets: unknown }[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskyard-secrets-'));
  const script = `let text = ''; process.stdin.on('data', (part) => (text += part)).on('end', () => {
    const { secrets } = JSON.parse(text);
    console.log('the token is ' + process.env.API_TOKEN);
    console.log(JSON.stringify({ type: 'output', data: { found: process.env.API_TOKEN, told: secrets, preload: process.env.LD_PRELOAD ?? null,
      file: require('node:fs').readFileSync('input.json', 'utf8').includes(process.env.API_TOKEN) } }));
  });`;
  const commands = { tell: { program: process.execPath, args: ['-e', script] } };
  await writeFile(join(folder, 'agents.json'), JSON.stringify({ commands }));
  server = await startServer({
    AGENTS_FILE: join(folder, 'agents.json'),
    DATA_DIR: folder,
    EGRESS_ALLOW_CIDRS: '127.0.0.0/8',
  });
  yard = await makeYard(server);
  bodies = [];
  heard = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      bodies.push(JSON.parse(Buffer.concat(parts).toString('utf8')));
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ echo: VALUE }));
    });
  });
  await new Promise<void>((resolve) => heard.listen(0, '127.0.0.1', resolve));
  for (const [name, value] of Object.entries({
    API_TOKEN: VALUE,
    KEY_FILE,
    OTHER_TOKEN: 'another value',
    LD_PRELOAD: '/tmp/evil.so',
  })) {
    expect((await put(name, { value })).status).toBe(200);
  }
});

afterAll(async () => {
  heard.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const put = (name: string, body: object, as?: string) =>
  server.call('PUT', `/api/v1/secrets/${name}`, { body, ...(as === undefined ? {} : { as }) });
const events = (query: string) => server.call('GET', `/api/v1/audit-events?${query}`);

describe('a secret', () => {
  test('is written by admins, listed by name, and its value never shown', async () => {
    const second = await put('API_TOKEN', { value: VALUE });
    expect(second.body).toMatchObject({ name: 'API_TOKEN', fingerprint: expect.stringMatching(/^[\w-]{4}$/) });
    const list = await server.call('GET', '/api/v1/secrets', { as: yard.member.token });
    expect(list.body.data.map(({ name }: { name: string }) => name).toSorted()).toEqual([
      'API_TOKEN',
      'KEY_FILE',
      'LD_PRELOAD',
      'OTHER_TOKEN',
    ]);
    expect(list.text + second.text).not.toContain(VALUE);
    expect((await server.call('GET', '/api/v1/secrets', { as: yard.viewer.token })).status).toBe(403);
    expect((await put('API_TOKEN', { value: 'mine now' }, yard.member.token)).status).toBe(403);
    expect((await server.call('GET', '/api/v1/secrets', { as: yard.strangerKey })).body.data).toEqual([]);
  });

  test.each([
    ['lower_case', { value: 'x' }, '/name'],
    ['1ST', { value: 'x' }, '/name'],
    ['WITH-DASH', { value: 'x' }, '/name'],
    ['A'.repeat(129), { value: 'x' }, '/name'],
    ['LONG', { value: 'x'.repeat(32 * 1024 + 1) }, '/value'],
    ['LONG', { value: 'ß'.repeat(16 * 1024 + 1) }, '/value'],
    ['EMPTY', { value: '' }, '/value'],
    ['NO_VALUE', {}, '/value'],
    ['MORE', { value: 'x', note: 'y' }, '/note'],
  ])('that is badly named, too long or otherwise wrong is refused at once: %s', async (name, body, path) => {
    const reply = await put(name, body);
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, path]);
  });

  test('is nothing that the database holds in the clear', async () => {
    const rows = await server.database.rows<{ line: string }>(sql`
      select v::text as line from secret_versions v union all select s::text from secrets s union all select e::text from audit_events e
      union all select i.body::text from idempotency_records i`);
    const plain = [
      VALUE,
      Buffer.from(VALUE).toString('hex'),
      Buffer.from(VALUE).toString('base64'),
      'qzZ1kTq0y8QF3v5n4m2x',
    ];
    expect(rows.length).toBeGreaterThan(8);
    expect(rows.filter(({ line }) => plain.some((text) => line.includes(text)))).toEqual([]);
  });
});

describe('a task', () => {
  test('names only what its agent may be given, and what there is', async () => {
    const queue = await TestQueue.make(server, 'picky', { allowed_secret_names: ['API_TOKEN', 'NOT_THERE'] });
    const tries = [['OTHER_TOKEN'], ['API_TOKEN', 'OTHER_TOKEN'], ['NOT_THERE'], ['API_TOKEN', 'API_TOKEN'], ['bad']];
    const replies = await Promise.all(tries.map((secret_names) => queue.hand({ secret_names })));
    expect(replies.map(({ status, body }) => [status, body.errors[0].path])).toEqual([
      [400, '/secret_names/0'],
      [400, '/secret_names/1'],
      [400, '/secret_names/0'],
      [400, '/secret_names'],
      [400, '/secret_names/0'],
    ]);
    const made = await queue.hand({ secret_names: ['API_TOKEN'], start: false });
    expect(made.body.task.secret_names).toEqual(['API_TOKEN']);
    const batch = await server.call('POST', '/api/v1/tasks/batch', {
      body: {
        tasks: [
          { agent: 'picky', prompt: 'a', secret_names: ['API_TOKEN'] },
          { agent: 'picky', prompt: 'b', secret_names: ['OTHER_TOKEN'] },
        ],
      },
    });
    expect(batch.body.results.map(({ status }: { status: number }) => status)).toEqual([201, 400]);
  });

  test('keeps to that when it or its agent changes, and only who manages it chooses its secrets', async () => {
    const queue = await TestQueue.make(server, 'changing', { allowed_secret_names: ['API_TOKEN'] });
    await TestQueue.make(server, 'trusted-with-nothing');
    const task = (
      await queue.hand({ secret_names: ['API_TOKEN'], start: false, visibility: 'team', team_id: yard.teams.red })
    ).body.task.id;
    const patch = (body: object, as?: string) =>
      server.call('PATCH', `/api/v1/tasks/${task}`, { body, ...(as === undefined ? {} : { as }) });
    expect((await patch({ secret_names: ['OTHER_TOKEN'] })).body.errors[0].path).toBe('/secret_names/0');
    expect((await patch({ agent: 'trusted-with-nothing' })).body.errors[0].path).toBe('/secret_names/0');
    expect((await patch({ agent: 'trusted-with-nothing', secret_names: [] })).body.task.secret_names).toEqual([]);
    expect((await patch({ secret_names: ['API_TOKEN'] })).status).toBe(400);
    expect((await patch({ agent: 'changing', secret_names: ['API_TOKEN'] })).body.task.secret_names).toEqual([
      'API_TOKEN',
    ]);
    await server.call('PUT', `/api/v1/tasks/${task}/shares/${yard.teams.blue}`, { body: { access: 'write' } });
    expect((await patch({ secret_names: [] }, yard.member.token)).status).toBe(403);
  });
});

describe('a worker', () => {
  let queue: TestQueue;
  let lease: Lease;
  let secrets: unknown;
  let taskId: string;

  beforeAll(async () => {
    queue = await TestQueue.make(server, 'keeper', {
      allowed_secret_names: ['API_TOKEN', 'KEY_FILE', 'OTHER_TOKEN'],
      max_attempts: 1,
    });
    const runId = await queue.run({ secret_names: ['API_TOKEN', 'KEY_FILE'] });
    const reply = await server.call('POST', '/api/v1/worker/claim', {
      as: yard.workerKey,
      body: { agents: ['keeper'], worker_id: 'w1' },
    });
    const [claimed] = reply.body.runs;
    ({ secrets } = claimed);
    taskId = claimed.task.id;
    lease = { runId, fence: claimed.lease.fence, run: claimed.run };
  });

  const act = (action: string, body: object) =>
    server.call('POST', `/api/v1/worker/runs/${lease.runId}/${action}`, {
      as: yard.workerKey,
      body: { fence: lease.fence, ...body },
    });

  test('is given exactly what the task names, and that is told in the audit trail', async () => {
    expect(secrets).toEqual({ API_TOKEN: VALUE, KEY_FILE });
    const told = await events('action=secret.read&limit=100');
    const ours = told.body.data.filter(({ detail }: { detail: { run_id: string } }) => detail.run_id === lease.runId);
    expect(
      ours.map(({ object, outcome }: { object: { id: string }; outcome: string }) => [object.id, outcome]).toSorted(),
    ).toEqual([
      ['API_TOKEN', 'done'],
      ['KEY_FILE', 'done'],
    ]);
    const { api_key: worker } = (await server.call('GET', '/api/v1/me', { as: yard.workerKey })).body;
    expect(ours[0].actor).toMatchObject({ kind: 'api_key', id: worker.id });
  });

  test('says it in vain: events, messages, log, question, error and output hold none of it', async () => {
    const said = [
      { type: 'log', data: { text: `using ${VALUE} and MIIEvQIBADANBgkqhkiG9w0BAQEFAASC` } },
      { type: 'log', data: { text: `basic ${Buffer.from(VALUE).toString('base64')} ${encodeURIComponent(VALUE)}` } },
      { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: `It is ${VALUE}.` }] } },
      { type: 'tool_call', data: { id: 'c', name: 'fetch', input: { [`x-${VALUE}`]: [{ deep: VALUE }] } } },
      { type: 'custom', data: { pem: KEY_FILE } },
    ];
    const batch = { events: said, batch_id: 'b' };
    const first = await act('events', batch);
    expect([first.status, first.text]).toEqual([200, expect.any(String)]);
    expect((await act('events', batch)).body).toEqual(first.body);
    expect((await act('complete', { output: { echo: VALUE, nested: [KEY_FILE] } })).status).toBe(200);
    expect((await act('complete', { output: { echo: VALUE, nested: [KEY_FILE] } })).status).toBe(200);

    const shown = await Promise.all(
      [
        `streams/${lease.runId}/events?after=0&limit=100`,
        `runs/${lease.runId}`,
        `tasks/${taskId}`,
        `tasks/${taskId}/messages`,
      ].map(async (path) => (await server.call('GET', `/api/v1/${path}`)).text),
    );
    const all = shown.join('\n');
    expect(all).toContain('It is [secret API_TOKEN].');
    expect(all).toContain('[secret KEY_FILE]');
    for (const text of [
      VALUE,
      Buffer.from(VALUE).toString('base64').replace(/=+$/, ''),
      encodeURIComponent(VALUE),
      'qzZ1kTq0y8QF3v5n4m2x',
      'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC',
    ]) {
      expect(all.includes(text)).toBe(false);
    }
    const rows = await server.database.rows<{ line: string }>(sql`
      select e::text as line from run_events e union all select l::text from run_log_lines l union all select r::text from runs r
      union all select m::text from messages m union all select a::text from run_attempts a`);
    expect(rows.filter(({ line }) => line.includes(VALUE) || line.includes('qzZ1kTq0y8QF3v5n4m2x'))).toEqual([]);
  });

  test('that replaced a value meanwhile still has the one it was given taken out', async () => {
    await put('OTHER_TOKEN', { value: 'first-of-two-values' });
    await queue.run({ secret_names: ['OTHER_TOKEN'] });
    const mine = await queue.one();
    await put('OTHER_TOKEN', { value: 'second-of-two-values' });
    await queue.fail(mine, { error: { name: 'Oops', message: 'refused: first-of-two-values' }, retry: false });
    expect((await queue.get(mine.runId)).error.message).toBe('refused: [secret OTHER_TOKEN]');
  });

  test('is given nothing that the agent is not allowed any more, nor what is gone', async () => {
    await queue.run({ secret_names: ['API_TOKEN', 'OTHER_TOKEN'] });
    await queue.run({ secret_names: ['OTHER_TOKEN'] });
    await server.call('PATCH', `/api/v1/agents/${queue.agentId}`, { body: { allowed_secret_names: ['OTHER_TOKEN'] } });
    const claim = async () =>
      (await server.call('POST', '/api/v1/worker/claim', { body: { agents: ['keeper'] } })).body.runs[0];
    expect((await claim()).secrets).toEqual({ OTHER_TOKEN: 'second-of-two-values' });
    expect((await server.call('DELETE', '/api/v1/secrets/OTHER_TOKEN')).status).toBe(204);
    expect((await server.call('DELETE', '/api/v1/secrets/OTHER_TOKEN')).status).toBe(404);
    expect((await claim()).secrets).toEqual({});
  });
});

describe('agents that the server runs itself', () => {
  test('of kind http find secrets in the request, and what they echo is redacted; a new address empties the list', async () => {
    const address = heard.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const body = {
      slug: 'caller',
      kind: 'http',
      config: { url: `http://127.0.0.1:${port}/run` },
      allowed_secret_names: ['API_TOKEN'],
    };
    const agent = (await server.call('POST', '/api/v1/agents', { body })).body;
    const made = await server.call('POST', '/api/v1/tasks', {
      body: { agent: 'caller', prompt: 'go', secret_names: ['API_TOKEN'] },
    });
    const { run } = await ended(server, made.body.stream.streamId);
    expect(bodies.at(-1)?.secrets).toEqual({ API_TOKEN: VALUE });
    expect(run.output).toEqual({ echo: '[secret API_TOKEN]' });

    const patch = (change: object) => server.call('PATCH', `/api/v1/agents/${agent.id}`, { body: change });
    const names = async (change: object) => (await patch(change)).body.allowed_secret_names;
    expect(await names({ config: { headers: { 'x-stage': 'live' } } })).toEqual(['API_TOKEN']);
    expect(await names({ config: { url: `http://127.0.0.1:${port}/elsewhere` } })).toEqual([]);
    expect(
      await names({ config: { url: `http://127.0.0.1:${port}/run` }, allowed_secret_names: ['API_TOKEN'] }),
    ).toEqual(['API_TOKEN']);
  });

  test('of kind command find them in their environment and input, never in a file', async () => {
    const body = {
      slug: 'teller',
      kind: 'command',
      config: { command: 'tell' },
      allowed_secret_names: ['API_TOKEN', 'LD_PRELOAD'],
    };
    expect((await server.call('POST', '/api/v1/agents', { body })).status).toBe(201);
    const made = await server.call('POST', '/api/v1/tasks', {
      body: { agent: 'teller', prompt: 'go', secret_names: ['API_TOKEN', 'LD_PRELOAD'] },
    });
    const { run } = await ended(server, made.body.stream.streamId);
    expect(run.output).toEqual({
      found: '[secret API_TOKEN]',
      told: { API_TOKEN: '[secret API_TOKEN]', LD_PRELOAD: '[secret LD_PRELOAD]' },
      preload: null,
      file: false,
    });
    const log = await server.call('GET', `/api/v1/streams/${run.id}/events?after=0&limit=100`);
    expect(log.text).toContain('the token is [secret API_TOKEN]');
  });

  test('take no orders by the names of secrets, unless the operator lists them', () => {
    const command = {
      program: '/bin/true',
      args: [],
      env: {},
      secretNames: null,
      timeoutSeconds: null,
      maxOutputBytes: 1,
    };
    const named = (names: readonly string[], more: object = {}) =>
      Object.keys(secretVariables({ ...command, ...more }, Object.fromEntries(names.map((name) => [name, 'x']))));
    const orders = [
      'PATH',
      'LD_PRELOAD',
      'LD_AUDIT',
      'NODE_OPTIONS',
      'BASH_ENV',
      'ENV',
      'PYTHONPATH',
      'PYTHONSTARTUP',
      'PERL5OPT',
      'RUBYOPT',
    ];
    const more = [
      'GIT_SSH_COMMAND',
      'GIT_CONFIG_COUNT',
      'JAVA_TOOL_OPTIONS',
      'HOME',
      'HTTPS_PROXY',
      'IFS',
      'EDITOR',
      'TASKYARD_FOLDER',
      'DYLD_INSERT_LIBRARIES',
    ];
    const redirects = [
      'OPENAI_BASE_URL',
      'ANTHROPIC_BASE_URL',
      'OPENAI_API_BASE',
      'AWS_ENDPOINT_URL',
      'AWS_ENDPOINT_URL_S3',
      'AWS_CONFIG_FILE',
      'AWS_CA_BUNDLE',
      'GOOGLE_APPLICATION_CREDENTIALS',
      'AZURE_OPENAI_ENDPOINT',
      'KUBECONFIG',
      'DOCKER_HOST',
      'DATABASE_URL',
      'PGHOST',
      'PGSERVICEFILE',
      'REQUESTS_CA_BUNDLE',
      'SSL_CERT_FILE',
      'NODE_EXTRA_CA_CERTS',
      'SSLKEYLOGFILE',
      'NPM_CONFIG_REGISTRY',
      'NPM_CONFIG_KEY',
      'GIT_CONFIG_KEY_0',
      'PIP_INDEX_URL',
      'VISUAL',
      'GIT_EDITOR',
      'GIT_ASKPASS',
      'SSH_ASKPASS',
      'PYTHONBREAKPOINT',
      'RUBYLIB',
      'TASKYARD_TOKEN',
      'PWD',
      'SLACK_WEBHOOK',
      'ANYTHING_ELSE',
    ];
    const fine = [
      'API_TOKEN',
      'OPENAI_API_KEY',
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_SESSION_TOKEN',
      'NPM_TOKEN',
      'GIT_PASSWORD',
      'GITHUB_PAT',
      'PGPASSWORD',
      'CLIENT_SECRET',
      'KEY_PASSPHRASE',
      'PIN',
    ];
    expect(named([...orders, ...more, ...redirects, ...fine])).toEqual(fine);
    expect(named(['NODE_OPTIONS', 'API_TOKEN'], { secretNames: ['NODE_OPTIONS'] })).toEqual(['NODE_OPTIONS']);
  });
});

test('redaction leaves what is no secret as it is, and an event an event', () => {
  const redactor = new Redactor([
    ['WORD', 'text'],
    ['PIN', '4711'],
    ['SHORT', 'abc'],
    ['LONG', 'text and more'],
  ]);
  expect(redactor.json({ type: 'text', text: 'text and more abc', n: 4711, m: 12, b: true, z: null })).toEqual({
    type: 'text',
    text: '[secret LONG] abc',
    n: '[secret PIN]',
    m: 12,
    b: true,
    z: null,
  });
});
