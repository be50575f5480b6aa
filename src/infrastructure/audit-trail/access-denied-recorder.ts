/**
 * Who tried what and was refused. A refusal is recorded at once; the same one again within a minute is counted, and recorded as one row
 * with how often. A principal has that for a few actions and objects at a time: further ones are counted together, as one row a minute,
 * so that trying other ids a thousand times a second leaves a bounded number of rows, and not a full disk.
 */
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { type Actor, unsafelySystemScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { Log } from '../../kernel/log.js';
import { AuditTrail } from './audit-trail.js';
import { auditActionFromRoute } from './audit-action.js';

const WINDOW_MS = 60_000;
/** Actions and objects that one principal has rows of its own for, in a window. */
const MAX_KEYS_PER_PRINCIPAL = 20;
/** The same for all principals together; beyond it, what an organization's principals are refused is counted together. */
const MAX_KEYS = 5_000;

interface Repeated {
  principal: string;
  actor: Actor;
  reason: string;
  times: number;
  timer: NodeJS.Timeout;
}

@Injectable()
export class AccessDeniedRecorder implements BeforeApplicationShutdown {
  readonly #repeated = new Map<string, Repeated>();
  readonly #keysOf = new Map<string, number>();

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
    const { action, objectId } = auditActionFromRoute(origin);
    const principal = JSON.stringify([actor.organizationId, actor.principalId]);
    const own = JSON.stringify([actor.organizationId, actor.principalId, action, objectId]);
    const key = this.#repeated.has(own) ? own : this.#roomFor(actor, principal, own);
    const before = this.#repeated.get(key);
    if (before !== undefined) {
      before.times += 1;
      return;
    }
    const timer = setTimeout(() => void this.#end(key), WINDOW_MS).unref();
    this.#repeated.set(key, { principal, actor, reason, times: 0, timer });
    this.#keysOf.set(principal, (this.#keysOf.get(principal) ?? 0) + 1);
    await this.#tell(actor, reason, 1);
  }

  /** What a new refusal is counted under: itself while there is room, then the principal, then the organization. */
  #roomFor(actor: Actor, principal: string, own: string): string {
    if (this.#repeated.size >= MAX_KEYS) {
      return JSON.stringify([actor.organizationId]);
    }
    return (this.#keysOf.get(principal) ?? 0) < MAX_KEYS_PER_PRINCIPAL ? own : principal;
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([...this.#repeated.keys()].map((key) => this.#end(key)));
  }

  async #end(key: string): Promise<void> {
    const found = this.#repeated.get(key);
    this.#repeated.delete(key);
    if (found !== undefined) {
      clearTimeout(found.timer);
      const left = (this.#keysOf.get(found.principal) ?? 1) - 1;
      if (left > 0) this.#keysOf.set(found.principal, left);
      else this.#keysOf.delete(found.principal);
      if (found.times > 0) {
        await this.#tell(found.actor, found.reason, found.times);
      }
    }
  }

  async #tell(actor: Actor, reason: string, times: number): Promise<void> {
    if (actor.origin === undefined) {
      return;
    }
    const { action, objectKind, objectId, others } = auditActionFromRoute(actor.origin);
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
