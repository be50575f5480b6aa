import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { AppConfig } from '../../config/app-config.js';
import { Clock } from '../../kernel/clock.js';
import { BlobStore } from './blob-store.js';
import { DiskBlobStore } from './disk/disk-blob-store.js';
import type { S3BlobStore } from './s3/s3-blob-store.js';

/** Longer than any upload may stall, shorter than a disk fills with leftovers. */
const STALE_TEMPORARY_MS = 24 * 60 * 60 * 1000;

/**
 * Binds `BlobStore` to files under the data folder, or to a bucket. The store opens, and clears leftovers of earlier deaths, before anything is
 * served; a place it cannot use stops the start.
 */
@Global()
@Module({
  providers: [
    {
      provide: BlobStore,
      inject: [AppConfig, Clock],
      useFactory: async (config: AppConfig, clock: Clock): Promise<BlobStore> => {
        const store =
          config.s3 === null
            ? await DiskBlobStore.open(join(config.dataDir, 'blobs'), clock)
            : await openBucket(config.s3, clock);
        await store.sweepTemporaries(STALE_TEMPORARY_MS);
        return store;
      },
    },
  ],
  exports: [BlobStore],
})
export class BlobStoreModule {}

/** Its client is a large one, and loaded only where there is a bucket. */
async function openBucket(...settings: Parameters<typeof S3BlobStore.open>): Promise<BlobStore> {
  const { S3BlobStore } = await import('./s3/s3-blob-store.js');
  return S3BlobStore.open(...settings);
}
