/**
 * Where a data folder's cluster lies, and whom it belongs to.
 *
 * `DATA_DIR/postgres` is its home: the cluster, its password, its log and its socket, all owned by the database's user. As an
 * ordinary user that is all there is to it. As root, PostgreSQL runs as another user, who must be able to walk there; below a
 * folder of mode 0700 (a clone in /root) they cannot, and nothing that root hands down survives the change of user. The home is
 * then made in /var/lib instead, and `DATA_DIR/postgres.location` says where, so a data folder that is moved still finds its
 * cluster. What the file points to is never made anew: a cluster that has gone missing stops the start rather than look empty.
 */
import { createHash } from 'node:crypto';
import {
  access,
  chmod,
  chown,
  constants,
  lchown,
  mkdir,
  readdir,
  readFile,
  realpath,
  rmdir,
  stat,
} from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { canUse, chooseDatabaseUser, runningAsRoot, type DatabaseUser } from './database-user.js';
import { replaceFile } from './replace-file.js';
import { refusalForFolder, StartRefused, systemErrorCode } from './start-refused.js';

export interface ClusterHome {
  readonly path: string;
  /** Whom the home belongs to and PostgreSQL runs as; null: the present user. */
  readonly user: DatabaseUser | null;
}

const ELSEWHERE = '/var/lib';

/**
 * Finds or makes the home of the cluster of `dataDir` (absolute, present). Call it as the owner of the data folder.
 * @throws StartRefused when it cannot be used.
 */
export async function locateHome(dataDir: string): Promise<ClusterHome> {
  const home = await findOrMakeHome(dataDir);
  // The real path, as the kernel will show it of a server that works there.
  return { ...home, path: await realpath(home.path) };
}

async function findOrMakeHome(dataDir: string): Promise<ClusterHome> {
  const pointer = join(dataDir, 'postgres.location');
  const beside = join(dataDir, 'postgres');
  try {
    const elsewhere = await readPointer(pointer);
    if (elsewhere !== null) {
      return await openExisting(elsewhere);
    }
    if (await isFolder(join(beside, 'cluster'))) {
      return await openExisting(beside);
    }
    if (!runningAsRoot()) {
      await mkdir(beside, { recursive: true, mode: 0o700 });
      await access(beside, constants.R_OK | constants.W_OK | constants.X_OK);
      return { path: beside, user: null };
    }
    return await makeAsRoot(beside, dataDir, pointer);
  } catch (error) {
    throw refusalForFolder(beside, error);
  }
}

async function readPointer(pointer: string): Promise<string | null> {
  let path: string;
  try {
    path = (await readFile(pointer, 'utf8')).trim();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return null;
    }
    throw error;
  }
  if (!isAbsolute(path) || !(await isFolder(path))) {
    throw new StartRefused(
      `The database of this data folder lies in ${path} (says ${pointer}), which is not there: put it back, or remove ${pointer} to start with an empty database.`,
    );
  }
  return path;
}

async function openExisting(path: string): Promise<ClusterHome> {
  if (!runningAsRoot()) {
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return { path, user: null };
  }
  const { uid, gid } = await stat(path);
  let user: DatabaseUser = { uid, gid };
  if (uid === 0) {
    // Restored by root from a backup, for one.
    user = await chooseDatabaseUser();
    await giveAll(path, user);
  }
  if (!(await canUse(user, path))) {
    throw new StartRefused(
      `PostgreSQL cannot run as root, and its user (uid ${user.uid}) cannot reach ${path}: chmod o+x the folders above it, or start as that user.`,
    );
  }
  return { path, user };
}

async function makeAsRoot(beside: string, dataDir: string, pointer: string): Promise<ClusterHome> {
  const user = await chooseDatabaseUser();
  await mkdir(beside, { recursive: true });
  await chmod(beside, 0o700);
  await giveAll(beside, user);
  if (await canUse(user, beside)) {
    return { path: beside, user };
  }
  const name = `taskyard-${createHash('sha256')
    .update(await realpath(dataDir))
    .digest('hex')
    .slice(0, 12)}`;
  const path = await makeElsewhere(name, beside);
  await chmod(path, 0o700);
  await giveAll(path, user);
  if (!(await canUse(user, path))) {
    throw unreachable(beside);
  }
  await replaceFile(pointer, `${path}\n`, 0o644, null);
  await rmdir(beside);
  return { path, user };
}

async function makeElsewhere(name: string, beside: string): Promise<string> {
  // A data folder that was removed leaves its cluster behind; a new one in its place must not come upon old data.
  for (let count = 1; ; count += 1) {
    const path = join(ELSEWHERE, count === 1 ? name : `${name}-${count}`);
    try {
      await mkdir(path, { mode: 0o700 });
      return path;
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') {
        throw unreachable(beside, error);
      }
    }
  }
}

function unreachable(beside: string, cause?: unknown): StartRefused {
  return new StartRefused(
    `PostgreSQL cannot run as root, and no other user can reach ${beside} (nor can a folder be made in ${ELSEWHERE}): chmod o+x the folders above it, start as an ordinary user, or set another DATA_DIR.`,
    { cause },
  );
}

async function giveAll(folder: string, user: DatabaseUser): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    // lchown: a link must not hand out what it points to.
    await lchown(join(entry.parentPath, entry.name), user.uid, user.gid);
  }
  await chown(folder, user.uid, user.gid);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return false;
    }
    throw error;
  }
}
