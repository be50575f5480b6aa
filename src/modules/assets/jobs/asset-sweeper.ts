/**
 * Keeps rows and bytes true to one another. Uploads that were never sent are failed once their link is dead; bytes that no row names
 * (what a crash between the two leaves) are removed once they are a day old, so that none on their way is touched; and a row whose bytes
 * are gone says so. Any replica may sweep at any time: each step is safe to do twice.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { type BlobKey, blobKey, blobKeyFields, blobPrefix } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../../infrastructure/blob-store/blob-store.js';
import { Clock } from '../../../kernel/clock.js';
import { Log } from '../../../kernel/log.js';
import { BackgroundJob } from '../../../kernel/concurrency/background-job.js';
import { AssetIngestService } from '../uploads/asset-ingest.service.js';
import { AssetJobsRepository } from './asset-jobs.repository.js';
import { ORIGINAL, partNumber, THUMBNAIL } from '../uploads/asset-parts.js';
import { UploadsRepository } from '../uploads/uploads.repository.js';

const INTERVAL_MS = 60_000;
/** The whole storage is looked through each so many rounds: six hours. */
const THOROUGH_EACH = 360;
const BATCH = 200;
const ORPHAN_AGE_MS = 24 * 60 * 60_000;
/** So many of a batch missing is no lost file but a storage that is not there. */
const SUSPECT = { least: 5, share: 0.5 };
const FIRST = '00000000-0000-0000-0000-000000000000';

@Injectable()
export class AssetSweeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #rounds = new BackgroundJob({
    round: () => this.#round(),
    restMs: INTERVAL_MS,
    // A start has better things to do.
    restsFirst: true,
    onFailure: (error) => this.log.warn('a sweep of assets failed; it runs again', { error }),
  });
  #count = 0;

  constructor(
    private readonly repository: AssetJobsRepository,
    private readonly uploads: UploadsRepository,
    private readonly intake: AssetIngestService,
    private readonly blobs: BlobStore,
    private readonly clock: Clock,
    private readonly config: AppConfig,
    private readonly log: Log,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.role !== 'api') {
      // What a process that died was drawing from.
      await rm(join(this.config.dataDir, 'previews'), { recursive: true, force: true });
      this.#rounds.start();
    }
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.#rounds.stop();
  }

  /** Fails uploads whose time is over, and removes what came of them. Answers how many. */
  async sweepUploads(): Promise<number> {
    const overdue = await this.repository.overdue(BATCH);
    for (const { organizationId, id } of overdue) {
      const scope = unsafelySystemScope(organizationId, 'end an upload that was never sent');
      if (await this.uploads.fail(scope, id, 'The bytes did not arrive in time.')) {
        await this.intake.removeAll(organizationId, id);
      }
    }
    return overdue.length;
  }

  /** Removes bytes that no row names. Answers how many blobs. */
  async sweepBytes(): Promise<number> {
    let removed = 0;
    let batch: BlobKey[] = [];
    const flush = async (): Promise<void> => {
      removed += await this.#removeOrphans(batch);
      batch = [];
    };
    for await (const key of this.blobs.list(blobPrefix())) {
      if (this.#rounds.signal.aborted) {
        return removed;
      }
      batch.push(key);
      if (batch.length === BATCH) {
        await flush();
      }
    }
    await flush();
    return removed + (await this.blobs.sweepTemporaries(ORPHAN_AGE_MS));
  }

  /** Fails assets whose bytes are gone. Answers how many; stops where the storage itself seems to be gone. */
  async sweepRows(): Promise<number> {
    let lost = 0;
    let after = { organizationId: FIRST, id: FIRST };
    for (;;) {
      const batch = await this.repository.ready(after, BATCH);
      const last = batch.at(-1);
      if (last === undefined || this.#rounds.signal.aborted) {
        return lost;
      }
      after = last;
      const missing: typeof batch = [];
      for (const asset of batch) {
        if ((await this.blobs.stat(blobKey(asset.organizationId, asset.id, ORIGINAL))) === null) {
          missing.push(asset);
        }
      }
      if (missing.length >= SUSPECT.least && missing.length > batch.length * SUSPECT.share) {
        this.log.error('most files are not where they should be: is the right storage mounted?', {
          missing: missing.length,
        });
        return lost;
      }
      for (const { organizationId, id } of missing) {
        this.log.error('the storage has lost the bytes of an asset', { organization_id: organizationId, asset_id: id });
        await this.repository.lost(unsafelySystemScope(organizationId, 'say that bytes are lost'), id);
        lost += 1;
      }
    }
  }

  async #round(): Promise<void> {
    this.#count += 1;
    while ((await this.sweepUploads()) === BATCH);
    if (this.#count % THOROUGH_EACH === 0) {
      await this.sweepBytes();
      await this.sweepRows();
    }
  }

  async #removeOrphans(keys: readonly BlobKey[]): Promise<number> {
    const fields = keys.map((key) => ({ key, ...blobKeyFields(key) }));
    let removed = 0;
    for (const organizationId of new Set(fields.map((one) => one.organizationId))) {
      const own = fields.filter((one) => one.organizationId === organizationId);
      const scope = unsafelySystemScope(organizationId, 'find bytes that nothing names');
      const rows = await this.repository.holding(scope, [...new Set(own.map(({ assetId }) => assetId))]);
      for (const { key, assetId, part } of own) {
        const row = rows.find(({ id }) => id === assetId);
        if (!isNamed(part, row) && (await this.#isOld(key))) {
          await this.blobs.remove(key);
          removed += 1;
        }
      }
    }
    return removed;
  }

  async #isOld(key: BlobKey): Promise<boolean> {
    const found = await this.blobs.stat(key);
    return found !== null && found.storedAt.getTime() < this.clock.nowMs() - ORPHAN_AGE_MS;
  }
}

/** Whether a row that there is needs this part of its bytes. */
function isNamed(part: string, row: { status: string; hasThumbnail: boolean } | undefined): boolean {
  if (row === undefined) {
    return false;
  }
  if (part === THUMBNAIL) {
    return row.hasThumbnail;
  }
  return partNumber(part) === null || row.status !== 'ready';
}
