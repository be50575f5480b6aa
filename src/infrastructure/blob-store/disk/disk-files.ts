import { lstat, mkdir, open, realpath } from 'node:fs/promises';
import { DomainError } from '../../../kernel/errors.js';

/**
 * True when `error` is a system error with one of these codes (`ENOENT`, …). Judged by its shape: an error of Node's own modules
 * need not be an instance of the `Error` that this code sees.
 */
export function hasErrorCode(error: unknown, ...codes: string[]): boolean {
  if (typeof error !== 'object' || error === null || !('code' in error)) return false;
  return typeof error.code === 'string' && codes.includes(error.code);
}

/** Something in the store's place is a link, a folder or a device. The path is for the log only. */
export function outsideTheStore(path: string): DomainError {
  return new DomainError('internal', 'This file cannot be read.', {
    internal: `not a plain file of the blob store: ${path}`,
  });
}

/** What the disk said, in our words; anything that is not about the disk passes as it is. */
export function storageError(error: unknown): unknown {
  if (error instanceof DomainError) return error;
  if (hasErrorCode(error, 'ELOOP')) return outsideTheStore('a link that O_NOFOLLOW refused');
  if (!hasErrorCode(error, ...STORAGE_CODES)) return error;
  return new DomainError('unavailable', 'Files cannot be read or written at the moment; try again later.', {
    internal: 'the disk of the blob store refused',
    cause: error,
  });
}

// ENOENT arrives here only for a temporary that a sweep took from a stalled put, or a store that was unmounted.
const STORAGE_CODES = ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EMFILE', 'ENFILE', 'EACCES', 'EPERM', 'ESTALE', 'ENOENT'];

/** Makes one folder (0700) unless it is there, and refuses a link or a file in its place. The parent must exist. */
export async function ensureRealFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!hasErrorCode(error, 'EEXIST')) throw error;
  }
  if (!(await isRealFolder(path))) throw outsideTheStore(path);
}

/** False when nothing is there. @throws DomainError `internal` when the path is or goes through a link, or is no folder. */
export async function isRealFolder(path: string): Promise<boolean> {
  try {
    if (!(await lstat(path)).isDirectory() || (await realpath(path)) !== path) throw outsideTheStore(path);
    return true;
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Makes the names in a folder durable: a synced file whose name is lost is a lost file. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
