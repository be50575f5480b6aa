export { AssetEntity, AssetPartEntity, AssetTotalsEntity } from './asset.entity.js';
export { AssetLinks, type AssetLinkSet } from './asset-links.js';
export {
  ASSET_STATUSES,
  ASSET_TYPES,
  type Asset,
  type AssetStatus,
  type AssetType,
  assetSchema,
} from './assets.schema.js';
export { AssetsModule } from './assets.module.js';
export { type AssetNotice, AssetsService, type RunAsset } from './assets.service.js';
export { AssetSweeper } from './jobs/asset-sweeper.js';
export { PreviewProcess } from './previews/preview-process.js';
