/** The short form; `npm run soak -- outages` sends 50,000 messages through 100 kills. A failure prints the seed to draw the same with. */
import { expect, test } from '@jest/globals';
import { cloneDatabase } from '../support/databases.js';
import { runOutages } from './outages/outages.js';

const seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1_000_000));

test(`every message is accepted once the receiver is well, hardly any twice, whatever it did and who was killed (seed ${seed})`, async () => {
  const database = await cloneDatabase();
  const report = await runOutages({ seed, databaseUrl: database.url, events: 2_000, kills: 2 });
  await database.drop();
  expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
  expect(report).toMatchObject({ messages: 2_001, kills: 2 });
  expect(report.duplicates).toBeLessThan(report.messages / 100);
  // Else nothing would have been proved.
  expect(report.requests).toBeGreaterThan(report.accepted);
  expect(Object.keys(report.answers).length).toBeGreaterThanOrEqual(3);
  process.stderr.write(`${JSON.stringify(report)}\n`);
}, 600_000);
