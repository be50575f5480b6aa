import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { seedRun } from '../support/seeds.js';
import { BOOTSTRAP_KEY, type Reply, startServer, type TestServer } from '../support/server.js';

let server: TestServer;
let taskId: string;

beforeAll(async () => {
  server = await startServer({ ROLE: 'api', ASSET_MAX_BYTES: '2000000' });
  ({ taskId } = await seedRun(server));
});
afterAll(() => server.stop());

/** Begins like a PNG, which is all that the first bytes say. */
const png = (bytes = 5000): Buffer =>
  Buffer.concat([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), randomBytes(bytes - 16)]);

describe('a form', () => {
  const form = (
    fields: Record<string, string>,
    file: Uint8Array | null,
    name = 'a.png',
    type = 'image/png',
  ): FormData => {
    const data = new FormData();
    Object.entries(fields).forEach(([key, value]) => data.append(key, value));
    if (file !== null) data.append('file', new Blob([file], { type }), name);
    return data;
  };
  const send = async (body: FormData | string, headers: Record<string, string> = {}): Promise<Reply> => {
    const reply = await fetch(`${server.url}/api/v1/assets/upload`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${BOOTSTRAP_KEY}`, ...headers },
    });
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, body: JSON.parse(text), text };
  };

  test('becomes an asset in one request', async () => {
    const bytes = png();
    const sent = await send(form({ task_id: taskId, type: '360' }, bytes));
    expect([sent.status, sent.body.type, sent.body.name, sent.body.sha256]).toEqual([
      201,
      '360',
      'a.png',
      createHash('sha256').update(bytes).digest('hex'),
    ]);
    expect(sent.headers.get('location')).toBe(`/api/v1/assets/${sent.body.id}`);
    // One request, one row: that it was announced and that it is here are the same.
    const told = await server.call('GET', `/api/v1/audit-events?object=${sent.body.id}&outcome=done`);
    expect(told.body.data.map(({ action }: { action: string }) => action)).toEqual(['asset.upload']);
    const blanks = { name: '', run_id: '', fence: '', type: '', content_type: '', size: '', sha256: '' };
    const blank = await send(form({ task_id: taskId, ...blanks }, png(), 'b.png'));
    expect([blank.status, blank.body.name, blank.body.type, blank.body.run_id]).toEqual([201, 'b.png', 'image', null]);
    const guessed = await send(
      form({ task_id: taskId }, Buffer.from('words'), 'words.txt', 'application/octet-stream'),
    );
    expect([guessed.status, guessed.body.content_type, guessed.body.type]).toEqual([201, 'text/plain', 'file']);
    const written = `--b\r\ncontent-disposition: form-data; name="task_id"\r\n\r\n${taskId}\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nwords\r\n--b--\r\n`;
    for (const parameters of ['charset=utf-8; boundary=b', 'charset="utf-8";boundary="b"']) {
      const type = `multipart/form-data; ${parameters}`;
      expect([type, (await send(written, { 'content-type': type })).status]).toEqual([type, 201]);
    }
  });

  test('whose file comes first is told to send the fields first', async () => {
    const data = new FormData();
    data.append('file', new Blob([png()], { type: 'image/png' }), 'a.png');
    data.append('task_id', taskId);
    const sent = await send(data);
    expect([sent.status, sent.body.errors]).toEqual([
      400,
      [{ path: '/task_id', message: expect.stringContaining('Send the fields first, then the file.') }],
    ]);
  });

  test('that is wrong is refused, and leaves nothing', async () => {
    const boundary = { 'content-type': 'multipart/form-data; boundary=b' };
    const before = await server.database.row(sql`select count(*)::int as count from assets`);
    const late = `--b\r\ncontent-disposition: form-data; name="task_id"\r\n\r\n${taskId}\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\nwords\r\n--b\r\ncontent-disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n`;
    const replies = [
      await send(form({ task_id: taskId }, png(), '../a.png')),
      await send(form({ task_id: taskId }, null)),
      await send(form({}, png())),
      await send(form({ task_id: taskId, colour: 'red' }, png())),
      await send(form({ task_id: taskId, sha256: 'a'.repeat(64) }, png())),
      await send(form({ task_id: taskId, size: '1' }, png())),
      await send(form({ task_id: taskId }, Buffer.from('<html>'))),
      await send(form({ task_id: taskId }, png(2_000_001))),
      await send(late, boundary),
      await send(late.slice(0, -30), boundary),
      await send(form({ task_id: taskId, fence: '1.x' }, png())),
      await send(form({ task_id: taskId }, png()), { 'idempotency-key': 'once' }),
      await send('--b', boundary),
      await send('{}', { 'content-type': 'application/json' }),
      await send('x', { 'content-type': 'multipart/form-data' }),
    ];
    expect(replies.map(({ status }) => status)).toEqual([
      400, 400, 400, 400, 422, 422, 422, 413, 400, 400, 400, 400, 400, 415, 415,
    ]);
    expect(await server.database.row(sql`select count(*)::int as count from assets`)).toEqual(before);
  });
});
