import { Injectable } from '@nestjs/common';
import { UrlSigner } from '../../engines/signed-url/url-signer.js';
import { PublicUrl } from '../../http/public-url.js';
import { Clock } from '../../kernel/clock.js';
import type { AssetStatus, AssetType } from './assets.schema.js';

/** What a link to an asset is signed for; the routes name it. */
export const ASSET_LINK_PURPOSE = 'asset:get';

const LIFETIME_MS = 60 * 60 * 1000;

/** Links to an asset's bytes and to what is made of them; null where there is nothing to link to (yet). */
export interface AssetLinkSet {
  url: string | null;
  thumbnail: string | null;
  embed: string | null;
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
  of(
    issuer: { organizationId: string; principalId: string },
    asset: { id: string; type: AssetType; status: AssetStatus },
  ): AssetLinkSet {
    if (asset.status !== 'ready') {
      return { url: null, thumbnail: null, embed: null };
    }
    const query = this.signer.sign({
      purpose: ASSET_LINK_PURPOSE,
      resource: asset.id,
      issuer: issuer.principalId,
      organization: issuer.organizationId,
      expiresAtMs: this.clock.nowMs() + LIFETIME_MS,
    });
    const url = this.publicUrl.to(`/api/v1/assets/${asset.id}/content?${query}`);
    // A picture is its own thumbnail until smaller ones are made.
    return { url, thumbnail: asset.type === 'image' ? url : null, embed: null };
  }
}
