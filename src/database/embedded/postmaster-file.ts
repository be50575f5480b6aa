import { chmod, chown, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EmbeddedLog } from './embedded-log.js';
import { commandLineOf, processIdentity, workingFolderOf } from './process-identity.js';
import { StartRefused, systemErrorCode } from './start-refused.js';

/** What PostgreSQL's `postmaster.pid` says; lines as in its `src/include/utils/pidfile.h`. */
export interface PostmasterFile {
  readonly pid: number;
  readonly socketFolder: string;
  readonly status: string;
}

const POLL_MS = 25;
const FAST_STOP_MS = 60_000;
const IMMEDIATE_STOP_MS = 15_000;

/** Null where there is none, or none that is complete. */
export async function readPostmasterFile(clusterPath: string): Promise<PostmasterFile | null> {
  let text: string;
  try {
    text = await readFile(join(clusterPath, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      return null;
    }
    throw error;
  }
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 0
    ? { pid, socketFolder: lines[4]?.trim() ?? '', status: lines[7]?.trim() ?? '' }
    : null;
}

/**
 * Leaves the cluster without a running server and without a pid file that would stop the next one: a postmaster whose owner was
 * killed lives on and is stopped here, gracefully at first. Call it only as the owner of the data folder.
 * @throws StartRefused when it cannot be stopped.
 */
export async function clearFormerServer(clusterPath: string, log: EmbeddedLog): Promise<void> {
  const former = await readPostmasterFile(clusterPath);
  if (former === null) {
    return;
  }
  const identity = processIdentity(former.pid);
  if (identity !== null && isServerOf(former.pid, clusterPath)) {
    log.warn('stopping a database server whose owner died', { pid: former.pid });
    await stopFormer(former.pid, identity, clusterPath);
  } else if (identity !== null) {
    await disownPidFile(clusterPath);
  }
  if (/^\/tmp\/taskyard-[A-Za-z0-9]{6}$/.test(former.socketFolder)) {
    await rm(former.socketFolder, { recursive: true, force: true });
  }
}

function isServerOf(pid: number, clusterPath: string): boolean {
  // A postmaster works in its data folder, wherever that has been moved since; the command line is for systems without /proc.
  const folder = workingFolderOf(pid);
  return folder === null ? commandLineOf(pid).includes(clusterPath) : folder === clusterPath;
}

async function stopFormer(pid: number, identity: string, clusterPath: string): Promise<void> {
  const attempts: readonly [NodeJS.Signals, number][] = [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
  ];
  for (const [signal, patienceMs] of attempts) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (systemErrorCode(error) === 'ESRCH') {
        return;
      }
      throw new StartRefused(
        `A database server (process ${pid}) still runs on ${clusterPath} and belongs to another user: stop it first.`,
        { cause: error },
      );
    }
    for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += POLL_MS) {
      if (processIdentity(pid) !== identity) {
        return;
      }
      await delay(POLL_MS);
    }
  }
  throw new StartRefused(
    `A database server (process ${pid}) still runs on ${clusterPath} and does not stop: stop it first.`,
  );
}

/**
 * The process number in the file was given out again, to a stranger, and PostgreSQL would take that for its own server and refuse.
 * Removing the file would also remove what it uses to recognise surviving children of the dead server (its shared memory), so only
 * the number is replaced, by ours: PostgreSQL knows that its own parent is not a server.
 */
async function disownPidFile(clusterPath: string): Promise<void> {
  const path = join(clusterPath, 'postmaster.pid');
  const [, ...rest] = (await readFile(path, 'utf8')).split('\n');
  const { uid, gid } = await stat(path);
  await writeFile(path, [String(process.pid), ...rest].join('\n'));
  if (process.getuid?.() === 0) {
    await chown(path, uid, gid);
  }
  await chmod(path, 0o600);
}
