/**
 * What a row of the audit trail says, and how it is made to hold.
 *
 * Each row carries a keyed digest of all it says, so a row that the product did not write, or that was changed, is known from the row
 * alone. The chain then ties it to its place: link n is a keyed digest of the number, the row's digest, its time, and link n − 1. Fields
 * are joined with their lengths, so that no two rows have one text.
 */
import { type KeyObject, createHmac, sign, verify } from 'node:crypto';

export interface AuditEntry {
  organizationId: string;
  id: string;
  actorKind: 'user' | 'api_key' | 'system' | 'anonymous';
  actorId: string | null;
  userId: string | null;
  role: string | null;
  /** What was done: `team.update`, `secret.read`, `session.open`. */
  action: string;
  objectKind: string;
  objectId: string | null;
  outcome: 'done' | 'refused';
  reason: string | null;
  requestId: string | null;
  address: string | null;
  route: string | null;
  /** Names and counts; never a value, never a payload. Members are texts, whole numbers, and lists of texts. */
  detail: Readonly<Record<string, string | number | readonly string[]>>;
}

/** The first link's predecessor. */
export const NO_LINK = Buffer.alloc(32);

export function entryDigest(key: Buffer, entry: AuditEntry): Buffer {
  return keyed(key, 'entry', [
    entry.organizationId,
    entry.id,
    entry.actorKind,
    entry.actorId,
    entry.userId,
    entry.role,
    entry.action,
    entry.objectKind,
    entry.objectId,
    entry.outcome,
    entry.reason,
    entry.requestId,
    entry.address,
    entry.route,
    sortedJson(entry.detail),
  ]);
}

export interface Linked {
  organizationId: string;
  seq: string;
  eventId: string;
  /** To the microsecond, as the database wrote it. */
  createdAt: string;
  transactionId: string;
  digest: Buffer;
  previous: Buffer;
}

export function linkOf(key: Buffer, link: Linked): Buffer {
  return keyed(key, 'link', [
    link.organizationId,
    link.seq,
    link.eventId,
    link.createdAt,
    link.transactionId,
    link.digest.toString('hex'),
    link.previous.toString('hex'),
  ]);
}

/** An end (`head`) or a beginning (`checkpoint`) of a chain, as it is signed. */
export interface ChainMark {
  organizationId: string;
  seq: string;
  link: Buffer;
  /** ISO 8601, UTC. */
  signedAt: string;
}

/** Ed25519 (RFC 8032) over the mark's text; whoever has the public key can check it. */
export function signMark(key: KeyObject, kind: 'head' | 'checkpoint', mark: ChainMark): Buffer {
  return sign(null, markText(kind, mark), key);
}

export function verifyMark(key: KeyObject, kind: 'head' | 'checkpoint', mark: ChainMark, signature: Buffer): boolean {
  return verify(null, markText(kind, mark), key, signature);
}

/** `taskyard-audit-head\n<organization>\n<seq>\n<link, hex>\n<signed at>` */
function markText(kind: 'head' | 'checkpoint', { organizationId, seq, link, signedAt }: ChainMark): Buffer {
  return Buffer.from(
    [`taskyard-audit-${kind}`, organizationId, seq, link.toString('hex'), signedAt].join('\n'),
    'utf8',
  );
}

function keyed(key: Buffer, use: string, fields: readonly (string | null)[]): Buffer {
  const mac = createHmac('sha256', key).update(`taskyard audit ${use} v1\0`);
  for (const field of fields) {
    const bytes = Buffer.from(field ?? '', 'utf8');
    const head = Buffer.alloc(5);
    head.writeUInt8(field === null ? 0 : 1, 0);
    head.writeUInt32BE(bytes.length, 1);
    mac.update(head).update(bytes);
  }
  return mac.digest();
}

/** The database keeps members in an order of its own. */
function sortedJson(detail: AuditEntry['detail']): string {
  return JSON.stringify(Object.entries(detail).sort(([one], [other]) => (one < other ? -1 : 1)));
}
