import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { ActorLoader } from '../../src/modules/auth/index.js';
import { WorkerService } from '../../src/modules/runs/index.js';
import { type Lease, TestQueue } from '../support/queue.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let queue: TestQueue;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api' });
  queue = await TestQueue.make(server, 'small-appends');
}, 120_000);
afterAll(async () => {
  await server.stop();
});

async function leases(count: number): Promise<Lease[]> {
  for (let index = 0; index < count; index += 1) await queue.run();
  return queue.claim(count);
}

const append = (lease: Lease, texts: readonly string[], more: object = {}): Promise<Reply> =>
  queue.act(lease, 'events', { events: texts.map((text) => ({ type: 'log', data: { text } })), ...more });

async function logged(runId: string): Promise<{ seq: number; text: string }[]> {
  const { body } = await server.call('GET', `/api/v1/streams/${runId}/events?limit=100`);
  expect(body.data.map(({ seq }: { seq: number }) => seq)).toEqual(
    body.data.map((_: unknown, index: number) => index + 1),
  );
  return body.data
    .filter(({ type }: { type: string }) => type === 'log')
    .map(({ seq, data }: { seq: number; data: { text: string } }) => ({ seq, text: data.text }));
}

test('appends that arrive together share commits, and each keeps its row, its numbers, its lines and its answer', async () => {
  const held = await leases(4);
  const key = await server.database.row<{ organizationId: string; id: string }>(sql`
    select p.organization_id as "organizationId", p.id from principals p join runs r on r.claimed_by = p.id where r.id = ${held[0]?.runId}`);
  const actor = key === null ? null : await server.app.get(ActorLoader).load(key.organizationId, key.id);
  if (actor === null) throw new Error('somebody claimed them');
  let commits = 0;
  const observer = (text: string): void => {
    if (/insert into run_events/.test(text) && text.includes('batch_digest')) commits += 1;
  };
  server.database.observers.add(observer);
  // Handed to the service itself, in one turn of the event loop: over HTTP they would arrive together or not, as it happens.
  const sent = await Promise.all(
    Array.from({ length: 80 }, async (_, index) => {
      const lease = held[index % 4];
      if (lease === undefined) throw new Error('four runs were leased');
      const texts = [`${index} a`, `${index} b`];
      const reply = await server.app.get(WorkerService).append(actor, lease.runId, {
        fence: lease.fence,
        batch_id: `batch-${index}`,
        events: texts.map((text) => ({ type: 'log', data: { text } })),
      });
      return { index, lease, texts, reply };
    }),
  );
  server.database.observers.delete(observer);

  expect(commits).toBeLessThan(80);
  for (const lease of held) {
    const lines = await logged(lease.runId);
    expect(lines).toHaveLength(40);
    for (const { texts, reply } of sent.filter((one) => one.lease === lease)) {
      // The answer names the last of its own events, which stand side by side.
      expect(
        lines.filter(({ seq }) => seq > reply.last_seq - 2 && seq <= reply.last_seq).map(({ text }) => text),
      ).toEqual(texts);
    }
  }
  const rows = await server.database.rows<{ rows: string; ids: string; lines: string }>(sql`
    select count(*) as rows, count(distinct e.batch_id) as ids, (select count(*) from run_log_lines l where l.run_id = any(${held.map(({ runId }) => runId)}::uuid[])) as lines
    from run_events e where e.run_id = any(${held.map(({ runId }) => runId)}::uuid[]) and e.batch_id is not null`);
  expect(rows).toEqual([{ rows: '80', ids: '80', lines: '80' }]);
  // Sent again, each gets the answer it got.
  const again = await Promise.all(
    sent.map(({ index, lease, texts }) => append(lease, texts, { batch_id: `batch-${index}` })),
  );
  expect(again.map(({ body }) => body.last_seq)).toEqual(sent.map(({ reply }) => reply.last_seq));
});

test('a lost lease, a repeated batch and another text under its name are refused alone, whoever they arrived with', async () => {
  const held = await leases(3);
  const [good, lost, twice] = held;
  if (good === undefined || lost === undefined || twice === undefined) throw new Error('three runs were leased');
  await queue.pass(lost.runId, 3_600);
  const replies = await Promise.all([
    ...Array.from({ length: 10 }, (_, index) => append(good, [`good ${index}`])),
    ...Array.from({ length: 5 }, () => append(lost, ['lost'])),
    ...Array.from({ length: 5 }, () => append(twice, ['once'], { batch_id: 'the-same' })),
    append({ ...good, fence: twice.fence }, ['stolen']),
    append(twice, ['first text'], { batch_id: 'claimed' }),
    append(twice, ['other text'], { batch_id: 'claimed' }),
  ]);
  const codes = replies.map(({ status, body }) => (status === 200 ? 'ok' : body.code));

  expect(codes.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 'ok'));
  expect(codes.slice(10, 15)).toEqual(Array.from({ length: 5 }, () => 'lease-lost'));
  expect(codes.slice(15, 20)).toEqual(Array.from({ length: 5 }, () => 'ok'));
  expect(new Set(replies.slice(15, 20).map(({ body }) => body.last_seq)).size).toBe(1);
  expect(codes[20]).toBe('lease-lost');
  expect(codes.slice(21).sort()).toEqual(['batch-mismatch', 'ok']);
  expect((await logged(good.runId)).map(({ text }) => text).sort()).toEqual(
    Array.from({ length: 10 }, (_, index) => `good ${index}`),
  );
  expect((await logged(twice.runId)).filter(({ text }) => text === 'once')).toHaveLength(1);
  expect(await logged(lost.runId)).toEqual([]);
});
