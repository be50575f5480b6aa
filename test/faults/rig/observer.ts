/** The rig's own look into the database, over a connection that comes back after every stop. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type QueryResultRow } from 'pg';

const AGAIN_MS = 50;
const MAX_TRIES = 600;

export class Observer {
  #client: Client | null = null;

  constructor(private readonly url: string) {}

  /** Asks until there is an answer: for reads, and for writes that may happen twice. */
  async rows<Row extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    for (let tries = 1; ; tries += 1) {
      try {
        return (await (await this.#connected()).query<Row>(text, [...values])).rows;
      } catch (error) {
        const isSyntax =
          error instanceof Error && 'code' in error && typeof error.code === 'string' && /^(42|22|23)/.test(error.code);
        if (isSyntax || tries >= MAX_TRIES) {
          throw error;
        }
        await this.close();
        await delay(AGAIN_MS);
      }
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #connected(): Promise<Client> {
    if (this.#client === null) {
      const client = new Client({ connectionString: this.url });
      client.on('error', () => undefined);
      await client.connect();
      this.#client = client;
    }
    return this.#client;
  }
}
