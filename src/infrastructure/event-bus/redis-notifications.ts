/**
 * Hints over the publish and subscribe of Redis 7 or Valkey, https://redis.io/docs/latest/develop/pubsub/ : one connection each way, since
 * a subscribed one is for listening. Nothing is kept there, so a Redis that is restarted, emptied or replaced is as good as before.
 */
import { createClient } from '@redis/client';
import { NotificationTransport, reconnectAfterMs, type TransportListener } from './notification-transport.js';

/** One channel for everybody: the topics are in the text. Channels are the same in every database number of a Redis. */
const CHANNEL = 'taskyard:hints';
const CONNECT_TIMEOUT_MS = 3_000;
/** A connection that is half open looks like a quiet one; this often it is asked. */
const PING_INTERVAL_MS = 10_000;

type Client = ReturnType<typeof newClient>;

export class RedisNotifications extends NotificationTransport {
  readonly mostBytes = 64 * 1024;
  readonly #publisher: Client;
  readonly #subscriber: Client;

  constructor(url: string) {
    super();
    this.#publisher = newClient(url);
    this.#subscriber = newClient(url);
  }

  start({ onMessage, onUp, onDown }: TransportListener): void {
    const receive = (text: string): void => onMessage(text);
    let isSubscribed = false;
    const tellWhenUp = (): void => {
      if (isSubscribed && this.#publisher.isReady) {
        onUp();
      }
    };
    const subscribe = async (): Promise<void> => {
      // After a loss the client subscribes again by itself, and this is answered at once.
      await this.#subscriber.subscribe(CHANNEL, receive);
      isSubscribed = true;
      tellWhenUp();
    };
    this.#subscriber.on('ready', () => void subscribe().catch((error: unknown) => onDown(reasonOf(error))));
    this.#subscriber.on('error', () => (isSubscribed = false));
    this.#publisher.on('ready', tellWhenUp);
    for (const client of [this.#publisher, this.#subscriber]) {
      // Told for each failed try as well; the bus says it once.
      client.on('error', (error: unknown) => onDown(reasonOf(error)));
      // It tries until it is there, and is rejected only by `destroy`.
      void client.connect().catch(() => undefined);
    }
  }

  async send(texts: readonly string[]): Promise<void> {
    await Promise.all(texts.map((text) => this.#publisher.publish(CHANNEL, text)));
  }

  stop(): Promise<void> {
    for (const client of [this.#publisher, this.#subscriber]) {
      client.destroy();
    }
    return Promise.resolve();
  }
}

function newClient(url: string) {
  return createClient({
    url,
    name: 'taskyard',
    // A hint that cannot go now is not worth keeping.
    disableOfflineQueue: true,
    pingInterval: PING_INTERVAL_MS,
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: reconnectAfterMs },
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
