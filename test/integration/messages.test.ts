import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { unsafelySystemScope } from '../../src/access/index.js';
import { sql } from '../../src/database/sql.js';
import { newId } from '../../src/kernel/ids.js';
import {
  latestMessagesJson,
  type Message,
  MessagesService,
  messagesTotal,
  type NewMessage,
} from '../../src/modules/messages/index.js';
import { seedOrganization, type SeededRun, seedRun } from '../support/seeds.js';
import { startServer, type TestServer } from '../support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server.stop();
});

async function say(run: SeededRun, message: Partial<NewMessage> & { text?: string } = {}): Promise<Message> {
  const { text = 'hello', ...rest } = message;
  const scope = unsafelySystemScope(run.organizationId, 'a test speaks for a worker');
  return server.database.transaction((tx) =>
    server.app.get(MessagesService).append(tx, scope, {
      taskId: run.taskId,
      runId: run.runId,
      role: 'assistant',
      parts: [{ type: 'text', text }],
      ...rest,
    }),
  );
}

const textsOf = (messages: readonly Message[]): unknown[] =>
  messages.map((message) => message.parts.map((part) => (part.type === 'text' ? part.text : part.type)).join());

describe('messages', () => {
  test('a task’s messages are listed in the order they were said, each as it was said', async () => {
    const run = await seedRun(server);
    const first = await say(run, { text: 'one' });
    await say(run, { parts: [{ type: 'data', data: { deep: [1, null, 'x'] } }], role: 'tool', runId: null });
    const reply = await server.call('GET', `/api/v1/tasks/${run.taskId}/messages`);

    expect(reply.status).toBe(200);
    expect(reply.body.next_cursor).toBeNull();
    expect(reply.body.data).toEqual([
      {
        id: first.id,
        role: 'assistant',
        parts: [{ type: 'text', text: 'one' }],
        created_at: first.created_at,
        run_id: run.runId,
      },
      expect.objectContaining({
        role: 'tool',
        parts: [{ type: 'data', data: { deep: [1, null, 'x'] } }],
        run_id: null,
      }),
    ]);
  });

  test('pages follow one another without holes or repeats, in either order, whatever is said meanwhile', async () => {
    const run = await seedRun(server);
    for (const text of ['a', 'b', 'c', 'd', 'e']) {
      await say(run, { text });
    }
    const path = `/api/v1/tasks/${run.taskId}/messages`;
    const collect = async (sort: string): Promise<unknown[]> => {
      const seen: Message[] = [];
      let cursor = '';
      do {
        const page = await server.call('GET', `${path}?limit=2&sort=${sort}${cursor}`);
        seen.push(...page.body.data);
        cursor = page.body.next_cursor === null ? '' : `&cursor=${page.body.next_cursor}`;
        if (sort === '-created_at') {
          await say(run, { text: 'later' });
        }
      } while (cursor !== '');
      return textsOf(seen);
    };

    expect(await collect('created_at')).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await collect('-created_at')).toEqual(['e', 'd', 'c', 'b', 'a']);
  });

  test('a cursor serves the list it came from and no other', async () => {
    const [run, other] = [await seedRun(server), await seedRun(server)];
    await say(run);
    await say(run);
    const page = await server.call('GET', `/api/v1/tasks/${run.taskId}/messages?limit=1`);
    const cursor = page.body.next_cursor;
    const codes = [];
    for (const path of [
      `${other.taskId}/messages?limit=1&cursor=${cursor}`,
      `${run.taskId}/messages?sort=-created_at&cursor=${cursor}`,
      `${run.taskId}/messages?created_after=2020-01-01T00:00:00Z&cursor=${cursor}`,
      `${run.taskId}/messages?cursor=${cursor}x`,
      `${run.taskId}/messages?cursor=forged`,
    ]) {
      codes.push((await server.call('GET', `/api/v1/tasks/${path}`)).body.code);
    }
    expect(codes).toEqual(Array.from({ length: 5 }, () => 'invalid-cursor'));
  });

  test.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=1&limit=2',
    'sort=name',
    'order=asc',
    'created_after=yesterday',
    'cursor=',
  ])('the query %s is refused with 400', async (query) => {
    const run = await seedRun(server);
    expect((await server.call('GET', `/api/v1/tasks/${run.taskId}/messages?${query}`)).status).toBe(400);
  });

  test('the messages of another organisation’s task are not to be told from none at all', async () => {
    const foreign = await seedRun(server, { organizationId: await seedOrganization(server) });
    await say(foreign);
    const hidden = await server.call('GET', `/api/v1/tasks/${foreign.taskId}/messages`);
    const absent = await server.call('GET', `/api/v1/tasks/${newId()}/messages`);

    expect([hidden.status, absent.status]).toEqual([404, 404]);
    expect({ ...hidden.body, instance: '', request_id: '' }).toEqual({ ...absent.body, instance: '', request_id: '' });
  });

  test('a message sent again under its worker’s name for it is kept once, as it was first said', async () => {
    const run = await seedRun(server);
    const first = await say(run, { externalId: 'm1', text: 'first' });
    const again = await say(run, { externalId: 'm1', text: 'second' });
    await say(await seedRun(server), { externalId: 'm1' });
    const reply = await server.call('GET', `/api/v1/tasks/${run.taskId}/messages`);

    expect(again).toEqual(first);
    expect(textsOf(reply.body.data)).toEqual(['first']);
  });

  test('a file part names an asset of the same task, or nothing is kept', async () => {
    const [run, other] = [await seedRun(server), await seedRun(server)];
    const assetId = newId();
    await server.database
      .execute(sql`insert into assets (organization_id, id, task_id, name, type, content_type, status)
      values (${other.organizationId}, ${assetId}, ${other.taskId}, 'a', 'file', 'text/plain', 'pending')`);
    const parts = [{ type: 'file', asset_id: assetId, name: 'a', media_type: 'text/plain' }] as const;

    await expect(say(run, { parts })).rejects.toMatchObject({
      code: 'invalid-request',
      issues: [{ path: '/parts/0/asset_id' }],
    });
    expect((await say(other, { parts })).parts).toEqual(parts);
    expect((await server.call('GET', `/api/v1/tasks/${run.taskId}/messages`)).body.data).toEqual([]);
  });

  test('nothing is said to a task that is gone', async () => {
    const run = await seedRun(server);
    await server.database.execute(sql`update tasks set deleted_at = clock_timestamp() where id = ${run.taskId}`);

    await expect(say(run)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a detail’s messages are the newest, oldest first, beside the number of all', async () => {
    const run = await seedRun(server);
    for (const text of ['a', 'b', 'c', 'd']) {
      await say(run, { text });
    }
    const row = await server.database.row<{ latest: Message[]; total: string }>(
      sql`select ${latestMessagesJson('t', 2)} as latest, ${messagesTotal('t')} as total from tasks t where t.id = ${run.taskId}`,
    );

    expect(textsOf(row?.latest ?? [])).toEqual(['c', 'd']);
    expect(Number(row?.total)).toBe(4);
  });
});
