/**
 * Which live process owns a folder.
 *
 * Each claim is an empty file named after its process and that process's life (`<pid>-<identity>`), so it is complete the moment
 * it exists and a claim of the dead is told by its name alone, however it died. To own is: write your claim, then see no other
 * living claim. Of two processes that claim at once at least one sees the other, for each writes before it looks; whoever sees
 * another withdraws, waits a random moment and tries again a few times, so that one of two simultaneous starts wins and the
 * second is refused. Nothing is ever taken over, hence no race between removing a dead claim and making a new one.
 *
 * Claims are of this machine: a folder shared over a network by two machines is not protected.
 */
import { randomInt } from 'node:crypto';
import { chown, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processIdentity } from './process-identity.js';
import { refusalForFolder, StartRefused, systemErrorCode } from './start-refused.js';

const TRIES = 4;
const CLAIM = /^(\d{1,10})-([0-9a-f]{16})$/;

export class OwnerLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes this process the one owner of `ownedFolder`, its claims kept in `claimsFolder`.
   * @throws StartRefused naming the folder and the owner's process id when another living process owns it.
   */
  static async acquire(claimsFolder: string, ownedFolder: string): Promise<OwnerLock> {
    const name = `${process.pid}-${processIdentity(process.pid) ?? '0'.repeat(16)}`;
    const path = join(claimsFolder, name);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await mkdir(claimsFolder, { recursive: true });
        await (await open(path, 'wx')).close();
        await giveToParentOwner(claimsFolder, path);
      } catch (error) {
        if (systemErrorCode(error) === 'EEXIST') {
          throw refused(ownedFolder, process.pid);
        }
        throw refusalForFolder(claimsFolder, error);
      }
      const rival = await livingRival(claimsFolder, name);
      if (rival === null) {
        return new OwnerLock(path);
      }
      await rm(path, { force: true });
      if (attempt === TRIES) {
        throw refused(ownedFolder, rival);
      }
      await delay(randomInt(10, 100));
    }
  }

  /** Gives the folder up. Safe to call twice. */
  async release(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

async function livingRival(claimsFolder: string, ownName: string): Promise<number | null> {
  for (const name of await readdir(claimsFolder)) {
    const [, pidText, identity] = CLAIM.exec(name) ?? [];
    if (name === ownName || pidText === undefined) {
      continue;
    }
    if (processIdentity(Number(pidText)) === identity) {
      return Number(pidText);
    }
    await rm(join(claimsFolder, name), { force: true });
  }
  return null;
}

// Where root runs the server once in the folder of an ordinary user, that user must be able to start it again.
async function giveToParentOwner(claimsFolder: string, path: string): Promise<void> {
  if (process.getuid?.() === 0) {
    const { uid, gid } = await stat(dirname(claimsFolder));
    await chown(claimsFolder, uid, gid);
    await chown(path, uid, gid);
  }
}

function refused(folder: string, pid: number): StartRefused {
  return new StartRefused(
    `Another server (process ${pid}) is using the data folder ${folder}; stop it first or set another DATA_DIR.`,
  );
}
