/**
 * The background work on assets: bytes to be fetched from elsewhere, and pictures to be made. The rows are the queue: a job is taken under
 * a lease, by any replica, and taken again where whoever had it died. Pictures are made one at a time; fetching waits more than it works.
 */
import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { unsafelySystemScope } from '../../access/index.js';
import { AppConfig } from '../../config/app-config.js';
import { blobKey } from '../../engines/blob-store/blob-key.js';
import { BlobStore } from '../../engines/blob-store/blob-store.js';
import { EgressError, MemberEgress } from '../../engines/egress/egress.js';
import { EventBus } from '../../engines/event-bus/event-bus.js';
import { DomainError } from '../../kernel/errors.js';
import { Log } from '../../kernel/log.js';
import { AssetIntake } from './asset-intake.js';
import { type AssetJob, AssetJobsRepository } from './asset-jobs.repository.js';
import { ASSET_WORK_TOPIC, THUMBNAIL } from './asset-parts.js';
import { AssetPreviews } from './previews/asset-previews.js';
import { PreviewFailed } from './previews/preview-process.js';
import { UploadsRepository } from './uploads.repository.js';

const LANES = [
  { job: 'preview', slots: 1, leaseMs: 5 * 60_000 },
  { job: 'fetch', slots: 2, leaseMs: 20 * 60_000 },
] as const;
const FETCH_MS = 15 * 60_000;
const LOOK_AGAIN_MS = 2_000;
const MOST_ATTEMPTS = 3;
const TRY_AGAIN_MS = 20_000;

@Injectable()
export class AssetJobs implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #lanes: Promise<void>[] = [];

  constructor(
    private readonly repository: AssetJobsRepository,
    private readonly uploads: UploadsRepository,
    private readonly intake: AssetIntake,
    private readonly previews: AssetPreviews,
    private readonly blobs: BlobStore,
    private readonly egress: MemberEgress,
    private readonly bus: EventBus,
    private readonly config: AppConfig,
    private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role !== 'api') {
      this.#lanes = LANES.flatMap(({ job, slots, leaseMs }) =>
        Array.from({ length: slots }, () => this.#lane(job, leaseMs)),
      );
    }
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new Error('the process stops'));
    await Promise.all(this.#lanes);
  }

  async #lane(job: AssetJob['job'], leaseMs: number): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const taken = await this.repository.take(job, leaseMs).catch((error: unknown) => {
        this.log.warn('the queue of assets could not be read; it is looked at again', { error });
        return null;
      });
      if (taken === null) {
        await this.bus.wait(ASSET_WORK_TOPIC, LOOK_AGAIN_MS, signal);
      } else {
        await this.#do(taken);
      }
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
      await this.repository.giveBack(scope, asset.id, stops ? 0 : TRY_AGAIN_MS, !stops).catch(() => undefined);
    }
  }

  async #preview(asset: AssetJob): Promise<void> {
    const scope = unsafelySystemScope(asset.organizationId, 'keep the picture of an asset');
    let made: { thumbnailBytes: number; metadata: object };
    try {
      made = await this.previews.make(asset);
    } catch (error) {
      const hopeless = error instanceof PreviewFailed || (error instanceof DomainError && error.code === 'not-found');
      if (this.#stop.signal.aborted || !(hopeless || asset.attempts >= MOST_ATTEMPTS)) {
        throw error;
      }
      made = { thumbnailBytes: 0, metadata: { preview: 'no picture could be made' } };
    }
    const outcome = await this.repository.previewed(scope, asset, made, this.config.assetQuotaBytes);
    if (outcome !== 'kept') {
      // Deleted or changed meanwhile, or too much: the picture goes too.
      await this.blobs.remove(blobKey(asset.organizationId, asset.id, THUMBNAIL));
    }
  }

  async #bring(asset: AssetJob): Promise<void> {
    const scope = unsafelySystemScope(asset.organizationId, 'fetch the bytes of an asset');
    const row = await this.uploads.find(scope, asset.id);
    if (row === null || asset.externalUrl === null) {
      return;
    }
    try {
      const reply = await this.egress.send({
        url: asset.externalUrl,
        method: 'GET',
        headers: { accept: '*/*' },
        totalTimeoutMs: FETCH_MS,
        replyLimitBytes: this.config.assetMaxBytes,
        signal: this.#stop.signal,
      });
      if (reply.status !== 200) {
        reply.discard();
        throw new EgressError(reply.status >= 500 ? 'broken' : 'barred', `The address answered ${reply.status}.`);
      }
      await this.intake.take(scope, row, reply.body, { signal: this.#stop.signal });
    } catch (error) {
      const why = this.#stop.signal.aborted ? null : finalWord(error, asset.attempts);
      if (why === null) {
        throw error;
      }
      if (await this.uploads.fail(scope, asset.id, why)) {
        await this.intake.removeAll(asset.organizationId, asset.id);
      }
    }
  }
}

/** Why bytes will not come, for the person who asked for them; null where another try may help. */
function finalWord(error: unknown, attempts: number): string | null {
  if (error instanceof EgressError) {
    const passing = error.kind === 'unreachable' || error.kind === 'timed-out' || error.kind === 'broken';
    return passing && attempts < MOST_ATTEMPTS ? null : error.message;
  }
  if (
    error instanceof DomainError &&
    (error.fault === 'caller' || error.fault === 'limit' || error.fault === 'conflict')
  ) {
    return error.message;
  }
  return attempts < MOST_ATTEMPTS ? null : 'The bytes could not be kept.';
}
