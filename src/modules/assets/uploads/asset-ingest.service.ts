/**
 * How bytes become an asset, whichever way they come: streamed into the blob store under what was announced of them, then made ready in
 * one transaction that asks once more who may, under which lease, and whether there is room.
 *
 * - The first completed upload wins: the blob store never overwrites, and the row changes only while it waits. Whoever comes later
 *   gets `conflict`.
 * - Bytes before row: a crash in between leaves bytes that nothing names. The next upload of the same asset makes the row ready with
 *   them, after reading them through the same check, and is told that it came later; else the sweep finds them.
 * - Where the row refuses the bytes for good (lease lost, quota), it is failed first and the bytes removed after: nobody can then make a
 *   row ready whose bytes go away.
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { Database, StaleActorError, type Tx } from '../../../database/database.js';
import { type BlobKey, blobKey, blobPrefix } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore, type StoredBlob } from '../../../infrastructure/blob-store/blob-store.js';
import { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { WorkerService } from '../../runs/index.js';
import type { AssetType } from '../assets.schema.js';
import { ContentCheck } from '../content/content-check.js';
import { typeForKind } from '../content/content-agreement.js';
import { kindOf, kindRefusal, UNKNOWN_TYPE } from '../content/content-types.js';
import { AssetReservations, quotaReached } from './asset-reservations.js';
import { ASSET_WORK_TOPIC, ORIGINAL } from './asset-parts.js';
import { type UploadRow, UploadsRepository } from './uploads.repository.js';

@Injectable()
export class AssetIngestService {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly reservations: AssetReservations,
    private readonly workers: WorkerService,
    private readonly blobs: BlobStore,
    private readonly bus: EventBus,
    private readonly database: Database,
    private readonly config: AppConfig,
    private readonly log: Log,
  ) {}

  /**
   * Takes the bytes of an announced asset and makes it ready; that it became so is told to the audit trail in the same transaction,
   * unless the request has told of it already.
   * @throws DomainError `content-mismatch`, `payload-too-large`, `conflict`, `lease-lost`, `limit-reached`, `unavailable`
   */
  async take(
    scope: WriteScope,
    asset: UploadRow,
    body: AsyncIterable<Uint8Array>,
    { signal, isTold = false }: { signal?: AbortSignal; isTold?: boolean } = {},
  ): Promise<void> {
    const declared = asset.contentType === UNKNOWN_TYPE ? null : asset.contentType;
    const check = new ContentCheck({ ...asset, contentType: declared });
    const maxBytes = Math.min(this.config.assetMaxBytes, asset.sizeBytes ?? this.config.assetMaxBytes);
    const key = blobKey(scope.organizationId, asset.id, ORIGINAL);
    const checked = { maxBytes, accept: check.accept, ...(signal === undefined ? {} : { signal }) };
    let stored: StoredBlob;
    try {
      const held = this.reservations.hold(scope, asset.id, ORIGINAL, asset.sizeBytes, body);
      stored = await this.blobs.put(key, check.of(held), checked);
    } catch (error) {
      if (isConflict(error)) {
        const found = await this.#adopt(key, check);
        await this.#finish(scope, asset, check, found, isTold);
      }
      throw error;
    }
    await this.#finish(scope, asset, check, stored, isTold);
  }

  /** @throws DomainError `payload-too-large` */
  assertSize(sizeBytes: number): void {
    const { assetMaxBytes } = this.config;
    if (sizeBytes > assetMaxBytes) {
      throw new DomainError('payload-too-large', `A file may have ${assetMaxBytes} bytes here.`);
    }
  }

  /**
   * Holds the organization to its quota, unfinished uploads included. Inside a transaction, ask after the change: it locks the totals, so
   * that of two at once one sees the other.
   * @param announcedBytes what the change has reserved for itself, which no other upload's end makes room for
   * @throws DomainError `limit-reached`
   */
  async assertWithinQuota(scope: WriteScope, tx?: Tx, announcedBytes = 0): Promise<void> {
    const { assetQuotaBytes } = this.config;
    if (assetQuotaBytes !== null) {
      const { bytes, reserved_bytes } = await this.repository.totals(scope, tx);
      if (bytes + reserved_bytes > assetQuotaBytes) {
        throw quotaReached(assetQuotaBytes, bytes + announcedBytes);
      }
    }
  }

  /** Tells whoever makes pictures, or fetches, that there is something to do. */
  hint(): void {
    this.bus.publish(ASSET_WORK_TOPIC);
  }

  /** Removes every byte of an asset, parts that never became a whole included. */
  async removeAll(organizationId: string, assetId: string): Promise<void> {
    for await (const key of this.blobs.list(blobPrefix(organizationId, assetId))) {
      await this.blobs.remove(key);
    }
  }

  /** Removes the bytes of an asset that nobody can make ready any more; what stays behind, the sweep removes. */
  async removeQuietly(organizationId: string, assetId: string): Promise<void> {
    try {
      await this.removeAll(organizationId, assetId);
    } catch (error) {
      this.log.warn('bytes of a refused upload could not be removed; the sweep will', { asset_id: assetId, error });
    }
  }

  /** Bytes of an upload that ended before its row was written: read once more, through the same check. */
  async #adopt(key: BlobKey, check: ContentCheck): Promise<StoredBlob> {
    const found = await this.blobs.open(key);
    if (found === null) {
      throw new DomainError('conflict', 'Another upload of this asset ended at the same time; look at the asset.');
    }
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const piece of check.of(found.stream)) {
      sizeBytes += piece.byteLength;
      hash.update(piece);
    }
    const stored = { sizeBytes, sha256: hash.digest('hex') };
    check.accept(stored);
    return stored;
  }

  async #finish(
    scope: WriteScope,
    asset: UploadRow,
    check: ContentCheck,
    stored: StoredBlob,
    isTold: boolean,
  ): Promise<void> {
    const { id, name, runId, fence } = asset;
    try {
      const { type, contentType } = settledKind(asset, check.contentType);
      const metadata = check.charset === null ? {} : { charset: check.charset };
      const finish = async (tx: Tx): Promise<void> => {
        if (runId !== null && fence !== null) {
          await this.workers.appendAsset(tx, scope, runId, fence, { id, name, type, status: 'ready' });
        }
        if (!(await this.repository.finish(scope, tx, id, { contentType, type, metadata, ...stored }))) {
          await tx.assertLive(scope);
          throw new DomainError('conflict', 'This asset does not wait for bytes any more.');
        }
        await this.assertWithinQuota(scope, tx);
        tx.afterCommit(() => this.hint());
      };
      await (isTold ? this.database.transaction(finish) : this.database.write(scope, finish));
    } catch (error) {
      if (error instanceof StaleActorError) {
        // The body is spent, so the request cannot simply run again.
        throw new DomainError('unavailable', 'Your rights changed during the upload; send it again.', { cause: error });
      }
      if (isConflict(error) && (await this.repository.isKept(scope, id, stored.sha256))) {
        // Somebody who came later found these very bytes, and was faster to say so.
        return;
      }
      if (isConflict(error) && (await this.repository.isOver(scope, id))) {
        // Deleted, or failed, while the bytes were on their way.
        await this.removeQuietly(scope.organizationId, id);
      }
      if (error instanceof DomainError && ['lease-lost', 'limit-reached', 'content-mismatch'].includes(error.code)) {
        await this.#refuseForGood(scope, id, error.message);
      }
      throw error;
    }
  }

  async #refuseForGood(scope: WriteScope, id: string, why: string): Promise<void> {
    try {
      if (await this.repository.fail(scope, id, why)) {
        await this.removeQuietly(scope.organizationId, id);
      }
    } catch (error) {
      this.log.warn('a refused upload could not be failed; the sweep will', { asset_id: id, error });
    }
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof DomainError && error.code === 'conflict';
}

/** What an asset is, once its bytes are known: where nobody said what they are, they say it. @throws DomainError `content-mismatch` */
function settledKind(
  announced: Pick<UploadRow, 'type' | 'contentType'>,
  contentType: string,
): { type: AssetType; contentType: string } {
  if (announced.type === 'file' && announced.contentType === UNKNOWN_TYPE) {
    return { type: kindOf(contentType), contentType };
  }
  const { type } = announced;
  const suitable = announced.contentType === UNKNOWN_TYPE ? typeForKind(type, contentType) : contentType;
  const refusal = kindRefusal(type, suitable);
  if (refusal !== null) {
    throw new DomainError('content-mismatch', `The bytes are ${contentType}, but ${refusal}.`);
  }
  return { type, contentType: suitable };
}
