/**
 * Where programs work, under DATA_DIR/work:
 *
 *   tasks/<organisation>.<task>/   of a task that is not isolated: stays between its runs, so that one finds what another left
 *   attempts/<token>/              of one attempt: of an isolated task, or while another run of the task is in its folder; removed after
 *   <either>.lock                  beside each folder in use: who is in it, and what that started
 *
 * A lock is made in one step with its content (a link fails where the name exists), so two servers that share a folder agree. One is
 * dead when its process is, or, made on another host, when it was not touched for ten minutes. Whoever finds a dead lock ends what
 * is left of its program before anything else, so that a server killed outright leaves nothing running past the next start.
 *
 * Folders of tasks go a week after their last use, or with their task.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { processIdentity } from '../../../database/embedded/process-identity.js';
import { endGroup } from './process-group.js';

const KEPT_MS = 7 * 24 * 3600 * 1000;
const TOUCH_MS = 60_000;
const FOREIGN_DEAD_MS = 10 * TOUCH_MS;
const GRACE_MS = 5_000;

const lockSchema = z.object({
  host: z.string(),
  process: z.int(),
  identity: z.string().nullable(),
  token: z.uuid(),
  group: z.int().min(2).nullable(),
  groupIdentity: z.string().nullable(),
});
type Lock = z.output<typeof lockSchema>;

/** A folder that is held. */
export interface WorkFolder {
  readonly path: string;
  /** Names this holding, and what is started under it. */
  readonly token: string;
  /** Notes which process group was started, for whoever finds the lock if this process dies. */
  note(group: number): Promise<void>;
  release(): Promise<void>;
}

export interface TaskOfFolder {
  organizationId: string;
  taskId: string;
}

export class WorkFolders {
  readonly #tasks: string;
  readonly #attempts: string;

  constructor(dataDir: string) {
    this.#tasks = join(dataDir, 'work', 'tasks');
    this.#attempts = join(dataDir, 'work', 'attempts');
  }

  /** Clears up after servers that are gone: ends what they left running, frees what they held. */
  async recover(): Promise<void> {
    for (const folder of [this.#tasks, this.#attempts]) {
      for (const name of await namesIn(folder)) {
        if (name.endsWith('.lock')) {
          await this.#freeIfDead(join(folder, name));
        } else if (name.endsWith('.new')) {
          await rm(join(folder, name), { force: true });
        }
      }
    }
    const attempts = await namesIn(this.#attempts);
    for (const name of attempts.filter((entry) => !entry.includes('.') && !attempts.includes(`${entry}.lock`))) {
      await rm(join(this.#attempts, name), { recursive: true, force: true });
    }
  }

  async open(task: TaskOfFolder & { isIsolated: boolean }): Promise<WorkFolder> {
    const token = randomUUID();
    for (const folder of [this.#tasks, this.#attempts]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
    const shared = join(this.#tasks, `${task.organizationId}.${task.taskId}`);
    const isShared = !task.isIsolated && (await this.#lock(shared, token));
    const path = isShared ? shared : join(this.#attempts, token);
    if (!isShared && !(await this.#lock(path, token))) {
      throw new Error('a folder by a new name is taken');
    }
    await mkdir(path, { recursive: true, mode: 0o700 });
    const touching = setInterval(() => void touch(`${path}.lock`), TOUCH_MS);
    return {
      path,
      token,
      note: (group) => writeLock(`${path}.lock`, { ...ownLock(token), group, groupIdentity: processIdentity(group) }),
      release: async () => {
        clearInterval(touching);
        if (isShared) {
          await touch(path);
        } else {
          await rm(path, { recursive: true, force: true });
        }
        await rm(`${path}.lock`, { force: true });
      },
    };
  }

  /** The tasks that have a folder which nobody is in. */
  async kept(): Promise<TaskOfFolder[]> {
    const names = await namesIn(this.#tasks);
    return names.flatMap((name) => {
      const [organizationId, taskId, rest] = name.split('.');
      const isIdle = rest === undefined && !names.includes(`${name}.lock`);
      return isIdle && organizationId !== undefined && taskId !== undefined ? [{ organizationId, taskId }] : [];
    });
  }

  /** Removes the folder of a task where nobody is in it and `gone` is true, or it was not used for long. */
  async removeUnused({ organizationId, taskId }: TaskOfFolder, isGone: boolean, nowMs: number): Promise<void> {
    const path = join(this.#tasks, `${organizationId}.${taskId}`);
    const used = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (used === null || (!isGone && nowMs - used < KEPT_MS) || !(await this.#lock(path, randomUUID()))) {
      return;
    }
    await rm(path, { recursive: true, force: true });
    await rm(`${path}.lock`, { force: true });
  }

  async #lock(path: string, token: string): Promise<boolean> {
    const lock = `${path}.lock`;
    return (await makeLock(lock, token)) || ((await this.#freeIfDead(lock)) && (await makeLock(lock, token)));
  }

  /** True where the lock is no more. */
  async #freeIfDead(path: string): Promise<boolean> {
    const lock = await readLock(path);
    if (lock === null || !(await isDead(path, lock))) {
      return false;
    }
    // The token is certain; the group's number only while the process that led it is still the same one.
    const isGroupStill =
      lock.group !== null && lock.groupIdentity !== null && processIdentity(lock.group) === lock.groupIdentity;
    await endGroup(isGroupStill ? lock.group : null, lock.token, GRACE_MS);
    if (path.startsWith(this.#attempts)) {
      await rm(path.slice(0, -'.lock'.length), { recursive: true, force: true });
    }
    await rm(path, { force: true });
    return true;
  }
}

/** None where there is no such folder yet. */
function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function ownLock(token: string): Lock {
  return {
    host: hostname(),
    process: process.pid,
    identity: processIdentity(process.pid),
    token,
    group: null,
    groupIdentity: null,
  };
}

async function makeLock(path: string, token: string): Promise<boolean> {
  const draft = `${path}.${token}.new`;
  await writeFile(draft, JSON.stringify(ownLock(token)), { mode: 0o600 });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'EEXIST') {
      return false;
    }
    throw error;
  } finally {
    await unlink(draft);
  }
}

async function writeLock(path: string, lock: Lock): Promise<void> {
  await writeFile(path, JSON.stringify(lock), { mode: 0o600 });
}

async function readLock(path: string): Promise<Lock | null> {
  try {
    return lockSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    // Gone meanwhile, or being written: not ours to judge now.
    return null;
  }
}

async function isDead(path: string, lock: Lock): Promise<boolean> {
  if (lock.host === hostname()) {
    return lock.identity === null || processIdentity(lock.process) !== lock.identity;
  }
  const touched = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
  // The clock of the file system, read by touching a file of ours: hosts may disagree about the time.
  return touched !== null && (await fileSystemNow(path)) - touched > FOREIGN_DEAD_MS;
}

async function fileSystemNow(path: string): Promise<number> {
  const probe = `${path}.${randomUUID()}.new`;
  await writeFile(probe, '');
  const { mtimeMs } = await stat(probe);
  await unlink(probe);
  return mtimeMs;
}

async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}
