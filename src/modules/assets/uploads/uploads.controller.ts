import { Body, Controller, Get, HttpCode, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { RawBody } from '../../../http/decorators/raw-body.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import { invalid } from '../../../kernel/errors.js';
import { entityTag } from '../content/content-headers.js';
import { UPLOAD_LINK_PURPOSE } from '../asset-links.js';
import { ASSET_EXAMPLE, UPLOAD_EXAMPLE } from '../assets.examples.js';
import { type Asset, assetSchema, type ContentQuery, contentQuerySchema } from '../assets.schema.js';
import { PartUploadsService } from './part-uploads.service.js';
import { uploadBody } from './upload-body.js';
import { readForm } from './upload-form.js';
import {
  type CreateUploadInput,
  announceSchema,
  type CreatedUpload,
  announcedSchema,
  type AssetPart,
  type AssetParts,
  type AssetTotals,
  type CompleteInput,
  completeSchema,
  partNumberParam,
  partSchema,
  partsSchema,
  totalsSchema,
} from './uploads.schema.js';
import { UploadsService } from './uploads.service.js';

const BYTES_BODY = { schema: { type: 'string', format: 'binary' } } as const;

@ApiTags('Assets')
@Controller('api/v1')
export class UploadsController {
  constructor(
    private readonly uploads: UploadsService,
    private readonly inParts: PartUploadsService,
  ) {}

  @Post('assets')
  @Requires('asset:upload')
  @ApiOperation({
    summary: 'Create an upload',
    description:
      'PUT the bytes to `upload.url`, with its headers and exactly as announced: the asset is ready when that PUT is answered. With ' +
      '`part_size` they come in parts, and `POST /assets/{id}/complete` puts them together. With `external_url` the server fetches them. A ' +
      'worker names its run and fence: then they come in under its lease, or not at all.',
  })
  @ApiZodResponse(201, announcedSchema, {
    description: 'Announced.',
    example: {
      asset: {
        ...ASSET_EXAMPLE,
        status: 'pending',
        size: null,
        sha256: null,
        url: null,
        thumbnail: null,
        embed: null,
        metadata: {},
      },
      upload: UPLOAD_EXAMPLE,
    },
  })
  @ApiProblemResponses('lease-lost', 'limit-reached')
  async announce(
    @Body({ schema: announceSchema }) input: CreateUploadInput,
    @CurrentActor() actor: Actor,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedUpload> {
    return created(
      reply,
      await this.uploads.announce(actor, input, ticket),
      ({ asset }) => `/api/v1/assets/${asset.id}`,
    );
  }

  @Post('assets/upload')
  @RawBody()
  @Requires('asset:upload')
  @ApiOperation({
    summary: 'Upload an asset as a form',
    description:
      'Fields first, then the file, which is streamed: `task_id`, and if you like `run_id`, `fence`, `name`, `type`, `content_type`, `size`, `sha256`; then `file`. Takes no `Idempotency-Key`.',
  })
  @ApiConsumes('multipart/form-data')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['task_id', 'file'],
      properties: {
        task_id: { type: 'string', format: 'uuid', description: 'The task that the file belongs to.' },
        // Without an empty example, Swagger UI fills in the word "string".
        run_id: { type: 'string', example: '', description: 'The id of the run that made the file.' },
        fence: { type: 'string', example: '', description: 'For workers: the fence of the lease on the run.' },
        name: { type: 'string', example: '', description: 'If absent, the name of the file.' },
        type: {
          type: 'string',
          example: '',
          description: 'The kind of asset, such as `image`. If absent, it follows from the content type.',
        },
        content_type: { type: 'string', example: '', description: 'If absent, the type that the file part names.' },
        size: { type: 'string', example: '', description: 'The size in bytes, which is checked.' },
        sha256: { type: 'string', example: '', description: 'The SHA-256 in lowercase hex, which is checked.' },
        file: { type: 'string', format: 'binary' },
      },
    },
  })
  @ApiZodResponse(201, assetSchema, { description: 'Uploaded, and ready.', example: ASSET_EXAMPLE })
  @ApiProblemResponses('content-mismatch', 'lease-lost', 'limit-reached')
  async uploadForm(
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Asset> {
    if (request.headers['idempotency-key'] !== undefined) {
      // What it asks for is known only once it has come in: to take the key and not to heed it would keep a file twice.
      throw invalid('Idempotency-Key', 'A form takes no Idempotency-Key; announce the asset first, which takes one.');
    }
    const asset = await readForm(uploadBody(request), (fields, file, signal) =>
      this.uploads.receiveForm(actor, fields, file, signal),
    );
    void reply.header('location', `/api/v1/assets/${asset.id}`);
    return keepOpen(request, reply, asset);
  }

  @Put('assets/:id/content')
  @RawBody()
  @Requires('asset:upload', { presigned: UPLOAD_LINK_PURPOSE })
  @ApiOperation({
    summary: 'Upload the content of an asset',
    description:
      'By the link alone, or with a credential. Once: the first upload that is whole wins. One that fails leaves nothing, and may be sent again until the link expires. `Content-MD5` and `Content-Digest` are verified, and the `aws-chunked` coding of S3 clients is decoded.',
  })
  @ApiConsumes('*/*')
  @ApiBody(BYTES_BODY)
  @ApiZodResponse(200, assetSchema, { description: 'The asset is ready.', example: ASSET_EXAMPLE })
  @ApiProblemResponses('conflict', 'lease-lost', 'content-mismatch', 'precondition-failed', 'limit-reached')
  async sendContent(
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: contentQuerySchema }) _query: ContentQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Asset> {
    const asset = await this.uploads.receive(actor, id, uploadBody(request));
    void reply.header('etag', entityTag(asset.sha256 ?? ''));
    return keepOpen(request, reply, asset);
  }

  @Put('assets/:id/parts/:number')
  @RawBody()
  @Requires('asset:upload', { presigned: UPLOAD_LINK_PURPOSE })
  @ApiOperation({
    summary: 'Upload a part',
    description:
      'Send parts in any order, several at once. `Content-MD5` and `Content-Digest` are verified. A part that was received already is refused ' +
      'with 409; to replace it, send its SHA-256 in quotes as `If-Match`.',
  })
  @ApiConsumes('*/*')
  @ApiBody(BYTES_BODY)
  @ApiZodResponse(200, partSchema, {
    description: 'The part is here.',
    example: { number: 1, size: 8388608, sha256: ASSET_EXAMPLE.sha256 },
  })
  @ApiProblemResponses('conflict', 'content-mismatch', 'precondition-failed', 'limit-reached')
  async sendPart(
    @Param('id', { schema: idParam }) id: string,
    @Param('number', { schema: partNumberParam }) number: number,
    @Query({ schema: contentQuerySchema }) _query: ContentQuery,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AssetPart> {
    const part = await this.inParts.receive(actor, id, number, uploadBody(request));
    void reply.header('etag', entityTag(part.sha256));
    return keepOpen(request, reply, part);
  }

  @Get('assets/:id/parts')
  @Requires('asset:upload')
  @ApiOperation({
    summary: 'List the parts of an upload',
    description:
      'Returns the numbers of the parts that were received, so that an interrupted upload can continue with the missing ones.',
  })
  @ApiZodResponse(200, partsSchema, {
    description: 'Their numbers.',
    example: {
      part_size: 8388608,
      part_count: 3,
      parts: [1, 3],
      received: [
        { number: 1, size: 8388608, sha256: ASSET_EXAMPLE.sha256 },
        { number: 3, size: 1048576, sha256: ASSET_EXAMPLE.sha256 },
      ],
    },
  })
  async listParts(@Param('id', { schema: idParam }) id: string, @CurrentActor() actor: Actor): Promise<AssetParts> {
    return this.inParts.list(actor, id);
  }

  @Post('assets/:id/complete')
  @HttpCode(200)
  @Requires('asset:upload')
  @ApiOperation({
    summary: 'Complete a multipart upload',
    description:
      'Joins the parts and checks the whole. Where the SHA-256 is not the announced one, the parts are kept and the error lists the digest of ' +
      'each, so that wrong ones can be replaced. Returns an asset that is ready already as it is.',
  })
  @ApiZodResponse(200, assetSchema, { description: 'The asset is ready.', example: ASSET_EXAMPLE })
  @ApiProblemResponses('conflict', 'lease-lost', 'content-mismatch', 'limit-reached')
  async complete(
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: completeSchema }) input: CompleteInput,
    @CurrentActor() actor: Actor,
  ): Promise<Asset> {
    return this.inParts.complete(actor, id, input);
  }

  @Get('asset-usage')
  @Requires('asset:read')
  @ApiOperation({
    summary: 'Get asset usage',
    description: 'Returns the number of assets, the bytes that they use and the quota.',
  })
  @ApiZodResponse(200, totalsSchema, {
    description: 'Counts, sizes and limits.',
    example: { count: 120, bytes: 73400320, reserved_bytes: 0, quota_bytes: null, max_asset_bytes: 5368709120 },
  })
  async usage(@CurrentActor() actor: Actor): Promise<AssetTotals> {
    return this.uploads.totals(actor);
  }
}

/** A body that was read to its end leaves the connection fit for the next request. */
function keepOpen<Value>(request: FastifyRequest, reply: FastifyReply, value: Value): Value {
  if (request.raw.complete) {
    void reply.removeHeader('connection');
  }
  return value;
}
