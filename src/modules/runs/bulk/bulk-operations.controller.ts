import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { type ListQuery, listQuery } from '../../../http/pagination/cursor-paginator.js';
import { ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import {
  BULK_OPERATION_EXAMPLE,
  type BulkOperation,
  bulkOperationPage,
  bulkOperationSchema,
  type NewBulkOperation,
  newBulkOperation,
} from './bulk.schema.js';
import { BulkOperationsService } from './bulk-operations.service.js';

@ApiTags('Runs')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/bulk-operations')
export class BulkOperationsController {
  constructor(private readonly operations: BulkOperationsService) {}

  @Post()
  @HttpCode(202)
  @Requires('run:contribute')
  @ApiOperation({
    summary: 'Create a bulk operation',
    description:
      'Matches the runs you may contribute to as they are now; each is then canceled or replayed in your name, with the rights you have by then.',
  })
  @ApiZodResponse(202, bulkOperationSchema, {
    description: 'Under way; ask for it again to see how far it is.',
    example: { ...BULK_OPERATION_EXAMPLE, done: 0, failed: 0, failures: {} },
  })
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newBulkOperation }) input: NewBulkOperation,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BulkOperation> {
    const outcome = await this.operations.create(actor, input, ticket);
    return created(reply, outcome, ({ id }) => `/api/v1/bulk-operations/${id}`);
  }

  @Get()
  @Requires('run:read')
  @ApiOperation({
    summary: 'List bulk operations',
    description: 'Returns bulk operations with their progress and their counts, newest first.',
  })
  @ApiZodResponse(200, bulkOperationPage, {
    description: 'A page of bulk operations.',
    example: { data: [BULK_OPERATION_EXAMPLE], next_cursor: null },
  })
  list(@CurrentActor() actor: Actor, @Query({ schema: listQuery }) query: ListQuery): Promise<Page<BulkOperation>> {
    return this.operations.list(actor, query);
  }

  @Get(':id')
  @Requires('run:read')
  @ApiOperation({ summary: 'Get a bulk operation', description: 'For whoever started it, and for admins.' })
  @ApiZodResponse(200, bulkOperationSchema, { description: 'The operation.', example: BULK_OPERATION_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<BulkOperation> {
    return this.operations.get(actor, id);
  }
}
