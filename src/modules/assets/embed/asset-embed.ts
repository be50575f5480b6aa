import { Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { type Actor, readScope } from '../../../access/index.js';
import { notFound } from '../../../kernel/errors.js';
import { AssetLinks } from '../asset-links.js';
import { AssetsRepository } from '../assets.repository.js';
import type { ContentQuery } from '../assets.schema.js';
import { EMBED_CONTENT_SECURITY_POLICY, embedPage } from './embed-page.js';

export interface EmbedRequest {
  actor: Actor;
  assetId: string;
  query: ContentQuery;
  reply: FastifyReply;
}

/** Answers `GET /assets/{id}/embed`. */
@Injectable()
export class AssetEmbed {
  constructor(
    private readonly repository: AssetsRepository,
    private readonly links: AssetLinks,
  ) {}

  /** @throws DomainError `not-found` where it is absent, not readable or not there yet */
  async send({ actor, assetId, query, reply }: EmbedRequest): Promise<void> {
    const asset = await this.repository.find(readScope(actor, 'asset:read'), assetId);
    if (asset?.status !== 'ready') {
      throw notFound('asset');
    }
    const page = embedPage({
      name: asset.name,
      type: asset.type,
      contentType: asset.content_type,
      hasThumbnail: asset.has_thumbnail,
      // By its own link where it was read by one: the page lives no longer than that.
      query: query.signature === undefined ? this.links.query(actor, assetId) : textOf(query),
    });
    void reply.removeHeader('x-frame-options');
    void reply
      .headers({
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': EMBED_CONTENT_SECURITY_POLICY,
        'cross-origin-resource-policy': 'cross-origin',
        'cache-control': 'private, no-store',
        'x-content-type-options': 'nosniff',
      })
      .send(page);
  }
}

function textOf(query: ContentQuery): string {
  const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  );
  return new URLSearchParams(given).toString();
}
