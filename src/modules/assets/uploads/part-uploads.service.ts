/**
 * Uploads in parts: each part is a blob of its own until all are there, and then they are put together.
 *
 * What is wrong with the whole can be mended: where the digest is not the announced one, the parts stay, the answer lists the digest of
 * each, and a wrong one is sent again with `If-Match`, which names the digest that it replaces.
 */
import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, writeScope } from '../../../access/index.js';
import { blobKey, blobKeyFields, blobPrefix } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore, type PutLimits } from '../../../infrastructure/blob-store/blob-store.js';
import { DomainError, type InputIssue, notFound } from '../../../kernel/errors.js';
import { AssetIngestService } from './asset-ingest.service.js';
import { partName, partNumber, partPlan, sizeOfPart } from './asset-parts.js';
import { AssetPartsRepository } from './asset-parts.repository.js';
import { AssetReservations } from './asset-reservations.js';
import type { Asset } from '../assets.schema.js';
import { ChecksumMismatch } from '../content/content-check.js';
import { entityTag, matchesTag } from '../content/content-headers.js';
import { UNKNOWN_TYPE } from '../content/content-types.js';
import { assertAsAnnounced, assertWaiting, UploadAccess } from './upload-access.js';
import type { UploadBody } from './upload-body.js';
import { UploadProgress } from './upload-progress.js';
import { type UploadRow, UploadsRepository } from './uploads.repository.js';
import type { AssetPart, AssetParts, CompleteInput } from './uploads.schema.js';

@Injectable()
export class PartUploadsService {
  constructor(
    private readonly repository: UploadsRepository,
    private readonly recorded: AssetPartsRepository,
    private readonly reservations: AssetReservations,
    private readonly access: UploadAccess,
    private readonly intake: AssetIngestService,
    private readonly progress: UploadProgress,
    private readonly blobs: BlobStore,
  ) {}

  /**
   * Takes one part.
   * @throws DomainError `conflict` for one that is here already, `content-mismatch`, `precondition-failed`, `limit-reached`
   */
  async receive(actor: Actor, id: string, number: number, body: UploadBody): Promise<AssetPart> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.access.waiting(scope, id);
    const { partSizeBytes, sizeBytes } = asset;
    if (partSizeBytes === null || sizeBytes === null) {
      throw new DomainError('conflict', 'This asset was announced whole; send it to its own link.');
    }
    if (number > partPlan(sizeBytes, partSizeBytes).count) {
      throw notFound('part');
    }
    const expectedBytes = sizeOfPart(number, sizeBytes, partSizeBytes);
    assertAsAnnounced({ contentType: UNKNOWN_TYPE }, body, expectedBytes);
    await this.#makeWay(scope, id, number, body);
    const held = this.reservations.hold(scope, id, partName(number), expectedBytes, body.bytes);
    const bytes = await this.progress.begin(scope, id, held);
    const key = blobKey(scope.organizationId, id, partName(number));
    const limits: PutLimits = {
      maxBytes: expectedBytes,
      accept: (arrived) => {
        if (arrived.sizeBytes !== expectedBytes) {
          throw new DomainError(
            'content-mismatch',
            `${arrived.sizeBytes} bytes arrived; part ${number} has ${expectedBytes}.`,
          );
        }
      },
    };
    const stored = await this.blobs.put(key, bytes, limits).catch(async (error: unknown) => {
      const isHere = error instanceof DomainError && error.code === 'conflict';
      throw (isHere ? await this.#alreadyHere(scope, id, number) : null) ?? error;
    });
    const status = await this.repository.status(scope, id);
    if (status === null || status === 'failed') {
      await this.intake.removeQuietly(scope.organizationId, id);
      throw new DomainError('conflict', 'This asset waits for no bytes any more; announce it again.');
    }
    if (status === 'ready') {
      // Put together meanwhile, from an earlier copy of this part.
      await this.blobs.remove(key);
      throw new DomainError('conflict', 'This asset has its bytes; they are never overwritten.');
    }
    const part = { number, size: stored.sizeBytes, sha256: stored.sha256 };
    await this.recorded.record(scope, id, part);
    return part;
  }

