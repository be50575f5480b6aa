/** The statements of the chain: sealing it, cutting off what is too old, and reading it to verify. */
import { Injectable } from '@nestjs/common';
import type { ReadScope, WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { sql } from '../../database/sql.js';
import type { AuditEntry, ChainMark } from '../../infrastructure/audit-trail/audit-entry.js';

/** An event as stored, with what the chain needs of it. */
export interface StoredEntry extends AuditEntry {
  createdAt: string;
  transactionId: string;
  keyId: string;
  digest: Buffer;
}

export interface Seal {
  seq: string;
  eventId: string;
  keyId: string;
  link: Buffer;
}

export interface StoredMark extends ChainMark {
  keyId: string;
  signature: Buffer;
}

const ENTRY_COLUMNS = sql`e.organization_id as "organizationId", e.id, e.actor_kind as "actorKind", e.actor_id as "actorId",
  e.user_id as "userId", e.role, e.action, e.object_kind as "objectKind", e.object_id as "objectId", e.outcome, e.reason,
  e.request_id as "requestId", e.address, e.route, e.detail, e.key_id as "keyId", e.digest, e.transaction_id::text as "transactionId",
  to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt"`;

@Injectable()
export class ChainRepository {
  constructor(private readonly database: Database) {}

  /** Organisations with something to seal, some at a time. */
  async unsealedOrganizations(most: number): Promise<string[]> {
    const rows = await this.database.rows<{ id: string }>(
      sql`select distinct u.organization_id as id from audit_unsealed u limit ${most}`,
    );
    return rows.map(({ id }) => id);
  }

  /** Every organisation with a chain or the beginning of one. */
  async organizations(slug: string | null): Promise<{ id: string; slug: string }[]> {
    return this.database.rows<{ id: string; slug: string }>(sql`
      select o.id, o.slug from organizations o where ${slug}::text is null or o.slug = ${slug} order by o.created_at, o.id`);
  }

  /** True where this transaction alone extends the organisation's chain until it ends. */
  async lock(scope: WriteScope, tx: Tx): Promise<boolean> {
    const row = await tx.row<{ taken: boolean }>(
      sql`select pg_try_advisory_xact_lock(hashtextextended(${`audit chain ${scope.organizationId}`}, 0)) as taken`,
    );
    return row?.taken === true;
  }

  /** The last link, or where the chain was cut; null where nothing was ever sealed. */
  async end(scope: ReadScope, tx: Tx): Promise<{ seq: string; link: Buffer } | null> {
    return tx.row<{ seq: string; link: Buffer }>(sql`
      select ends.seq::text as seq, ends.link from (
        (select s.seq, s.link from audit_seals s where s.organization_id = ${scope.organizationId} order by s.seq desc limit 1)
        union all
        (select c.seq, c.link from audit_checkpoints c where c.organization_id = ${scope.organizationId} order by c.seq desc limit 1)
      ) ends order by ends.seq desc limit 1`);
  }

  /**
   * What may be sealed: events of transactions older than every one under way, so that none can still appear before them. A number
   * beyond this cluster's was given in another life (a restored dump), and is over too.
   */
  async unsealed(scope: ReadScope, tx: Tx, most: number): Promise<StoredEntry[]> {
    return tx.rows<StoredEntry & Record<string, unknown>>(sql`
      select ${ENTRY_COLUMNS} from audit_unsealed u join audit_events e on e.organization_id = u.organization_id and e.id = u.event_id
      where u.organization_id = ${scope.organizationId} and (u.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        or u.transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
      order by u.transaction_id, e.id limit ${most}`);
  }

  async seal(scope: WriteScope, tx: Tx, seals: readonly Seal[], head: StoredMark): Promise<void> {
    const rows = seals.map(({ seq, eventId, keyId, link }) => ({
      seq,
      event_id: eventId,
      key_id: keyId,
      link: link.toString('hex'),
    }));
    await tx.execute(sql`
      with sealed as (
        insert into audit_seals (organization_id, seq, event_id, key_id, link)
        select ${scope.organizationId}::uuid, g.seq, g.event_id, g.key_id, decode(g.link, 'hex')
        from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as g (seq bigint, event_id uuid, key_id text, link text)
        returning organization_id, event_id
      ), taken as (
        delete from audit_unsealed u using sealed s where u.organization_id = s.organization_id and u.event_id = s.event_id
      )
      insert into audit_heads as h (organization_id, day, seq, link, signed_at, key_id, signature)
      values (${scope.organizationId}, (${head.signedAt}::timestamptz at time zone 'UTC')::date, ${head.seq}::bigint, ${head.link},
        ${head.signedAt}::timestamptz, ${head.keyId}, ${head.signature})
      on conflict (organization_id, day) do update set seq = excluded.seq, link = excluded.link, signed_at = excluded.signed_at,
        key_id = excluded.key_id, signature = excluded.signature where h.seq < excluded.seq`);
  }

  /** The first seals of the chain whose events are older than that, up to the first that is not; some at a time. */
  async oldest(scope: ReadScope, tx: Tx, days: number, most: number): Promise<{ seq: string; link: Buffer } | null> {
    return tx.row<{ seq: string; link: Buffer }>(sql`
      with first as (
        select s.seq, s.link, e.created_at < clock_timestamp() - make_interval(days => ${days}) as is_old
        from audit_seals s join audit_events e on e.organization_id = s.organization_id and e.id = s.event_id
        where s.organization_id = ${scope.organizationId} order by s.seq limit ${most}
      )
      select f.seq::text as seq, f.link from first f where f.is_old
        and f.seq < coalesce((select min(young.seq) from first young where not young.is_old), 9223372036854775807)
      order by f.seq desc limit 1`);
  }

  /** Takes everything up to the checkpoint out of the chain. The checkpoint comes first: without one, nothing may be deleted. */
  async cut(scope: WriteScope, tx: Tx, checkpoint: StoredMark): Promise<void> {
    await tx.execute(sql`
      insert into audit_checkpoints (organization_id, seq, link, signed_at, key_id, signature)
      values (${scope.organizationId}, ${checkpoint.seq}::bigint, ${checkpoint.link}, ${checkpoint.signedAt}::timestamptz,
        ${checkpoint.keyId}, ${checkpoint.signature})`);
    await tx.execute(sql`
      delete from audit_events e using audit_seals s where s.organization_id = ${scope.organizationId} and s.seq <= ${checkpoint.seq}::bigint
        and e.organization_id = s.organization_id and e.id = s.event_id`);
    await tx.execute(sql`
      delete from audit_seals s where s.organization_id = ${scope.organizationId} and s.seq <= ${checkpoint.seq}::bigint`);
  }

  async newestCheckpoint(scope: ReadScope): Promise<StoredMark | null> {
    const [mark] = await this.#marks(scope, sql`audit_checkpoints`);
    return mark ?? null;
  }

  /** Signed ends, the newest first. */
  async heads(scope: ReadScope): Promise<StoredMark[]> {
    return this.#marks(scope, sql`audit_heads`);
  }

  /** Seals after `seq` with their events, null where the event is gone; in order, some at a time. */
  async sealsAfter(scope: ReadScope, seq: string, most: number): Promise<(Seal & { entry: StoredEntry | null })[]> {
    const rows = await this.database.rows<
      Seal & { sealKeyId: string; entryId: string | null } & Record<string, unknown>
    >(sql`
      select ${ENTRY_COLUMNS}, s.seq::text as seq, s.event_id as "eventId", s.key_id as "sealKeyId", s.link, e.id as "entryId"
      from audit_seals s left join audit_events e on e.organization_id = s.organization_id and e.id = s.event_id
      where s.organization_id = ${scope.organizationId} and s.seq > ${seq}::bigint order by s.seq limit ${most}`);
    return rows.map(({ seq: at, eventId, sealKeyId, link, entryId, ...entry }) => ({
      seq: at,
      eventId,
      keyId: sealKeyId,
      link,
      entry: entryId === null ? null : asEntry(entry),
    }));
  }

  /** Events without a seal, oldest first; `isWaiting` where the sealer will take them. */
  async withoutSeal(scope: ReadScope, most: number): Promise<(StoredEntry & { isWaiting: boolean })[]> {
    return this.database.rows<StoredEntry & { isWaiting: boolean } & Record<string, unknown>>(sql`
      select ${ENTRY_COLUMNS}, exists (select 1 from audit_unsealed u where u.organization_id = e.organization_id and u.event_id = e.id)
        as "isWaiting"
      from audit_events e where e.organization_id = ${scope.organizationId}
        and not exists (select 1 from audit_seals s where s.organization_id = e.organization_id and s.event_id = e.id)
      order by e.created_at, e.id limit ${most}`);
  }

  #marks(scope: ReadScope, table: ReturnType<typeof sql>): Promise<StoredMark[]> {
    return this.database.rows<StoredMark & Record<string, unknown>>(sql`
      select m.organization_id as "organizationId", m.seq::text as seq, m.link, iso_utc(m.signed_at) as "signedAt", m.key_id as "keyId",
        m.signature
      from ${table} m where m.organization_id = ${scope.organizationId} order by m.seq desc`);
  }
}

function asEntry(row: Record<string, unknown>): StoredEntry {
  if (!isEntry(row)) {
    throw new Error('a row of audit_events without its columns');
  }
  return row;
}

function isEntry(row: Record<string, unknown>): row is Record<string, unknown> & StoredEntry {
  return typeof row['id'] === 'string' && Buffer.isBuffer(row['digest']) && typeof row['createdAt'] === 'string';
}
