// One real PostgreSQL for the whole run, with one migrated template that each test server clones.
import { mkdtemp } from 'node:fs/promises';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

register('./typescript-hooks.mjs', import.meta.url);

export default async function globalSetup() {
  const { startTemplate } = await import('./template-database.ts');
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-test-'));
  const template = await startTemplate(folder);
  process.env.TEST_POSTGRES_URL = template.url;
  process.env.TEST_FOLDER = folder;
  globalThis.__taskyardTemplate = template;
}
