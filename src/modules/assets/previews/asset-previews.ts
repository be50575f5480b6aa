import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Injectable } from '@nestjs/common';
import { AppConfig } from '../../../config/app-config.js';
import { blobKey } from '../../../infrastructure/blob-store/blob-key.js';
import { BlobStore } from '../../../infrastructure/blob-store/blob-store.js';
import { DomainError } from '../../../kernel/errors.js';
import { Log } from '../../../kernel/log.js';
import { ORIGINAL, THUMBNAIL } from '../uploads/asset-parts.js';
import type { AssetJob } from '../jobs/asset-jobs.repository.js';
import type { AssetType } from '../assets.schema.js';
import { PreviewFailed } from './preview-worker.js';
import { PreviewProcess } from './preview-process.js';
import type { MediaFacts, PreviewJob, PreviewKind, PreviewResult } from './preview-job.js';

const MIB = 1024 * 1024;
/** Larger files get a card: what is opened is copied first, and a copy must be worth it. */
const MAX_BYTES = 512 * MIB;
const MAX_PICTURE_BYTES = MIB;

const LABELS: Readonly<Record<AssetType, string>> = {
  voice: 'Voice',
  image: 'Image',
  sound: 'Sound',
  video: 'Video',
  '360': '360°',
  '3d': '3D model',
  file: 'File',
};

/** Makes the picture of an asset, in a preview process, and puts it beside the asset's bytes. */
@Injectable()
export class AssetPreviews {
  constructor(
    private readonly process: PreviewProcess,
    private readonly blobs: BlobStore,
    private readonly config: AppConfig,
    private readonly log: Log,
  ) {}

  /**
   * How large the picture is, and what was found out.
   * @throws PreviewFailed, with what was found out, where not even a card could be drawn; DomainError `unavailable`
   */
  async make(asset: AssetJob): Promise<{ thumbnailBytes: number; metadata: object }> {
    const base = join(this.config.dataDir, 'previews');
    await mkdir(base, { recursive: true, mode: 0o700 });
    const folder = await mkdtemp(join(base, 'job-'));
    try {
      const output = join(folder, 'picture.webp');
      const result = await this.#draw(asset, folder, output);
      const { note } = result;
      return {
        thumbnailBytes: await this.#keep(asset, output, result.metadata),
        metadata: { ...result.metadata, ...(note === null ? {} : { preview: note }) },
      };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #draw(asset: AssetJob, folder: string, output: string): Promise<PreviewResult> {
    const { organizationId, type, name, contentType } = asset;
    const kind = kindOf(type, contentType);
    const job = { kind, label: LABELS[type], name, contentType, output, ffmpeg: this.config.ffmpegPath };
    if ((asset.sizeBytes ?? 0) <= MAX_BYTES) {
      const input = join(folder, 'input');
      try {
        await this.#copy(asset, input);
        return await this.process.run(organizationId, { ...job, input });
      } catch (error) {
        if (!(error instanceof PreviewFailed)) {
          throw error;
        }
        this.log.info('a file could not be previewed', { organization_id: organizationId, asset_id: asset.id, error });
        return await this.#card(organizationId, job, error);
      }
    }
    const drawn = await this.process.run(organizationId, { ...job, input: null });
    return { ...drawn, note: 'the file is too large to be opened for a picture' };
  }

  /** A card for what could not be drawn, with what was found out before. @throws PreviewFailed, with the same */
  async #card(
    organizationId: string,
    job: Omit<PreviewJob, 'id' | 'input'>,
    why: PreviewFailed,
  ): Promise<PreviewResult> {
    try {
      const drawn = await this.process.run(organizationId, { ...job, input: null });
      return { ...drawn, metadata: { ...why.metadata, ...drawn.metadata }, note: why.message };
    } catch (error) {
      throw error instanceof PreviewFailed ? new PreviewFailed(error.message, why.metadata) : error;
    }
  }

  async #copy({ organizationId, id }: AssetJob, path: string): Promise<void> {
    const blob = await this.blobs.open(blobKey(organizationId, id, ORIGINAL));
    if (blob === null) {
      throw new DomainError('not-found', 'The asset has no bytes.');
    }
    await pipeline(blob.stream, createWriteStream(path, { mode: 0o600 }));
  }

  /** What comes from the process is looked at before it is kept: a WebP, and small. */
  async #keep({ organizationId, id }: AssetJob, path: string, metadata: MediaFacts): Promise<number> {
    const file = await open(path);
    let bytes: Buffer;
    try {
      const { size } = await file.stat();
      if (size > MAX_PICTURE_BYTES) {
        throw new PreviewFailed('the picture is too large', metadata);
      }
      bytes = await file.readFile();
    } finally {
      await file.close();
    }
    if (bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WEBP') {
      throw new PreviewFailed('the picture is no WebP', metadata);
    }
    const key = blobKey(organizationId, id, THUMBNAIL);
    // One of an earlier attempt may be there already; the newest is as good.
    await this.blobs.remove(key);
    await this.blobs.put(key, Readable.from([bytes]), { maxBytes: bytes.length });
    return bytes.length;
  }
}

function kindOf(type: AssetType, contentType: string): PreviewKind {
  if (type === '3d') {
    return 'model';
  }
  const [family] = contentType.split('/');
  return family === 'image' || family === 'video' ? family : family === 'audio' ? 'sound' : 'card';
}
