/**
 * The first API key is handed over in a file that only the user of the server may read, and not in its output, which containers keep as a log.
 *
 * The file is written, to the disk, before the transaction that stores the key commits. A crash in between leaves a file with a key that no
 * database knows, and a database without an organization: the next start is the first once more, and puts its key in place of that one. A
 * crash after the commit leaves the key in the file. Once there is an organization no start touches the file, whether it was deleted or not.
 */
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigError } from '../../../config/app-config.js';

const OWNER_ONLY = 0o600;

/** Writes the key to a new file, in place of one that an interrupted start left. @throws ConfigError where it cannot be written */
export async function writeKeyFile(path: string, key: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await writeNew(path, `${key}\n`);
  } catch (error) {
    throw new ConfigError(
      `The first API key cannot be written to ${path}: make DATA_DIR writable, or choose the key with BOOTSTRAP_API_KEY.`,
      { cause: error },
    );
  }
}

export async function hasKeyFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Creates the file with its mode from the beginning. `wx` (O_EXCL) follows no symbolic link and fails where something is there. */
async function writeNew(path: string, content: string): Promise<void> {
  const file = await open(path, 'wx', OWNER_ONLY);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
