import { expect, test } from '@jest/globals';
import { BatchExecutor } from '../../src/kernel/concurrency/batch-executor.js';

interface Flush {
  key: string;
  items: readonly number[];
  land: (results?: readonly string[]) => void;
  crash: (error: Error) => void;
}

function gathering(options: { most: number; mostWeight?: number; flights: number }): {
  flushes: Flush[];
  add: (key: string, item: number) => Promise<string>;
} {
  const flushes: Flush[] = [];
  const gatherer = new BatchExecutor<string, number, string>(
    (key, items) =>
      new Promise((resolve, reject) => {
        const land = (results: readonly string[] = items.map((item) => `${key}${item}`)): void => resolve(results);
        flushes.push({ key, items, land, crash: reject });
      }),
    { ...options, weigh: (item) => item },
  );
  return { flushes, add: (key, item) => gatherer.add(key, key, item) };
}

/** Everything that was due in this turn of the event loop has happened. */
const turn = async (): Promise<void> => {
  for (let count = 0; count < 4; count += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
};

test('what arrives while a flush is under way goes together with the next, each with its own result', async () => {
  const { flushes, add } = gathering({ most: 10, flights: 1 });
  const first = add('a', 1);
  await turn();
  const rest = [add('a', 2), add('a', 3), add('b', 4)];
  await turn();
  expect(flushes.map(({ items }) => items)).toEqual([[1], [4]]);
  flushes[0]?.land();
  await turn();
  expect(flushes[2]).toMatchObject({ key: 'a', items: [2, 3] });
  flushes.slice(1).forEach(({ land }) => land());
  expect(await Promise.all([first, ...rest])).toEqual(['a1', 'a2', 'a3', 'b4']);
});

test('a flush takes no more than so many, and no more than so much but for one that is heavier alone', async () => {
  const { flushes, add } = gathering({ most: 2, mostWeight: 10, flights: 9 });
  const all = [1, 2, 3, 9, 50, 1].map((item) => add('a', item));
  await turn();
  await turn();
  expect(flushes.map(({ items }) => items)).toEqual([[1, 2], [3], [9], [50], [1]]);
  flushes.forEach(({ land }) => land());
  expect(await Promise.all(all)).toHaveLength(6);
});

test('where a flush fails each is tried alone, so that one bad call costs no other', async () => {
  const { flushes, add } = gathering({ most: 10, flights: 1 });
  const outcomes = Promise.allSettled([add('a', 1), add('a', 2)]);
  await turn();
  flushes[0]?.crash(new Error('one of them'));
  await turn();
  flushes[1]?.land();
  await turn();
  flushes[2]?.crash(new Error('bad'));
  expect(await outcomes).toEqual([
    { status: 'fulfilled', value: 'a1' },
    { status: 'rejected', reason: new Error('bad') },
  ]);
  // And the line goes on.
  const next = add('a', 3);
  await turn();
  flushes[3]?.land();
  expect(await next).toBe('a3');
});

test('a call that is given no result fails instead of waiting for good', async () => {
  const { flushes, add } = gathering({ most: 10, flights: 1 });
  const lost = add('a', 1);
  await turn();
  flushes[0]?.land([]);
  await expect(lost).rejects.toThrow('no result');
});
