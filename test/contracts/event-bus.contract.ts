import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  ANY_STREAM_TOPIC,
  ANY_WORK_TOPIC,
  type EventBus,
  streamTopic,
  workTopic,
} from '../../src/infrastructure/event-bus/event-bus.js';
import { newId } from '../../src/kernel/ids.js';

/** A bus of one replica. */
export interface BusOfReplica {
  bus: EventBus;
  /** True while hints of others arrive; a bus of one process hears all there is. */
  isUp: () => boolean;
  close: () => Promise<void>;
}

/** What a driver must lend the suite. */
export interface EventBusHarness {
  /** Another replica; null where the driver knows of one only. */
  open: () => Promise<BusOfReplica>;
  reachesReplicas: boolean;
  /** Takes away what carries the hints; null where nothing does. */
  breakOff: (() => Promise<void>) | null;
  restore: () => Promise<void>;
  dispose: () => Promise<void>;
}

/** The test's own time limit ends what never comes. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Holds a driver against the promises in the header of `event-bus.ts`. */
export function describeEventBus(name: string, createHarness: () => Promise<EventBusHarness>): void {
  describe(`event bus: ${name}`, () => {
    let harness: EventBusHarness;
    let one: BusOfReplica;
    let other: BusOfReplica;

    beforeAll(async () => {
      harness = await createHarness();
      one = await harness.open();
      other = harness.reachesReplicas ? await harness.open() : one;
      await until(() => one.isUp() && other.isUp());
      // Who comes up tells the others to look at everything, once: that has arrived when what was told after it has.
      const greetings = [greet(one.bus, other.bus), greet(other.bus, one.bus)];
      await until(() => greetings.every(({ count }) => count > 0));
      for (const { stop } of greetings) stop();
    }, 60_000);
    afterAll(async () => {
      await one.close();
      if (other !== one) await other.close();
      await harness.dispose();
    }, 60_000);

    const listen = (bus: EventBus, topic: string): { count: number; stop: () => void } => {
      const heard = { count: 0, stop: bus.subscribe(topic, () => (heard.count += 1)) };
      return heard;
    };

    const greet = (from: EventBus, to: EventBus): { count: number; stop: () => void } => {
      const topic = streamTopic(newId());
      const heard = listen(to, topic);
      from.publish(topic);
      return heard;
    };

    test('a hint reaches every listener of its topic on every replica, and nobody else', async () => {
      const [topic, foreign] = [streamTopic(newId()), streamTopic(newId())];
      const heard = [listen(one.bus, topic), listen(one.bus, topic), listen(other.bus, topic)];
      const unheard = [listen(one.bus, foreign), listen(other.bus, foreign)];
      const anything = listen(other.bus, ANY_STREAM_TOPIC);
      one.bus.publish(topic);
      // This process need not wait for the others.
      expect(heard.slice(0, 2).map(({ count }) => count)).toEqual([1, 1]);
      await until(() => heard.every(({ count }) => count > 0) && anything.count > 0);
      expect(unheard.map(({ count }) => count)).toEqual([0, 0]);
      for (const { stop } of [...heard, ...unheard, anything]) stop();
    }, 60_000);

    test('work of any organization wakes those that serve all of them, on every replica', async () => {
      const heard = [listen(one.bus, ANY_WORK_TOPIC), listen(other.bus, ANY_WORK_TOPIC)];
      one.bus.publish(workTopic(newId()));
      await until(() => heard.every(({ count }) => count > 0));
      const own = heard[0]?.count;
      one.bus.publish(streamTopic(newId()));
      expect(heard[0]?.count).toBe(own);
      for (const { stop } of heard) stop();
    }, 60_000);

    test('who stopped listening hears no more, and one listener that goes takes no other with it', async () => {
      const topic = streamTopic(newId());
      const [gone, left] = [listen(other.bus, topic), listen(other.bus, topic)];
      gone.stop();
      gone.stop();
      one.bus.publish(topic);
      await until(() => left.count > 0);
      expect(gone.count).toBe(0);
      left.stop();
    }, 60_000);

    test('ten thousand hints at once arrive as few, and every topic among them is heard', async () => {
      const topics = Array.from({ length: 500 }, () => streamTopic(newId()));
      const heard = topics.map((topic) => listen(other.bus, topic));
      for (let round = 0; round < 20; round += 1) for (const topic of topics) one.bus.publish(topic);
      await until(() => heard.every(({ count }) => count > 0));
      if (harness.reachesReplicas) {
        // Each topic came with the first text, and once more at most with what came while that was on its way.
        expect(Math.max(...heard.map(({ count }) => count))).toBeLessThanOrEqual(3);
      }
      for (const { stop } of heard) stop();
    }, 60_000);

    test('more topics than are kept apart are told as everything', async () => {
      const topic = streamTopic(newId());
      const heard = listen(other.bus, topic);
      for (let index = 0; index < 6_000; index += 1) one.bus.publish(streamTopic(newId()));
      one.bus.publish(topic);
      await until(() => heard.count > 0);
      expect(heard.count).toBeGreaterThan(0);
      heard.stop();
    }, 60_000);

    test('waiting ends with the hint, with the time, and with the signal, and leaves no listener behind', async () => {
      const topic = streamTopic(newId());
      const waiting = other.bus.wait(topic, 60_000);
      one.bus.publish(topic);
      await waiting;
      await other.bus.wait(topic, 1);
      await other.bus.wait(topic, 60_000, AbortSignal.abort());
      const controller = new AbortController();
      const aborted = other.bus.wait(topic, 60_000, controller.signal);
      controller.abort();
      await expect(aborted).resolves.toBeUndefined();
    }, 60_000);

    test('what carries the hints may go and come back: own hints never stop, and who listens is told to look', async () => {
      if (harness.breakOff === null) {
        expect(harness.reachesReplicas).toBe(false);
        return;
      }
      const topic = streamTopic(newId());
      const [here, there] = [listen(one.bus, topic), listen(other.bus, topic)];
      for (let cycle = 0; cycle < 2; cycle += 1) {
        await harness.breakOff();
        await until(() => !one.isUp() && !other.isUp());
        here.count = 0;
        there.count = 0;
        one.bus.publish(topic);
        expect(here.count).toBe(1);
        await harness.restore();
        // Nobody hints now: that the way is open again is reason enough to look.
        await until(() => one.isUp() && other.isUp() && there.count > 0);
        there.count = 0;
        one.bus.publish(topic);
        await until(() => there.count > 0);
      }
      here.stop();
      there.stop();
    }, 120_000);
  });
}
