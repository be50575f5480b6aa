import { Body, Controller, HttpCode, Post, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { answered } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import {
  type NewTaskBatch,
  type TaskBatch,
  TASK_BATCH_EXAMPLE,
  newTaskBatch,
  taskBatchSchema,
} from './task-batch.schema.js';
import { BatchCreateTasksService } from './batch-create-tasks.service.js';

@ApiTags('Tasks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/tasks/batch')
export class TaskBatchController {
  constructor(private readonly batches: BatchCreateTasksService) {}

  @Post()
  @HttpCode(200)
  @BodyLimit('large', { itemsMember: 'tasks' })
  @Requires('task:create')
  @ApiOperation({
    summary: 'Create tasks in bulk',
    description: 'Each is taken or refused on its own; those that are taken are made together, at one moment.',
  })
  @ApiZodResponse(200, taskBatchSchema, { description: 'The result of each item.', example: TASK_BATCH_EXAMPLE })
  @ApiProblemResponses(
    'invalid-request',
    'malformed-json',
    'unauthenticated',
    'forbidden',
    'payload-too-large',
    'unsupported-media-type',
    'idempotency-in-progress',
    'idempotency-mismatch',
    'rate-limited',
  )
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newTaskBatch }) body: NewTaskBatch,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TaskBatch> {
    return answered(reply, await this.batches.create(actor, body, ticket));
  }
}
