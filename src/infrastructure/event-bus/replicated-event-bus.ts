/**
 * Hints between replicas, over a transport that may be away.
 *
 * A hint reaches this process's own listeners at once. For the others, topics are collected in a set and sent together: the first at once,
 * what comes while that is on its way with the next, at least `PAUSE_MS` later. However many commits a process makes a second, the
 * transport sees a bounded number of texts from it, and a topic told a hundred times meanwhile is sent once. Nothing is sent inside
 * a transaction: a NOTIFY there would take a lock of the whole database at each commit.
 *
 * What is lost stays lost, for listeners look again once a second by themselves. When the transport comes back, everybody here is
 * told to look at once, and the others are told to look at everything, since neither side knows what it missed.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Log } from '../../kernel/log.js';
import type { NotificationTransport } from './notification-transport.js';
import { LocalEventBus } from './local-event-bus.js';

/** Between two sendings. */
const INTERVAL_MS = 5;
/** Topics waiting to be sent; past these, one word says all of them. */
const MAX_TOPICS = 4_096;
/** "Look at everything." Never the name of a topic. */
const EVERYTHING = '*';

export class ReplicatedEventBus extends LocalEventBus implements OnApplicationBootstrap, OnApplicationShutdown {
  /** So that a process does not take its own hints for another's. */
  readonly #origin = randomUUID();
  readonly #waiting = new Set<string>();
  #isUp = false;
  #isDownLogged = false;
  #sending: Promise<void> | null = null;

  constructor(
    private readonly transport: NotificationTransport,
    private readonly log: Log,
  ) {
    super();
  }

  /** True while hints of other replicas arrive. */
  get isUp(): boolean {
    return this.#isUp;
  }

  onApplicationBootstrap(): void {
    this.transport.start({
      onMessage: (text) => this.#receive(text),
      onUp: () => this.#up(),
      onDown: (reason) => this.#down(reason),
    });
  }

  async onApplicationShutdown(): Promise<void> {
    // The last hints are worth most: they hand back what this process leaves.
    await this.#sending;
    this.#isUp = false;
    await this.transport.stop();
  }

  override publish(topic: string): void {
    super.publish(topic);
    if (!this.#isUp || this.#waiting.has(EVERYTHING)) {
      return;
    }
    if (this.#waiting.size >= MAX_TOPICS) {
      this.#waiting.clear();
      this.#waiting.add(EVERYTHING);
    } else {
      this.#waiting.add(topic);
    }
    this.#sending ??= this.#sendWaiting();
  }

  async #sendWaiting(): Promise<void> {
    // Hints of one turn of the event loop go together.
    await new Promise(setImmediate);
    while (this.#waiting.size > 0 && this.#isUp) {
      const texts = this.#texts();
      this.#waiting.clear();
      try {
        await this.transport.send(texts);
      } catch (error) {
        this.log.debug('hints to other replicas were lost', { reason: reasonOf(error) });
      }
      await delay(INTERVAL_MS);
    }
    this.#sending = null;
  }

  #texts(): string[] {
    const texts: string[] = [];
    let text = this.#origin;
    for (const topic of this.#waiting) {
      // Topics are ours and plain ASCII: characters are bytes.
      if (text.length + 1 + topic.length > this.transport.mostBytes) {
        texts.push(text);
        text = this.#origin;
      }
      text += `\n${topic}`;
    }
    texts.push(text);
    return texts;
  }

  #receive(text: string): void {
    const [origin, ...topics] = text.split('\n');
    if (origin === this.#origin) {
      return;
    }
    for (const topic of topics) {
      if (topic === EVERYTHING) {
        this.wakeAll();
      } else {
        super.publish(topic);
      }
    }
  }

  #up(): void {
    this.#isUp = true;
    if (this.#isDownLogged) {
      this.#isDownLogged = false;
      this.log.info('hints between replicas arrive again');
    }
    this.wakeAll();
    this.#waiting.clear();
    this.#waiting.add(EVERYTHING);
    this.#sending ??= this.#sendWaiting();
  }

  #down(reason: string): void {
    this.#isUp = false;
    this.#waiting.clear();
    if (!this.#isDownLogged) {
      this.#isDownLogged = true;
      this.log.warn('hints between replicas do not arrive; what others do is seen up to a second later', { reason });
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
