import { sql } from '../../src/database/sql.js';
import type { TestServer } from './server.js';

export interface NamedFile {
  type: string;
  name: string;
  contentType: string;
  bytes: Buffer;
}

/** A link of the server's as this test reaches it. */
export function localLink(server: TestServer, url: string): string {
  return url.replace(/^https?:\/\/[^/]+/, server.url);
}

/** Announces an asset and sends its bytes. */
export async function uploadAsset(
  server: TestServer,
  taskId: string,
  { type, name, contentType, bytes }: NamedFile,
): Promise<string> {
  const body = { task_id: taskId, type, name, content_type: contentType, size: bytes.length };
  const announced = await server.call('POST', '/api/v1/assets', { body });
  if (announced.status !== 201) throw new Error(announced.text);
  const { url, headers } = announced.body.upload;
  const sent = await fetch(localLink(server, url), { method: 'PUT', body: bytes, headers });
  if (sent.status !== 200) throw new Error(await sent.text());
  return announced.body.asset.id;
}

/** The asset once nothing is done to it any more. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into replies of every shape
export async function settledAsset(server: TestServer, id: string): Promise<any> {
  for (;;) {
    const row = await server.database.row<{ job: string | null }>(sql`select job from assets where id = ${id}`);
    if (row?.job === null) {
      return (await server.call('GET', `/api/v1/assets/${id}`)).body;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The page that the asset's `embed` puts into a frame. */
export function embedLink(server: TestServer, asset: { embed: string }): string {
  return localLink(server, /src="([^"]+)"/.exec(asset.embed)?.[1]?.replaceAll('&amp;', '&') ?? '');
}
