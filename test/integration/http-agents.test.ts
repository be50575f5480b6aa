import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { makeYard, type Yard } from '../support/actors.js';
import { ended, follow } from '../support/ended.js';
import { startServer, type TestServer } from '../support/server.js';

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  response: ServerResponse;
}

let server: TestServer;
let yard: Yard;
let far: Server;
let origin: string;
let serial = 0;
let agent: string;
let agentId: string;
/** Requests that have come to the far side, and what it does with each. */
let received: Received[];
let answer: (request: Received) => void;

beforeAll(async () => {
  server = await startServer({ EGRESS_ALLOW_CIDRS: '127.0.0.1/32' });
  yard = await makeYard(server);
  far = createServer((incoming, response) => {
    const chunks: Uint8Array[] = [];
    incoming.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    incoming.on('end', () => {
      const request = {
        path: incoming.url ?? '',
        headers: incoming.headers,
        text: Buffer.concat(chunks).toString(),
        response,
      };
      received.push(request);
      answer(request);
    });
  });
  far.listen(0, '127.0.0.1');
  await once(far, 'listening');
  origin = `http://127.0.0.1:${(far.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await server.stop();
  far.closeAllConnections();
  far.close();
});

beforeEach(async () => {
  serial += 1;
  received = [];
  answer = ({ response }) => response.writeHead(500).end();
  agent = `http-${serial}`;
  const config = { url: `${origin}/run`, headers: { 'x-mine': 'yes' } };
  const made = await server.call('POST', '/api/v1/agents', {
    body: { slug: agent, kind: 'http', config, max_attempts: 1, lease_seconds: 5 },
  });
  expect([made.status, made.text]).toEqual([201, expect.any(String)]);
  agentId = made.body.id;
});

test('a network that is opened for agents and webhooks of admins is not open to URLs that members give', async () => {
  const { taskId, runId } = await start();
  const body = { agent, prompt: 'x', start: false, callback: `${origin}/callback` };
  const refused = await Promise.all([
    server.call('POST', '/api/v1/tasks', { body }),
    server.call('PATCH', `/api/v1/tasks/${taskId}`, { body: { callback: `${origin}/callback` } }),
    server.call('POST', '/api/v1/assets', { body: { task_id: taskId, name: 'x', external_url: `${origin}/file` } }),
  ]);
  expect(refused.map(({ status, body: { errors } }) => [status, errors?.[0]?.path])).toEqual([
    [400, '/callback'],
    [400, '/callback'],
    [400, '/external_url'],
  ]);
  const hook = await server.call('POST', '/api/v1/webhooks', {
    body: { url: `${origin}/hook`, events: ['run.completed'] },
  });
  expect([hook.status, hook.text]).toEqual([201, expect.any(String)]);
  await server.call('DELETE', `/api/v1/webhooks/${hook.body.id}`);
  await ended(server, runId);
});

test('a callback that was kept before is not sent to a network that is opened for admins alone', async () => {
  answer = ({ response }) => response.setHeader('content-type', 'application/json').end('{}');
  const made = await server.call('POST', '/api/v1/tasks', { body: { agent, prompt: 'x', start: false } });
  const { id } = made.body.task;
  await server.database.execute(sql`update tasks set callback = ${`${origin}/callback`} where id = ${id}::uuid`);
  const run = await server.call('POST', `/api/v1/tasks/${id}/runs`, { body: {} });
  await ended(server, run.body.id ?? run.body.stream.streamId);
  let tried: { status_code: number | null; error: string }[] = [];
  for (const deadline = Date.now() + 60_000; tried.length === 0 && Date.now() < deadline;) {
    const { data } = (await server.call('GET', `/api/v1/deliveries?task_id=${id}`)).body;
    tried = data[0]?.attempts ?? [];
  }
  expect(tried[0]).toMatchObject({ status_code: null, error: 'unreachable' });
  expect(received.map(({ path }) => path)).toEqual(['/run']);
});

async function start(prompt = 'Do it'): Promise<{ taskId: string; runId: string }> {
  const reply = await server.call('POST', '/api/v1/tasks', { body: { agent, prompt, payload: { a: 1 } } });
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return { taskId: reply.body.task.id, runId: reply.body.stream.streamId };
}

function replyWith(type: string, text: string, status = 200): void {
  answer = ({ response }) => response.writeHead(status, { 'content-type': type }).end(text);
}

const types = (events: { type: string }[]) =>
  events.map(({ type }) => type).filter((type) => type !== 'status' && type !== 'end');

describe('an http agent', () => {
  test('is sent the run, the task and what was said, signed, and its JSON object is the output', async () => {
    replyWith('application/json; charset=utf-8', JSON.stringify({ answer: 42 }));
    const { runId, taskId } = await start('What is it?');
    const { run } = await ended(server, runId);
    expect(run).toMatchObject({ status: 'completed', output: { answer: 42 }, error: null });

    const [request] = received;
    expect(request?.path).toBe('/run');
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      accept: 'application/json, application/x-ndjson, text/event-stream',
      'x-mine': 'yes',
      'webhook-id': `${runId}-1`,
      connection: 'close',
    });
    const body = JSON.parse(request?.text ?? '');
    expect(Object.keys(body)).toEqual(['run', 'task', 'messages', 'resume', 'secrets']);
    expect(body).toMatchObject({
      run: { id: runId, attempt: 1, status: 'running' },
      task: { id: taskId, prompt: 'What is it?', payload: { a: 1 } },
      messages: [{ role: 'user', parts: [{ type: 'text', text: 'What is it?' }] }],
    });

    const shown = await server.call('GET', `/api/v1/agents/${agentId}/signing-secret`);
    expect(shown.body).toEqual({ secret: expect.stringMatching(/^whsec_/), origin });
    const key = Buffer.from(shown.body.secret.slice('whsec_'.length), 'base64');
    const id = String(request?.headers['webhook-id']);
    const timestamp = String(request?.headers['webhook-timestamp']);
    const signature = createHmac('sha256', key)
      .update(`${id}.${timestamp}.${request?.text ?? ''}`)
      .digest('base64');
    expect(request?.headers['webhook-signature']).toBe(`v1,${signature}`);
    expect(Math.abs(Number(timestamp) * 1000 - server.clock.nowMs())).toBeLessThan(60_000);
  });

  test('may answer in lines: events as they come, then how it ended', async () => {
    const lines = [
      { type: 'log', data: { text: 'begun' } },
      { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'Hello' }] } },
      { type: 'usage', data: { cost_in_cents: 0.5 } },
      { step: 3 },
      { type: 'complete', data: { output: { done: true }, cost_in_cents: 1 } },
      { type: 'log', data: { text: 'never read' } },
    ];
    const text = `${lines.map((line) => JSON.stringify(line)).join('\r\n')}\r\n`;
    replyWith(
      'application/x-ndjson',
      text.replace('{"step"', '\r\nplain words\r\n{"type":"log","data":{"txt":1}}\r\n{"step"'),
    );
    const { runId, taskId } = await start();
    const { run, events } = await ended(server, runId);
    expect(run).toMatchObject({ status: 'completed', output: { done: true }, cost_in_cents: 1.5 });
    expect(types(events)).toEqual(['log', 'message', 'usage', 'log', 'log', 'custom']);
    expect(events.filter(({ type }) => type === 'log').map(({ data }) => [data.level, data.text])).toEqual([
      [undefined, 'begun'],
      ['info', 'plain words'],
      ['warning', expect.stringMatching(/^Not taken as an event \(log: .*\{"type":"log"/)],
    ]);
    const detail = await server.call('GET', `/api/v1/tasks/${taskId}`);
    expect(detail.body.messages.map((message: { role: string }) => message.role)).toEqual(['user', 'assistant']);
  });

  test('may answer in server-sent events, by their names or by the types in their data', async () => {
    const text = [
      '\uFEFF: a comment\n\n',
      'event: log\ndata: {"text":"by name"}\n\n',
      'data: {"type":"delta",\ndata: "data":{"text":"by type"}}\n\n',
      'id: 7\nevent: progress\ndata: {"done":0.5}\r\n\r\n',
      'data: [DONE]\n\n',
      'event: complete\ndata: {"output":{"x":1}}\n\n',
    ];
    answer = ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // Byte by byte: nothing may depend on where the network cuts.
      for (const byte of Buffer.from(text.join(''))) response.write(Buffer.of(byte));
      response.end();
    };
    const { run, events } = await ended(server, (await start()).runId);
    expect(run).toMatchObject({ status: 'completed', output: { x: 1 } });
    expect(types(events)).toEqual(['log', 'delta', 'custom', 'log']);
    expect(events.find(({ type }) => type === 'custom')?.data).toEqual({ done: 0.5 });
  });

  test('is read as it speaks: an event is in the log while the reply goes on', async () => {
    answer = ({ response }) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write('{"type":"log","data":{"text":"first"}}\n');
    };
    const { runId } = await start();
    const events = await follow(server, runId, ({ type }) => type === 'log');
    expect(types(events)).toEqual(['log']);
    received[0]?.response.end('{"type":"complete"}\n');
    expect((await ended(server, runId)).run).toMatchObject({ status: 'completed', output: {} });
  });

  test.each([
    [
      'fail in words of its own',
      200,
      'application/x-ndjson',
      '{"type":"fail","data":{"error":{"name":"NoFuel","message":"Empty."},"retry":false}}\n',
      'NoFuel',
    ],
    ['stop in the middle', 200, 'application/x-ndjson', '{"type":"log","data":{"text":"x"}}\n', 'IncompleteReply'],
    ['refuse', 400, 'application/json', '{}', 'HttpStatus'],
    ['be broken', 503, 'text/html', 'secret page', 'HttpStatus'],
    ['send elsewhere', 302, 'application/json', '{}', 'HttpStatus'],
    ['answer in another form', 200, 'text/html', '<p>', 'UnsupportedReply'],
    ['answer in no form', 200, 'application/json', 'not JSON', 'InvalidOutput'],
    ['answer no object', 200, 'application/json', '[1]', 'InvalidOutput'],
    [
      'fail with a number beside that no double holds',
      200,
      'application/x-ndjson',
      '{"type":"fail","data":{"error":{"name":"NoFuel","message":"Empty.","code":12345678901234567890},"retry":false}}\n',
      'NoFuel',
    ],
    ['answer what cannot be kept', 200, 'application/json', '{"a":12345678901234567890}', 'InvalidOutput'],
    ['answer too much', 200, 'application/json', JSON.stringify({ a: 'x'.repeat(1_100_000) }), 'OutputTooLarge'],
    ['never end a line', 200, 'application/x-ndjson', 'x'.repeat(3_000_000), 'OutputTooLarge'],
    [
      'complete with nonsense',
      200,
      'application/x-ndjson',
      '{"type":"complete","data":{"cost_in_cents":"much"}}\n',
      'InvalidReply',
    ],
  ])('may %s: the run fails, and says so without what was in the reply', async (_what, status, type, text, name) => {
    replyWith(type, text, status);
    const { run } = await ended(server, (await start()).runId);
    expect([run.status, run.error?.name]).toEqual(['failed', name]);
    expect(run.error?.message).not.toContain('secret');
    expect(received).toHaveLength(1);
  });

  test.each([
    [
      'lines',
      'application/x-ndjson',
      '{"type":"delta","data":{"text":"a\\ud83d"}}\n{"type":"delta","data":{"text":"\\ude00b"}}\n',
    ],
    [
      'events',
      'text/event-stream',
      'event: delta\ndata: {"text":"a\\ud83d"}\n\nevent: delta\ndata: {"text":"\\ude00b"}\n\n',
    ],
  ])('may cut a character in two between deltas, which arrive joined: %s', async (_what, type, text) => {
    replyWith(
      type,
      type.includes('json') ? `${text}{"type":"complete","data":{}}\n` : `${text}event: complete\ndata: {}\n\n`,
    );
    const { run, events } = await ended(server, (await start()).runId);
    const deltas = events.filter((event) => event.type === 'delta').map(({ data }) => data.text);
    expect([run.status, deltas]).toEqual(['completed', ['a', '😀b']]);
  });

  const ndjson = (data: string): [string, string] => ['application/x-ndjson', `{"type":"complete","data":${data}}\n`];
  const sse = (data: string): [string, string] => ['text/event-stream', `event: complete\ndata: ${data}\n\n`];

  test.each([
    ['a number that a double would change', '{"a":12345678901234567890}'],
    ['more than 64 levels', `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
    ['NaN', '{"a":NaN}'],
  ])('that completes with %s has failed, once, in each form of its reply', async (_what, output) => {
    await server.call('PATCH', `/api/v1/agents/${agentId}`, { body: { max_attempts: 3 } });
    for (const [type, text] of [
      ndjson(`{"output":${output}}`),
      sse(`{"output":${output}}`),
      ['application/json', output] as const,
    ]) {
      replyWith(type, text);
      const { run } = await ended(server, (await start()).runId);
      expect([type, run.status, run.error?.name, run.attempt]).toEqual([type, 'failed', 'InvalidOutput', 1]);
    }
  });

  test.each([
    ['members that are null', ...ndjson('{"output":null,"cost_in_cents":null}'), {}],
    ['no data, but its output', 'application/x-ndjson', '{"type":"complete","output":{"a":1}}', { a: 1 }],
    ['a byte order mark in front', 'application/x-ndjson', `\uFEFF${ndjson('{"output":{"a":1}}')[1]}`, { a: 1 }],
    ['no blank line after its last event', 'text/event-stream', sse('{"output":{"a":1}}')[1].trimEnd(), { a: 1 }],
    ['a byte order mark before its JSON', 'application/json', '\uFEFF{"a":1}', { a: 1 }],
  ])('may complete with %s', async (_what, type, text, output) => {
    replyWith(type, text);
    expect((await ended(server, (await start()).runId)).run).toMatchObject({ status: 'completed', output });
  });

  test('whose connection breaks after an event without a blank line has not said it', async () => {
    answer = ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: complete\ndata: {"output":{}}\n', () => response.destroy());
    };
    const { run } = await ended(server, (await start()).runId);
    expect([run.status, run.error?.name]).toEqual(['failed', 'BrokenReply']);
  });

  test.each([
    ['its data alone', '{"type":"fail","data":"boom"}', { name: 'Error', message: 'boom' }],
    ['members of its data', '{"type":"fail","data":{"message":"boom","name":"E"}}', { name: 'E', message: 'boom' }],
    ['members beside its type', '{"type":"fail","error":"boom"}', { name: 'Error', message: 'boom' }],
    [
      'a name in the error, the rest beside it',
      '{"type":"fail","data":{"error":{"name":"E","message":""},"message":"boom","stack":"at x"}}',
      { name: 'E', message: 'boom', stack_trace: 'at x' },
    ],
  ])('is heard where the text of its failure is %s', async (_what, text, error) => {
    replyWith('application/x-ndjson', text);
    const { run } = await ended(server, (await start()).runId);
    expect(run).toMatchObject({ status: 'failed', error });
  });

  test('may answer with text that cannot be stored, which is replaced', async () => {
    replyWith('application/json', '{"a":"x\\u0000\\ud83d"}');
    const { run } = await ended(server, (await start()).runId);
    expect(run).toMatchObject({ status: 'completed', output: { a: 'x\ufffd\ufffd' } });
  });

  test('may wait for an approval: the request ends, and another goes on when the call is decided', async () => {
    const call = { type: 'tool_call', data: { id: 'c1', name: 'pay', input: { amount: 5 }, requires_approval: true } };
    const log = { type: 'log', data: { text: 'before' } };
    answer = ({ response }) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write(`${JSON.stringify(log)}\n${JSON.stringify(call)}\n`);
    };
    const closed = new Promise<void>((resolve) => {
      const first = answer;
      answer = (request) => {
        request.response.once('close', resolve);
        first(request);
      };
    });
    const body = { agent, prompt: 'Pay', run_config: { auto_execute: false } };
    const { stream } = (await server.call('POST', '/api/v1/tasks', { body })).body;
    await closed;
    replyWith('application/json', '{"paid":true}');
    const approved = await server.call('POST', `/api/v1/runs/${stream.streamId}/approvals/c1`, {
      body: { decision: 'approve' },
    });
    expect([approved.status, approved.text]).toEqual([200, expect.any(String)]);
    const { run } = await ended(server, stream.streamId);
    expect(run).toMatchObject({ status: 'completed', output: { paid: true } });
    const [before, after] = received.map(({ text, headers }) => ({ ...JSON.parse(text), id: headers['webhook-id'] }));
    expect([before.resume, after.resume === null, before.id === after.id]).toEqual([null, false, false]);
  });

  test('that answers 204 has nothing to say', async () => {
    answer = ({ response }) => response.writeHead(204).end();
    expect((await ended(server, (await start()).runId)).run).toMatchObject({ status: 'completed', output: {} });
  });

  test('may compress what it answers; a refusal is heard whatever its encoding', async () => {
    answer = ({ response }) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(gzipSync('{"answer":42}'));
    expect((await ended(server, (await start()).runId)).run).toMatchObject({
      status: 'completed',
      output: { answer: 42 },
    });
    answer = ({ response }) =>
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'zstd' }).end('x');
    expect((await ended(server, (await start()).runId)).run.error?.name).toBe('UnsupportedReply');
    await server.call('PATCH', `/api/v1/agents/${agentId}`, { body: { max_attempts: 3 } });
    answer = ({ response }) => response.writeHead(422, { 'content-encoding': 'br' }).end('x');
    const { run } = await ended(server, (await start()).runId);
    expect([run.status, run.error?.name, run.attempt]).toEqual(['failed', 'HttpStatus', 1]);
  });

  test('that cuts the connection is told so', async () => {
    answer = ({ response }) => response.destroy();
    const { run } = await ended(server, (await start()).runId);
    expect([run.status, run.error?.name]).toEqual(['failed', 'BrokenReply']);
  });

  test('is left when the run is canceled: the request is cut, the run is canceled', async () => {
    const arrived = new Promise<Received>((resolve) => {
      answer = resolve;
    });
    const { runId } = await start();
    const { response } = await arrived;
    const gone = once(response, 'close');
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`, { body: {} })).status).toBe(202);
    expect((await ended(server, runId)).run.status).toBe('canceled');
    await gone;
  });

  test('that takes longer than the run may is left, and the run has timed out', async () => {
    await server.call('PATCH', `/api/v1/agents/${agentId}`, { body: { timeout_seconds: 1 } });
    const closed = new Promise<void>((resolve) => {
      answer = ({ response }) => response.once('close', resolve);
    });
    const { run } = await ended(server, (await start()).runId);
    expect(run.status).toBe('timed_out');
    await closed;
  });

  test('elsewhere than public and allowed is not called: DNS, numerals and all are checked again at the call', async () => {
    await server.database.transaction((tx) =>
      tx.manager.query(`update agents set config = '{"url": "http://127.0.0.2:1/"}' where id = $1`, [agentId]),
    );
    const { run } = await ended(server, (await start()).runId);
    expect([run.status, run.error?.name]).toEqual(['failed', 'DestinationBarred']);
    expect(received).toEqual([]);
  });
});

describe('the configuration of an http agent', () => {
  const make = (config: unknown) =>
    server.call('POST', '/api/v1/agents', { body: { slug: `bad-${serial}`, kind: 'http', config } });

  test.each([
    ['/config/url', {}],
    ['/config/url', { url: 7 }],
    ['/config/url', { url: 'not a url' }],
    ['/config/url', { url: 'http://10.0.0.1/' }],
    ['/config/url', { url: 'https://169.254.169.254/' }],
    ['/config/url', { url: 'https://user:secret@example.com/' }],
    ['/config/url', { url: 'ftp://example.com/' }],
    ['/config/method', { url: 'https://example.com/', method: 'GET' }],
    ['/config/headers/Authorization', { url: 'https://example.com/', headers: { Authorization: 'Bearer x' } }],
    ['/config/headers/host', { url: 'https://example.com/', headers: { host: 'x' } }],
    ['/config/headers/webhook-id', { url: 'https://example.com/', headers: { 'webhook-id': 'x' } }],
    ['/config/headers/x-y', { url: 'https://example.com/', headers: { 'x-y': 'a\r\nb: c' } }],
  ])('is refused at %s: %j', async (path, config) => {
    const reply = await make(config);
    expect([reply.status, reply.body.code, reply.body.errors[0].path]).toEqual([400, 'invalid-request', path]);
    expect(reply.body.errors[0].message).not.toBe('');
  });

  test('is checked again when it is changed', async () => {
    const change = (config: object) => server.call('PATCH', `/api/v1/agents/${agentId}`, { body: { config } });
    const refused = await change({ url: 'https://127.0.0.9/' });
    expect([refused.status, refused.body.errors[0].path]).toEqual([400, '/config/url']);
    expect((await change({ url: 'https://agents.example.com/run' })).body.config).toEqual({
      url: 'https://agents.example.com/run',
      headers: { 'x-mine': 'yes' },
    });
  });

  test('has a signing secret of its own for each place it is at, for admins alone', async () => {
    const path = `/api/v1/agents/${agentId}/signing-secret`;
    const first = (await server.call('GET', path)).body.secret;
    await server.call('PATCH', `/api/v1/agents/${agentId}`, {
      body: { config: { url: 'https://agents.example.com/run' } },
    });
    const moved = await server.call('GET', path);
    expect([moved.body.origin, moved.body.secret === first]).toEqual(['https://agents.example.com', false]);
    expect((await server.call('GET', `/api/v1/agents/${agentId}`)).text).not.toContain('whsec_');
    for (const as of [yard.member.token, yard.viewer.token, yard.workerKey]) {
      expect((await server.call('GET', path, { as })).status).toBe(403);
    }
    expect((await server.call('GET', path, { as: yard.strangerKey })).status).toBe(404);
    const { default_agent_id: digest } = (await server.call('GET', '/api/v1/organization')).body;
    expect((await server.call('GET', `/api/v1/agents/${digest}/signing-secret`)).status).toBe(404);
  });

  test('keeps its runs from workers elsewhere', async () => {
    const claim = await server.call('POST', '/api/v1/worker/claim', { as: yard.workerKey, body: { agents: [agent] } });
    expect([claim.status, claim.body.errors[0].path]).toEqual([400, '/agents/0']);
  });
});
