import { Injectable } from '@nestjs/common';
import { type Actor, may, readScope, type WriteScope, writeScope } from '../../../access/index.js';
import { DomainError, forbidden, notFound } from '../../../kernel/errors.js';
import { AssetLinks } from '../asset-links.js';
import { AssetsRepository } from '../assets.repository.js';
import type { Asset } from '../assets.schema.js';
import { mediaType, UNKNOWN_TYPE } from '../content/content-types.js';
import type { UploadBody } from './upload-body.js';
import { type UploadRow, UploadsRepository } from './uploads.repository.js';

/** Announced assets as their uploaders may see and fill them. */
@Injectable()
export class UploadAccess {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly assets: AssetsRepository,
    private readonly links: AssetLinks,
  ) {}

  /** The asset as its uploader may see it: a worker gets no links, which it could not use. @throws DomainError `not-found` */
  async shown(actor: Actor, id: string): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const stored = await this.assets.findForUploader(scope, id);
    if (stored === null) {
      throw notFound('asset');
    }
    const { has_thumbnail: _, thumbnail_version: __, ...shown } = stored;
    return {
      ...shown,
      ...(may(actor, 'asset:read') ? this.links.of(actor, stored) : { url: null, thumbnail: null, embed: null }),
    };
  }

  /** @throws DomainError `not-found`, `forbidden` */
  async mine(scope: WriteScope, id: string): Promise<UploadRow> {
    const asset = await this.repository.find(scope, id);
    if (asset !== null) {
      return asset;
    }
    const { actor } = scope;
    const readable = may(actor, 'asset:read') ? await this.assets.find(readScope(actor, 'asset:read'), id) : null;
    throw readable === null ? notFound('asset') : forbidden();
  }

  /** The asset where it waits for bytes that a client sends. @throws DomainError `conflict`, `not-found`, `forbidden` */
  async waiting(scope: WriteScope, id: string): Promise<UploadRow> {
    const asset = await this.mine(scope, id);
    assertWaiting(asset);
    return asset;
  }
}

/** @throws DomainError `conflict` where the asset does not wait for bytes that a client sends */
export function assertWaiting(asset: UploadRow): void {
  if (asset.status === 'ready') {
    throw new DomainError('conflict', 'This asset has its bytes; they are never overwritten.');
  }
  if (asset.status === 'failed' || asset.expired) {
    throw new DomainError('conflict', 'This asset waits for no bytes any more; announce it again.');
  }
  if (asset.status === 'processing') {
    throw new DomainError('conflict', 'The server fetches the bytes of this asset itself.');
  }
}

/** What the headers say must be what was announced, before a byte is read. @throws DomainError `content-mismatch` */
export function assertAsAnnounced(asset: { contentType: string }, body: UploadBody, sizeBytes: number | null): void {
  if (asset.contentType !== UNKNOWN_TYPE && mediaType(body.contentType) !== asset.contentType) {
    throw new DomainError('content-mismatch', `The request’s content type must be ${asset.contentType}, as announced.`);
  }
  if (sizeBytes !== null && body.lengthBytes !== null && body.lengthBytes !== sizeBytes) {
    throw new DomainError(
      'content-mismatch',
      `The request has ${body.lengthBytes} bytes, and ${sizeBytes} were announced.`,
    );
  }
}