  /** Which parts are here. @throws DomainError `not-found` */
  async list(actor: Actor, id: string): Promise<AssetParts> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.access.mine(scope, id);
    if (asset.partSizeBytes === null || asset.sizeBytes === null) {
      throw notFound('upload in parts');
    }
    const { partSizeBytes, count } = partPlan(asset.sizeBytes, asset.partSizeBytes);
    const received = await this.#present(scope, id);
    return { part_size: partSizeBytes, part_count: count, parts: received.map(({ number }) => number), received };
  }

  /**
   * Puts the parts together once all are sent; of an asset that is ready already, answers it.
   * @throws DomainError `conflict` while parts are missing, `content-mismatch`, and what `AssetIngestService.take` throws
   */
  async complete(actor: Actor, id: string, { parts: expected = [] }: CompleteInput): Promise<Asset> {
    const scope = writeScope(actor, 'asset:upload');
    const asset = await this.access.mine(scope, id);
    if (asset.status === 'ready') {
      return this.access.shown(actor, id);
    }
    assertWaiting(asset);
    if (asset.partSizeBytes === null || asset.sizeBytes === null) {
      throw new DomainError('conflict', 'The bytes are not here yet; PUT them to the link first.');
    }
    const { count } = partPlan(asset.sizeBytes, asset.partSizeBytes);
    const present = await this.#present(scope, id);
    if (present.length < count) {
      const numbers = new Set(present.map(({ number }) => number));
      const missing = Array.from({ length: count }, (_, index) => index + 1).find((number) => !numbers.has(number));
      throw new DomainError(
        'conflict',
        `${count - present.length} of ${count} parts are not here yet, the first of them ${missing}.`,
      );
    }
    const wrong = present.filter((part) =>
      expected.some(({ number, sha256 }) => number === part.number && sha256 !== part.sha256),
    );
    if (wrong.length > 0) {
      throw new DomainError(
        'content-mismatch',
        `${wrong.length} of ${count} parts have another SHA-256 than you say. All parts are kept; send the wrong ones again with If-Match.`,
        { issues: wrong.map(digestIssue) },
      );
    }
    await this.#join(scope, asset, present);
    for (const { number } of present) {
      await this.blobs.remove(blobKey(scope.organizationId, id, partName(number)));
    }
    await this.recorded.forget(scope, id);
    return this.access.shown(actor, id);
  }

  /**
   * Removes a part that is to be replaced. A part that is here and not to be replaced is refused before its bytes are read.
   * @throws DomainError `conflict`, `precondition-failed`
   */
  async #makeWay(scope: WriteScope, id: string, number: number, { ifMatch }: UploadBody): Promise<void> {
    const key = blobKey(scope.organizationId, id, partName(number));
    const recorded = await this.recorded.find(scope, id, number);
    if (ifMatch === null) {
      if (recorded !== null && (await this.blobs.stat(key)) !== null) {
        throw alreadyHere(recorded);
      }
      return;
    }
    const here = recorded ?? (await this.#adopted(scope, id, number));
    if (here === null || !matchesTag(ifMatch, entityTag(here.sha256))) {
      throw new DomainError(
        'precondition-failed',
        here === null
          ? `Part ${number} is not here, so there is nothing to replace.`
          : `Part ${number} is here with the SHA-256 ${here.sha256}, which If-Match does not name.`,
      );
    }
    await this.recorded.forget(scope, id, number);
    await this.blobs.remove(key);
  }

  async #alreadyHere(scope: WriteScope, id: string, number: number): Promise<DomainError | null> {
    const part = (await this.recorded.find(scope, id, number)) ?? (await this.#adopted(scope, id, number));
    return part === null ? null : alreadyHere(part);
  }

  /** The parts whose bytes are here. */
  async #present(scope: WriteScope, id: string): Promise<AssetPart[]> {
    const numbers = new Set<number>();
    for await (const key of this.blobs.list(blobPrefix(scope.organizationId, id))) {
      const number = partNumber(blobKeyFields(key).part);
      if (number !== null) {
        numbers.add(number);
      }
    }
    const parts = (await this.recorded.list(scope, id)).filter(({ number }) => numbers.has(number));
    for (const { number } of parts) {
      numbers.delete(number);
    }
    for (const number of numbers) {
      const part = await this.#adopted(scope, id, number);
      if (part !== null) {
        parts.push(part);
      }
    }
    return parts.sort((one, other) => one.number - other.number);
  }

  /** A part whose bytes are here without a record, as a process leaves it that died between the two: read, and recorded. */
  async #adopted(scope: WriteScope, id: string, number: number): Promise<AssetPart | null> {
    const blob = await this.blobs.open(blobKey(scope.organizationId, id, partName(number)));
    if (blob === null) {
      return null;
    }
    const hash = createHash('sha256');
    const pieces: AsyncIterable<Uint8Array> = blob.stream;
    for await (const piece of pieces) {
      hash.update(piece);
    }
    const part = { number, size: blob.sizeBytes, sha256: hash.digest('hex') };
    await this.recorded.record(scope, id, part);
    return part;
  }

  async #join(scope: WriteScope, asset: UploadRow, parts: readonly AssetPart[]): Promise<void> {
    const { id } = asset;
    try {
      await this.intake.take(scope, asset, await this.progress.begin(scope, id, this.#joined(scope, id, parts)));
    } catch (error) {
      if (error instanceof ChecksumMismatch) {
        await this.repository.giveBack(scope, id).catch(() => undefined);
        throw new DomainError(
          'content-mismatch',
          `${error.message} All parts are kept: compare their digests, send the wrong ones again with If-Match, and complete again.`,
          { issues: parts.map(digestIssue) },
        );
      }
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

  async *#joined(scope: WriteScope, id: string, parts: readonly AssetPart[]): AsyncGenerator<Uint8Array> {
    for (const { number } of parts) {
      const part = await this.blobs.open(blobKey(scope.organizationId, id, partName(number)));
      if (part === null) {
        throw new DomainError('conflict', `Part ${number} went away; look at the asset.`);
      }
      const pieces: AsyncIterable<Uint8Array> = part.stream;
      yield* pieces;
    }
  }
}

function alreadyHere({ number, sha256 }: AssetPart): DomainError {
  return new DomainError(
    'conflict',
    `Part ${number} is here already, with the SHA-256 ${sha256}. To replace it, send that digest in quotes as If-Match.`,
  );
}

function digestIssue({ number, sha256 }: AssetPart): InputIssue {
  return { path: `/parts/${number}`, message: `This part has the SHA-256 ${sha256}.` };
}
