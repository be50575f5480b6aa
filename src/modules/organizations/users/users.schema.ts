import { z } from 'zod';
import { USER_ROLES } from '../../../access/index.js';
import { listQuery, pageSchema } from '../../../http/pagination/cursor-paginator.js';
import { emailField, nameField, passwordField, times } from '../fields.schema.js';

const roleField = z.enum(USER_ROLES);

export const userSchema = z
  .object({ id: z.uuid(), email: z.string(), display_name: z.string(), role: roleField, ...times })
  .meta({ id: 'User' });
export type UserView = z.output<typeof userSchema>;

export const newUserSchema = z
  .strictObject({
    email: emailField.describe('Unique in the organization, whatever its case.'),
    display_name: nameField,
    role: roleField.describe('At most your own.'),
    password: passwordField,
  })
  .meta({ id: 'NewUser' });
export type NewUserInput = z.output<typeof newUserSchema>;

const createdKeys = z
  .enum(['keep', 'revoke'])
  .optional()
  .describe(
    '`revoke` also revokes the API keys that this user created, and those that were created with such a key. `keep`, the default: they go on ' +
      'working with their own roles. List them with `GET /api/v1/api-keys?created_by=`.',
  );

export const userPatchSchema = z
  .strictObject({
    email: emailField.optional(),
    display_name: nameField.optional(),
    role: roleField.optional(),
    created_keys: createdKeys,
  })
  .meta({ id: 'UserPatch' });
export type UserPatch = z.output<typeof userPatchSchema>;

export const userDeletionQuery = z.strictObject({ created_keys: createdKeys });
export type UserDeletion = z.output<typeof userDeletionQuery>;

export const userListQuery = listQuery;
export const userPage = pageSchema(userSchema, 'UserPage');

export const USER_EXAMPLE: UserView = {
  id: '0198c0de-0000-7000-8000-000000000002',
  email: 'ada@example.com',
  display_name: 'Ada',
  role: 'member',
  created_at: '2026-01-31T09:00:00.000Z',
  updated_at: '2026-01-31T09:00:00.000Z',
};
