/** What a stream tells where its log is no longer whole, and of clients whose cursors say that they begin. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { openSse, type SseReader } from '../support/sse-reader.js';
import { appendEvents, endRun, logEvents, type SeededRun, seedRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, startServer, type TestServer } from '../support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server.stop();
});

async function follow(run: SeededRun, query = '', headers: Record<string, string> = {}): Promise<SseReader> {
  return openSse(`${server.url}/api/v1/streams/${run.runId}${query}`, { as: BOOTSTRAP_KEY, headers });
}

/** What is there now, in the words of one format. */
async function download(path: string, format: string): Promise<string> {
  const headers = { authorization: `Bearer ${BOOTSTRAP_KEY}` };
  return (await fetch(`${server.url}/api/v1/${path}?format=${format}`, { headers })).text();
}

const eventsOf = (frames: { id: string | null; event: string | null }[]): string[] =>
  frames.filter((frame) => frame.event !== null).map((frame) => `${frame.id}:${frame.event}`);

describe('a stream', () => {
  test('a stream of which nothing is kept still says how the run ended, in every format', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(4));
    await endRun(server, run);
    await server.database
      .execute(sql`update runs set status = 'failed', error = '{"name": "Gone", "message": "It is gone."}'
      where id = ${run.runId}`);
    await server.database.execute(sql`delete from run_events where run_id = ${run.runId}`);
    const data = { status: 'failed', output: null, error: { name: 'Gone', message: 'It is gone.' } };

    const whole = await (await follow(run)).until(() => false);
    const late = await (await follow(run, '?after=3')).until(() => false);
    expect(whole.at(-1)).toMatchObject({ id: '5', event: 'end', data: { seq: 5, type: 'end', data } });
    expect(eventsOf(late)).toEqual(['5:gap', '5:end']);
    for (const path of [`streams/${run.runId}`, `tasks/${run.taskId}/stream`]) {
      const lines = await download(path, 'ndjson');
      const last = lines.trimEnd().split('\n').at(-1) ?? '';
      expect(JSON.parse(last)).toMatchObject({ seq: 5, type: 'end', data });
    }
    expect(await download(`streams/${run.runId}`, 'text')).toContain('end: failed\n          It is gone.');
  });

  test('what was deleted for its age is not told out of memory, whoever read it before', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(4));
    await endRun(server, run);
    await server.database.execute(sql`update runs set output = '{"secret": "a"}' where id = ${run.runId}`);
    await server.database
      .execute(sql`update run_events set events = jsonb_set(events, '{-1,data,output}', '{"secret": "a"}')
      where run_id = ${run.runId} and (events -> -1 ->> 'type') = 'end'`);
    const read = async (): Promise<string[]> =>
      Promise.all([`streams/${run.runId}`, `tasks/${run.taskId}/stream`].map((path) => download(path, 'ndjson')));
    const whole = await read();
    expect(await read()).toEqual(whole);
    expect(whole.map((text) => /line 1.*"secret":"a"/s.test(text))).toEqual([true, true]);

    await server.database.execute(sql`update runs set output = null where id = ${run.runId}`);
    await server.database.execute(sql`update run_events set events = jsonb_set(events, '{-1,data,output}', 'null')
      where run_id = ${run.runId} and (events -> -1 ->> 'type') = 'end'`);
    expect((await read()).map((text) => /line 1/.test(text) && !/secret/.test(text))).toEqual([true, true]);

    await server.database.execute(sql`delete from run_events where run_id = ${run.runId}`);
    expect((await read()).map((text) => /line 1/.test(text))).toEqual([false, false]);
  });

  test('every line end of Unicode is escaped, so that a frame is one line to every reader', async () => {
    const run = await seedRun(server);
    const text = 'a\u2028b\u2029c\u0085d';
    await appendEvents(server, run, [{ type: 'log', data: { text } }]);
    await endRun(server, run);
    for (const format of ['sse', 'ndjson']) {
      const reply = await download(`streams/${run.runId}`, format);
      expect(reply).not.toMatch(/[\u0085\u2028\u2029]/);
      expect(reply).toContain('a\\u2028b\\u2029c\\u0085d');
      const [json = ''] = /\{.*\}/.exec(reply) ?? [];
      expect(JSON.parse(json).data.text).toBe(text);
    }
  });

  test('a client that has seen nothing may say so by nothing or -1; a header that came twice counts once', async () => {
    const run = await seedRun(server);
    await appendEvents(server, run, logEvents(2));
    await endRun(server, run);
    const all = ['1:log', '2:log', '3:end'];
    for (const query of ['?after=', '?after=-1', '?last_seq=-1']) {
      expect(eventsOf(await (await follow(run, query)).until(() => false))).toEqual(all);
    }
    for (const header of ['', '-1', ' ', ',']) {
      const reader = await follow(run, '', { 'last-event-id': header });
      expect(eventsOf(await reader.until(() => false))).toEqual(all);
    }
    const empty = await follow(run, '?after=1', { 'last-event-id': '' });
    expect(eventsOf(await empty.until(() => false))).toEqual(all.slice(1));
    const twice = await follow(run, '', { 'last-event-id': '2, 2' });
    expect(eventsOf(await twice.until(() => false))).toEqual(all.slice(2));
    expect((await server.call('GET', `/api/v1/streams/${run.runId}/events?after=-1`)).body.data).toHaveLength(3);
  });
});
