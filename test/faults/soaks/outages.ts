import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EmbeddedPostgres } from '../../../src/database/embedded/index.js';
import { buildInto } from '../../support/build.js';
import { runOutages } from '../outages/outages.js';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** `npm run soak -- outages --events 50000 --kills 100`; true where nothing was violated. */
export async function soak(args: string[], say: (sentence: string) => void): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: {
      events: { type: 'string', default: '50000' },
      kills: { type: 'string', default: '100' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    },
  });
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-soak-'));
  // The database's user has to walk there where this is root.
  await chmod(folder, 0o755);
  const built = join(folder, 'built');
  await mkdir(built);
  await buildInto(built, process.cwd());
  process.env['TEST_BUILD'] = built;
  const database = new EmbeddedPostgres({ dataDir: join(folder, 'data'), log: quiet });
  try {
    const { url } = await database.start();
    const { events, kills, seed } = values;
    const report = await runOutages({
      seed: Number(seed),
      databaseUrl: url,
      events: Number(events),
      kills: Number(kills),
      say,
    });
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return report.violations.length === 0 && report.duplicates < report.messages / 100;
  } finally {
    await database.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
