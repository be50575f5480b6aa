/** The short form of changing the root key under fire (`npm run soak -- secrets` is the long one). */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { cloneDatabase } from '../support/databases.js';
import { NAMES_PER_AGENT, rotateUnderFire } from './secrets-rotation.js';

const seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const more = Number(process.env['FAULTS_SECRETS'] ?? 1);

test(`no secret is lost, left under the old root key or seen in the clear while the key changes and processes are killed (seed ${seed})`, async () => {
  const database = await cloneDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'taskyard-rotation-'));
  // An organisation has at most a thousand secrets: twenty agents with fifty each.
  const agents = Math.min(2 * more, 20);
  const report = await rotateUnderFire({
    databaseUrl: database.url,
    folder,
    seed,
    agents,
    operations: 500 * more - 2 * agents * NAMES_PER_AGENT,
    kills: more === 1 ? 3 : 20,
  });
  await database.drop();
  await rm(folder, { recursive: true, force: true });
  expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
  expect(report.operations).toBeGreaterThanOrEqual(500 * more);
}, 1_200_000);
