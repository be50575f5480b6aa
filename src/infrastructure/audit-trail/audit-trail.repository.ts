import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../access/index.js';
import type { Tx } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import type { AuditEntry } from './audit-entry.js';

/** Inserts, and nothing else: the table takes nothing else. */
@Injectable()
export class AuditTrailRepository {
  async insert(
    scope: WriteScope,
    tx: Tx,
    entries: readonly (AuditEntry & { digest: Buffer; keyId: string })[],
  ): Promise<void> {
    const rows = entries.map((entry) => ({
      id: entry.id,
      actor_kind: entry.actorKind,
      actor_id: entry.actorId,
      user_id: entry.userId,
      role: entry.role,
      action: entry.action,
      object_kind: entry.objectKind,
      object_id: entry.objectId,
      outcome: entry.outcome,
      reason: entry.reason,
      request_id: entry.requestId,
      address: entry.address,
      route: entry.route,
      detail: entry.detail,
      key_id: entry.keyId,
      digest: entry.digest.toString('hex'),
    }));
    await tx.execute(sql`
      insert into audit_events (organization_id, id, actor_kind, actor_id, user_id, role, action, object_kind, object_id, outcome, reason,
        request_id, address, route, detail, key_id, digest)
      select ${scope.organizationId}::uuid, g.id, g.actor_kind, g.actor_id, g.user_id, g.role, g.action, g.object_kind, g.object_id,
        g.outcome, g.reason, g.request_id, g.address, g.route, g.detail, g.key_id, decode(g.digest, 'hex')
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as g (id uuid, actor_kind text, actor_id uuid, user_id uuid, role text,
        action text, object_kind text, object_id text, outcome text, reason text, request_id text, address text, route text, detail jsonb,
        key_id text, digest text)`);
  }
}
