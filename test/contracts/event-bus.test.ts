import { describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import type { NotificationTransport } from '../../src/infrastructure/event-bus/notification-transport.js';
import { LocalEventBus } from '../../src/infrastructure/event-bus/local-event-bus.js';
import { PostgresNotifications } from '../../src/infrastructure/event-bus/postgres-notifications.js';
import { RedisNotifications } from '../../src/infrastructure/event-bus/redis-notifications.js';
import { ReplicatedEventBus } from '../../src/infrastructure/event-bus/replicated-event-bus.js';
import { cloneDatabase } from '../support/databases.js';
import { REDIS_PROGRAM, startRedis } from '../support/redis-server.js';
import { proxyTo } from '../support/tcp-proxy.js';
import { type BusOfReplica, describeEventBus, until } from './event-bus.contract.js';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined };

function replica(transport: NotificationTransport, log = quiet): BusOfReplica {
  const bus = new ReplicatedEventBus(transport, log);
  bus.onApplicationBootstrap();
  return { bus, isUp: () => bus.isUp, close: () => bus.onApplicationShutdown() };
}

describeEventBus('one process', () =>
  Promise.resolve({
    open: () => Promise.resolve({ bus: new LocalEventBus(), isUp: () => true, close: () => Promise.resolve() }),
    reachesReplicas: false,
    breakOff: null,
    restore: () => Promise.resolve(),
    dispose: () => Promise.resolve(),
  }),
);

describeEventBus('PostgreSQL', async () => {
  const database = await cloneDatabase({ empty: true });
  const proxy = await proxyTo(database.url);
  return {
    open: () => Promise.resolve(replica(new PostgresNotifications(proxy.url))),
    reachesReplicas: true,
    breakOff: proxy.cut,
    restore: proxy.restore,
    dispose: async () => {
      await proxy.close();
      await database.drop();
    },
  };
});

test('with PostgreSQL a process that commits without pause notifies a bounded number of times, each in a transaction of its own', async () => {
  const database = await cloneDatabase({ empty: true });
  const listener = new Client({ connectionString: database.url });
  await listener.connect();
  let texts = 0;
  listener.on('notification', () => (texts += 1));
  await listener.query('listen taskyard_hints');
  const one = replica(new PostgresNotifications(database.url));
  await until(() => one.isUp() && texts > 0);
  texts = 0;
  // Ten thousand hints in 100 turns of the event loop: as many texts would be one a turn.
  for (let turn = 0; turn < 100; turn += 1) {
    for (let index = 0; index < 100; index += 1) one.bus.publish(`stream:${index % 10}`);
    await new Promise(setImmediate);
  }
  one.bus.publish('stream:last');
  await until(() => texts > 0);
  await one.close();
  expect(texts).toBeLessThan(100);
  await listener.end();
  await database.drop();
}, 60_000);

// Redis is optional, for the server and for who tests it.
if (REDIS_PROGRAM === null) {
  test.skip('event bus: Redis (neither redis-server nor valkey-server is installed)', () => undefined);
} else {
  describeEventBus('Redis', async () => {
    const redis = await startRedis();
    return {
      open: () => Promise.resolve(replica(new RedisNotifications(redis.url))),
      reachesReplicas: true,
      breakOff: redis.kill,
      restore: redis.start,
      dispose: redis.close,
    };
  });
}

describe('a Redis that is not there', () => {
  test('holds up neither start nor stop, is said once in the log, and leaves the process its own hints', async () => {
    const warned: string[] = [];
    const one = replica(new RedisNotifications('redis://127.0.0.1:1'), {
      ...quiet,
      warn: (sentence?: string) => void warned.push(sentence ?? ''),
    });
    let heard = 0;
    one.bus.subscribe('work', () => (heard += 1));
    await until(() => warned.length > 0);
    one.bus.publish('work');
    await one.close();
    expect([heard, warned.length, one.isUp()]).toEqual([1, 1, false]);
  }, 60_000);
});
