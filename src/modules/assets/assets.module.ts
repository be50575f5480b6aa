import { Module } from '@nestjs/common';
import { RunsModule } from '../runs/index.js';
import { AssetChangesRepository } from './asset-changes.repository.js';
import { AssetChangesService } from './asset-changes.service.js';
import { AssetContent } from './content/asset-content.js';
import { AssetJobs } from './jobs/asset-jobs.js';
import { AssetJobsRepository } from './jobs/asset-jobs.repository.js';
import { AssetSweeper } from './jobs/asset-sweeper.js';
import { AssetPreviews } from './previews/asset-previews.js';
import { AssetEmbed } from './embed/asset-embed.js';
import { EmbedController } from './embed/embed.controller.js';
import { PreviewProcess } from './previews/preview-process.js';
import { AssetReservations } from './uploads/asset-reservations.js';
import { AssetIngestService } from './uploads/asset-ingest.service.js';
import { AssetLinks } from './asset-links.js';
import { AssetsController } from './assets.controller.js';
import { AssetsRepository } from './assets.repository.js';
import { AssetsService } from './assets.service.js';
import { AssetPartsRepository } from './uploads/asset-parts.repository.js';
import { PartUploadsService } from './uploads/part-uploads.service.js';
import { UploadAccess } from './uploads/upload-access.js';
import { UploadProgress } from './uploads/upload-progress.js';
import { UploadsController } from './uploads/uploads.controller.js';
import { UploadsRepository } from './uploads/uploads.repository.js';
import { UploadsService } from './uploads/uploads.service.js';

@Module({
  imports: [RunsModule],
  controllers: [UploadsController, EmbedController, AssetsController],
  providers: [
    AssetsRepository,
    UploadsRepository,
    AssetPartsRepository,
    UploadProgress,
    AssetReservations,
    AssetIngestService,
    UploadAccess,
    UploadsService,
    PartUploadsService,
    AssetsService,
    AssetChangesRepository,
    AssetChangesService,
    AssetContent,
    AssetLinks,
    AssetEmbed,
    AssetJobsRepository,
    PreviewProcess,
    AssetPreviews,
    AssetJobs,
    AssetSweeper,
  ],
  exports: [AssetsService, AssetLinks],
})
export class AssetsModule {}
