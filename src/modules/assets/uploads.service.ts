import { Injectable } from '@nestjs/common';
import { type Actor, may, readScope, type WriteScope, writeScope } from '../../access/index.js';
import { AppConfig } from '../../config/app-config.js';
import type { Tx } from '../../database/database.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../database/idempotency.js';
import { blobKey, blobKeyFields, blobPrefix } from '../../engines/blob-store/blob-key.js';
import { BlobStore } from '../../engines/blob-store/blob-store.js';
import { MemberEgress } from '../../engines/egress/egress.js';
import type { RawBodyOf } from '../../http/raw-body.js';
import { DomainError, forbidden, invalid, notFound } from '../../kernel/errors.js';
import { newId } from '../../kernel/ids.js';
import { leaseLost, Said } from '../runs/index.js';
import { AssetIntake } from './asset-intake.js';
import { AssetLinks } from './asset-links.js';
import { partName, partNumber, partPlan, sizeOfPart } from './asset-parts.js';
import { AssetsRepository } from './assets.repository.js';
import type { Asset } from './assets.schema.js';
import { kindOf, kindRefusal, mediaType, UNKNOWN_TYPE } from './content-types.js';
import type { FormFile } from './upload-form.js';
import { UploadProgress } from './upload-progress.js';
import { type AnnouncedRow, type UploadRow, UploadsRepository } from './uploads.repository.js';
import type {
  AnnounceInput,
  AnnouncedAsset,
  AssetPart,
  AssetParts,
  AssetTotals,
  FormFields,
} from './uploads.schema.js';

/** A single PUT has to begin by then; parts of a large file may take their time. */
const LINK_LIFETIME_MS = 15 * 60_000;
const PARTS_LIFETIME_MS = 24 * 60 * 60_000;

