import { Module } from '@nestjs/common';
import { AssetContent } from './asset-content.js';
import { AssetLinks } from './asset-links.js';
import { AssetsController } from './assets.controller.js';
import { AssetsRepository } from './assets.repository.js';
import { AssetsService } from './assets.service.js';

@Module({
  controllers: [AssetsController],
  providers: [AssetsRepository, AssetsService, AssetContent, AssetLinks],
  exports: [AssetsService, AssetLinks],
})
export class AssetsModule {}
