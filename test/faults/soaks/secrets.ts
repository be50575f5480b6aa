import { runTest } from './audit.js';

/** `npm run soak -- secrets [times]`: the root key changes under 20 times the reads and writes of the test, and 20 kills. */
export function soak([times = '20']: string[]): Promise<boolean> {
  return Promise.resolve(runTest('test/faults/secrets.test.ts', { FAULTS_SECRETS: times }));
}
