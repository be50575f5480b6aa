import { expect, test } from '@jest/globals';
import { BackgroundJob } from '../../src/kernel/concurrency/background-job.js';

test('rounds follow one another, also after one that failed, never two at once, and none begins after a stop', async () => {
  const failures: unknown[] = [];
  let [begun, underway, most] = [0, 0, 0];
  let enough = (): void => undefined;
  const came = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const rounds = new BackgroundJob({
    round: async () => {
      begun += 1;
      underway += 1;
      most = Math.max(most, underway);
      await new Promise((resolve) => setImmediate(resolve));
      underway -= 1;
      if (begun === 2) throw new Error('the second');
      if (begun === 5) enough();
      return begun < 4;
    },
    restMs: 2,
    breathMs: 1,
    restsFirst: true,
    onFailure: (error) => failures.push(error),
  });
  rounds.start();
  await came;
  await rounds.stop();
  expect([most, underway, failures]).toEqual([1, 0, [new Error('the second')]]);
  expect(rounds.signal.aborted).toBe(true);
});

test('a stop ends a rest, however long it is, and waits for the round under way', async () => {
  let end = (): void => undefined;
  let hasEnded = false;
  const rounds = new BackgroundJob({
    round: async () => {
      await new Promise<void>((resolve) => {
        end = resolve;
      });
      hasEnded = true;
    },
    restMs: 3_600_000,
    onFailure: () => undefined,
  });
  rounds.start();
  const stopped = rounds.stop();
  end();
  await stopped;
  expect(hasEnded).toBe(true);

  const resting = new BackgroundJob({
    round: () => Promise.reject(new Error('never begun')),
    restMs: 3_600_000,
    restsFirst: true,
    onFailure: (error) => expect(error).toBeNull(),
  });
  resting.start();
  await resting.stop();
  expect(resting.signal.aborted).toBe(true);
});
