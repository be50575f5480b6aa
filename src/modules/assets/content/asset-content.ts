import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, readScope } from '../../../access/index.js';
import { blobKey } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore, type ByteRange } from '../../../infrastructure/blob-store/blob-store.js';
import { rawHeaders } from '../../../http/connections/raw-headers.js';
import { DomainError, notFound } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { AssetsRepository, type StoredAsset } from '../assets.repository.js';
import type { ContentQuery, DownloadQuery } from '../assets.schema.js';
import { ORIGINAL, THUMBNAIL } from '../uploads/asset-parts.js';
import {
  contentTypeHeader,
  dispositionOf,
  entityTag,
  matchesTag,
  namesTag,
  requestedRange,
} from './content-headers.js';

/** One request for an asset's bytes. */
export interface ContentRequest {
  actor: Actor;
  assetId: string;
  query: ContentQuery;
  request: FastifyRequest;
  reply: FastifyReply;
}

export interface DownloadVisit extends ContentRequest {
  query: DownloadQuery;
}

/** Answers `GET /assets/{id}/content`: the bytes, whole or in part, with headers that keep a hostile file harmless. */
@Injectable()
export class AssetContent {
  constructor(
    private readonly repository: AssetsRepository,
    private readonly blobs: BlobStore,
    private readonly log: Log,
  ) {}

  /** @throws DomainError `not-found` where it is absent, not readable or not there yet; `range-not-satisfiable` */
  async send({ actor, assetId, query, request, reply }: DownloadVisit): Promise<void> {
    const asset = await this.repository.find(readScope(actor, 'asset:read'), assetId);
    if (asset === null || asset.status !== 'ready' || asset.size === null || asset.sha256 === null) {
      throw notFound('asset');
    }
    const tag = entityTag(asset.sha256);
    const headers = { etag: tag, ...sharing(request, query) };
    assertMatches(request, tag);
    if (namesTag(request.headers['if-none-match'], tag)) {
      void reply.status(304).headers(headers).send();
      return;
    }
    const isHead = request.method === 'HEAD';
    // A range is for GET alone (RFC 9110, section 14.2).
    const range = isHead ? null : conditionalRange(request, tag, asset.size);
    if (range === 'unsatisfiable') {
      void reply.header('content-range', `bytes */${asset.size}`);
      throw new DomainError('range-not-satisfiable', `The file has ${asset.size} bytes.`);
    }
    const described = {
      ...headers,
      ...describe(asset, range, asset.size),
      'content-disposition': dispositionOf(asset.content_type, asset.name, { isDownload: query.download === 'true' }),
    };
    const status = range === null ? 200 : 206;
    if (isHead) {
      // Sent by hand: the framework would count the bytes of the empty body.
      reply.hijack();
      reply.raw.writeHead(status, { ...rawHeaders(reply), ...described });
      reply.raw.end();
      return;
    }
    const blob = await this.blobs.open(blobKey(actor.organizationId, assetId, ORIGINAL), range ?? undefined);
    if (blob === null) {
      // Deleted between the two looks, or lost by the store: an operator should know of the latter.
      this.log.warn('an asset has no bytes', { organization_id: actor.organizationId, asset_id: assetId });
      throw notFound('asset');
    }
    void reply.status(status).headers(described).send(blob.stream);
  }

  /** The picture of it. @throws DomainError `not-found` where there is none (yet) */
  async sendThumbnail({ actor, assetId, query, request, reply }: ContentRequest): Promise<void> {
    const asset = await this.repository.find(readScope(actor, 'asset:read'), assetId);
    if (asset?.status !== 'ready' || !asset.has_thumbnail) {
      throw notFound('thumbnail');
    }
    const tag = entityTag(`${asset.sha256 ?? ''}-thumbnail-${asset.thumbnail_version}`);
    assertMatches(request, tag);
    void reply.headers({ etag: tag, ...sharing(request, query) });
    if (namesTag(request.headers['if-none-match'], tag)) {
      void reply.status(304).send();
      return;
    }
    const blob = await this.blobs.open(blobKey(actor.organizationId, assetId, THUMBNAIL));
    if (blob === null) {
      throw notFound('thumbnail');
    }
    void reply
      .headers({
        'content-type': 'image/webp',
        'content-length': String(blob.sizeBytes),
        'content-disposition': dispositionOf('image/webp', `${asset.name}.webp`),
        ...HARMLESS,
      })
      .send(blob.stream);
  }
}

/** @throws DomainError `precondition-failed` where `If-Match` names another version */
function assertMatches(request: FastifyRequest, tag: string): void {
  const condition = request.headers['if-match'];
  if (condition !== undefined && !matchesTag(condition, tag)) {
    throw new DomainError('precondition-failed', `The file has the ETag ${tag}, which If-Match does not name.`);
  }
}

/** Whatever the bytes are, nothing in them runs here. */
const HARMLESS = { 'x-content-type-options': 'nosniff', 'content-security-policy': "sandbox; default-src 'none'" };

/** Who may keep it, and whose pages may use it. */
function sharing(request: FastifyRequest, query: ContentQuery): Record<string, string> {
  const isLink = query.signature !== undefined;
  return {
    // May be kept by whoever asked, but asked about each time: a right to read can end.
    'cache-control': 'private, no-cache',
    // A signed link is made to be put into other pages; a credential in a header is not.
    'cross-origin-resource-policy': isLink ? 'cross-origin' : 'same-origin',
    // The embed page is of no origin, and its viewers read what they show. Whoever has the link could read it anyway.
    ...(isLink && request.headers.origin === 'null' ? { 'access-control-allow-origin': 'null' } : {}),
  };
}

function describe(asset: StoredAsset, range: ByteRange | null, sizeBytes: number): Record<string, string> {
  const lengthBytes = range === null ? sizeBytes : range.end - range.start + 1;
  return {
    'content-type': contentTypeHeader(asset.content_type, asset.metadata['charset']),
    'content-length': String(lengthBytes),
    'accept-ranges': 'bytes',
    ...HARMLESS,
    ...(range === null ? {} : { 'content-range': `bytes ${range.start}-${range.end}/${sizeBytes}` }),
  };
}

/** The range to send; the whole file where `If-Range` names another version of it (RFC 9110, section 13.1.5). */
function conditionalRange(request: FastifyRequest, tag: string, sizeBytes: number): ByteRange | 'unsatisfiable' | null {
  const condition = request.headers['if-range'];
  return condition === undefined || condition === tag ? requestedRange(request.headers.range, sizeBytes) : null;
}