/** Ways in for bytes that a client sends. */
@Injectable()
export class UploadsService {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly assets: AssetsRepository,
    private readonly intake: AssetIntake,
    private readonly said: Said,
    private readonly progress: UploadProgress,
    private readonly links: AssetLinks,
    private readonly blobs: BlobStore,
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
    input: AnnounceInput,
    ticket: IdempotencyTicket | null,
  ): Promise<Outcome<AnnouncedAsset>> {
    const scope = writeScope(actor, 'asset:upload');
    const row = await this.#rowOf(scope, input);
    const outcome = await this.idempotency.run(scope, ticket, async (tx) => {
      await this.intake.assertRoom(scope, row.sizeBytes ?? 0, tx);
      if (!(await this.repository.announce(scope, tx, row))) {
        throw await this.#refusal(scope, tx, row);
      }
      if (row.externalUrl !== null) {
        tx.afterCommit(() => this.intake.hint());
      }
      return { id: row.id };
    });
    // The link is made now, also for a repeated request: it lives shorter than the answer is kept.
    const asset = await this.#get(actor, outcome.value.id);
    const upload = input.external_url === undefined ? this.#upload(actor, outcome.value.id, row) : null;
    return { value: { asset, upload }, replayed: outcome.replayed };
  }

  /** Takes the whole of an announced asset. @throws DomainError as `AssetIntake.take`; `not-found`, `forbidden` */
  async receive(actor: Actor, id: string, body: RawBodyOf): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.#waiting(actor, scope, id);
    if (asset.partSizeBytes !== null) {
      throw new DomainError('conflict', 'This asset was announced in parts; send each to its own link.');
    }
    assertSame(asset, body, asset.sizeBytes);
    const bytes = await this.progress.begin(scope, id, body.bytes);
    try {
      await this.intake.take(scope, asset, bytes);
    } catch (error) {
      await this.repository.giveBack(scope, id).catch(() => undefined);
      throw error;
    }
    return this.#get(actor, id);
  }

  /** Takes one part. @throws DomainError `conflict` for one that is here already, `content-mismatch` */
  async receivePart(actor: Actor, id: string, number: number, body: RawBodyOf): Promise<AssetPart> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.#waiting(actor, scope, id);
    const { partSizeBytes, sizeBytes } = asset;
    if (partSizeBytes === null || sizeBytes === null) {
      throw new DomainError('conflict', 'This asset was announced whole; send it to its own link.');
    }
    if (number > partPlan(sizeBytes, partSizeBytes).count) {
      throw notFound('part');
    }
    const expectedBytes = sizeOfPart(number, sizeBytes, partSizeBytes);
    assertSame({ contentType: UNKNOWN_TYPE }, body, expectedBytes);
    const bytes = await this.progress.begin(scope, id, body.bytes);
    const stored = await this.blobs.put(blobKey(scope.organizationId, id, partName(number)), bytes, {
      maxBytes: expectedBytes,
      accept: (arrived) => {
        if (arrived.sizeBytes !== expectedBytes) {
          throw new DomainError(
            'content-mismatch',
            `${arrived.sizeBytes} bytes arrived; part ${number} has ${expectedBytes}.`,
          );
        }
      },
    });
    if (await this.repository.isOver(scope, id)) {
      await this.intake.removeQuietly(scope.organizationId, id);
      throw new DomainError('conflict', 'This asset waits for no bytes any more; announce it again.');
    }
    return { number, size: stored.sizeBytes, sha256: stored.sha256 };
  }

  /** Which parts are here. @throws DomainError `not-found` */
  async parts(actor: Actor, id: string): Promise<AssetParts> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.#mine(actor, scope, id);
    if (asset.partSizeBytes === null || asset.sizeBytes === null) {
      throw notFound('upload in parts');
    }
    const { partSizeBytes, count } = partPlan(asset.sizeBytes, asset.partSizeBytes);
    return { part_size: partSizeBytes, part_count: count, parts: await this.#present(scope, id) };
  }

  /**
   * Says that all parts are sent, and puts them together; of an asset that is ready already, answers it.
   * @throws DomainError `conflict` while bytes are missing, `content-mismatch`, and what `AssetIntake.take` throws
   */
  async complete(actor: Actor, id: string): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.#mine(actor, scope, id);
    if (asset.status === 'ready') {
      return this.#get(actor, id);
    }
    assertWaiting(asset);
    if (asset.partSizeBytes === null || asset.sizeBytes === null) {
      throw new DomainError('conflict', 'The bytes are not here yet; PUT them to the link first.');
    }
    const { count } = partPlan(asset.sizeBytes, asset.partSizeBytes);
    const present = await this.#present(scope, id);
    if (present.length < count) {
      const missing = Array.from({ length: count }, (_, index) => index + 1).find(
        (number) => !present.includes(number),
      );
      throw new DomainError(
        'conflict',
        `${count - present.length} of ${count} parts are not here yet, the first of them ${missing}.`,
      );
    }
    await this.#join(scope, asset, count);
    for (let number = 1; number <= count; number += 1) {
      await this.blobs.remove(blobKey(scope.organizationId, id, partName(number)));
    }
    return this.#get(actor, id);
  }

  /** Takes a file that came in a form, in the one request. */
  async receiveForm(actor: Actor, fields: FormFields, file: FormFile, signal: AbortSignal): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const { size, ...given } = fields;
    const contentType = fields.content_type ?? mediaType(file.contentType) ?? UNKNOWN_TYPE;
    const row = await this.#rowOf(scope, { ...given, name: file.name, content_type: contentType });
    const sized = { ...row, sizeBytes: size ?? null };
    const { value } = await this.idempotency.run(scope, null, async (tx) => {
      await this.intake.assertRoom(scope, size ?? 0, tx);
      if (!(await this.repository.announce(scope, tx, sized))) {
        throw await this.#refusal(scope, tx, sized);
      }
      return sized.id;
    });
    try {
      const asset = await this.#waiting(actor, scope, value);
      const bytes = await this.progress.begin(scope, value, file.bytes);
      await this.intake.take(scope, asset, bytes, { signal, isTold: true });
    } catch (error) {
      // Nobody has a link to send it again by: of a form that failed nothing is kept, but a row that says why it was refused for good.
      await this.assets.discard(scope, value);
      throw error;
    }
    return this.#get(actor, value);
  }

  async totals(actor: Actor): Promise<AssetTotals> {
    const totals = await this.repository.totals(readScope(actor, 'asset:read'));
    return { ...totals, quota_bytes: this.config.assetQuotaBytes, max_asset_bytes: this.config.assetMaxBytes };
  }

  async #rowOf(scope: WriteScope, input: AnnounceInput): Promise<AnnouncedRow> {
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
  async #refusal(scope: WriteScope, tx: Tx, row: AnnouncedRow): Promise<DomainError> {
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

  #upload(actor: Actor, id: string, row: AnnouncedRow): AnnouncedAsset['upload'] {
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

  /** The asset as its uploader may see it: a worker gets no links, which it could not use. */
  async #get(actor: Actor, id: string): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const stored = await this.assets.findForUploader(scope, id);
    if (stored === null) {
      throw notFound('asset');
    }
    const { has_thumbnail: _, ...shown } = stored;
    return {
      ...shown,
      ...(may(actor, 'asset:read') ? this.links.of(actor, stored) : { url: null, thumbnail: null, embed: null }),
    };
  }

  async #mine(actor: Actor, scope: WriteScope, id: string): Promise<UploadRow> {
    const asset = await this.repository.find(scope, id);
    if (asset !== null) {
      return asset;
    }
    const readable = may(actor, 'asset:read') ? await this.assets.find(readScope(actor, 'asset:read'), id) : null;
    throw readable === null ? notFound('asset') : forbidden();
  }

  async #waiting(actor: Actor, scope: WriteScope, id: string): Promise<UploadRow> {
    const asset = await this.#mine(actor, scope, id);
    assertWaiting(asset);
    return asset;
  }

  async #present(scope: WriteScope, id: string): Promise<number[]> {
    const numbers: number[] = [];
    for await (const key of this.blobs.list(blobPrefix(scope.organizationId, id))) {
      const number = partNumber(blobKeyFields(key).part);
      if (number !== null) {
        numbers.push(number);
      }
    }
    return numbers.sort((one, other) => one - other);
  }

  async #join(scope: WriteScope, asset: UploadRow, count: number): Promise<void> {
    const { id } = asset;
    try {
      await this.intake.take(scope, asset, await this.progress.begin(scope, id, this.#joined(scope, id, count)));
    } catch (error) {
      const code = error instanceof DomainError ? error.code : null;
      if (code === 'content-mismatch' && error instanceof DomainError) {
        if (await this.repository.fail(scope, id, error.message)) {
          await this.intake.removeAll(scope.organizationId, id);
        }
      }
      // Put together by somebody faster, or before a process died: the same parts, so the same whole.
      if (code !== 'conflict' || (await this.repository.find(scope, id))?.status !== 'ready') {
        throw error;
      }
    }
  }

  async *#joined(scope: WriteScope, id: string, count: number): AsyncGenerator<Uint8Array> {
    for (let number = 1; number <= count; number += 1) {
      const part = await this.blobs.open(blobKey(scope.organizationId, id, partName(number)));
      if (part === null) {
        throw new DomainError('conflict', `Part ${number} went away; look at the asset.`);
      }
      const pieces: AsyncIterable<Uint8Array> = part.stream;
      yield* pieces;
    }
  }
}

function assertWaiting(asset: UploadRow): void {
  if (asset.status === 'ready') {
    throw new DomainError('conflict', 'This asset has its bytes; they are never overwritten.');
  }
  if (asset.status === 'failed' || asset.expired) {
    throw new DomainError('conflict', 'This asset waits for no bytes any more; announce it again.');
  }
  if (asset.status === 'processing') {
    throw new DomainError('conflict', 'The server fetches the bytes of this asset itself.');
  }
}

/** What the headers say must be what was announced, before a byte is read. */
function assertSame(asset: { contentType: string }, body: RawBodyOf, sizeBytes: number | null): void {
  if (asset.contentType !== UNKNOWN_TYPE && mediaType(body.contentType) !== asset.contentType) {
    throw new DomainError('content-mismatch', `The request’s content type must be ${asset.contentType}, as announced.`);
  }
  if (sizeBytes !== null && body.lengthBytes !== null && body.lengthBytes !== sizeBytes) {
    throw new DomainError(
      'content-mismatch',
      `The request has ${body.lengthBytes} bytes, and ${sizeBytes} were announced.`,
    );
  }
}
