import { Injectable } from '@nestjs/common';
import type { Actor } from '../../access/index.js';
import { UrlSigner } from '../../infrastructure/signed-urls/url-signer.js';
import { PublicUrl } from '../../http/request/public-url.js';
import { Clock } from '../../kernel/clock.js';
import type { AssetStatus, AssetType } from './assets.schema.js';
import { escapeHtml } from './embed/escape-html.js';

/** What a link to an asset is signed for; the routes name it. */
export const ASSET_LINK_PURPOSE = 'asset:get';

/** What a link to send bytes by is signed for: what it takes, how much and until when is on the asset's row. */
export const UPLOAD_LINK_PURPOSE = 'asset:put';

const LIFETIME_MS = 60 * 60 * 1000;

/** Who asks for a link, and with what: it ends with either. */
type LinkIssuer = Pick<Actor, 'organizationId' | 'principalId' | 'credentialId'>;

/** Links to an asset's bytes and to what is made of them; null where there is nothing to link to (yet). */
export interface AssetLinkSet {
  url: string | null;
  thumbnail: string | null;
  embed: string | null;
}

/** What of an asset its links depend on. */
export interface LinkedAsset {
  id: string;
  name: string;
  type: AssetType;
  status: AssetStatus;
  has_thumbnail: boolean;
}

/** Presigned links to assets. No I/O: rights are looked up when a link is used, not when it is made. */
@Injectable()
export class AssetLinks {
  constructor(
    private readonly signer: UrlSigner,
    private readonly publicUrl: PublicUrl,
    private readonly clock: Clock,
  ) {}

  /**
   * Links valid for an hour, with whatever rights their issuer has by then; one signature serves all. Call it only for an asset that
   * the issuer may read now.
   */
  of(issuer: LinkIssuer, asset: LinkedAsset): AssetLinkSet {
    if (asset.status !== 'ready') {
      return { url: null, thumbnail: null, embed: null };
    }
    const query = this.query(issuer, asset.id);
    const base = this.publicUrl.to(`/api/v1/assets/${asset.id}`);
    return {
      url: `${base}/content?${query}`,
      thumbnail: asset.has_thumbnail ? `${base}/thumbnail?${query}` : null,
      embed: asset.type === 'file' ? null : embedCode(`${base}/embed?${query}`, asset.name),
    };
  }

  /** What makes a link of the path of an asset's content, thumbnail or embed. */
  query(issuer: LinkIssuer, assetId: string): string {
    return this.signer.sign({
      purpose: ASSET_LINK_PURPOSE,
      resource: assetId,
      issuer: issuer.principalId,
      organization: issuer.organizationId,
      credential: issuer.credentialId,
      expiresAtMs: this.clock.nowMs() + LIFETIME_MS,
    });
  }

  /** The query of a link to send an announced asset's bytes by, with whatever rights its issuer has by then. */
  upload(issuer: LinkIssuer, assetId: string, lifetimeMs: number): { query: string; expiresAt: string } {
    const expiresAtMs = this.clock.nowMs() + lifetimeMs;
    const query = this.signer.sign({
      purpose: UPLOAD_LINK_PURPOSE,
      resource: assetId,
      issuer: issuer.principalId,
      organization: issuer.organizationId,
      credential: issuer.credentialId,
      expiresAtMs,
    });
    return { query, expiresAt: new Date(expiresAtMs).toISOString() };
  }

  to(path: string): string {
    return this.publicUrl.to(path);
  }
}

/** Ours to build, never somebody's HTML: all that is not ours in it is the name, escaped. */
function embedCode(url: string, name: string): string {
  return `<iframe src="${escapeHtml(url)}" title="${escapeHtml(name)}" width="640" height="400" style="border:0" sandbox="allow-scripts allow-downloads" allow="fullscreen; autoplay" allowfullscreen loading="lazy" referrerpolicy="no-referrer"></iframe>`;
}
