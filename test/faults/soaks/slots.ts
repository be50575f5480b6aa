/** `npm run soak -- slots --schedules 500 --days 730 --kills 200`: schedules through years of virtual time, against the oracle. */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

export function soak(args: string[], say: (sentence: string) => void): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: {
      schedules: { type: 'string', default: '500' },
      days: { type: 'string', default: '730' },
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    },
  });
  say(`${values.schedules} schedules through ${values.days} days, seed ${values.seed}`);
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const { status } = spawnSync(process.execPath, [...jest, 'test/faults/schedule-slots.test.ts'], {
    stdio: 'inherit',
    env: {
      ...process.env,
      FAULTS_SEED: values.seed,
      FAULTS_SLOT_DAYS: values.days,
      FAULTS_SLOT_SCHEDULES: values.schedules,
      FAULTS_SLOT_KILLS: values.kills,
    },
  });
  return Promise.resolve(status === 0);
}
