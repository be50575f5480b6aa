import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { Clock } from '../../../kernel/clock.js';
import { toActor } from './actor-facts.js';
import { ActorsQuery } from './actors.query.js';
import { KeyDigests } from './key-digests.js';
import { readKey } from './key-form.js';

/** How long the list of operators' keys is believed: a flood of texts without our form costs one look per second, not one each. */
const OPERATOR_KEYS_MS = 1_000;

/** Whether a text is a key, and whose. */
@Injectable()
export class KeyVerifier {
  #operatorIds: { ids: Promise<string[]>; untilMs: number } | null = null;

  constructor(
    private readonly actors: ActorsQuery,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
  ) {}

  /** False for a text that cannot be a key, by its form and checksum: no look-up would find it. */
  mayExist(text: string): boolean {
    return readKey(text) !== null;
  }

  /** The key's actor and how long the secret still lasts (null: for good), or null for every kind of wrong key. */
  async verify(text: string): Promise<{ actor: Actor; remainingMs: number | null } | null> {
    const publicIds = await this.#publicIdsOf(text);
    const found = publicIds.length === 0 ? null : await this.actors.findSecret(publicIds);
    // Compared before anything else is looked at, and against nothing where there is nothing: no answer comes sooner than another.
    const genuine = this.digests.matches(text, found);
    if (found === null || !genuine || found.facts === null || (found.remainingMs !== null && found.remainingMs <= 0)) {
      return null;
    }
    const actor = toActor(found.facts);
    return actor === null ? null : { actor, remainingMs: found.remainingMs };
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
