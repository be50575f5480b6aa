import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope, type WriteScope } from '../../access/index.js';
import { Database, type Tx } from '../../database/database.js';
import { blobKey, type BlobKey } from '../../engines/blob-store/blob-key.js';
import { BlobStore } from '../../engines/blob-store/blob-store.js';
import { CursorSealer } from '../../engines/signed-url/cursor-sealer.js';
import { ListPages } from '../../http/list-query.js';
import { forbidden, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import { Log } from '../../kernel/log.js';
import type { Page } from '../../kernel/page.js';
import { AssetLinks } from './asset-links.js';
import { AssetsRepository, type StoredAsset } from './assets.repository.js';
import type { Asset, AssetListQuery, AssetStatus, AssetType } from './assets.schema.js';

/** The part of an asset's blobs that holds what was given; others may be made of it. */
export const ORIGINAL = 'original';

/** Largest file a run may leave. */
const MOST_BYTES = 1024 * 1024 * 1024;

/** A file that a run leaves behind. */
export interface RunAsset {
  taskId: string;
  runId: string;
  name: string;
  type: AssetType;
  contentType: string;
  bytes: AsyncIterable<Uint8Array>;
  metadata: Readonly<Record<string, unknown>>;
  /** Gives up the transfer when it aborts. */
  signal?: AbortSignal;
}

/** What the log says of an asset. */
export interface AssetNotice {
  id: string;
  name: string;
  type: AssetType;
  status: AssetStatus;
}

@Injectable()
export class AssetsService {
  readonly #pages: ListPages;

  constructor(
    private readonly repository: AssetsRepository,
    private readonly links: AssetLinks,
    private readonly blobs: BlobStore,
    private readonly database: Database,
    private readonly log: Log,
    sealer: CursorSealer,
  ) {
    this.#pages = new ListPages(sealer, 'assets');
  }

  /** @throws DomainError `not-found` */
  async get(actor: Actor, id: string): Promise<Asset> {
    const stored = await this.repository.find(readScope(actor, 'asset:read'), id);
    if (stored === null) {
      throw notFound('asset');
    }
    return this.#shown(actor, stored);
  }

  /** A page of the assets of every task the actor may read, narrowed by the query. @throws DomainError `invalid-cursor` */
  async list(actor: Actor, query: AssetListQuery): Promise<Page<Asset>> {
    const scope = readScope(actor, 'asset:read');
    const page = this.#pages.open(scope, query);
    const rows = await this.repository.list(scope, query, page);
    const { data, next_cursor } = this.#pages.close(scope, query, page, rows);
    return { data: data.map((stored) => this.#shown(actor, stored)), next_cursor };
  }

  /** Deletes an asset, final at once for every reader; its bytes follow. @throws DomainError `not-found`, `forbidden` */
  async delete(actor: Actor, id: string): Promise<void> {
    const scope = writeScope(actor, 'asset:contribute');
    if (!(await this.repository.delete(scope, id))) {
      // Stale, absent, hidden or only readable: the read tells which.
      const readable = await this.repository.find(readScope(actor, 'asset:read'), id);
      throw readable === null ? notFound('asset') : forbidden();
    }
    await this.#removeBytes(keyOf(scope, id));
  }

  /**
   * Keeps a file that a run leaves: bytes first, then one transaction in which `commit` says so in the run's log, under the fence (and
   * throws where the lease is lost), and the row is inserted. So a row always has its bytes, and a worker that lost its run leaves
   * neither. Where the transaction fails, the bytes are removed again; a crash between the two leaves bytes without a row.
   * @throws DomainError `payload-too-large`, `unavailable`, `not-found` for no such task, and whatever `commit` throws
   */
  async addFromRun(
    scope: WriteScope,
    asset: RunAsset,
    commit: (tx: Tx, asset: AssetNotice) => Promise<void>,
  ): Promise<{ id: string }> {
    const { taskId, runId, name, type, contentType, bytes, metadata, signal } = asset;
    const id = newId();
    const key = keyOf(scope, id);
    const limits = signal === undefined ? { maxBytes: MOST_BYTES } : { maxBytes: MOST_BYTES, signal };
    const { sizeBytes, sha256 } = await this.blobs.put(key, bytes, limits);
    try {
      await this.database.transaction(async (tx) => {
        await commit(tx, { id, name, type, status: 'ready' });
        const row = { id, taskId, runId, name, type, contentType, sizeBytes, sha256, metadata };
        if (!(await this.repository.insertReady(scope, tx, row))) {
          throw notFound('task');
        }
      });
    } catch (error) {
      // A connection lost at the commit leaves its outcome open: only bytes that surely have no row may go.
      if (!(await this.repository.isStored(scope, id).catch(() => true))) {
        await this.#removeBytes(key);
      }
      throw error;
    }
    return { id };
  }

  /**
   * Removes up to `most` assets of a task that is being purged, bytes before rows, so that a crash in between loses no track of
   * either. Answers how many; call it until that is 0.
   */
  async removeBytesOfTask(scope: WriteScope, taskId: string, most: number): Promise<number> {
    const ids = await this.repository.idsOfTask(scope, taskId, most);
    for (const id of ids) {
      await this.blobs.remove(keyOf(scope, id));
    }
    if (ids.length > 0) {
      await this.repository.forget(scope, taskId, ids);
    }
    return ids.length;
  }

  /** Removes these assets of the organisation for good, bytes before rows; one that is gone already is no error. */
  async removeForGood(scope: WriteScope, ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      await this.blobs.remove(keyOf(scope, id));
    }
    await this.repository.forgetAll(scope, ids);
  }

  #shown(actor: Actor, stored: StoredAsset): Asset {
    return { ...stored, ...this.links.of(actor, stored) };
  }

  /** Bytes that stay behind are unreachable, so a failure here is the operator's to know and nobody's request to fail. */
  async #removeBytes(key: BlobKey): Promise<void> {
    try {
      await this.blobs.remove(key);
    } catch (error) {
      this.log.warn('bytes of a deleted asset could not be removed', { key, error });
    }
  }
}

function keyOf(scope: WriteScope, assetId: string): BlobKey {
  return blobKey(scope.organizationId, assetId, ORIGINAL);
}
