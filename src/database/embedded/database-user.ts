import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StartRefused } from './start-refused.js';

const run = promisify(execFile);

/** Whom PostgreSQL runs as; null stands for the present user. */
export interface DatabaseUser {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root, so as root it runs as the first of these that the machine has. */
const CANDIDATES = ['taskyard', 'postgres', 'nobody'];

/**
 * The environment of every process of the database: ours holds secrets, and `PG*` or `LD_*` variables of the operator's would
 * bend the server.
 */
export const DATABASE_ENVIRONMENT: NodeJS.ProcessEnv = { LC_ALL: 'C', PATH: '/usr/bin:/bin' };

export function runningAsRoot(): boolean {
  return process.getuid?.() === 0;
}

/** @throws StartRefused when none of the candidates exists. */
export async function chooseDatabaseUser(): Promise<DatabaseUser> {
  for (const name of CANDIDATES) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // No such user here; the next may exist.
    }
  }
  throw new StartRefused(
    'PostgreSQL refuses to run as root and this machine has no user postgres or nobody to run it as: add one (useradd --system postgres), start as an ordinary user, or set DATABASE_URL.',
  );
}

/** What `spawn` needs to run something as that user (Node drops the supplementary groups itself). */
export function asUser(user: DatabaseUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

/** True where that user can enter the folder and write in it; asked of the kernel, since modes alone do not tell. */
export async function canUse(user: DatabaseUser, folder: string): Promise<boolean> {
  try {
    const script = 'cd -- "$1" && test -w .';
    await run('/bin/sh', ['-c', script, 'sh', folder], { ...asUser(user), cwd: '/', env: DATABASE_ENVIRONMENT });
    return true;
  } catch {
    return false;
  }
}
