import { runTest } from './audit.js';

/** Figures of the long form; one set outside (`ASSETS_MIB=100`) wins. */
const LONG = { ASSETS_READERS: '800', ASSETS_SENDERS: '200', ASSETS_MIB: '1024' };

/** `npm run soak -- assets`: 800 readers and 200 senders of a file of 1 GiB that stop, and others that do not. Needs 2 GiB of disk. */
export function soak(): Promise<boolean> {
  return Promise.resolve(runTest('test/faults/assets.test.ts', { ...LONG, ...process.env }));
}
