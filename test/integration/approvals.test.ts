import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { makeYard, type Yard } from '../support/actors.js';
import { AgentAtWork, type Claimed } from '../support/agent-at-work.js';
import { type Credential, type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let yard: Yard;
let agent: AgentAtWork;
let serial = 0;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  yard = await makeYard(server);
});

afterAll(() => server.stop());

beforeEach(async () => {
  serial += 1;
  agent = await AgentAtWork.make(server, `actor-${serial}`);
});

const CALL = { id: 'call/1', name: 'send_mail', input: { to: 'a@b.example' }, requires_approval: true };

async function atWork(more: object = {}): Promise<Claimed & { taskId: string }> {
  const { taskId } = await agent.task({ run_config: { auto_execute: false }, ...more });
  return { ...(await agent.claim()), taskId };
}

function call(lease: Claimed, batchId?: string): Promise<Reply> {
  return agent.act(lease, 'events', {
    events: [
      { type: 'message', data: { role: 'assistant', parts: [{ type: 'text', text: 'I want to send it.' }] } },
      { type: 'tool_call', data: CALL },
    ],
    ...(batchId === undefined ? {} : { batch_id: batchId }),
  });
}

function decide(runId: string, body: object, as?: Credential, callId = CALL.id): Promise<Reply> {
  return server.call('POST', `/api/v1/runs/${runId}/approvals/${encodeURIComponent(callId)}`, {
    body,
    ...(as === undefined ? {} : { as }),
  });
}

