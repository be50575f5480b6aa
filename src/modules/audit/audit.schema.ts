import { z } from 'zod';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../http/openapi/schemas.js';
import { timeField } from '../organizations/index.js';

export const auditEventSchema = z
  .object({
    id: z.uuid(),
    created_at: timeField,
    actor: z.object({
      kind: z.enum(['user', 'api_key', 'system', 'anonymous']),
      id: z.uuid().nullable().describe('The key, or the user signed in.'),
      user_id: z.uuid().nullable().describe('The person behind it, where there is one.'),
      role: z.string().nullable(),
    }),
    action: z.string(),
    object: z.object({ kind: z.string(), id: z.string().nullable() }),
    outcome: z.enum(['done', 'refused']),
    reason: z.string().nullable(),
    request_id: z.string().nullable(),
    address: z.string().nullable(),
    route: z.string().nullable(),
    detail: z.record(z.string(), z.unknown()).describe('Names and counts; never a value.'),
    seq: z.int().nullable().describe('Place in the chain; null in the second before it is sealed.'),
  })
  .meta({ id: 'AuditEvent' });
export type AuditEventView = z.output<typeof auditEventSchema>;

const filters = {
  actor: idQuery.optional().describe('A key, or a person by any credential.'),
  action: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('`team.update`; with a dot at its end, all that begins so: `team.`'),
  object: z.string().min(1).max(200).optional().describe('The id of what it was done to; of a secret, its name.'),
  object_kind: z.string().min(1).max(50).optional(),
  outcome: z.enum(['done', 'refused']).optional(),
};

export const auditListQuery = listQuery.extend({
  ...filters,
  sort: z.enum(['-created_at', 'created_at']).optional().describe('`-created_at` where absent.'),
});
export type AuditListQuery = z.output<typeof auditListQuery>;
export type AuditFilter = Omit<AuditListQuery, 'limit' | 'cursor' | 'sort'>;
export const auditPage = pageSchema(auditEventSchema, 'AuditEventPage');

export const auditExportQuery = z.strictObject({
  format: z.enum(['csv', 'ndjson']).default('ndjson'),
  ...filters,
  created_after: listQuery.shape.created_after,
  created_before: listQuery.shape.created_before,
});
export type AuditExportQuery = z.output<typeof auditExportQuery>;

export const auditHeadSchema = z
  .object({
    organization_id: z.uuid(),
    seq: z.int(),
    link: z.string().describe('Hex.'),
    signed_at: timeField,
    key_id: z.string(),
    signature: z.string().describe('Ed25519 over five lines (docs/audit.md), base64url.'),
    public_key: z.record(z.string(), z.unknown()).describe('The key to check it with, as a JWK.'),
  })
  .meta({ id: 'AuditHead' });
export type AuditHeadView = z.output<typeof auditHeadSchema>;

export const AUDIT_EXAMPLE: AuditEventView = {
  id: '019a2f5e-7777-7d2a-9a1f-2f8f6b6f0a02',
  created_at: '2026-01-31T09:00:00.000Z',
  actor: {
    kind: 'user',
    id: '0198c0de-0000-7000-8000-000000000002',
    user_id: '0198c0de-0000-7000-8000-000000000002',
    role: 'admin',
  },
  action: 'team.members.put',
  object: { kind: 'team', id: '019a2f5e-2222-7d2a-9a1f-2f8f6b6f0a02' },
  outcome: 'done',
  reason: null,
  request_id: 'req-1',
  address: '203.0.113.7',
  route: 'PUT /api/v1/teams/:id/members/:user_id',
  detail: { user_id: '0198c0de-0000-7000-8000-000000000003', fields: ['role'] },
  seq: 412,
};

export const HEAD_EXAMPLE: AuditHeadView = {
  organization_id: '0198c0de-0000-7000-8000-000000000001',
  seq: 412,
  link: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  signed_at: '2026-01-31T09:00:00.000Z',
  key_id: '4be1c0ffee',
  signature: 'Zm9vYmFy',
  public_key: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
};
