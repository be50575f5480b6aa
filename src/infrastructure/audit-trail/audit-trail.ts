/**
 * The audit trail: who did what to what, through which credential, from where; who tried and was refused; who was given which secret.
 *
 * Changes of callers are recorded by `Database.write` itself (`recordChange`), in the transaction that makes them: no service has to
 * remember, and a change that cannot be recorded does not commit. What is no change of a caller's (a sign-in, a secret that a worker is
 * given, a refusal) is recorded where it happens (`record`). Rows say names and ids, never values.
 */
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, isAudited } from '../../access/index.js';
import { ChangeRecorder, Database, type Tx } from '../../database/database.js';
import { newId } from '../../kernel/ids.js';
import { KeyRing, type SecretKey } from '../keyring/keyring.js';
import { type AuditEntry, entryDigest } from './audit-entry.js';
import { AuditTrailRepository } from './audit-trail.repository.js';
import { auditActionFromRoute } from './audit-action.js';

/** What happened, as whoever records it knows it; the actor and the request are the scope's. */
export interface AuditEventInput {
  action: string;
  objectKind: string;
  objectId: string | null;
  outcome?: AuditEntry['outcome'];
  reason?: string;
  detail?: AuditEntry['detail'];
  /** The person it is about, where there is no actor yet: who signs in. */
  userId?: string;
  /** Where the request came from, where the actor does not say. */
  address?: string;
  /** Who did it, where the scope is the system's own. */
  by?: Actor;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MAX_FIELDS = 40;
const MAX_REASON_CHARACTERS = 300;

@Injectable()
export class AuditTrail extends ChangeRecorder {
  readonly #key: SecretKey;

  constructor(
    private readonly repository: AuditTrailRepository,
    database: Database,
    ring: KeyRing,
  ) {
    super();
    const [key] = ring.audit;
    if (key === undefined) {
      throw new Error('the key ring has no audit key');
    }
    this.#key = key;
    database.recordWith(this);
  }

  /** Records inside the caller's transaction. */
  async record(tx: Tx, scope: WriteScope, happenings: readonly AuditEventInput[]): Promise<void> {
    const entries = happenings.map((happening) =>
      this.#entry(happening.by ?? scope.actor, happening.by === undefined && scope.isSystem, happening),
    );
    if (entries.length > 0) {
      await this.repository.insert(scope, tx, entries);
    }
  }

  override async recordChange(tx: Tx, scope: WriteScope, result: unknown): Promise<void> {
    const { actor, action } = scope;
    const { origin } = actor;
    // Without a request there is no deed of a caller's: it was recorded when they asked for it.
    if (origin === undefined || action === null || !isAudited(action)) {
      return;
    }
    const { action: done, objectKind, objectId, others } = auditActionFromRoute(origin);
    const detail = { ...others, ...(origin.fields.length > 0 ? { fields: origin.fields.slice(0, MAX_FIELDS) } : {}) };
    const own = objectKind === 'user' && origin.route.includes('/me') ? actor.userId : actor.organizationId;
    await this.record(tx, scope, [{ action: done, objectKind, objectId: objectId ?? idOf(result) ?? own, detail }]);
  }

  #entry(actor: Actor, isSystem: boolean, happening: AuditEventInput): AuditEntry & { digest: Buffer; keyId: string } {
    const { origin } = actor;
    const entry: AuditEntry = {
      organizationId: actor.organizationId,
      id: newId(),
      actorKind: happening.userId !== undefined ? 'user' : isSystem ? 'system' : actor.kind,
      actorId: happening.userId ?? (isSystem ? null : actor.principalId),
      userId: happening.userId ?? actor.userId,
      role: isSystem ? null : actor.role,
      action: happening.action,
      objectKind: happening.objectKind,
      objectId: happening.objectId?.slice(0, 200) ?? null,
      outcome: happening.outcome ?? 'done',
      reason: happening.reason?.slice(0, MAX_REASON_CHARACTERS) ?? null,
      requestId: origin?.requestId ?? null,
      address: happening.address ?? origin?.address ?? null,
      route: origin === undefined ? null : `${origin.method} ${origin.route}`,
      detail: happening.detail ?? {},
    };
    return { ...entry, digest: entryDigest(this.#key.secret, entry), keyId: this.#key.id };
  }
}

/** The id of what was made, which is what the work answers: `{id}`, a task's `{task: {id}}`, or just the id. */
function idOf(result: unknown): string | null {
  const value = memberOf(result, 'replayed') === undefined ? result : memberOf(result, 'value');
  const id = memberOf(value, 'id') ?? memberOf(memberOf(value, 'task'), 'id') ?? value;
  return typeof id === 'string' && UUID.test(id) ? id : null;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? Reflect.get(value, name) : undefined;
}
