import { z } from 'zod';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { emailField, idField, nameField, times } from '../fields.schema.js';

const kindField = z.enum(['person', 'artist', 'customer']);

export const accountSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    kind: kindField,
    email: z.string().nullable(),
    user_id: z.uuid().nullable().describe('The person whose tasks are for this account unless they say otherwise.'),
    created_by: z.uuid().nullable(),
    ...times,
  })
  .meta({ id: 'Account' });
export type AccountView = z.output<typeof accountSchema>;

export const newAccountSchema = z
  .strictObject({
    name: nameField,
    kind: kindField,
    email: emailField.nullable().optional(),
    user_id: idField.nullable().optional(),
  })
  .meta({ id: 'NewAccount' });
export type NewAccountInput = z.output<typeof newAccountSchema>;

export const accountPatchSchema = newAccountSchema.partial().meta({ id: 'AccountPatch' });
export type AccountPatch = z.output<typeof accountPatchSchema>;

export const accountListQuery = listQuery.extend({ kind: kindField.optional() });
export type AccountListQuery = z.output<typeof accountListQuery>;
export const accountPage = pageSchema(accountSchema, 'AccountPage');

export const ACCOUNT_EXAMPLE: AccountView = {
  id: '0198c0de-0000-7000-8000-000000000006',
  name: 'The Quartet',
  kind: 'artist',
  email: 'quartet@example.com',
  user_id: null,
  created_by: '0198c0de-0000-7000-8000-000000000002',
  created_at: '2026-01-31T09:00:00.000Z',
  updated_at: '2026-01-31T09:00:00.000Z',
};
