/**
 * Reserves room in the organization's quota for bytes before they are written, so that what lies in the storage unfinished counts too.
 *
 * - An announced size is reserved when the asset is announced. The first copy of a file, or of a part, that is being sent uses that room.
 * - A further copy sent at the same time (a client that retries while its first connection still hangs) is written beside the first, so its
 *   size is reserved in addition, until it ends.
 * - Where no size was announced, room is reserved in steps, as the bytes come. A step is an eighth of what has come, so that an upload that halts
 *   holds little more than its bytes, and a long one takes few statements.
 *
 * The reservation is on the asset's row and counts while the asset waits for its content (see the trigger of `assets`), so what ends the
 * wait releases it: ready, failed, deleted, swept. Which copy is the first is known in this process only: several processes may each take one.
 */
import { Injectable } from '@nestjs/common';
import type { WriteScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { Database } from '../../../database/database.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { UploadsRepository } from './uploads.repository.js';

/** How much is reserved at a time where nobody said how much comes. */
const MIN_STEP_BYTES = 64 * 1024;
const MAX_STEP_BYTES = 1024 * 1024;
const STEPS_OF_ARRIVED = 8;
/** Room that files take is made by deleting them, which a person does. Room that uploads hold may be free soon. */
const FULL_RETRY_SECONDS = 3_600;
const RESERVED_RETRY_SECONDS = 30;

@Injectable()
export class AssetReservations {
  /** What is being sent now: `<asset id>/<part>`. */
  readonly #first = new Set<string>();

  constructor(
    private readonly repository: UploadsRepository,
    private readonly database: Database,
    private readonly config: AppConfig,
    private readonly log: Log,
  ) {}

  /**
   * The bytes of one part of an asset, with room reserved before they are passed on.
   * @param sizeBytes what was announced of them; null where nothing was
   * @throws DomainError `limit-reached`, `conflict`
   */
  hold(
    scope: WriteScope,
    assetId: string,
    part: string,
    sizeBytes: number | null,
    bytes: AsyncIterable<Uint8Array>,
  ): AsyncIterable<Uint8Array> {
    const { assetQuotaBytes } = this.config;
    return assetQuotaBytes === null ? bytes : this.#held(scope, assetId, part, sizeBytes, bytes, assetQuotaBytes);
  }

  async *#held(
    scope: WriteScope,
    assetId: string,
    part: string,
    sizeBytes: number | null,
    bytes: AsyncIterable<Uint8Array>,
    quotaBytes: number,
  ): AsyncGenerator<Uint8Array> {
    const name = `${assetId}/${part}`;
    const isFirst = !this.#first.has(name);
    this.#first.add(name);
    let extraBytes = 0;
    try {
      if (sizeBytes === null) {
        yield* this.#growing(scope, assetId, quotaBytes, bytes);
        return;
      }
      if (!isFirst) {
        extraBytes = await this.#reserve(scope, assetId, quotaBytes, sizeBytes, sizeBytes);
      }
      yield* bytes;
    } finally {
      if (isFirst) {
        this.#first.delete(name);
      }
      if (extraBytes > 0) {
        await this.repository.release(scope, assetId, extraBytes).catch((error: unknown) => {
          this.log.warn('room reserved for an upload was not released; it is when the asset ends', {
            asset_id: assetId,
            error,
          });
        });
      }
    }
  }

  async *#growing(
    scope: WriteScope,
    assetId: string,
    quotaBytes: number,
    bytes: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    // An earlier attempt may have left its reservation; its bytes are gone.
    await this.repository.resetReservation(scope, assetId);
    let seenBytes = 0;
    let heldBytes = 0;
    for await (const piece of bytes) {
      seenBytes += piece.byteLength;
      if (seenBytes > heldBytes) {
        const needed = seenBytes - heldBytes;
        const step = Math.min(MAX_STEP_BYTES, Math.max(MIN_STEP_BYTES, Math.ceil(seenBytes / STEPS_OF_ARRIVED)));
        heldBytes += await this.#reserve(scope, assetId, quotaBytes, needed, Math.max(needed, step));
      }
      yield piece;
    }
  }

  /** Reserves `wanted`, or less where there is less room, but no less than `needed`. Answers how much. */
  async #reserve(
    scope: WriteScope,
    assetId: string,
    quotaBytes: number,
    needed: number,
    wanted: number,
  ): Promise<number> {
    return this.database.transaction(async (tx) => {
      if (!(await this.repository.reserve(scope, tx, assetId, wanted))) {
        throw new DomainError('conflict', 'This asset does not wait for bytes any more.');
      }
      // The change above locks the totals, so of two that ask at once one sees the other.
      const { bytes, reserved_bytes } = await this.repository.totals(scope, tx);
      const over = Math.max(0, bytes + reserved_bytes - quotaBytes);
      if (over > wanted - needed) {
        throw quotaReached(quotaBytes, bytes + needed);
      }
      if (over > 0) {
        await this.repository.reserve(scope, tx, assetId, -over);
      }
      return wanted - over;
    });
  }
}

/** @param wantedBytes what would be kept without the uploads that are not finished: where that fits, room may be free soon */
export function quotaReached(quotaBytes: number, wantedBytes: number): DomainError {
  return new DomainError(
    'limit-reached',
    `This organization may keep ${quotaBytes} bytes of files, unfinished uploads included; delete some first.`,
    { retryAfterSeconds: wantedBytes > quotaBytes ? FULL_RETRY_SECONDS : RESERVED_RETRY_SECONDS },
  );
}
