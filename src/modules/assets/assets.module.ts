import { Module } from '@nestjs/common';
import { RunsModule } from '../runs/index.js';
import { AssetContent } from './asset-content.js';
import { AssetIntake } from './asset-intake.js';
import { AssetLinks } from './asset-links.js';
import { AssetsController } from './assets.controller.js';
import { AssetsRepository } from './assets.repository.js';
import { AssetsService } from './assets.service.js';
import { UploadsController } from './uploads.controller.js';
import { UploadsRepository } from './uploads.repository.js';
import { UploadsService } from './uploads.service.js';

@Module({
  imports: [RunsModule],
  controllers: [UploadsController, AssetsController],
  providers: [
    AssetsRepository,
    UploadsRepository,
    AssetIntake,
    UploadsService,
    AssetsService,
    AssetContent,
    AssetLinks,
  ],
  exports: [AssetsService, AssetLinks],
})
export class AssetsModule {}
