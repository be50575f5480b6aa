/** Audit events as lines: NDJSON for programs, CSV (RFC 4180) for people. */
import type { AuditEventView } from './audit.schema.js';

export const CSV_HEADER =
  'seq,created_at,action,outcome,object_kind,object_id,actor_kind,actor_id,user_id,role,reason,address,route,request_id,detail,id\r\n';

export function csvLine({ seq, actor, object, ...event }: AuditEventView): string {
  const cells = [
    seq,
    event.created_at,
    event.action,
    event.outcome,
    object.kind,
    object.id,
    actor.kind,
    actor.id,
    actor.user_id,
    actor.role,
    event.reason,
    event.address,
    event.route,
    event.request_id,
    JSON.stringify(event.detail),
    event.id,
  ];
  return `${cells.map((value) => cell(value === null ? '' : String(value))).join(',')}\r\n`;
}

export function ndjsonLine(event: AuditEventView): string {
  return `${JSON.stringify(event)}\n`;
}

/** A spreadsheet takes what begins with = + - @ for a formula: an apostrophe before it makes it a text. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
