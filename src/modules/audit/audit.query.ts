import { Injectable } from '@nestjs/common';
import type { ReadScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { type KeysetPage, type KeysetRow, createdBetween, keysetRows } from '../../database/keyset.sql.js';
import { tenant } from '../../database/scope.sql.js';
import { type Sql, all, sql } from '../../database/sql.js';
import type { AuditEventView, AuditFilter } from './audit.schema.js';

const EVENT_JSON = sql`json_build_object('id', e.id, 'created_at', iso_utc(e.created_at),
  'actor', json_build_object('kind', e.actor_kind, 'id', e.actor_id, 'user_id', e.user_id, 'role', e.role), 'action', e.action,
  'object', json_build_object('kind', e.object_kind, 'id', e.object_id), 'outcome', e.outcome, 'reason', e.reason,
  'request_id', e.request_id, 'address', e.address, 'route', e.route, 'detail', e.detail,
  'seq', (select s.seq from audit_seals s where s.organization_id = e.organization_id and s.event_id = e.id))`;

export interface StoredHead {
  seq: string;
  link: Buffer;
  signedAt: Date;
  keyId: string;
  signature: Buffer;
}

@Injectable()
export class AuditQuery {
  constructor(private readonly database: Database) {}

  async list(scope: ReadScope, page: KeysetPage, filter: AuditFilter): Promise<KeysetRow<AuditEventView>[]> {
    const where = all([tenant(scope, 'e'), createdBetween('e', filter), ...conditions(filter)]);
    const select = keysetRows('e', page, { item: EVENT_JSON, from: sql`audit_events e`, where });
    return (await this.database.json<KeysetRow<AuditEventView>[]>(scope, select)) ?? [];
  }

  /** The newest signed end of the organisation's chain; null before there is one. */
  async head(scope: ReadScope): Promise<StoredHead | null> {
    return this.database.row<StoredHead & Record<string, unknown>>(sql`
      select h.seq::text as seq, h.link, h.signed_at as "signedAt", h.key_id as "keyId", h.signature from audit_heads h
      where h.organization_id = ${scope.organizationId} order by h.day desc limit 1`);
  }
}

function conditions({ actor, action, object, object_kind, outcome }: AuditFilter): Sql[] {
  const found: Sql[] = [];
  if (actor !== undefined) found.push(sql`(e.actor_id = ${actor} or e.user_id = ${actor})`);
  if (action !== undefined) {
    found.push(action.endsWith('.') ? sql`starts_with(e.action, ${action})` : sql`e.action = ${action}`);
  }
  if (object !== undefined) found.push(sql`e.object_id = ${object}`);
  if (object_kind !== undefined) found.push(sql`e.object_kind = ${object_kind}`);
  if (outcome !== undefined) found.push(sql`e.outcome = ${outcome}`);
  return found;
}
