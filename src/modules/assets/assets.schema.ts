import { z } from 'zod';
import { linkQuery } from '../../http/decorators/link-query.js';
import { listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { idQuery } from '../../http/openapi/schemas.js';

export const ASSET_TYPES = ['voice', 'image', 'sound', 'video', '360', '3d', 'file'] as const;
export type AssetType = (typeof ASSET_TYPES)[number];

export const ASSET_STATUSES = ['pending', 'uploading', 'processing', 'ready', 'failed'] as const;
export type AssetStatus = (typeof ASSET_STATUSES)[number];

export const assetSchema = z
  .object({
    id: z.uuid(),
    task_id: z.uuid(),
    run_id: z.uuid().nullable(),
    name: z.string(),
    type: z.enum(ASSET_TYPES),
    content_type: z.string().describe('As announced until the bytes are there; then what they are.'),
    size: z.int().nullable().describe('Bytes; null until they are there.'),
    sha256: z.string().nullable().describe('Lower-case hex; null until the bytes are there.'),
    status: z.enum(ASSET_STATUSES),
    url: z.url().nullable().describe('The bytes, without another credential, for an hour; null until they are there.'),
    thumbnail: z.url().nullable().describe('A picture of it, likewise; null where there is none.'),
    embed: z.string().nullable().describe('HTML that shows it, likewise; null where there is none.'),
    metadata: z
      .record(z.string(), z.unknown())
      .describe('`width`, `height`, `duration_seconds`, `charset` (of a text) and the like.'),
    error: z.string().nullable(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Asset' });
export type Asset = z.output<typeof assetSchema>;

export const assetPageSchema = pageSchema(assetSchema, 'AssetPage');

export const assetListQuerySchema = listQuery.extend({
  task_id: idQuery.optional(),
  run_id: idQuery.optional(),
  type: z.enum(ASSET_TYPES).optional(),
  status: z.enum(ASSET_STATUSES).optional(),
});
export type AssetListQuery = z.output<typeof assetListQuerySchema>;

export const assetPatchSchema = z
  .strictObject({
    type: z
      .enum(ASSET_TYPES)
      .describe('What the asset is shown as. Its content type must suit it; every content type suits `file`.'),
  })
  .meta({ id: 'AssetPatch', examples: [{ type: '360' }] });
export type AssetPatch = z.output<typeof assetPatchSchema>;

export const previewRequestSchema = z
  .strictObject({})
  .default({})
  .meta({ id: 'PreviewRequest', examples: [{}] });
export type PreviewRequest = z.output<typeof previewRequestSchema>;

/** Nothing but a presigned link, whose parts whoever authenticates has checked. */
export const contentQuerySchema = z.strictObject(linkQuery);
export type ContentQuery = z.output<typeof contentQuerySchema>;

/** `download` is the route's own, and may be added to any link. */
export const DOWNLOAD_PARAMETER = 'download';
export const downloadQuerySchema = contentQuerySchema.extend({
  [DOWNLOAD_PARAMETER]: z
    .enum(['true', 'false'])
    .optional()
    .describe('`true` sends the file as a download, also where a browser could show it.'),
});
export type DownloadQuery = z.output<typeof downloadQuerySchema>;
