import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { LeaseRescuer } from '../../src/modules/runs/index.js';
import { sql } from '../../src/database/sql.js';
import { AgentAtWork, type Claimed } from '../support/agent-at-work.js';
import { makeYard, type Yard } from '../support/actors.js';
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
  agent = await AgentAtWork.make(server, `asker-${serial}`);
});

async function asked(
  question: object = {},
  task: object = {},
): Promise<Claimed & { taskId: string; questionId: string }> {
  const { taskId } = await agent.task(task);
  const lease = await agent.claim();
  const reply = await agent.act(lease, 'ask', { question: 'Publish it?', ...question });
  expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  return { ...lease, taskId, questionId: reply.body.question_id };
}

function answer(runId: string, body: object, as?: Credential): Promise<Reply> {
  return server.call('POST', `/api/v1/runs/${runId}/answer`, { body, ...(as === undefined ? {} : { as }) });
}

async function letItRunOut(runId: string): Promise<void> {
  await server.database.execute(
    sql`update runs set wait_due_at = clock_timestamp() - interval '1 second' where id = ${runId}`,
  );
}

describe('a question', () => {
  test('parks the run without a lease, in its log, its messages and the inbox, and costs no attempt', async () => {
    const { runId, taskId, questionId, fence } = await asked({
      options: ['yes', 'no'],
      timeout_seconds: 600,
      default: 'no',
    });
    const run = await agent.run(runId);
    expect(run).toMatchObject({
      status: 'waiting',
      wait_kind: 'question',
      attempt: 1,
      question: {
        id: questionId,
        question: 'Publish it?',
        options: ['yes', 'no'],
        default: 'no',
        assignee_id: null,
        due_at: expect.any(String),
      },
      approval: null,
    });
    expect(run.waiting_for).toMatchObject({ reason: 'question' });
    const events = await agent.events(runId);
    expect(events.slice(-2)).toMatchObject([
      {
        type: 'question',
        data: {
          id: questionId,
          question: 'Publish it?',
          options: ['yes', 'no'],
          default: 'no',
          due_at: run.question.due_at,
        },
      },
      { type: 'status', data: { status: 'waiting', attempt: 1 } },
    ]);
    const task = (await server.call('GET', `/api/v1/tasks/${taskId}`)).body;
    expect(task.task.status).toBe('waiting');
    expect(task.messages.at(-1)).toMatchObject({
      role: 'assistant',
      parts: [{ type: 'text', text: 'Publish it?' }, { type: 'data' }],
    });
    expect((await agent.act({ runId, fence }, 'heartbeat')).body.code).toBe('lease-lost');
    expect(await agent.claimAll()).toEqual([]);

    expect((await answer(runId, { question_id: questionId, text: 'yes' })).body).toMatchObject({
      id: runId,
      status: 'queued',
      question: null,
    });
    const again = await agent.claim();
    expect(again.claimed.run).toMatchObject({ id: runId, attempt: 1 });
    expect(again.claimed.resume).toEqual({
      answer: {
        question_id: questionId,
        question: 'Publish it?',
        parts: [{ type: 'text', text: 'yes' }],
        by: expect.any(String),
      },
    });
    expect(again.claimed.messages.at(-1)).toMatchObject({
      role: 'user',
      parts: [{ type: 'text', text: 'yes' }],
      run_id: runId,
    });
    expect((await agent.events(runId)).slice(-3)).toMatchObject([
      {
        type: 'answer',
        data: { question_id: questionId, parts: [{ type: 'text', text: 'yes' }], by: expect.any(String) },
      },
      { type: 'status', data: { status: 'queued' } },
      { type: 'status', data: { status: 'running', attempt: 1 } },
    ]);
    expect((await agent.act(again, 'complete', { output: {} })).status).toBe(200);
    expect((await agent.run(runId)).attempts).toHaveLength(1);
  });

  test('is told with every claim until the run waits again', async () => {
    const { runId } = await asked();
    await answer(runId, { text: 'first' });
    const second = await agent.claim();
    await agent.act(second, 'release');
    const third = await agent.claim();
    expect(third.claimed.resume).toEqual(second.claimed.resume);
    await agent.act(third, 'ask', { question: 'And now?' });
    await answer(runId, { parts: [{ type: 'data', data: { n: 1 } }] });
    const fourth = await agent.claim();
    expect(fourth.claimed.resume.answer).toMatchObject({
      question: 'And now?',
      parts: [{ type: 'data', data: { n: 1 } }],
    });
  });

  test('asked again after a lost reply gets the same answer', async () => {
    await agent.task();
    const lease = await agent.claim();
    const ask = () => agent.act(lease, 'ask', { question: 'Sure?', timeout_seconds: 60 });
    const first = await ask();
    const again = await ask();
    expect([again.status, again.body]).toEqual([200, first.body]);
    expect((await agent.events(lease.runId)).filter((event) => event.type === 'question')).toHaveLength(1);
    await answer(lease.runId, { text: 'yes' });
    expect((await ask()).body).toEqual(first.body);
  });

  test('takes one of its options, word for word', async () => {
    const { runId } = await asked({ options: ['red', 'blue'] });
    const other = await answer(runId, { text: 'green' });
    expect([other.status, other.body.errors[0].message]).toEqual([400, 'must be one of the options: "red", "blue"']);
    const parts = await answer(runId, {
      parts: [
        { type: 'text', text: 'red' },
        { type: 'text', text: 'blue' },
      ],
    });
    expect(parts.status).toBe(400);
    expect((await answer(runId, { text: 'blue' })).status).toBe(200);
  });

  test('of sixteen answers at once takes one, and the others are told', async () => {
    const { runId } = await asked();
    const replies = await Promise.all(
      Array.from({ length: 16 }, (_, index) => answer(runId, { text: `answer ${index}` })),
    );
    const codes = replies.map((reply) => `${reply.status} ${reply.body.code ?? reply.body.status}`).sort();
    expect(codes).toEqual(['200 queued', ...Array.from({ length: 15 }, () => '409 not-waiting')]);
    expect((await agent.events(runId)).filter((event) => event.type === 'answer')).toHaveLength(1);
    const { claimed } = await agent.claim();
    const winner = replies.findIndex((reply) => reply.status === 200);
    expect(claimed.resume.answer.parts).toEqual([{ type: 'text', text: `answer ${winner}` }]);
    expect(claimed.messages.filter((message: { role: string }) => message.role === 'user')).toHaveLength(2);
  });

  test('answered, canceled and out of time at once has one outcome, and the log agrees', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { runId } = await asked({ timeout_seconds: 60 });
      const [said, canceled] = await Promise.all([
        answer(runId, { text: 'yes' }),
        server.call('POST', `/api/v1/runs/${runId}/cancel`),
        letItRunOut(runId).then(() => server.app.get(LeaseRescuer).sweep()),
      ]);
      const run = await agent.run(runId);
      const types = (await agent.events(runId)).map((event) => event.type);
      expect(types.filter((type) => type === 'end')).toHaveLength(run.status === 'queued' ? 0 : 1);
      expect(types.filter((type) => type === 'answer')).toHaveLength(said.status === 200 ? 1 : 0);
      if (run.status === 'failed') {
        expect([said.status, canceled.status, run.error.name]).toEqual([409, 409, 'QuestionTimedOut']);
      } else {
        // A cancel that came after the answer found the run in the queue.
        expect([canceled.status, run.status]).toEqual([200, 'canceled']);
      }
    }
  });

  test('with another id than the one that is open is not answered', async () => {
    const { runId, questionId } = await asked();
    expect((await answer(runId, { question_id: runId, text: 'yes' })).body.code).toBe('not-waiting');
    expect((await answer(runId, { question_id: questionId, text: 'yes' })).status).toBe(200);
    const second = await answer(runId, { question_id: questionId, text: 'no' });
    expect([second.status, second.body.code]).toEqual([409, 'not-waiting']);
    const lease = await agent.claim();
    await agent.act(lease, 'complete', { output: {} });
    expect((await answer(runId, { text: 'late' })).body.code).toBe('run-ended');
  });

  test('of a run that may not ask is refused, and the run lives on', async () => {
    await agent.task({ run_config: { ask_question: false } });
    const lease = await agent.claim();
    const refused = await agent.act(lease, 'ask', { question: 'May I?' });
    expect([refused.status, refused.body.code]).toEqual([409, 'asking-not-allowed']);
    expect((await agent.act(lease, 'complete', { output: {} })).status).toBe(200);
  });

  test('of a run that was asked to stop is refused, so that the wish is not lost', async () => {
    const { runId } = await agent.task();
    const lease = await agent.claim();
    await server.call('POST', `/api/v1/runs/${runId}/cancel`);
    expect((await agent.act(lease, 'ask', { question: 'May I?' })).body.code).toBe('conflict');
    expect((await agent.act(lease, 'canceled')).status).toBe(200);
  });

  test('and a cancel that races it: the run ends, or its worker is told to end it', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { runId } = await agent.task();
      const lease = await agent.claim();
      const [ask, cancel] = await Promise.all([
        agent.act(lease, 'ask', { question: 'May I?' }),
        server.call('POST', `/api/v1/runs/${runId}/cancel`),
      ]);
      const run = await agent.run(runId);
      expect([ask.status, cancel.status, run.status]).toEqual(
        ask.status === 200 ? [200, 200, 'canceled'] : [409, 202, 'running'],
      );
      if (run.status === 'running') {
        expect((await agent.act(lease, 'heartbeat')).body.cancel_requested).toBe(true);
      }
    }
  });

  test.each([
    ['no question', { question: '' }],
    ['options that repeat', { options: ['a', 'a'] }],
    ['no options at all', { options: [] }],
    ['a default that is no option', { options: ['a'], default: 'b' }],
    ['no time', { timeout_seconds: 0 }],
    ['more than thirty days', { timeout_seconds: 2_592_001 }],
    ['an assignee that is nobody', { assignee_id: '0190a5c8-7a00-7000-8000-000000000001' }],
    ['an unknown key', { urgent: true }],
  ])('with %s is refused whole', async (_, body) => {
    await agent.task();
    const lease = await agent.claim();
    expect((await agent.act(lease, 'ask', { question: 'Well?', ...body })).status).toBe(400);
    expect((await agent.act(lease, 'complete', { output: {} })).status).toBe(200);
  });
});

