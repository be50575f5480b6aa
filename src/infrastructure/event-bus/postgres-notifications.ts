/**
 * Hints over PostgreSQL's LISTEN and NOTIFY, https://www.postgresql.org/docs/current/sql-notify.html
 *
 * One connection of its own for both ways: notifications arrive only on the connection that listens, and the pool's connections come and
 * go. It is the only one that ever notifies. A pooler that hands out connections per transaction (PgBouncer's transaction mode)
 * lets nothing through; then hints are lost, which costs latency.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { NotificationTransport, reconnectAfterMs, type TransportListener } from './notification-transport.js';
import { HINT_SESSION, SEND_HINTS, STILL_THERE } from './postgres-notifications.query.js';

const CONNECT_TIMEOUT_MS = 3_000;
const QUERY_TIMEOUT_MS = 5_000;
/** A connection that is half open looks like a quiet one; this often it is asked. */
const PING_INTERVAL_MS = 10_000;

export class PostgresNotifications extends NotificationTransport {
  /** PostgreSQL takes payloads under 8,000 bytes. */
  readonly mostBytes = 7_900;
  readonly #stopping = new AbortController();
  #client: Client | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly url: string) {
    super();
  }

  start(listener: TransportListener): void {
    this.#running = this.#run(listener);
  }

  async send(texts: readonly string[]): Promise<void> {
    if (this.#client === null) {
      throw new Error('not connected');
    }
    await this.#client.query(SEND_HINTS, [texts]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#client?.end().catch(() => undefined);
    await this.#running;
  }

  async #run(listener: TransportListener): Promise<void> {
    const { signal } = this.#stopping;
    const isStopping = (): boolean => signal.aborted;
    for (let failures = 0; !isStopping(); failures += 1) {
      try {
        await this.#connectAndListen(listener, () => {
          failures = 0;
        });
      } catch (error) {
        if (!isStopping()) {
          listener.onDown(error instanceof Error ? error.message : String(error));
        }
      }
      await delay(reconnectAfterMs(failures), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Lives as long as the connection. @throws for what ended it */
  async #connectAndListen(listener: TransportListener, onConnected: () => void): Promise<void> {
    const client = new Client({
      connectionString: this.url,
      application_name: 'taskyard hints',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    });
    const ended = new Promise<never>((_, reject) => {
      client.on('error', reject);
      client.on('end', () => reject(new Error('the connection ended')));
    });
    // Awaited below; until then a loss is no unhandled rejection.
    ended.catch(() => undefined);
    client.on('notification', ({ payload }) => listener.onMessage(payload ?? ''));
    const asking = new AbortController();
    try {
      await client.connect();
      await client.query(HINT_SESSION);
      this.#client = client;
      if (this.#stopping.signal.aborted) {
        return;
      }
      onConnected();
      listener.onUp();
      await Promise.race([ended, this.#askNowAndThen(client, asking.signal)]);
    } finally {
      asking.abort();
      this.#client = null;
      void client.end().catch(() => undefined);
    }
  }

  async #askNowAndThen(client: Client, signal: AbortSignal): Promise<void> {
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      await delay(PING_INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (!isOver()) {
        await client.query(STILL_THERE);
      }
    }
  }
}
