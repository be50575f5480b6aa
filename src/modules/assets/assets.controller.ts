import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import type { Page } from '../../kernel/page.js';
import { AssetChangesService } from './asset-changes.service.js';
import { AssetContent } from './content/asset-content.js';
import { ASSET_LINK_PURPOSE } from './asset-links.js';
import { ASSET_EXAMPLE } from './assets.examples.js';
import {
  type Asset,
  type AssetListQuery,
  assetListQuerySchema,
  assetPageSchema,
  type AssetPatch,
  assetPatchSchema,
  assetSchema,
  DOWNLOAD_PARAMETER,
  type DownloadQuery,
  downloadQuerySchema,
  type PreviewRequest,
  previewRequestSchema,
} from './assets.schema.js';
import { AssetsService } from './assets.service.js';

@ApiTags('Assets')
@Controller('api/v1/assets')
export class AssetsController {
  constructor(
    private readonly assets: AssetsService,
    private readonly content: AssetContent,
    private readonly changes: AssetChangesService,
  ) {}

  @Get()
  @Requires('asset:read')
  @ApiOperation({ summary: 'List assets', description: 'Of one task with `task_id`, else of every task you may read.' })
  @ApiZodResponse(200, assetPageSchema, {
    description: 'A page of assets.',
    example: { data: [ASSET_EXAMPLE], next_cursor: null },
  })
  async list(
    @Query({ schema: assetListQuerySchema }) query: AssetListQuery,
    @CurrentActor() actor: Actor,
  ): Promise<Page<Asset>> {
    return this.assets.list(actor, query);
  }

  @Get(':id')
  @Requires('asset:read')
  @ApiOperation({
    summary: 'Get an asset',
    description: 'Returns an asset with its metadata and links to its content, thumbnail and embed page.',
  })
  @ApiZodResponse(200, assetSchema, { description: 'The asset, with links for an hour.', example: ASSET_EXAMPLE })
  async get(@Param('id', { schema: idParam }) id: string, @CurrentActor() actor: Actor): Promise<Asset> {
    return this.assets.get(actor, id);
  }

  @Patch(':id')
  @Requires('asset:contribute')
  @ApiOperation({
    summary: 'Update an asset',
    description:
      'Changes what a ready asset is shown as, such as `image` to `360`. The bytes are checked as in an upload of the new type, and the ' +
      'preview is made again. Requires write access to its task.',
  })
  @ApiZodResponse(200, assetSchema, {
    description: 'The asset as it is now.',
    example: { ...ASSET_EXAMPLE, type: '360' },
  })
  @ApiProblemResponses('conflict', 'content-mismatch')
  async update(
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: assetPatchSchema }) patch: AssetPatch,
    @CurrentActor() actor: Actor,
  ): Promise<Asset> {
    return this.changes.update(actor, id, patch);
  }

  @Post(':id/preview')
  @HttpCode(202)
  @Requires('asset:contribute')
  @ApiOperation({
    summary: 'Regenerate the preview of an asset',
    description:
      'Makes the thumbnail again and reads the metadata of the file again, in the background. The current thumbnail stays until then. A ' +
      'preview that is already waiting or being made is not started a second time. Requires write access to its task.',
  })
  @ApiZodResponse(202, assetSchema, { description: 'The preview will be made.', example: ASSET_EXAMPLE })
  @ApiProblemResponses('conflict')
  async previewAgain(
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: previewRequestSchema }) _nothing: PreviewRequest,
    @CurrentActor() actor: Actor,
  ): Promise<Asset> {
    return this.changes.previewAgain(actor, id);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('asset:contribute')
  @ApiOperation({
    summary: 'Delete an asset',
    description: 'Deletes an asset, its content and its previews. Requires write access to its task.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted; links to it end at once.' })
  async delete(@Param('id', { schema: idParam }) id: string, @CurrentActor() actor: Actor): Promise<void> {
    return this.assets.delete(actor, id);
  }

  @Get(':id/content')
  @Requires('asset:read', { presigned: ASSET_LINK_PURPOSE, parameters: [DOWNLOAD_PARAMETER] })
  @ApiOperation({
    summary: 'Download an asset',
    description:
      'With a credential, or by the presigned `url` of the asset alone. Takes single byte ranges and `If-None-Match`. Pictures, ' +
      'sound and video may be shown in place; everything else, and all with `download=true`, is a download.',
  })
  @ApiHeader({ name: 'Range', required: false, description: 'One range of bytes, such as `bytes=0-1023`.' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'An ETag that the file must have, else the reply is 412.',
  })
  @ApiHeader({ name: 'If-None-Match', required: false, description: 'An ETag the client has.' })
  @ApiResponse({
    status: 200,
    description: 'The bytes.',
    content: { '*/*': { schema: { type: 'string', format: 'binary' } } },
  })
  @ApiResponse({
    status: 206,
    description: 'The range.',
    content: { '*/*': { schema: { type: 'string', format: 'binary' } } },
  })
  @ApiZodResponse(304, null, { description: 'The client has it.' })
  @ApiProblemResponses('range-not-satisfiable', 'precondition-failed')
  async readContent(
    @Param('id', { schema: idParam }) assetId: string,
    @Query({ schema: downloadQuerySchema }) query: DownloadQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.content.send({ actor, assetId, query, request, reply });
  }
}