describe('a question that runs out of time', () => {
  test('is answered with its default, by nobody', async () => {
    const { runId, questionId } = await asked({ timeout_seconds: 60, default: 'go ahead' });
    await letItRunOut(runId);
    expect((await answer(runId, { text: 'too late' })).body.code).toBe('not-waiting');
    await Promise.all([server.app.get(LeaseRescuer).sweep(), server.app.get(LeaseRescuer).sweep()]);
    const { claimed } = await agent.claim();
    expect(claimed.resume.answer).toEqual({
      question_id: questionId,
      question: 'Publish it?',
      parts: [{ type: 'text', text: 'go ahead' }],
      by: null,
    });
    expect(claimed.messages.at(-1)).toMatchObject({ role: 'user', parts: [{ type: 'text', text: 'go ahead' }] });
    expect((await agent.events(runId)).filter((event) => event.type === 'answer')).toHaveLength(1);
  });

  test('fails the run where it has no default', async () => {
    const { runId, taskId } = await asked({ timeout_seconds: 60 });
    await letItRunOut(runId);
    await server.app.get(LeaseRescuer).sweep();
    const run = await agent.run(runId);
    expect(run).toMatchObject({
      status: 'failed',
      wait_kind: null,
      error: { name: 'QuestionTimedOut' },
      question: null,
    });
    expect(run.attempts).toMatchObject([{ status: 'failed', error: { name: 'QuestionTimedOut' } }]);
    expect((await agent.events(runId)).at(-1)).toMatchObject({ type: 'end', data: { status: 'failed' } });
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`)).body.task.status).toBe('failed');
  });

  test('does not before its time', async () => {
    const { runId } = await asked({ timeout_seconds: 3600 });
    await server.app.get(LeaseRescuer).sweep();
    expect((await agent.run(runId)).status).toBe('waiting');
  });
});

describe('a message to a task', () => {
  test('answers the run that waits, and starts none', async () => {
    const { runId, taskId } = await asked();
    const said = await server.call('POST', `/api/v1/tasks/${taskId}/messages`, { body: { text: 'Yes.' } });
    expect([said.status, said.body.run_id]).toEqual([201, runId]);
    const { claimed } = await agent.claim();
    expect(claimed.resume.answer.parts).toEqual([{ type: 'text', text: 'Yes.' }]);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}/runs`)).body.data).toHaveLength(1);
  });

  test('starts a run where none waits', async () => {
    const { runId, taskId } = await asked();
    await answer(runId, { text: 'Yes.' });
    const said = await server.call('POST', `/api/v1/tasks/${taskId}/messages`, { body: { text: 'More.' } });
    expect(said.body.run_id).not.toBe(runId);
  });
});

