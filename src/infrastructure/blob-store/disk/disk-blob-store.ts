import { constants } from 'node:fs';
import { link, lstat, mkdir, open, opendir, realpath, rm, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../../config/app-config.js';
import type { Clock } from '../../../kernel/clock.js';
import { newId } from '../../../kernel/ids.js';
import { blobConflict, rangeWithin } from '../blob-errors.js';
import { blobKey, blobKeyFields, blobPrefixFields, type BlobKey, type BlobPrefix } from '../blob-key.js';
import {
  BlobStore,
  type BlobStat,
  type ByteRange,
  type OpenBlob,
  type PutLimits,
  type StoredBlob,
} from '../blob-store.js';
import {
  ensureRealFolder,
  hasErrorCode,
  isRealFolder,
  outsideTheStore,
  storageError,
  syncFolder,
} from './disk-files.js';
import { receiveBody } from './receive-body.js';

/**
 * Blobs as files of one folder.
 *
 *     <folder>/objects/<organization id>/<last two digits of the asset id>/<asset id>.<part>
 *     <folder>/temporary/<random>.part
 *
 * A put writes a temporary, counts and hashes what passes, syncs the file, *links* it to its final name, syncs the folders up to
 * `objects`, and drops the temporary name. The link is why the first writer wins: it fails if the name exists, in one step of
 * the file system, between processes too, where a rename would replace the file. A death before the link leaves a temporary; one
 * after it leaves a whole blob with a second, temporary name. Both are what the sweeper removes.
 *
 * Asset ids begin with the time (UUID v7), so the folder within an organisation is taken from their random end.
 *
 * Links: the last step of a path is opened with O_NOFOLLOW, and the real path must be the path we computed. This guards against
 * a folder that was mounted or moved wrongly; whoever can write to the folder as our own user has the bytes already.
 */
export class DiskBlobStore extends BlobStore {
  private constructor(
    private readonly objectsFolder: string,
    private readonly temporaryFolder: string,
    private readonly clock: Clock,
  ) {
    super();
  }

  /**
   * Opens the store in `folder`, which is made (mode 0700) if need be, and tries a hard link there once, so that a file system
   * without them stops the start and not the first upload.
   *
   * @throws ConfigError when the folder cannot hold a store.
   */
  static async open(folder: string, clock: Clock): Promise<DiskBlobStore> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const root = await realpath(folder);
      const store = new DiskBlobStore(join(root, 'objects'), join(root, 'temporary'), clock);
      await ensureRealFolder(store.objectsFolder);
      await ensureRealFolder(store.temporaryFolder);
      await store.tryHardLink();
      return store;
    } catch (cause) {
      throw new ConfigError(
        `Files cannot be kept in ${folder}: set DATA_DIR to a folder that this user may write to, on a file system with hard links.`,
        { cause },
      );
    }
  }

  async put(
    key: BlobKey,
    body: AsyncIterable<Uint8Array>,
    { maxBytes, signal, accept }: PutLimits,
  ): Promise<StoredBlob> {
    signal?.throwIfAborted();
    if ((await this.stat(key)) !== null) throw blobConflict();
    const temporary = join(this.temporaryFolder, `${newId()}.part`);
    try {
      const file = await open(temporary, CREATE_ONLY, 0o600);
      let stored: StoredBlob;
      try {
        stored = await receiveBody(file, body, maxBytes, signal);
        accept?.(stored);
        await file.sync();
      } finally {
        await file.close();
      }
      signal?.throwIfAborted();
      await this.publish(temporary, key);
      return stored;
    } catch (error) {
      throw storageError(error);
    } finally {
      // A name that cannot be dropped now must not hide the outcome; the sweeper takes it later.
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }

  async open(key: BlobKey, range?: ByteRange): Promise<OpenBlob | null> {
    const path = this.pathOf(key);
    let file: FileHandle;
    try {
      file = await open(path, READ_ONLY);
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return null;
      throw storageError(error);
    }
    try {
      const facts = await file.stat();
      if (!facts.isFile() || (await realpath(path)) !== path) throw outsideTheStore(path);
      const bytes = range === undefined ? {} : rangeWithin(range, facts.size);
      return { stream: file.createReadStream(bytes), sizeBytes: facts.size };
    } catch (error) {
      await file.close();
      // Removed between the two looks: as good as never found.
      if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return null;
      throw storageError(error);
    }
  }

  async stat(key: BlobKey): Promise<BlobStat | null> {
    const path = this.pathOf(key);
    try {
      const facts = await lstat(path);
      if (!facts.isFile() || (await realpath(path)) !== path) throw outsideTheStore(path);
      return { sizeBytes: facts.size, storedAt: facts.mtime };
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return null;
      throw storageError(error);
    }
  }

  async remove(key: BlobKey): Promise<void> {
    const folder = this.folderOf(key);
    try {
      if (!(await isRealFolder(folder))) return;
      await unlink(this.pathOf(key));
      await syncFolder(folder);
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw storageError(error);
    }
  }

  async sweepTemporaries(olderThanMs: number): Promise<number> {
    const newestToRemoveMs = this.clock.nowMs() - olderThanMs;
    let removed = 0;
    for await (const entry of await opendir(this.temporaryFolder)) {
      const path = join(this.temporaryFolder, entry.name);
      try {
        if ((await lstat(path)).mtimeMs > newestToRemoveMs) continue;
        await unlink(path);
        removed += 1;
      } catch (error) {
        // Its own put, or another replica's sweep, was faster.
        if (!hasErrorCode(error, 'ENOENT')) throw storageError(error);
      }
    }
    return removed;
  }

  async *list(prefix: BlobPrefix): AsyncIterable<BlobKey> {
    const { organizationId, assetId } = blobPrefixFields(prefix);
    const organizations = organizationId === undefined ? namesIn(this.objectsFolder) : [organizationId];
    for await (const organization of organizations) {
      const organizationFolder = join(this.objectsFolder, organization);
      const shards = assetId === undefined ? namesIn(organizationFolder) : [shardOf(assetId)];
      for await (const shard of shards) {
        for await (const name of namesIn(join(organizationFolder, shard))) {
          const key = keyOf(organization, name);
          if (key?.startsWith(prefix) === true) yield key;
        }
      }
    }
  }

  private async publish(temporary: string, key: BlobKey): Promise<void> {
    const { organizationId } = blobKeyFields(key);
    const organizationFolder = join(this.objectsFolder, organizationId);
    const folder = this.folderOf(key);
    await ensureRealFolder(organizationFolder);
    await ensureRealFolder(folder);
    const path = this.pathOf(key);
    try {
      await link(temporary, path);
    } catch (error) {
      if (hasErrorCode(error, 'EEXIST')) throw blobConflict();
      throw error;
    }
    try {
      // Always the whole chain: a folder may have been made, but not yet synced, by another writer. A clean one costs little.
      await syncFolder(folder);
      await syncFolder(organizationFolder);
      await syncFolder(this.objectsFolder);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  private async tryHardLink(): Promise<void> {
    const original = join(this.temporaryFolder, `${newId()}.part`);
    const twin = join(this.objectsFolder, `${newId()}.link-check`);
    try {
      await (await open(original, CREATE_ONLY, 0o600)).close();
      await link(original, twin);
    } finally {
      await rm(twin, { force: true });
      await rm(original, { force: true });
    }
  }

  private folderOf(key: BlobKey): string {
    const { organizationId, assetId } = blobKeyFields(key);
    return join(this.objectsFolder, organizationId, shardOf(assetId));
  }

  private pathOf(key: BlobKey): string {
    const { assetId, part } = blobKeyFields(key);
    return join(this.folderOf(key), `${assetId}.${part}`);
  }
}

const CREATE_ONLY = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
// Without O_NONBLOCK a pipe left in the folder would hold the open, and a thread of the pool with it, for ever.
const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function shardOf(assetId: string): string {
  return assetId.slice(-2);
}

/** The key a file stands for, or null for a file that is not ours. */
function keyOf(organizationId: string, fileName: string): BlobKey | null {
  const [assetId = '', part = '', ...rest] = fileName.split('.');
  if (rest.length > 0) return null;
  try {
    return blobKey(organizationId, assetId, part);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

async function* namesIn(folder: string): AsyncIterable<string> {
  if (!(await isRealFolder(folder))) return;
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory() || entry.isFile()) yield entry.name;
  }
}
