import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { raw, sql } from '../../src/database/sql.js';
import { blobPrefix } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { TaskPurger } from '../../src/modules/tasks/index.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';
import { openSse } from '../support/sse-reader.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  await server.stop();
});

async function blobs(): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of server.app.get(BlobStore).list(blobPrefix())) {
    keys.push(key);
  }
  return keys;
}

/** A task that the builtin agent has run to its end, with the chart it left, of which the thumbnail is made: nothing more is written for it. */
async function digested(prompt: string): Promise<{ id: string; chart: string }> {
  const { body } = await server.call('POST', '/api/v1/tasks', { body: { prompt } });
  const stream = await openSse(`${server.url}/api/v1/streams/${body.stream.streamId}`, { as: BOOTSTRAP_KEY });
  await stream.until((frame) => frame.event === 'end');
  stream.close();
  const list = (): ReturnType<TestServer['call']> => server.call('GET', `/api/v1/assets?task_id=${body.task.id}`);
  let assets = await list();
  while (assets.body.data[0].thumbnail === null) {
    await setTimeout(100);
    assets = await list();
  }
  expect(assets.body.data).toMatchObject([{ type: 'image', status: 'ready' }]);
  return { id: body.task.id, chart: assets.body.data[0].url };
}

const bytesOf = (link: string): Promise<Response> => {
  const { pathname, search } = new URL(link);
  return fetch(`${server.url}${pathname}${search}`);
};

test('what a deleted task left is unreachable at once, and its bytes and rows are purged, and those of no other', async () => {
  const kept = await digested('The kept one stays. It has a chart. The chart stays too.');
  const before = await blobs();
  const gone = await digested('The other one goes. It has a chart. The chart goes too.');
  expect(await blobs()).toHaveLength(before.length + 2);
  expect((await bytesOf(gone.chart)).status).toBe(200);

  expect((await server.call('DELETE', `/api/v1/tasks/${gone.id}`)).status).toBe(204);
  expect((await bytesOf(gone.chart)).status).toBe(404);
  await server.app.get(TaskPurger).purge();

  expect(await blobs()).toEqual(before);
  expect((await bytesOf(kept.chart)).status).toBe(200);
  const rows = await server.database.row<{ tasks: number; assets: number }>(
    sql`select (select count(*) from tasks)::int as tasks, (select count(*) from assets)::int as assets`,
  );
  expect(rows).toEqual({ tasks: 1, assets: 1 });
  for (const table of ['run_attempts', 'run_events', 'run_log_lines']) {
    const left = await server.database.rows<{ taskId: string | null }>(
      sql`select distinct r.task_id as "taskId" from ${raw(table)} x left join runs r on r.organization_id = x.organization_id and r.id = x.run_id`,
    );
    expect(left).toEqual([{ taskId: kept.id }]);
  }
  expect(await server.database.rows(sql`select l.id, l.status from task_listing l`)).toEqual([
    { id: kept.id, status: 'completed' },
  ]);
});
