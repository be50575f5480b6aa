import { spawnSync } from 'node:child_process';

/** 500 readers of 20,000 events, 200 kills, 1,000 cuts, 30 losses of Redis; then 1,000 readers that never read. */
const LONG = { CLIENTS: 500, EVENTS: 20_000, KILLS: 200, CUTS: 1_000, REDIS_LOSSES: 30, STALLED: 1_000, ROUNDS: 60 };

/** `npm run soak -- streams`: the tests of streams with long figures; a figure set outside (`STREAMS_CLIENTS=50`) wins. */
export function soak(): Promise<boolean> {
  const jest = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const long = Object.fromEntries(Object.entries(LONG).map(([name, count]) => [`STREAMS_${name}`, String(count)]));
  const { status } = spawnSync(process.execPath, [...jest, 'test/faults/streams.test.ts'], {
    stdio: 'inherit',
    env: { ...long, ...process.env },
  });
  return Promise.resolve(status === 0);
}
