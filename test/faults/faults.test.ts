/** The short form of the rig (`npm run soak` is the long one); a failure prints the seed to draw the same faults with. */
import { expect, test } from '@jest/globals';
import { runRig } from './rig/rig.js';

const seed = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 1_000_000));

test(`no run is lost, ended twice or left over by 30 kills, 50 frozen workers and 5 stops of the database (seed ${seed})`, async () => {
  const report = await runRig({
    seed,
    runs: 3_000,
    builtinRuns: 20,
    faults: { kills: 30, freezes: 50, stops: 5, terms: 4, replicaFreezes: 4 },
    drainSeconds: 120,
  });
  expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
  expect(report.created).toBeGreaterThanOrEqual(3_000);
  expect(report).toMatchObject({
    runs: report.created + 20,
    deeds: { kills: 30, freezes: 50, stops: 5, lateAccepted: [] },
  });
  // Else nothing would have been proved.
  expect(report.leasesTaken).toBeGreaterThanOrEqual(50);
  expect(report.deeds.lateTries).toBeGreaterThan(0);
  expect(report.lateEndsRefused + report.refused).toBeGreaterThan(0);
  process.stderr.write(`${JSON.stringify(report)}\n`);
}, 600_000);
