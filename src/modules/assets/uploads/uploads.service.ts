import { Injectable } from '@nestjs/common';
import { type Actor, may, readScope, type WriteScope, writeScope } from '../../../access/index.js';
import { AppConfig } from '../../../config/app-config.js';
import type { Tx } from '../../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { MemberEgress } from '../../../infrastructure/egress/egress.js';
import { DomainError, forbidden, invalid } from '../../../kernel/errors.js';
import { newId } from '../../../kernel/ids.js';
import { leaseLost, WorkerTextRedactor } from '../../runs/index.js';
import { AssetIngestService } from './asset-ingest.service.js';
import { AssetLinks } from '../asset-links.js';
import { partPlan } from './asset-parts.js';
import { AssetsRepository } from '../assets.repository.js';
import type { Asset } from '../assets.schema.js';
import { kindOf, kindRefusal, mediaType, UNKNOWN_TYPE } from '../content/content-types.js';
import { assertAsAnnounced, assertWaiting, UploadAccess } from './upload-access.js';
import type { UploadBody } from './upload-body.js';
import type { FormFile } from './upload-form.js';
import { UploadProgress } from './upload-progress.js';
import { type NewUploadRow, UploadsRepository } from './uploads.repository.js';
import type { CreateUploadInput, CreatedUpload, AssetTotals, FormFields } from './uploads.schema.js';

/** A single PUT has to begin by then; parts of a large file may take their time. */
const LINK_LIFETIME_MS = 15 * 60_000;
const PARTS_LIFETIME_MS = 24 * 60 * 60_000;

