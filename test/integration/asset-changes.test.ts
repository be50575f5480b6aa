import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from '../../src/database/sql.js';
import { blobKey } from '../../src/infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../src/infrastructure/blob-store/blob-store.js';
import { unsafelySystemScope } from '../../src/access/index.js';
import { AssetJobsRepository } from '../../src/modules/assets/jobs/asset-jobs.repository.js';
import { AgentAtWork } from '../support/agent-at-work.js';
import { panorama, picture } from '../support/media.js';
import { firstOrganizationId } from '../support/seeds.js';
import { type Reply, startServer, type TestServer } from '../support/server.js';
import { localLink, settledAsset, uploadAsset } from '../support/assets.js';

let server: TestServer;
let taskId: string;
let organizationId: string;

beforeAll(async () => {
  server = await startServer();
  taskId = (await (await AgentAtWork.make(server, 'painter')).task()).taskId;
  organizationId = await firstOrganizationId(server);
});
afterAll(() => server.stop());

const add = (type: string, name: string, contentType: string, bytes: Buffer): Promise<string> =>
  uploadAsset(server, taskId, { type, name, contentType, bytes });
const patch = (id: string, body: object): Promise<Reply> => server.call('PATCH', `/api/v1/assets/${id}`, { body });
const again = (id: string): Promise<Reply> => server.call('POST', `/api/v1/assets/${id}/preview`);
const thumbnailTag = async (link: string): Promise<string | null> =>
  (await fetch(localLink(server, link), { method: 'HEAD' })).headers.get('etag');
const jobOf = async (id: string): Promise<{ job: string | null; due: Date | null } | null> =>
  server.database.row(sql`select job, job_due_at as due from assets where id = ${id}`);
const requestsTold = async (): Promise<number> => {
  const { body } = await server.call('GET', '/api/v1/audit-events?limit=100');
  return body.data.filter(({ route }: { route: string | null }) => route?.endsWith('/preview')).length;
};

test('a picture becomes a panorama and back: the bytes stay, the preview is made again, and its ETag changes', async () => {
  const id = await add('image', 'room.jpg', 'image/jpeg', await panorama(256));
  const before = await settledAsset(server, id);
  const tag = await thumbnailTag(before.thumbnail);
  const changed = await patch(id, { type: '360' });
  expect([changed.status, changed.body]).toMatchObject([
    200,
    { id, type: '360', content_type: 'image/jpeg', sha256: before.sha256, thumbnail: expect.any(String) },
  ]);
  const after = await settledAsset(server, id);
  expect(after).toMatchObject({ type: '360', metadata: { width: 256, height: 128 } });
  expect(await thumbnailTag(after.thumbnail)).not.toBe(tag);
  expect((await server.call('GET', `/api/v1/assets?type=360&task_id=${taskId}`)).body.data).toMatchObject([{ id }]);
  expect((await patch(id, { type: 'image' })).body).toMatchObject({ type: 'image' });
  await settledAsset(server, id);
});

test('a type that the bytes may not have is 422 and changes nothing, an unknown one is 400', async () => {
  const id = await add('image', 'a.png', 'image/png', await picture(32, 20, 'png'));
  const before = await settledAsset(server, id);
  for (const type of ['video', 'sound', 'voice', '3d']) {
    const refused = await patch(id, { type });
    expect([refused.status, refused.body.code, refused.body.detail]).toEqual([
      422,
      'content-mismatch',
      expect.stringContaining('image/png'),
    ]);
  }
  for (const body of [{}, { type: 'hologram' }, { type: null }, { type: 'image', size: 3 }]) {
    expect((await patch(id, body)).status).toBe(400);
  }
  const { url: _url, thumbnail: _thumbnail, embed: _embed, ...kept } = before;
  expect((await server.call('GET', `/api/v1/assets/${id}`)).body).toMatchObject(kept);
});

