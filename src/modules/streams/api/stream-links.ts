import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import { UrlSigner } from '../../../infrastructure/signed-urls/url-signer.js';
import { PublicUrl } from '../../../http/request/public-url.js';
import { Clock } from '../../../kernel/clock.js';

/** What a link to a stream is signed for; the route names it. */
export const STREAM_LINK_PURPOSE = 'stream:get';

const LIFETIME_MS = 15 * 60 * 1000;

export interface StreamUrl {
  url: string;
  expires_at: string;
}

/** Presigned links to streams. No I/O: rights are looked up when a link is used, not when it is made. */
@Injectable()
export class StreamLinks {
  constructor(
    private readonly signer: UrlSigner,
    private readonly publicUrl: PublicUrl,
    private readonly clock: Clock,
  ) {}

  /**
   * A link that reads the run's stream for 15 minutes, with whatever rights its issuer has at that moment. Call it only for a run
   * that the issuer may read now.
   */
  streamUrl(issuer: Pick<Actor, 'organizationId' | 'principalId' | 'credentialId'>, runId: string): StreamUrl {
    // Links count whole seconds; what is told must not be later than what is signed.
    const expiresAtMs = Math.floor((this.clock.nowMs() + LIFETIME_MS) / 1000) * 1000;
    const query = this.signer.sign({
      purpose: STREAM_LINK_PURPOSE,
      resource: runId,
      issuer: issuer.principalId,
      organization: issuer.organizationId,
      credential: issuer.credentialId,
      expiresAtMs,
    });
    return {
      url: this.publicUrl.to(`/api/v1/streams/${runId}?${query}`),
      expires_at: new Date(expiresAtMs).toISOString(),
    };
  }
}
