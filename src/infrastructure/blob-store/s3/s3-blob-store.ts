import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { ConfigError, type S3Settings } from '../../../config/app-config.js';
import type { Clock } from '../../../kernel/clock.js';
import { DomainError } from '../../../kernel/errors.js';
import { blobConflict, blobTooLarge, rangeWithin } from '../blob-errors.js';
import { blobKey, type BlobKey, type BlobPrefix, blobKeyFields, blobPrefixFields } from '../blob-key.js';
import {
  type BlobStat,
  BlobStore,
  type ByteRange,
  type OpenBlob,
  type PutLimits,
  type StoredBlob,
} from '../blob-store.js';
import { nextPiece } from '../next-piece.js';
import { isAbsent, isNoUpload, isPastTheEnd, storageError } from './s3-errors.js';

/**
 * Blobs as objects of one bucket, under `<prefix><organization id>/<asset id>/<part>`.
 *
 * A body up to one part is one PUT; a larger one is a multipart upload, of which one part at a time is in memory. Both end with
 * `If-None-Match: *`, and that is why the first writer wins, between processes too: the server decides at the moment the object would
 * appear. (Amazon, MinIO, Ceph, R2 and Garage know it; a server that ignores the condition leaves only the look before, which two
 * writers of the same moment can pass both.) Until then nothing is shown; what a death leaves is an unfinished upload, which no key
 * shows and the sweep aborts.
 */
