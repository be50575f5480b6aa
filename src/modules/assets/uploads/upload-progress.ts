import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { Clock } from '../../../kernel/clock.js';
import { UploadsRepository } from './uploads.repository.js';

/** The sweep gives up an upload of which nothing was shown for five minutes; one that stalls is broken off after one. */
const PROGRESS_INTERVAL_MS = 60_000;

/**
 * Shows of an upload that its bytes are coming, for as long as they do. One that ended with its process shows nothing more, so it can be
 * told from one that is slow, and is given up soon.
 */
@Injectable()
export class UploadProgress {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly clock: Clock,
  ) {}

  /** Shows that the upload has begun; answers its bytes, which show that it goes on as they are read. */
  async begin(
    scope: WriteScope,
    assetId: string,
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<AsyncGenerator<Uint8Array>> {
    // Read first: whoever sees that the upload has begun may count its time from there.
    const begunMs = this.clock.nowMs();
    await this.repository.begin(scope, assetId);
    return this.#shown(scope, assetId, bytes, begunMs);
  }

  async *#shown(
    scope: WriteScope,
    assetId: string,
    bytes: AsyncIterable<Uint8Array>,
    begunMs: number,
  ): AsyncGenerator<Uint8Array> {
    let shownMs = begunMs;
    for await (const piece of bytes) {
      if (this.clock.nowMs() - shownMs >= PROGRESS_INTERVAL_MS) {
        shownMs = this.clock.nowMs();
        // A database that is away for a moment need not end an upload; whether the asset still waits for it is asked at its end.
        await this.repository.begin(scope, assetId).catch(() => undefined);
      }
      yield piece;
    }
  }
}
