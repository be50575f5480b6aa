/**
 * Who tried what and was refused. Each refusal is told once at once; the same again within a minute is counted, and told as one row
 * with how often. Somebody who tries a thousand times a second so leaves two rows a minute, and not a full disk.
 */
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { type Actor, unsafelySystemScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { Log } from '../../kernel/log.js';
import { AuditTrail } from './audit-trail.js';
import { deedOf } from './deed.js';

const WINDOW_MS = 60_000;
/** Kinds of refusal counted at once; what is beyond is told all the same, one by one. */
const MOST_COUNTED = 5_000;

interface Repeated {
  actor: Actor;
  reason: string;
  times: number;
  timer: NodeJS.Timeout;
}

@Injectable()
export class Refusals implements BeforeApplicationShutdown {
  readonly #repeated = new Map<string, Repeated>();

  constructor(
    private readonly trail: AuditTrail,
    private readonly database: Database,
    private readonly log: Log,
  ) {}

  /** Resolves when it is told; never rejects. */
  async note(actor: Actor, reason: string): Promise<void> {
    const { origin } = actor;
    if (origin === undefined) {
      return;
    }
    const { action, objectId } = deedOf(origin);
    const key = JSON.stringify([actor.organizationId, actor.principalId, action, objectId]);
    const before = this.#repeated.get(key);
    if (before !== undefined) {
      before.times += 1;
      return;
    }
    if (this.#repeated.size < MOST_COUNTED) {
      const timer = setTimeout(() => void this.#end(key), WINDOW_MS).unref();
      this.#repeated.set(key, { actor, reason, times: 0, timer });
    }
    await this.#tell(actor, reason, 1);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([...this.#repeated.keys()].map((key) => this.#end(key)));
  }

  async #end(key: string): Promise<void> {
    const found = this.#repeated.get(key);
    this.#repeated.delete(key);
    if (found !== undefined) {
      clearTimeout(found.timer);
      if (found.times > 0) {
        await this.#tell(found.actor, found.reason, found.times);
      }
    }
  }

  async #tell(actor: Actor, reason: string, times: number): Promise<void> {
    if (actor.origin === undefined) {
      return;
    }
    const { action, objectKind, objectId, others } = deedOf(actor.origin);
    const detail = { ...others, ...(times > 1 ? { times } : {}) };
    const scope = unsafelySystemScope(actor.organizationId, 'a refusal is told whatever the role');
    try {
      await this.database.transaction((tx) =>
        this.trail.record(tx, scope, [{ action, objectKind, objectId, outcome: 'refused', reason, detail, by: actor }]),
      );
    } catch (error) {
      this.log.warn('a refusal could not be told in the audit trail', { error, action });
    }
  }
}
