/**
 * The long form of the proof: `npm run soak -- --runs 100000 --kills 1000 …`, bounded by its counts. It first draws the schedules of
 * the property tests, then runs the rig; the figures go to standard output as JSON, and any violation makes the exit code 1.
 *
 * Other proofs have long forms of their own, by name: `npm run soak -- outages`, one for each file of `soaks/`.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { runRig } from './rig/rig.js';

const say = (sentence: string): void => {
  process.stderr.write(`${new Date().toISOString()} ${sentence}\n`);
};

interface NamedSoak {
  soak: (args: string[], say: (sentence: string) => void) => Promise<boolean>;
}

const [name = '', ...args] = process.argv.slice(2);
if (/^[a-z][a-z-]*$/.test(name)) {
  const { soak } = (await import(`./soaks/${name}.js`)) as NamedSoak;
  process.exit((await soak(args, say)) ? 0 : 1);
}

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100000' },
    kills: { type: 'string', default: '1000' },
    freezes: { type: 'string', default: '2000' },
    stops: { type: 'string', default: '100' },
    terms: { type: 'string', default: '100' },
    'replica-freezes': { type: 'string', default: '100' },
    builtin: { type: 'string', default: '200' },
    'drain-seconds': { type: 'string', default: '300' },
    /** Schedules of the property tests; 0 leaves them out. */
    schedules: { type: 'string', default: '10000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});
const number = (name: keyof typeof values): number => Number(values[name]);

let isSound = true;
if (number('schedules') > 0) {
  say(`${number('schedules')} schedules`);
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const { status } = spawnSync(
    process.execPath,
    [...jest, 'test/faults/transitions.test.ts', 'test/faults/families.test.ts'],
    {
      stdio: 'inherit',
      env: { ...process.env, FAULTS_SCHEDULES: String(number('schedules')) },
    },
  );
  isSound = status === 0;
}
if (number('runs') > 0) {
  say(`the rig, seed ${number('seed')}`);
  const report = await runRig({
    seed: number('seed'),
    runs: number('runs'),
    builtinRuns: number('builtin'),
    faults: {
      kills: number('kills'),
      freezes: number('freezes'),
      stops: number('stops'),
      terms: number('terms'),
      replicaFreezes: number('replica-freezes'),
    },
    drainSeconds: number('drain-seconds'),
    say,
  });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  isSound &&= report.violations.length === 0;
}
process.exit(isSound ? 0 : 1);
