// One real PostgreSQL for the whole run, with one migrated template that each test server clones; and the project built once, for the
// tests that start processes.
import { chmod, mkdir, mkdtemp } from 'node:fs/promises';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

register('./typescript-hooks.mjs', import.meta.url);

export default async function globalSetup() {
  const { startTemplate } = await import('./template-database.ts');
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-test-'));
  // Made 0700, where the database's user could not walk if this is root, and its cluster would be put elsewhere, to stay there.
  await chmod(folder, 0o755);
  const { buildInto } = await import('./build.ts');
  const built = join(folder, 'built');
  await mkdir(built);
  await buildInto(built, process.cwd());
  process.env.TEST_BUILD = built;
  const template = await startTemplate(folder);
  process.env.TEST_POSTGRES_URL = template.url;
  process.env.TEST_FOLDER = folder;
  globalThis.__taskyardTemplate = template;
}
