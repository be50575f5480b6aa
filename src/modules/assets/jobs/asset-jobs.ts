/**
 * The background work on assets: bytes to be fetched from elsewhere, and pictures to be made. The rows are the queue: a job is taken under
 * a lease, by any replica, and taken again if that replica dies. Organizations take turns in each process, and one alone never has all of
 * its lanes, so a tenant with many or with slow files delays its own.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import { blobKey } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../../infrastructure/blob-store/blob-store.js';
import { EgressError, MemberEgress } from '../../../infrastructure/egress/egress.js';
import { EventBus } from '../../../infrastructure/event-bus/event-bus.js';
import { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { AssetIngestService } from '../uploads/asset-ingest.service.js';
import { AssetJobDispatcher } from './asset-job-dispatcher.js';
import { type AssetJob, AssetJobsRepository, type Turn } from './asset-jobs.repository.js';
import { THUMBNAIL } from '../uploads/asset-parts.js';
import { FetchRate, FetchTooSlow } from './fetch-rate.js';
import { AssetPreviews } from '../previews/asset-previews.js';
import { PreviewFailed } from '../previews/preview-worker.js';
import { PREVIEW_LANES } from '../previews/preview-process.js';
import { UploadsRepository } from '../uploads/uploads.repository.js';

/** Fetching waits more than it works; pictures take a processor each. */
const KINDS = [
  { job: 'preview', slots: PREVIEW_LANES, perOrganization: PREVIEW_LANES - 1, leaseMs: 5 * 60_000 },
  { job: 'fetch', slots: 8, perOrganization: 2, leaseMs: 20 * 60_000 },
] as const;
const FETCH_MS = 15 * 60_000;
const MAX_ATTEMPTS = 3;
const RETRY_BACKOFF_MS = 20_000;
const NO_PICTURE = { thumbnailBytes: 0, metadata: {} };

@Injectable()
export class AssetJobs implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #dispatching: Promise<void>[] = [];

  constructor(
    private readonly repository: AssetJobsRepository,
    private readonly uploads: UploadsRepository,
    private readonly intake: AssetIngestService,
    private readonly previews: AssetPreviews,
    private readonly blobs: BlobStore,
    private readonly egress: MemberEgress,
    private readonly bus: EventBus,
    private readonly config: AppConfig,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role !== 'api') {
      this.#dispatching = KINDS.map(({ job, leaseMs, ...limits }) =>
        new AssetJobDispatcher(this.bus, limits, {
          take: (turn) => this.#take(job, leaseMs, turn),
          work: (asset) => this.#do(asset),
        }).run(this.#stop.signal),
      );
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new Error('the process stops'));
    await Promise.all(this.#dispatching);
  }

  async #take(job: AssetJob['job'], leaseMs: number, turn: Turn): Promise<AssetJob | null> {
    try {
      return await this.repository.take(job, leaseMs, turn);
    } catch (error) {
      this.log.warn('the queue of assets could not be read; it is looked at again', { error });
      return null;
    }
  }

  async #do(asset: AssetJob): Promise<void> {
    const scope = unsafelySystemScope(asset.organizationId, 'work on an asset that nobody waits for');
    try {
      await (asset.job === 'preview' ? this.#preview(asset) : this.#bring(asset));
    } catch (error) {
      const stops = this.#stop.signal.aborted;
      if (!stops) {
        this.log.warn('work on an asset failed; it is tried again', { asset_id: asset.id, job: asset.job, error });
      }
      await this.repository.giveBack(scope, asset.id, stops ? 0 : RETRY_BACKOFF_MS, !stops).catch(() => undefined);
    }
  }

  async #preview(asset: AssetJob): Promise<void> {
    const scope = unsafelySystemScope(asset.organizationId, 'keep the picture of an asset');
    let made: { thumbnailBytes: number; metadata: object };
    try {
      // A file of no medium is here because it was of one before: its picture goes.
      made = asset.type === 'file' ? NO_PICTURE : await this.previews.make(asset);
    } catch (error) {
      const hopeless = error instanceof PreviewFailed || (error instanceof DomainError && error.code === 'not-found');
      if (this.#stop.signal.aborted || !(hopeless || asset.attempts >= MAX_ATTEMPTS)) {
        throw error;
      }
      const found = error instanceof PreviewFailed ? error.metadata : {};
      made = { thumbnailBytes: 0, metadata: { ...found, preview: 'no picture could be made' } };
    }
    const outcome = await this.repository.previewed(scope, asset, made, this.config.assetQuotaBytes);
    if (outcome === 'changed') {
      this.intake.hint();
    } else if (outcome !== 'kept' || made.thumbnailBytes === 0) {
      // Deleted meanwhile, too much, or none: what lies there of an earlier one goes too.
      await this.blobs.remove(blobKey(asset.organizationId, asset.id, THUMBNAIL));
    }
  }

  async #bring(asset: AssetJob): Promise<void> {
    const scope = unsafelySystemScope(asset.organizationId, 'fetch the bytes of an asset');
    const row = await this.uploads.find(scope, asset.id);
    if (row === null || asset.externalUrl === null) {
      return;
    }
    const rate = new FetchRate(this.clock, this.#stop.signal);
    try {
      const reply = await this.egress.send({
        url: asset.externalUrl,
        method: 'GET',
        headers: { accept: '*/*' },
        totalTimeoutMs: FETCH_MS,
        replyLimitBytes: this.config.assetMaxBytes,
        signal: rate.signal,
      });
      if (reply.status !== 200) {
        reply.discard();
        throw new EgressError(reply.status >= 500 ? 'broken' : 'barred', `The address answered ${reply.status}.`);
      }
      await this.intake.take(scope, row, rate.of(reply.body), { signal: rate.signal });
    } catch (error) {
      const why = this.#stop.signal.aborted ? null : finalWord(error, asset.attempts);
      if (why === null) {
        throw error;
      }
      if (await this.uploads.fail(scope, asset.id, why)) {
        await this.intake.removeAll(asset.organizationId, asset.id);
      }
    } finally {
      rate.end();
    }
  }
}

/** Why bytes will not come, for the person who asked for them; null where another try may help. */
function finalWord(error: unknown, attempts: number): string | null {
  if (error instanceof FetchTooSlow) {
    return error.message;
  }
  if (error instanceof EgressError) {
    const passing = error.kind === 'unreachable' || error.kind === 'timed-out' || error.kind === 'broken';
    return passing && attempts < MAX_ATTEMPTS ? null : error.message;
  }
  if (
    error instanceof DomainError &&
    (error.fault === 'caller' || error.fault === 'limit' || error.fault === 'conflict')
  ) {
    return error.message;
  }
  return attempts < MAX_ATTEMPTS ? null : 'The bytes could not be kept.';
}
