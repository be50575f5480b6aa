/** Fields that several things of an organisation have. */
import { z } from 'zod';

export const nameField = z.string().trim().min(1).max(200);

export const slugField = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and -, not beginning with -')
  .describe('1 to 63 of a-z, 0-9 and -, not beginning with -.');

export const emailField = z.email({ error: 'must be an e-mail address' }).max(320);

/** Long rather than intricate (NIST SP 800-63B, 3.1.1.2). Common ones are refused where the hash is made. */
export const passwordField = z.string().min(12).max(256).meta({
  writeOnly: true,
  description:
    '12 to 256 characters. Common passwords are refused, and so are those made of the e-mail address or the name of the user.',
});

export const idField = z.uuid({ error: 'must be a UUID' }).toLowerCase();

/** A time as it leaves the server. */
export const timeField = z.iso.datetime();

export const times = { created_at: timeField, updated_at: timeField };
