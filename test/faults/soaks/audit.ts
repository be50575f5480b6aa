import { spawnSync } from 'node:child_process';

/** `npm run soak -- audit [events]`: every attack on a trail of 100,000 events, or as many as said; a test with a larger number. */
export function soak([events = '100000']: string[]): Promise<boolean> {
  return Promise.resolve(runTest('test/integration/audit.test.ts', { FAULTS_AUDIT_EVENTS: events }));
}

/** Runs one test file in its long form; true where it passes. */
export function runTest(path: string, environment: Readonly<Record<string, string>>): boolean {
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const { status } = spawnSync(process.execPath, [...jest, path], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  return status === 0;
}
