import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chmod, chown, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Binaries } from './binaries.js';
import type { ClusterHome } from './cluster-home.js';
import { asUser, DATABASE_ENVIRONMENT } from './database-user.js';
import { replaceFile, syncFolder } from './replace-file.js';
import { StartRefused, systemErrorCode, textOf } from './start-refused.js';

const run = promisify(execFile);

/** The superuser of an embedded cluster, and the name of its database. */
export const OWNER_NAME = 'taskyard';

export interface Cluster {
  /** PostgreSQL's own data folder. */
  readonly path: string;
  readonly password: string;
}

/**
 * Opens the cluster in its home, making it first where there is none. It is made in a folder beside and renamed when complete, so
 * that a kill in the middle leaves nothing half made. Call it as the owner of the data folder, with no server on the cluster.
 * @throws StartRefused when it cannot be made or is another major version's.
 */
export async function openCluster(home: ClusterHome, binaries: Binaries): Promise<Cluster> {
  const path = join(home.path, 'cluster');
  const passwordFile = join(home.path, 'password');
  const version = await readIfPresent(join(path, 'PG_VERSION'));
  if (version === null) {
    await refuseForeign(path);
    await makeCluster(home, binaries, path, passwordFile);
  } else if (version !== binaries.major) {
    throw new StartRefused(
      `The database in ${path} was made by PostgreSQL ${version} and this version of the server brings ${binaries.major}: go back to the former version and move the data over with pg_dump.`,
    );
  }
  // A copy or a restored backup often comes back with wider modes, which PostgreSQL refuses.
  await chmod(path, 0o700);
  const password = await readIfPresent(passwordFile);
  if (password === null) {
    throw new StartRefused(
      `The password of the database in ${path} is missing: put the file ${passwordFile} back from a backup.`,
    );
  }
  return { path, password };
}

async function makeCluster(home: ClusterHome, binaries: Binaries, path: string, passwordFile: string): Promise<void> {
  for (const name of await readdir(home.path)) {
    if (name.startsWith('making-')) {
      // The initdb of an owner that was killed may still write there; it ends over what it misses.
      await rm(join(home.path, name), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    }
  }
  // The password is kept before the cluster exists: the other order could leave a cluster that nobody can enter.
  if ((await readIfPresent(passwordFile)) === null) {
    await replaceFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, 0o600, home.user);
  }
  const making = join(home.path, `making-${randomBytes(6).toString('hex')}`);
  await mkdir(making, { mode: 0o700 });
  if (home.user !== null) {
    await chown(making, home.user.uid, home.user.gid);
  }
  try {
    await run(
      binaries.initdb,
      [
        `--pgdata=${making}`,
        `--username=${OWNER_NAME}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Built in since PostgreSQL 17: the same order on every machine, whatever its C library, so indexes survive a move.
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--locale=C',
        '--data-checksums',
        '--no-instructions',
      ],
      { ...asUser(home.user), cwd: home.path, env: DATABASE_ENVIRONMENT },
    );
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    throw new StartRefused(`The embedded database could not be made in ${home.path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  await rename(making, path);
  await syncFolder(home.path);
}

function reasonOf(error: unknown): string {
  const line = textOf(error, 'stderr')
    ?.split('\n')
    .find((text) => /^initdb: (error|could not)|FATAL/.test(text));
  return (line ?? textOf(error, 'message') ?? 'initdb failed').replace(/^initdb: (error: )?/, '').trim();
}

async function refuseForeign(path: string): Promise<void> {
  try {
    await access(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return;
    }
    throw error;
  }
  throw new StartRefused(
    `${path} exists but holds no PostgreSQL cluster: move it away, or put it back whole from a backup.`,
  );
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return null;
    }
    throw error;
  }
}
