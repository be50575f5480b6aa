import { Client } from 'pg';
import { EmbeddedPostgres } from '../../src/database/embedded/index.js';
import { migrate } from '../../src/database/migrator.js';
import { migrations } from '../../src/database/migrations.js';

export const TEMPLATE_NAME = 'taskyard_template';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Starts a throw-away server and migrates the template. The data is worth nothing, so nothing waits for the disk. */
export async function startTemplate(folder: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const embedded = new EmbeddedPostgres({
    dataDir: folder,
    log: quiet,
    settings: { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '200' },
  });
  const { url } = await embedded.start();
  const admin = new Client({ connectionString: url });
  await admin.connect();
  await admin.query(`create database ${TEMPLATE_NAME}`);
  await admin.end();
  await migrate({ url: databaseUrl(url, TEMPLATE_NAME), migrations, onIdleError: () => undefined });
  return { url, stop: () => embedded.stop() };
}

/** The same server, another database. */
export function databaseUrl(url: string, name: string): string {
  return url.replace(/\/[^/?]+(\?|$)/, `/${name}$1`);
}