describe('a tool call that requires approval', () => {
  test('parks a run that does not act by itself, and the decision goes to the next worker', async () => {
    const lease = await atWork();
    const { runId, taskId } = lease;
    expect((await call(lease)).body).toEqual({ last_seq: 4, cancel_requested: false, waiting: true });
    const run = await agent.run(runId);
    expect(run).toMatchObject({
      status: 'waiting',
      wait_kind: 'approval',
      question: null,
      approval: { call_id: CALL.id, name: CALL.name, input: CALL.input, asked_at: expect.any(String) },
      waiting_for: { reason: 'approval' },
    });
    expect((await agent.act(lease, 'heartbeat')).body.code).toBe('lease-lost');
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('waiting');
    const inbox = await server.call('GET', `/api/v1/runs?status=waiting&wait_kind=approval&agent=${agent.slug}`);
    expect(inbox.body.data.map(({ id }: { id: string }) => id)).toEqual([runId]);

    const decided = await decide(runId, { decision: 'decline', reason: 'Not today.' });
    expect([decided.status, decided.body.status, decided.body.approval]).toEqual([200, 'queued', null]);
    const next = await agent.claim();
    const approval = { call_id: CALL.id, decision: 'decline', reason: 'Not today.', by: expect.any(String) };
    expect(next.claimed.resume).toEqual({ approval });
    expect(next.claimed.run.attempt).toBe(1);
    const events = await agent.events(runId);
    expect(events.map((event) => event.type)).toEqual([
      'status',
      'status',
      'message',
      'tool_call',
      'status',
      'answer',
      'status',
      'status',
    ]);
    expect(events[3]?.data).toEqual(CALL);
    expect(events[5]?.data).toMatchObject({ question_id: CALL.id, decision: 'decline', reason: 'Not today.' });
    expect(
      (await agent.act(next, 'events', { events: [{ type: 'tool_result', data: { id: CALL.id, is_error: true } }] }))
        .status,
    ).toBe(200);
    expect((await agent.act(next, 'complete', { output: {} })).status).toBe(200);
  });

  test('passes through where the run acts by itself', async () => {
    await agent.task();
    const lease = await agent.claim();
    expect((await call(lease)).body).toEqual({ last_seq: 4, cancel_requested: false });
    expect((await agent.act(lease, 'complete', { output: {} })).status).toBe(200);
  });

  test('and one that does not: the run goes on', async () => {
    const lease = await atWork();
    const reply = await agent.act(lease, 'events', {
      events: [{ type: 'tool_call', data: { ...CALL, requires_approval: false } }],
    });
    expect(reply.body).toEqual({ last_seq: 3, cancel_requested: false });
    expect((await agent.act(lease, 'heartbeat')).status).toBe(200);
  });

  test('sent again after a lost reply gets the same answer, before and after the decision', async () => {
    const lease = await atWork();
    const first = await call(lease, 'one');
    expect((await call(lease, 'one')).body).toEqual(first.body);
    await decide(lease.runId, { decision: 'approve' });
    expect((await call(lease, 'one')).body).toEqual(first.body);
    expect((await agent.events(lease.runId)).filter((event) => event.type === 'tool_call')).toHaveLength(1);
  });

  test('sent by eight at once parks the run once', async () => {
    const lease = await atWork();
    const replies = await Promise.all(Array.from({ length: 8 }, () => call(lease, 'race')));
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.text}`)).size).toBe(1);
    expect((await agent.events(lease.runId)).map((event) => event.type)).toEqual([
      'status',
      'status',
      'message',
      'tool_call',
      'status',
    ]);
  });

  test('comes one to a batch', async () => {
    const lease = await atWork();
    const reply = await agent.act(lease, 'events', {
      events: [
        { type: 'tool_call', data: CALL },
        { type: 'tool_call', data: { ...CALL, id: 'call/2' } },
      ],
    });
    expect([reply.status, reply.body.errors[0].path]).toEqual([400, '/events/1/data/requires_approval']);
    expect((await agent.act(lease, 'heartbeat')).status).toBe(200);
  });

  test('is refused where the run was asked to stop', async () => {
    const lease = await atWork();
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    expect((await call(lease)).body.code).toBe('conflict');
    expect((await agent.act(lease, 'canceled')).status).toBe(200);
  });
});

describe('a decision', () => {
  test('of sixteen at once is one', async () => {
    const lease = await atWork();
    await call(lease);
    const replies = await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        decide(lease.runId, { decision: index % 2 === 0 ? 'approve' : 'decline' }),
      ),
    );
    expect(replies.map((reply) => `${reply.status} ${reply.body.code ?? ''}`).sort()).toEqual([
      '200 ',
      ...Array.from({ length: 15 }, () => '409 not-waiting'),
    ]);
    expect((await agent.events(lease.runId)).filter((event) => event.type === 'answer')).toHaveLength(1);
  });

  test('is on the very call, and on a run that waits with one', async () => {
    const lease = await atWork();
    expect((await decide(lease.runId, { decision: 'approve' })).body.code).toBe('not-waiting');
    await call(lease);
    expect((await decide(lease.runId, { decision: 'approve' }, undefined, 'another')).body.code).toBe('not-waiting');
    const answer = await server.call('POST', `/api/v1/runs/${lease.runId}/answer`, { body: { text: 'approve' } });
    expect(answer.body.code).toBe('not-waiting');
    await server.call('POST', `/api/v1/runs/${lease.runId}/cancel`);
    expect((await decide(lease.runId, { decision: 'approve' })).body.code).toBe('run-ended');
  });

  test.each([
    [{}],
    [{ decision: 'maybe' }],
    [{ decision: 'approve', reason: '' }],
    [{ decision: 'approve', by: 'me' }],
  ])('that says %j is refused', async (body) => {
    const lease = await atWork();
    await call(lease);
    expect((await decide(lease.runId, body)).status).toBe(400);
    expect((await decide(lease.runId, { decision: 'approve' })).status).toBe(200);
  });

  test('takes the right to contribute', async () => {
    const lease = await atWork({ team_id: yard.teams.red });
    await call(lease);
    expect((await decide(lease.runId, { decision: 'approve' }, yard.member.token)).status).toBe(403);
    expect((await decide(lease.runId, { decision: 'approve' }, yard.outsider.token)).status).toBe(404);
    expect((await decide(lease.runId, { decision: 'approve' }, yard.maintainer.token)).status).toBe(200);
  });
});
