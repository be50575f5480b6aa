import { Injectable } from '@nestjs/common';
import { BoundedCache } from '../../../kernel/bounded-cache.js';
import { Clock } from '../../../kernel/clock.js';
import { BatchExecutor } from '../../../kernel/concurrency/batch-executor.js';
import { toActor } from './actor-facts.js';
import type { LoadedActor } from './actor-loader.js';
import { ActorsQuery, type FoundSecret } from './actors.query.js';
import { KeyDigests } from './key-digests.js';
import { readKey } from './key-form.js';

/** How long the list of operators' keys is believed: a flood of texts without our form costs one look per second, not one each. */
const OPERATOR_KEYS_MS = 1_000;

/** Keys looked up by one statement at most, and statements of one lane at once. */
const MAX_BATCH = 200;
const FLIGHTS = 2;

/** Public ids are random, so one that does not exist does not come to exist later. */
const UNKNOWN_MS = 60_000;
const MAX_UNKNOWN = 10_000;

/** Keys of addresses that send wrong ones all the time are looked up beside the others, so that nobody waits for them. */
export type LookUpLane = 'ordinary' | 'throttled';

type LookUp = { found: readonly FoundSecret[] } | { error: unknown };

/**
 * Whether a text is a key, and whose. Look-ups that arrive together are one statement, so that a flood of well-formed keys, which anyone
 * can make up, costs a few connections and no more.
 */
@Injectable()
export class KeyVerifier {
  #operatorIds: { ids: Promise<string[]>; untilMs: number } | null = null;
  readonly #unknown: BoundedCache<true>;
  readonly #lookUps = new BatchExecutor<null, readonly string[], LookUp>((_, items) => this.#lookUp(items), {
    most: MAX_BATCH,
    flights: FLIGHTS,
  });

  constructor(
    private readonly actors: ActorsQuery,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
  ) {
    this.#unknown = new BoundedCache(clock, MAX_UNKNOWN);
  }

  /** False for a text that cannot be a key, by its form and checksum: no look-up would find it. */
  mayExist(text: string): boolean {
    return readKey(text) !== null;
  }

  /** The key's actor and how long the secret still lasts, or null for every kind of wrong key. */
  async verify(text: string, lane: LookUpLane = 'ordinary'): Promise<LoadedActor | null> {
    const publicIds = await this.#publicIdsOf(text);
    const found = await this.#find(publicIds, lane);
    // Compared before anything else is looked at, and against nothing where there is nothing: no answer comes sooner than another.
    const genuine = this.digests.matches(text, found);
    if (found === null || !genuine || found.facts === null || (found.remainingMs !== null && found.remainingMs <= 0)) {
      return null;
    }
    const actor = toActor(found.facts, found.publicId);
    return actor === null ? null : { actor, remainingMs: found.remainingMs };
  }

  async #find(publicIds: readonly string[], lane: LookUpLane): Promise<FoundSecret | null> {
    const asked = publicIds.filter((id) => this.#unknown.get(id) === null);
    if (asked.length === 0) {
      return null;
    }
    const lookUp = await this.#lookUps.add(lane, null, asked);
    if ('error' in lookUp) {
      throw lookUp.error;
    }
    const [found] = lookUp.found;
    if (found === undefined) {
      const untilMs = this.clock.nowMs() + UNKNOWN_MS;
      asked.forEach((id) => this.#unknown.set(id, true, untilMs));
    }
    return found ?? null;
  }

  /** Where it fails it fails for all: what keeps the database away keeps it away from each. */
  async #lookUp(items: readonly (readonly string[])[]): Promise<LookUp[]> {
    try {
      const secrets = await this.actors.findSecrets(items.flat());
      const byId = new Map(secrets.map((secret) => [secret.publicId, secret]));
      return items.map((ids) => ({ found: ids.flatMap((id) => byId.get(id) ?? []) }));
    } catch (error) {
      return items.map(() => ({ error }));
    }
  }

  async #publicIdsOf(text: string): Promise<string[]> {
    const key = readKey(text);
    if (key === null) {
      return [];
    }
    if (key.form === 'ours') {
      return [key.publicId];
    }
    const known = await this.#knownOperatorIds();
    return this.digests.operatorPublicIds(text).filter((id) => known.includes(id));
  }

  async #knownOperatorIds(): Promise<string[]> {
    const now = this.clock.nowMs();
    if (this.#operatorIds === null || this.#operatorIds.untilMs <= now) {
      const ids = this.actors.operatorPublicIds();
      this.#operatorIds = { ids, untilMs: now + OPERATOR_KEYS_MS };
      // A failed look is not remembered; who waits for it gets the failure.
      ids.catch(() => (this.#operatorIds = null));
    }
    return this.#operatorIds.ids;
  }
}
