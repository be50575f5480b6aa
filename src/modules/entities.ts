import { AssetEntity } from './assets/index.js';
import { MessageEntity } from './messages/index.js';

/** Every entity of every module; the data source is built from this list, and a test holds it against the migrations. */
export const entities = [AssetEntity, MessageEntity] as const;