/** Ways in for bytes that a client sends. */
@Injectable()
export class UploadsService {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly assets: AssetsRepository,
    private readonly intake: AssetIngestService,
    private readonly said: WorkerTextRedactor,
    private readonly access: UploadAccess,
    private readonly progress: UploadProgress,
    private readonly links: AssetLinks,
    private readonly idempotency: Idempotency,
    private readonly egress: MemberEgress,
    private readonly config: AppConfig,
  ) {}

  /**
   * Announces an asset: a row that waits for its bytes, and a link to send them by, or the order to fetch them.
   * @throws DomainError `invalid-request`, `payload-too-large`, `limit-reached`, `lease-lost`, `forbidden`
   */
  async announce(
    actor: Actor,
    input: CreateUploadInput,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<CreatedUpload>> {
    const scope = writeScope(actor, 'asset:upload');
    this.intake.assertSize(input.size ?? 0);
    const row = await this.#rowOf(scope, input);
    const outcome = await this.idempotency.run(scope, ticket, async (tx) => {
      if (!(await this.repository.announce(scope, tx, row))) {
        throw await this.#refusal(scope, tx, row);
      }
      await this.intake.assertWithinQuota(scope, tx, row.sizeBytes ?? 0);
      if (row.externalUrl !== null) {
        tx.afterCommit(() => this.intake.hint());
      }
      return { id: row.id };
    });
    // The link is made now, also for a repeated request: it lives shorter than the answer is kept.
    const asset = await this.access.shown(actor, outcome.value.id);
    const upload = input.external_url === undefined ? this.#upload(actor, outcome.value.id, row) : null;
    return { value: { asset, upload }, replayed: outcome.replayed };
  }

  /** Takes the whole of an announced asset. @throws DomainError as `AssetIngestService.take`; `not-found`, `forbidden` */
  async receive(actor: Actor, id: string, body: UploadBody): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.access.mine(scope, id);
    if (body.ifMatch !== null) {
      throw new DomainError('precondition-failed', 'The bytes of an asset are never replaced, so send no If-Match.');
    }
    assertWaiting(asset);
    if (asset.partSizeBytes !== null) {
      throw new DomainError('conflict', 'This asset was announced in parts; send each to its own link.');
    }
    assertAsAnnounced(asset, body, asset.sizeBytes);
    const bytes = await this.progress.begin(scope, id, body.bytes);
    try {
      await this.intake.take(scope, asset, bytes);
    } catch (error) {
      await this.repository.giveBack(scope, id).catch(() => undefined);
      throw error;
    }
    return this.access.shown(actor, id);
  }

  /** Takes a file that came in a form, in the one request. */
  async receiveForm(actor: Actor, fields: FormFields, file: FormFile, signal: AbortSignal): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const { size, ...given } = fields;
    const contentType = fields.content_type ?? mediaType(file.contentType) ?? UNKNOWN_TYPE;
    const row = await this.#rowOf(scope, { ...given, name: file.name, content_type: contentType });
    const sized = { ...row, sizeBytes: size ?? null };
    this.intake.assertSize(size ?? 0);
    const { value } = await this.idempotency.run(scope, null, async (tx) => {
      if (!(await this.repository.announce(scope, tx, sized))) {
        throw await this.#refusal(scope, tx, sized);
      }
      await this.intake.assertWithinQuota(scope, tx, sized.sizeBytes ?? 0);
      return sized.id;
    });
    try {
      const asset = await this.access.waiting(scope, value);
      const bytes = await this.progress.begin(scope, value, file.bytes);
      await this.intake.take(scope, asset, bytes, { signal, isTold: true });
    } catch (error) {
      // Nobody has a link to send it again by: of a form that failed nothing is kept, but a row that says why it was refused for good.
      await this.assets.discard(scope, value);
      throw error;
    }
    return this.access.shown(actor, value);
  }

  async totals(actor: Actor): Promise<AssetTotals> {
    const totals = await this.repository.totals(readScope(actor, 'asset:read'));
    return { ...totals, quota_bytes: this.config.assetQuotaBytes, max_asset_bytes: this.config.assetMaxBytes };
  }

  async #rowOf(scope: WriteScope, input: CreateUploadInput): Promise<NewUploadRow> {
    const contentType = input.content_type ?? UNKNOWN_TYPE;
    const type = input.type ?? kindOf(contentType);
    const refusal = contentType === UNKNOWN_TYPE ? null : kindRefusal(type, contentType);
    if (refusal !== null) {
      throw invalid('/content_type', refusal);
    }
    const barred = input.external_url === undefined ? null : this.egress.refusal(input.external_url);
    if (barred !== null) {
      throw invalid('/external_url', barred);
    }
    const announced = {
      id: newId(),
      taskId: input.task_id,
      runId: input.run_id ?? null,
      fence: input.fence ?? null,
      name: input.name,
      type,
      contentType,
      sizeBytes: input.size ?? null,
      sha256: input.sha256 ?? null,
      partSizeBytes: input.part_size ?? null,
      externalUrl: input.external_url ?? null,
      lifetimeMs: input.part_size === undefined ? LINK_LIFETIME_MS : PARTS_LIFETIME_MS,
    };
    const { runId, fence } = announced;
    return runId === null || fence === null ? announced : this.said.file(scope, runId, fence, announced);
  }

  /** Asks on the connection that it is on: one that waited for a second, holding the first, could wait for ever. */
  async #refusal(scope: WriteScope, tx: Tx, row: NewUploadRow): Promise<DomainError> {
    if (row.fence !== null) {
      return leaseLost();
    }
    const readable =
      may(scope.actor, 'asset:read') &&
      (await this.assets.isReadableTask(readScope(scope.actor, 'asset:read'), row.taskId, tx));
    return readable && row.runId === null
      ? forbidden()
      : readable && !(await this.assets.hasRun(scope, row.taskId, row.runId ?? '', tx))
        ? invalid('/run_id', 'There is no such run of this task.')
        : readable
          ? forbidden()
          : invalid('/task_id', 'There is no such task.');
  }

  #upload(actor: Actor, id: string, row: NewUploadRow): CreatedUpload['upload'] {
    const { query, expiresAt } = this.links.upload(actor, id, row.lifetimeMs);
    const base = { method: 'PUT' as const, expires_at: expiresAt };
    if (row.partSizeBytes !== null && row.sizeBytes !== null) {
      const { partSizeBytes, count } = partPlan(row.sizeBytes, row.partSizeBytes);
      const url = this.links.to(`/api/v1/assets/${id}/parts/{number}?${query}`);
      return { ...base, url, headers: { 'content-type': UNKNOWN_TYPE }, part_size: partSizeBytes, part_count: count };
    }
    return {
      ...base,
      url: this.links.to(`/api/v1/assets/${id}/content?${query}`),
      headers: { 'content-type': row.contentType },
    };
  }
}