export class S3BlobStore extends BlobStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #partBytes: number;
  readonly #clock: Clock;

  constructor(settings: S3Settings, clock: Clock, partBytes = PART_BYTES) {
    super();
    this.#client = new S3Client({
      region: settings.region,
      forcePathStyle: settings.pathStyle,
      ...(settings.endpoint === null ? {} : { endpoint: settings.endpoint }),
      ...(settings.credentials === null ? {} : { credentials: { ...settings.credentials } }),
      // The newer checksums are unknown to many servers; the signature covers the body's SHA-256 as it is.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 3,
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        requestTimeout: STALL_MS,
        httpAgent: { maxSockets: SOCKETS },
        httpsAgent: { maxSockets: SOCKETS },
      },
    });
    this.#bucket = settings.bucket;
    this.#prefix = settings.prefix;
    this.#partBytes = partBytes;
    this.#clock = clock;
  }

  /** Opens the store, and looks once whether the bucket is there. @throws ConfigError where it is not, or not for these credentials */
  static async open(settings: S3Settings, clock: Clock): Promise<S3BlobStore> {
    const store = new S3BlobStore(settings, clock);
    try {
      await store.#client.send(new HeadBucketCommand({ Bucket: settings.bucket }));
    } catch (cause) {
      throw new ConfigError(
        `Files cannot be kept in the bucket ${settings.bucket}: check S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_PATH_STYLE and the credentials.`,
        { cause },
      );
    }
    return store;
  }

  async put(key: BlobKey, body: AsyncIterable<Uint8Array>, limits: PutLimits): Promise<StoredBlob> {
    const { maxBytes, signal, accept } = limits;
    signal?.throwIfAborted();
    if ((await this.stat(key)) !== null) throw blobConflict();
    const upload = new Upload(this.#client, this.#objectOf(key));
    const pieces = body[Symbol.asyncIterator]();
    const hash = createHash('sha256');
    const gathered = new Gathered(this.#partBytes);
    let sizeBytes = 0;
    try {
      for (;;) {
        const piece = await nextPiece(pieces, signal);
        if (piece.done === true) break;
        sizeBytes += piece.value.byteLength;
        if (sizeBytes > maxBytes) throw blobTooLarge(maxBytes);
        hash.update(piece.value);
        for (const part of gathered.add(piece.value)) await upload.part(part);
      }
      const stored = { sizeBytes, sha256: hash.digest('hex') };
      accept?.(stored);
      signal?.throwIfAborted();
      await upload.end(gathered.rest());
      return stored;
    } catch (error) {
      // Not awaited: a generator that hangs in its own await would never come back to hear it.
      pieces.return?.().catch(() => undefined);
      await upload.giveUp();
      throw storageError(error);
    }
  }

  async open(key: BlobKey, range?: ByteRange): Promise<OpenBlob | null> {
    // The numbers first; whether they lie within the blob, only its server knows.
    const asked = range === undefined ? undefined : rangeWithin(range, Number.MAX_SAFE_INTEGER);
    try {
      const reply = await this.#client.send(
        new GetObjectCommand({
          ...this.#objectOf(key),
          ...(asked === undefined ? {} : { Range: `bytes=${asked.start}-${asked.end}` }),
        }),
      );
      if (!(reply.Body instanceof Readable)) throw new TypeError('the object storage gave no stream');
      const total = /\/(\d+)$/.exec(reply.ContentRange ?? '')?.[1];
      return { stream: reply.Body, sizeBytes: total === undefined ? (reply.ContentLength ?? 0) : Number(total) };
    } catch (error) {
      if (isAbsent(error)) return null;
      if (asked !== undefined && isPastTheEnd(error)) {
        const found = await this.stat(key);
        if (found === null) return null;
        rangeWithin(asked, found.sizeBytes);
      }
      throw storageError(error);
    }
  }

  async stat(key: BlobKey): Promise<BlobStat | null> {
    try {
      const { ContentLength, LastModified } = await this.#client.send(new HeadObjectCommand(this.#objectOf(key)));
      return { sizeBytes: ContentLength ?? 0, storedAt: LastModified ?? this.#clock.now() };
    } catch (error) {
      if (isAbsent(error)) return null;
      throw storageError(error);
    }
  }

  async remove(key: BlobKey): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand(this.#objectOf(key)));
    } catch (error) {
      if (!isAbsent(error)) throw storageError(error);
    }
  }

  async sweepTemporaries(olderThanMs: number): Promise<number> {
    const newestToRemoveMs = this.#clock.nowMs() - olderThanMs;
    let removed = 0;
    try {
      for await (const { object, uploadId, initiatedMs } of this.#uploads()) {
        if ((await this.#lastWriteMs(object, uploadId, initiatedMs)) > newestToRemoveMs) continue;
        await this.#client.send(new AbortMultipartUploadCommand({ ...object, UploadId: uploadId }));
        removed += 1;
      }
    } catch (error) {
      // Its own put, or another replica's sweep, was faster; what is left is the next sweep's.
      if (!isNoUpload(error)) throw storageError(error);
    }
    return removed;
  }

  async *list(prefix: BlobPrefix): AsyncIterable<BlobKey> {
    blobPrefixFields(prefix);
    try {
      const pages = paginateListObjectsV2(
        { client: this.#client },
        { Bucket: this.#bucket, Prefix: `${this.#prefix}${prefix}` },
      );
      for await (const { Contents = [] } of pages) {
        for (const { Key = '' } of Contents) {
          const key = this.#keyOf(Key);
          if (key !== null) yield key;
        }
      }
    } catch (error) {
      throw storageError(error);
    }
  }

  async *#uploads(): AsyncIterable<{ object: S3Object; uploadId: string; initiatedMs: number }> {
    let after: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
    while (after !== null) {
      const page: ListMultipartUploadsCommandOutput = await this.#client.send(
        new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: this.#prefix, ...after }),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || this.#keyOf(Key) === null) continue;
        const initiatedMs = Initiated?.getTime() ?? this.#clock.nowMs();
        yield { object: { Bucket: this.#bucket, Key }, uploadId: UploadId, initiatedMs };
      }
      const { IsTruncated, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      after =
        IsTruncated === true && KeyMarker !== undefined
          ? { KeyMarker, ...(UploadIdMarker === undefined ? {} : { UploadIdMarker }) }
          : null;
    }
  }

  /** When the newest of its parts came in, or it was begun. */
  async #lastWriteMs(object: S3Object, UploadId: string, initiatedMs: number): Promise<number> {
    const newest = await this.#client.send(new ListPartsCommand({ ...object, UploadId })).then(
      ({ Parts = [] }) => Parts.map(({ LastModified }) => LastModified?.getTime() ?? 0),
      (error: unknown) => {
        if (isNoUpload(error)) return [];
        throw error;
      },
    );
    return Math.max(initiatedMs, ...newest);
  }

  #objectOf(key: BlobKey): S3Object {
    blobKeyFields(key);
    return { Bucket: this.#bucket, Key: `${this.#prefix}${key}` };
  }

  /** The key an object stands for; null for one that is not ours. */
  #keyOf(name: string): BlobKey | null {
    const text = name.slice(this.#prefix.length);
    const [organizationId = '', assetId = '', part = ''] = text.split('/');
    try {
      const key = blobKey(organizationId, assetId, part);
      return key === text ? key : null;
    } catch (error) {
      if (error instanceof TypeError) return null;
      throw error;
    }
  }
}

interface S3Object {
  Bucket: string;
  Key: string;
}

const PART_BYTES = 8 * 1024 * 1024;
const CONNECT_MS = 5_000;
const STALL_MS = 60_000;
/** Each download under way holds one. */
const SOCKETS = 512;

/** Pieces of any size, as parts of one size; the last is what is left. One part is all it holds. */
class Gathered {
  #buffer: Buffer | null = null;
  #length = 0;

  constructor(private readonly partBytes: number) {}

  /** Full parts; each is good until the next is asked for. */
  *add(piece: Uint8Array): Generator<Uint8Array> {
    for (let offset = 0; offset < piece.byteLength;) {
      this.#buffer ??= Buffer.allocUnsafeSlow(this.partBytes);
      const taken = piece.subarray(offset, offset + this.partBytes - this.#length);
      this.#buffer.set(taken, this.#length);
      this.#length += taken.byteLength;
      offset += taken.byteLength;
      if (this.#length === this.partBytes) {
        this.#length = 0;
        yield this.#buffer;
      }
    }
  }

  rest(): Uint8Array {
    return this.#buffer?.subarray(0, this.#length) ?? new Uint8Array(0);
  }
}

/** One object on its way: a single PUT, or a multipart upload from the first full part on. */
class Upload {
  #uploadId: string | null = null;
  readonly #parts: { PartNumber: number; ETag: string }[] = [];

  constructor(
    private readonly client: S3Client,
    private readonly object: S3Object,
  ) {}

  async part(body: Uint8Array): Promise<void> {
    const uploadId = (this.#uploadId ??= await this.#begin());
    const PartNumber = this.#parts.length + 1;
    const { ETag } = await this.client
      .send(new UploadPartCommand({ ...this.object, UploadId: uploadId, PartNumber, Body: body }))
      .catch(swept);
    this.#parts.push({ PartNumber, ETag: ETag ?? '' });
  }

  async end(rest: Uint8Array): Promise<void> {
    if (this.#uploadId === null) {
      await this.client.send(
        new PutObjectCommand({ ...this.object, Body: rest, ContentLength: rest.byteLength, IfNoneMatch: '*' }),
      );
      return;
    }
    if (rest.byteLength > 0) await this.part(rest);
    const MultipartUpload = { Parts: this.#parts };
    await this.client
      .send(
        new CompleteMultipartUploadCommand({
          ...this.object,
          UploadId: this.#uploadId,
          MultipartUpload,
          IfNoneMatch: '*',
        }),
      )
      .catch(swept);
    this.#uploadId = null;
  }

  /** Leaves nothing behind where the server still listens; else the sweep will. */
  async giveUp(): Promise<void> {
    if (this.#uploadId !== null) {
      const given = new AbortMultipartUploadCommand({ ...this.object, UploadId: this.#uploadId });
      await this.client.send(given).catch(() => undefined);
    }
  }

  async #begin(): Promise<string> {
    const { UploadId } = await this.client.send(new CreateMultipartUploadCommand(this.object));
    if (UploadId === undefined) throw new TypeError('the object storage gave the upload no id');
    return UploadId;
  }
}

function swept(error: unknown): never {
  if (!isNoUpload(error)) throw error;
  throw new DomainError('unavailable', 'The upload stalled for too long and was given up; send it again.', {
    cause: error,
  });
}