describe('whoever is asked', () => {
  test('may read the task and give that one answer while the question is open, and nothing else, nor afterwards', async () => {
    const { outsider, member } = yard;
    const { runId, taskId, questionId } = await asked({ assignee_id: outsider.id });
    const as = outsider.token;
    for (const path of [
      `/tasks/${taskId}`,
      `/runs/${runId}`,
      `/streams/${runId}/events`,
      `/tasks/${taskId}/messages`,
    ]) {
      expect([path, (await server.call('GET', `/api/v1${path}`, { as })).status]).toEqual([path, 200]);
      expect([path, (await server.call('GET', `/api/v1${path}`, { as: member.token })).status]).toEqual([path, 404]);
    }
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`, { as })).body.read_only).toBe(true);
    expect((await server.call('PATCH', `/api/v1/tasks/${taskId}`, { as, body: { title: 'Mine' } })).status).toBe(403);
    expect((await server.call('POST', `/api/v1/runs/${runId}/cancel`, { as })).status).toBe(403);
    expect((await server.call('POST', `/api/v1/runs/${runId}/replay`, { as })).status).toBe(403);
    expect((await answer(runId, { text: 'Not mine.' }, member.token)).status).toBe(404);

    const mine = await server.call('GET', '/api/v1/runs?status=waiting&assignee=me', { as });
    expect(mine.body.data.map(({ id }: { id: string }) => id)).toEqual([runId]);
    const answered = await answer(runId, { question_id: questionId, text: 'Fine.' }, as);
    expect([answered.status, answered.body.status]).toEqual([200, 'queued']);
    expect((await server.call('GET', `/api/v1/tasks/${taskId}`, { as })).status).toBe(404);
    const { claimed } = await agent.claim();
    expect(claimed.resume.answer.by).toBe(outsider.id);
  });

  test('may answer by a message to the task too', async () => {
    const { runId, taskId } = await asked({ assignee_id: yard.outsider.id });
    const said = await server.call('POST', `/api/v1/tasks/${taskId}/messages`, {
      as: yard.outsider.token,
      body: { text: 'Yes.' },
    });
    expect([said.status, said.body.run_id]).toEqual([201, runId]);
  });

  test('and is a viewer of the organization may read, and not answer', async () => {
    const { runId } = await asked({ assignee_id: yard.viewer.id });
    expect((await server.call('GET', `/api/v1/runs/${runId}`, { as: yard.viewer.token })).status).toBe(200);
    expect((await answer(runId, { text: 'Yes.' }, yard.viewer.token)).status).toBe(403);
  });

  test('a reader of the task who was not asked may not answer', async () => {
    const { runId } = await asked({ assignee_id: yard.outsider.id }, { team_id: yard.teams.red });
    expect((await answer(runId, { text: 'Yes.' }, yard.member.token)).status).toBe(403);
    expect((await answer(runId, { text: 'Yes.' }, yard.maintainer.token)).status).toBe(200);
    expect((await answer(runId, { text: 'Yes.' }, yard.stranger.token)).status).toBe(404);
  });
});

describe('the inbox', () => {
  test('is filtered by kind, team, assignee and time', async () => {
    const red = await asked({ timeout_seconds: 60, assignee_id: yard.member.id }, { team_id: yard.teams.red });
    const blue = await asked({ timeout_seconds: 7200 }, { team_id: yard.teams.blue });
    const open = await asked();
    const inbox = async (filter: string): Promise<string[]> => {
      const reply = await server.call('GET', `/api/v1/runs?status=waiting&agent=${agent.slug}&${filter}`);
      expect([filter, reply.status]).toEqual([filter, 200]);
      return reply.body.data.map(({ id }: { id: string }) => id);
    };
    expect(await inbox('wait_kind=question')).toEqual([open.runId, blue.runId, red.runId]);
    expect(await inbox('wait_kind=approval')).toEqual([]);
    expect(await inbox(`team_id=${yard.teams.red}`)).toEqual([red.runId]);
    expect(await inbox(`assignee=${yard.member.id}`)).toEqual([red.runId]);
    expect(await inbox('assignee=me')).toEqual([]);
    const inAnHour = new Date(Date.parse((await agent.run(red.runId)).question.asked_at) + 3_600_000).toISOString();
    expect(await inbox(`due_before=${inAnHour}`)).toEqual([red.runId]);
    for (const bad of ['assignee=somebody', 'due_before=soon', 'team_id=red', 'wait_kind=lunch']) {
      expect([bad, (await server.call('GET', `/api/v1/runs?${bad}`)).status]).toEqual([bad, 400]);
    }
  });
});
