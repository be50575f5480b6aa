/**
 * The root keys of this process: the first of ROOT_KEY seals, every one opens what it sealed. A root key is changed in three
 * restarts that nobody notices: add the new one behind the old on every replica, put it first, and, once nothing is left under the
 * old one (the log says when), take the old one away: a start that still needs it is refused with a sentence.
 */
import { rootKeyId } from './sealed-box.js';

export interface RootKey {
  /** Public: names the key in every record it sealed, and tells nothing of it. */
  id: string;
  secret: Buffer;
}

export class RootKeys {
  readonly primary: RootKey;
  readonly #byId: ReadonlyMap<string, RootKey>;

  /** @param secrets 32 bytes each, the primary first */
  constructor(secrets: readonly Buffer[]) {
    const keys = secrets.map((secret) => ({ id: rootKeyId(secret), secret }));
    const [primary] = keys;
    if (primary === undefined) {
      throw new Error('there is no root key');
    }
    this.primary = primary;
    this.#byId = new Map(keys.map((key) => [key.id, key]));
  }

  /** The key of that id, or null where this process was not given it. */
  find(id: string): RootKey | null {
    return this.#byId.get(id) ?? null;
  }

  /** Ids of all there are, the primary first. */
  get ids(): string[] {
    return [...this.#byId.keys()];
  }
}
