import { Injectable } from '@nestjs/common';
import { type Actor, writeScope, type WriteScope } from '../../access/index.js';
import { Database } from '../../database/database.js';
import { blobKey } from '../../infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../infrastructure/blob-store/blob-store.js';
import { DomainError, forbidden, notFound } from '../../kernel/errors.js';
import { AssetChangesRepository, type ChangeableAsset } from './asset-changes.repository.js';
import { AssetIngestService } from './uploads/asset-ingest.service.js';
import { ORIGINAL } from './uploads/asset-parts.js';
import type { Asset, AssetPatch, AssetType } from './assets.schema.js';
import { AssetsService } from './assets.service.js';
import { settleType, typeForKind } from './content/content-agreement.js';
import { HEAD_BYTES, kindRefusal, UNKNOWN_TYPE } from './content/content-types.js';

/** Changes of assets whose bytes are there. */
@Injectable()
export class AssetChangesService {
  constructor(
    private readonly repository: AssetChangesRepository,
    private readonly assets: AssetsService,
    private readonly intake: AssetIngestService,
    private readonly blobs: BlobStore,
    private readonly database: Database,
  ) {}

  /**
   * Changes what an asset is shown as, such as `image` to `360`, after the check that an upload of that type gets, and has its preview made
   * again. The bytes stay as they are.
   * @throws DomainError `not-found`, `forbidden`, `conflict` where it is not ready, `content-mismatch` where its bytes are of another kind
   */
  async update(actor: Actor, id: string, { type }: AssetPatch): Promise<Asset> {
    const scope = writeScope(actor, 'asset:contribute');
    const before = changeable(await this.repository.find(scope, id));
    const contentType = await this.#contentTypeAs(scope, id, type, before);
    if (type !== before.type || contentType !== before.contentType) {
      await this.database.write(scope, async (tx) => {
        const found = changeable(await this.repository.lock(scope, tx, id));
        if (found.type !== before.type || found.contentType !== before.contentType) {
          throw new DomainError('conflict', 'The asset was changed at the same time; look at it and try again.');
        }
        await this.repository.changeType(scope, tx, id, { type, contentType });
        tx.afterCommit(() => this.intake.hint());
      });
    }
    return this.assets.get(actor, id);
  }

  /**
   * Has the preview made again: the thumbnail, and what is found out about the file. Where it is waiting to be made or being made, nothing
   * changes.
   * @throws DomainError `not-found`, `forbidden`, `conflict` where it is not ready, or is a file of no medium
   */
  async previewAgain(actor: Actor, id: string): Promise<Asset> {
    const scope = writeScope(actor, 'asset:contribute');
    await this.database.write(
      scope,
      async (tx) => {
        const found = changeable(await this.repository.lock(scope, tx, id));
        if (found.type === 'file') {
          throw new DomainError('conflict', 'Assets of type file have no preview; change the type first.');
        }
        if (!found.isPreviewDue) {
          await this.repository.requestPreview(scope, tx, id);
          tx.afterCommit(() => this.intake.hint());
        }
        return !found.isPreviewDue;
      },
      (isRequested) => isRequested,
    );
    return this.assets.get(actor, id);
  }

  /** The content type that the asset would have as another type. @throws DomainError `content-mismatch`, `not-found` */
  async #contentTypeAs(scope: WriteScope, id: string, type: AssetType, asset: ChangeableAsset): Promise<string> {
    if (type === 'file' || type === asset.type) {
      return asset.contentType;
    }
    const declared = asset.contentType === UNKNOWN_TYPE ? null : asset.contentType;
    const contentType = typeForKind(type, await settleType(await this.#head(scope, id), declared, asset.name));
    const refusal = kindRefusal(type, contentType);
    if (refusal !== null) {
      throw new DomainError('content-mismatch', `The content type of this asset is ${contentType}, but ${refusal}.`);
    }
    return contentType;
  }

  async #head(scope: WriteScope, id: string): Promise<Uint8Array> {
    const key = blobKey(scope.organizationId, id, ORIGINAL);
    const stat = await this.blobs.stat(key);
    if (stat === null || stat.sizeBytes === 0) {
      return new Uint8Array();
    }
    const blob = await this.blobs.open(key, { start: 0, end: HEAD_BYTES - 1 });
    return blob === null ? new Uint8Array() : Buffer.concat(await blob.stream.toArray());
  }
}

/** @throws DomainError `not-found`, `forbidden`, `conflict` */
function changeable(asset: ChangeableAsset | null): ChangeableAsset {
  if (asset === null) {
    throw notFound('asset');
  }
  if (!asset.mayContribute) {
    throw forbidden();
  }
  if (asset.status !== 'ready') {
    throw new DomainError('conflict', `The asset is ${asset.status}; it can be changed once it is ready.`);
  }
  return asset;
}