test('a file is checked again before it becomes a picture, and its content type is the one that was found', async () => {
  const [png, noise] = [await picture(32, 20, 'png'), Buffer.from([7, 1, 0, 255, 3, 9])];
  const good = await add('file', 'a.bin', 'image/png', png);
  await server.database.execute(sql`update assets set content_type = 'application/octet-stream' where id = ${good}`);
  const bad = await add('file', 'b.bin', 'application/octet-stream', noise);
  expect((await patch(good, { type: 'image' })).body).toMatchObject({ type: 'image', content_type: 'image/png' });
  expect(await settledAsset(server, good)).toMatchObject({
    thumbnail: expect.any(String),
    metadata: { width: 32, height: 20 },
  });
  expect((await patch(bad, { type: 'image' })).status).toBe(422);
});

test('as a file of no medium, an asset has no thumbnail, and none is left in the storage', async () => {
  const id = await add('image', 'a.png', 'image/png', await picture(32, 20, 'png'));
  expect((await settledAsset(server, id)).thumbnail).toEqual(expect.any(String));
  expect((await patch(id, { type: 'file' })).body).toMatchObject({ type: 'file', thumbnail: null, embed: null });
  await settledAsset(server, id);
  expect(await server.app.get(BlobStore).stat(blobKey(organizationId, id, 'thumbnail'))).toBeNull();
  const refused = await again(id);
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining('change the type first')]);
});

test('an asset whose bytes are not there yet can be neither changed nor previewed: 409', async () => {
  const body = { task_id: taskId, name: 'a.png', content_type: 'image/png', size: 9 };
  const { id } = (await server.call('POST', '/api/v1/assets', { body })).body.asset;
  expect([(await patch(id, { type: '360' })).status, (await again(id)).status]).toEqual([409, 409]);
});

test('a preview that failed is made again, and what was said of the failure goes', async () => {
  const id = await add('image', 'a.png', 'image/png', await picture(32, 20, 'png'));
  await settledAsset(server, id);
  await server.database.execute(
    sql`update assets set metadata = '{"preview": "it could not be decoded", "mine": 1}', thumbnail_bytes = 0 where id = ${id}`,
  );
  const reply = await again(id);
  expect([reply.status, reply.body.id]).toEqual([202, id]);
  const after = await settledAsset(server, id);
  expect(after.metadata).toEqual({ mine: 1, width: 32, height: 20, format: 'png' });
  expect(after.thumbnail).toEqual(expect.any(String));
  expect(await requestsTold()).toBeGreaterThan(0);
});

test('a preview that waits or is being made is not started twice, and the repeated request leaves no trace', async () => {
  const id = await add('image', 'a.png', 'image/png', await picture(32, 20, 'png'));
  await settledAsset(server, id);
  await server.database.execute(
    sql`update assets set job = 'preview', job_due_at = clock_timestamp() + interval '1 hour' where id = ${id}`,
  );
  const [before, told] = [await jobOf(id), await requestsTold()];
  const replies = await Promise.all([again(id), again(id), again(id)]);
  expect(replies.map(({ status }) => status)).toEqual([202, 202, 202]);
  expect([await jobOf(id), await requestsTold()]).toEqual([before, told]);
});

test('a preview under way for the old type is not kept, and one for the new type follows', async () => {
  const id = await add('image', 'room.jpg', 'image/jpeg', await panorama(256));
  await settledAsset(server, id);
  // As if another process had taken the job.
  await server.database.execute(
    sql`update assets set job = 'preview', job_due_at = clock_timestamp() + interval '1 hour' where id = ${id}`,
  );
  const taken = await jobOf(id);
  expect((await patch(id, { type: '360' })).status).toBe(200);
  expect(await jobOf(id)).toEqual(taken);
  const scope = unsafelySystemScope(organizationId, 'test');
  const job = { id, type: 'image', contentType: 'image/jpeg' } as const;
  const made = { thumbnailBytes: 9, metadata: { width: 1, stale: true } };
  expect(await server.app.get(AssetJobsRepository).previewed(scope, job, made, null)).toBe('changed');
  const after = await settledAsset(server, id);
  expect(after).toMatchObject({ type: '360', metadata: { width: 256 } });
  expect(after.metadata).not.toHaveProperty('stale');
});
