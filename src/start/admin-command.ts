import { parseArgs } from 'node:util';
import { ROLES, type Role } from '../access/index.js';

export type AdminCommand =
  | { kind: 'help' }
  | { kind: 'reset-password'; email: string; password: string | null; organizationSlug: string | null }
  | { kind: 'create-key'; name: string; role: Role; organizationSlug: string | null }
  | { kind: 'verify-audit'; organizationSlug: string | null; headFile: string | null };

/** The command line cannot be understood; the message is one sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `Gives back a lost credential, and verifies the audit trail; works while the server runs and while it does not.

  npm run admin -- reset-password --email ada@example.com [--password "a new one"] [--organization slug]
  npm run admin -- create-key --name rescue --role ${ROLES.join('|')} [--organization slug]
  npm run audit:verify [-- --organization slug] [--head head.json]

The trail is verified to its signed end, and to the end in the file, where one was kept (GET /api/v1/audit-events/head).
Without --password one is asked for, or made and shown where nobody is at the keyboard.
`;

/** @throws UsageError */
export function parseAdminCommand(args: readonly string[]): AdminCommand {
  const [name, ...rest] = args;
  switch (name) {
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      return { kind: 'help' };
    case 'reset-password': {
      const { email, password, organization } = read(rest, ['email', 'password', 'organization']);
      return {
        kind: 'reset-password',
        email: required(email, 'email'),
        password: password ?? null,
        organizationSlug: organization ?? null,
      };
    }
    case 'create-key': {
      const { name: keyName, role, organization } = read(rest, ['name', 'role', 'organization']);
      return {
        kind: 'create-key',
        name: required(keyName, 'name'),
        role: roleOf(required(role, 'role')),
        organizationSlug: organization ?? null,
      };
    }
    case 'verify-audit': {
      const { organization, head } = read(rest, ['organization', 'head']);
      return { kind: 'verify-audit', organizationSlug: organization ?? null, headFile: head ?? null };
    }
    default:
      throw new UsageError(`There is no command ${name}: it is reset-password, create-key or verify-audit.`);
  }
}

function read(args: readonly string[], names: readonly string[]): Record<string, string | undefined> {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false });
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? value : undefined]),
    );
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') {
    throw new UsageError(`--${name} is missing; see npm run admin -- help.`);
  }
  return value;
}

function roleOf(text: string): Role {
  const role = ROLES.find((candidate) => candidate === text);
  if (role === undefined) {
    throw new UsageError(`There is no role ${text}: it is one of ${ROLES.join(', ')}.`);
  }
  return role;
}
