import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, Public, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { notFound } from '../../../kernel/errors.js';
import { AssetContent } from '../content/asset-content.js';
import { ASSET_LINK_PURPOSE } from '../asset-links.js';
import { type ContentQuery, contentQuerySchema } from '../assets.schema.js';
import { namesTag } from '../content/content-headers.js';
import { AssetEmbed } from './asset-embed.js';
import { viewerFile, viewerNameParam } from './viewer-files.js';

/** As long as a client may go without asking whether a viewer has changed. */
const VIEWER_SECONDS = 3_600;

@ApiTags('Assets')
@Controller('api/v1')
export class EmbedController {
  constructor(
    private readonly content: AssetContent,
    private readonly embed: AssetEmbed,
  ) {}

  @Get('assets/:id/thumbnail')
  @Requires('asset:read', { presigned: ASSET_LINK_PURPOSE })
  @ApiOperation({
    summary: 'Download the thumbnail of an asset',
    description:
      'A WebP of at most 640 pixels: of a picture or a video what it shows, of sound its wave, of a model a view of it, else a card. Made in the background.',
  })
  @ApiResponse({
    status: 200,
    description: 'The picture.',
    content: { 'image/webp': { schema: { type: 'string', format: 'binary' } } },
  })
  @ApiZodResponse(304, null, { description: 'The client has it.' })
  async readThumbnail(
    @Param('id', { schema: idParam }) assetId: string,
    @Query({ schema: contentQuerySchema }) query: ContentQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.content.sendThumbnail({ actor, assetId, query, request, reply });
  }

  @Get('assets/:id/embed')
  @Requires('asset:read', { presigned: ASSET_LINK_PURPOSE })
  @ApiOperation({
    summary: 'Get the embed page of an asset',
    description:
      'For a frame: it plays sound and video, turns panoramas and models. It runs this server’s viewers only, and has no credential but the link it was read by.',
  })
  @ApiResponse({ status: 200, description: 'The page.', content: { 'text/html': { schema: { type: 'string' } } } })
  async readEmbed(
    @Param('id', { schema: idParam }) assetId: string,
    @Query({ schema: contentQuerySchema }) query: ContentQuery,
    @CurrentActor() actor: Actor,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.embed.send({ actor, assetId, query, reply });
  }

  @Get('viewers/:file')
  @Public('the programs that show assets, which are the same for everybody and hold nothing of anybody')
  @ApiOperation({
    summary: 'Get a script, style or decoder of the embed page',
    description: 'Returns a static file of the embed page. The files are the same for everyone and need no credential.',
  })
  @ApiResponse({
    status: 200,
    description: 'The file.',
    content: {
      'text/javascript': { schema: { type: 'string' } },
      'text/css': { schema: { type: 'string' } },
      'application/wasm': { schema: { type: 'string', format: 'binary' } },
    },
  })
  @ApiZodResponse(304, null, { description: 'The client has it.' })
  async readViewer(
    @Param('file', { schema: viewerNameParam }) name: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const file = await viewerFile(name);
    if (file === null) {
      throw notFound('file');
    }
    const packed = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    void reply.headers({
      'content-type': file.contentType,
      etag: file.tag,
      'cache-control': `public, max-age=${VIEWER_SECONDS}`,
      vary: 'accept-encoding',
      // The page that loads it is sandboxed, so of no origin.
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
    });
    if (namesTag(request.headers['if-none-match'], file.tag)) {
      void reply.status(304).send();
    } else if (packed) {
      void reply.header('content-encoding', 'gzip').send(file.gzipped);
    } else {
      void reply.send(file.bytes);
    }
  }
}
