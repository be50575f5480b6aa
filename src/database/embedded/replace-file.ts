import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatabaseUser } from './database-user.js';

/** Writes a file whole or not at all, durably: a crash leaves the old content or the new. */
export async function replaceFile(
  path: string,
  content: string,
  mode: number,
  owner: DatabaseUser | null,
): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(fresh, 'wx', mode);
    try {
      await file.writeFile(content);
      if (owner !== null) {
        await file.chown(owner.uid, owner.gid);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Makes renames in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
