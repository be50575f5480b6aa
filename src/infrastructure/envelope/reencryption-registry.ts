import { Injectable } from '@nestjs/common';
import type { Database } from '../../database/database.js';
import type { Envelope } from './envelope.js';

/** How many records of a store are under which root key. */
export interface ReencryptionCount {
  rootKeyId: string;
  count: number;
}

/**
 * Rows of a table that hold sealed values, as rotation needs them. Whoever owns the table extends it and hands it to
 * {@link ReencryptionRegistry} when it is made; from then on its rows follow the root key, and a start without their key is refused.
 */
export abstract class ReencryptableStore {
  /** Names the rows to operators: `secrets`. */
  abstract readonly name: string;

  /**
   * Brings at most `most` rows that are not under `primaryId` under it (`envelope.rewrap`), in one short transaction, passing over rows
   * that others hold (`for update skip locked`). Returns how many it changed.
   */
  abstract rewrap(database: Database, envelope: Envelope, primaryId: string, most: number): Promise<number>;

  /** Counts by root key, in one statement. */
  abstract count(database: Database): Promise<ReencryptionCount[]>;
}

@Injectable()
export class ReencryptionRegistry {
  readonly #stores: ReencryptableStore[] = [];

  add(store: ReencryptableStore): void {
    this.#stores.push(store);
  }

  get all(): readonly ReencryptableStore[] {
    return this.#stores;
  }
}
