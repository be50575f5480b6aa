/**
 * Brings every sealed record under the present root key, in the background, while all of them are read and written.
 *
 * Small transactions, each finished or not at all: a kill between two costs nothing, and the next round (of any replica) goes on from
 * what is left, since what is left is what the rows themselves say. The canary of the key ring tells which root key is the present
 * one: the process that started last put it under its own primary. A replica whose primary is another (it was started before the
 * change) re-wraps nothing, so two configurations side by side never undo one another's work.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { ConfigError } from '../../config/app-config.js';
import { Database } from '../../database/database.js';
import { Log } from '../../kernel/log.js';
import { KeyringRepository } from '../keyring/keyring.repository.js';
import { RootKeys } from '../keyring/root-keys.js';
import { Envelope } from './envelope.js';
import { type ReencryptionCount, ReencryptionRegistry } from './reencryption-registry.js';

const INTERVAL_MS = 60_000;
const BATCH = 200;

@Injectable()
export class Rotation implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(
    private readonly database: Database,
    private readonly keyring: KeyringRepository,
    private readonly roots: RootKeys,
    private readonly envelope: Envelope,
    private readonly stores: ReencryptionRegistry,
    private readonly log: Log,
  ) {}

  /** @throws ConfigError where records are under a root key that this process was not given */
  async onApplicationBootstrap(): Promise<void> {
    for (const { store, rootKeyId, count } of await this.counts()) {
      if (this.roots.find(rootKeyId) === null) {
        throw new ConfigError(
          `${count} ${store} are still sealed by root key ${rootKeyId}; add it again to ROOT_KEY, behind the present one.`,
        );
      }
    }
    this.#running = this.sweep();
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.sweep());
    }, INTERVAL_MS).unref();
  }

  /** How many records of each store are under which root key. */
  async counts(): Promise<(ReencryptionCount & { store: string })[]> {
    const counted: (ReencryptionCount & { store: string })[] = [];
    for (const store of this.stores.all) {
      counted.push(...(await store.count(this.database)).map((line) => ({ ...line, store: store.name })));
    }
    return counted;
  }

  /** One round over every store; returns how many records it re-wrapped. Never rejects: the next round goes on. */
  async sweep(): Promise<number> {
    let done = 0;
    try {
      const primaryId = this.roots.primary.id;
      if ((await this.keyring.presentRootKeyId()) !== primaryId) {
        return 0;
      }
      for (const store of this.stores.all) {
        let changed = BATCH;
        while (changed === BATCH && !this.#stopped) {
          changed = await store.rewrap(this.database, this.envelope, primaryId, BATCH);
          done += changed;
        }
      }
      if (done > 0) {
        this.log.info('sealed records were brought under the present root key', {
          root_key_id: primaryId,
          count: done,
        });
      }
    } catch (error) {
      this.log.warn('a round of bringing sealed records under the present root key failed', { error });
    }
    return done;
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) {
      clearInterval(this.#timer);
    }
    await this.#running;
  }
}
