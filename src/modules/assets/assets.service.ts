import { Injectable } from '@nestjs/common';
import { type Actor, readScope, writeScope, type WriteScope } from '../../access/index.js';
import { AppConfig } from '../../config/app-config.js';
import { Database, type Tx } from '../../database/database.js';
import { blobKey } from '../../infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../infrastructure/blob-store/blob-store.js';
import { CursorCodec } from '../../infrastructure/signed-urls/cursor-codec.js';
import { CursorPaginator } from '../../http/pagination/cursor-paginator.js';
import { forbidden, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import { Log } from '../../kernel/log.js';
import type { Page } from '../../kernel/page.js';
import { AssetLinks } from './asset-links.js';
import { AssetIngestService } from './uploads/asset-ingest.service.js';
import { ORIGINAL, THUMBNAIL } from './uploads/asset-parts.js';
import { settleType } from './content/content-agreement.js';
import { ContentReading } from './content/content-reading.js';
import { sniff } from './content/content-signatures.js';
import { isTextType, kindOf, kindRefusal, mediaType, UNKNOWN_TYPE } from './content/content-types.js';
import { AssetsRepository, type StoredAsset } from './assets.repository.js';
import type { Asset, AssetListQuery, AssetStatus, AssetType } from './assets.schema.js';

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
  readonly #pages: CursorPaginator;

  constructor(
    private readonly repository: AssetsRepository,
    private readonly links: AssetLinks,
    private readonly blobs: BlobStore,
    private readonly intake: AssetIngestService,
    private readonly config: AppConfig,
    private readonly database: Database,
    private readonly log: Log,
    sealer: CursorCodec,
  ) {
    this.#pages = new CursorPaginator(sealer, 'assets');
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
    await this.#removeBytes(scope, id);
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
    const { taskId, runId, name, bytes, signal } = asset;
    const id = newId();
    const key = blobKey(scope.organizationId, id, ORIGINAL);
    const maxBytes = this.config.assetMaxBytes;
    const limits = signal === undefined ? { maxBytes } : { maxBytes, signal };
    // A look before the bytes are written; the transaction below decides.
    await this.intake.assertWithinQuota(scope);
    const reading = new ContentReading();
    const { sizeBytes, sha256 } = await this.blobs.put(key, readBy(reading, bytes), limits);
    const kept = await keptAs(reading.head, asset);
    const charset = isTextType(mediaType(kept.contentType) ?? UNKNOWN_TYPE) ? reading.charset() : null;
    const metadata = charset === null ? asset.metadata : { ...asset.metadata, charset };
    try {
      await this.database.transaction(async (tx) => {
        await commit(tx, { id, name, type: kept.type, status: 'ready' });
        const row = { id, taskId, runId, name, ...kept, sizeBytes, sha256, metadata };
        if (!(await this.repository.insertReady(scope, tx, row))) {
          throw notFound('task');
        }
        await this.intake.assertWithinQuota(scope, tx);
        tx.afterCommit(() => this.intake.hint());
      });
    } catch (error) {
      // A connection lost at the commit leaves its outcome open: only bytes that surely have no row may go.
      if (!(await this.repository.isStored(scope, id).catch(() => true))) {
        await this.#removeBytes(scope, id);
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
    if (ids.length > 0) {
      await this.#removeStored(scope, ids);
      await this.repository.forget(scope, taskId, ids);
    }
    return ids.length;
  }

  /** Removes these assets of the organisation for good, bytes before rows; one that is gone already is no error. */
  async removeForGood(scope: WriteScope, ids: readonly string[]): Promise<void> {
    await this.#removeStored(scope, ids);
    await this.repository.forgetAll(scope, ids);
  }

  #shown(actor: Actor, stored: StoredAsset): Asset {
    const { has_thumbnail: _, thumbnail_version: __, ...shown } = stored;
    return { ...shown, ...this.links.of(actor, stored) };
  }

  /** The content and the thumbnail; and the parts of uploads that were never finished, which are looked for only where there may be any. */
  async #removeStored(scope: WriteScope, ids: readonly string[]): Promise<void> {
    const inParts = new Set(await this.repository.unfinishedInParts(scope, ids));
    for (const id of ids) {
      if (inParts.has(id)) {
        await this.intake.removeAll(scope.organizationId, id);
        continue;
      }
      for (const part of [ORIGINAL, THUMBNAIL]) {
        await this.blobs.remove(blobKey(scope.organizationId, id, part));
      }
    }
  }

  /** Bytes that stay behind are unreachable, so a failure here is the operator's to know and nobody's request to fail. */
  async #removeBytes(scope: WriteScope, id: string): Promise<void> {
    try {
      await this.intake.removeAll(scope.organizationId, id);
    } catch (error) {
      this.log.warn('bytes of a deleted asset could not be removed; the sweep will', { asset_id: id, error });
    }
  }
}

async function* readBy(reading: ContentReading, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    reading.add(piece);
    yield piece;
  }
}

/** A program names its files as it likes: where the first bytes say that one is something else, that is what it is kept as. */
async function keptAs(
  head: Uint8Array,
  { type, contentType, name }: RunAsset,
): Promise<{ type: AssetType; contentType: string }> {
  const declared = mediaType(contentType) ?? UNKNOWN_TYPE;
  const found = await settleType(head, declared, name).catch(() => sniff(head));
  if (found === null || declared === UNKNOWN_TYPE || declared === found) {
    return { type, contentType };
  }
  return { type: kindRefusal(type, found) === null ? type : kindOf(found), contentType: found };
}
