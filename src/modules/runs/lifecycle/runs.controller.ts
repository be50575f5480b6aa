import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { BodyLimit } from '../../../http/decorators/body-limit.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { created } from '../../../http/decorators/created.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import { QUEUED_RUN_EXAMPLE, RUN_EXAMPLE, STOPPING_RUN_EXAMPLE } from '../views/run.example.js';
import type { RunView } from '../views/runs.query.js';
import {
  cancelSchema,
  newRunSchema,
  runListQuerySchema,
  runPageSchema,
  runSchema,
  type NewRunInput,
  type RunListQuery,
} from '../views/runs.schema.js';
import { RunsService } from './runs.service.js';

@ApiTags('Runs')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1')
export class RunsController {
  constructor(private readonly runs: RunsService) {}

  @Post('tasks/:id/runs')
  @HttpCode(201)
  @BodyLimit('large')
  @Requires('run:create')
  @ApiOperation({
    summary: 'Create a run',
    description:
      'Queues another run of a task, with a payload of its own or that of the task. Requires write access to the task.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second run.',
  })
  @ApiZodResponse(201, runSchema, { description: 'Queued.', example: QUEUED_RUN_EXAMPLE })
  @ApiProblemResponses('conflict', 'limit-reached', 'budget-exceeded')
  async start(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) taskId: string,
    @Body({ schema: newRunSchema.default({}) }) input: NewRunInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RunView> {
    return created(reply, await this.runs.start(actor, taskId, input, ticket), (run) => `/api/v1/runs/${run.id}`);
  }

  @Get('tasks/:id/runs')
  @Requires('run:read')
  @ApiOperation({
    summary: 'List the runs of a task',
    description: 'Returns the runs of a task, a page at a time.',
  })
  @ApiZodResponse(200, runPageSchema, {
    description: 'A page of runs.',
    example: { data: [RUN_EXAMPLE], next_cursor: null },
  })
  listOfTask(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) taskId: string,
    @Query({ schema: runListQuerySchema.omit({ task_id: true }) }) query: RunListQuery,
  ): Promise<Page<RunView>> {
    return this.runs.listOfTask(actor, taskId, query);
  }

  @Get('runs')
  @Requires('run:read')
  @ApiOperation({
    summary: 'List runs',
    description: 'Returns the runs of all tasks that you can read, newest first. Use the query to filter.',
  })
  @ApiZodResponse(200, runPageSchema, {
    description: 'A page of runs.',
    example: { data: [RUN_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: runListQuerySchema }) query: RunListQuery,
  ): Promise<Page<RunView>> {
    return this.runs.list(actor, query);
  }

  @Get('runs/:id')
  @Requires('run:read')
  @ApiOperation({
    summary: 'Get a run',
    description:
      'Returns a run with its status, its output or error, and, while it has not started, the reason why it waits.',
  })
  @ApiZodResponse(200, runSchema, { description: 'The run.', example: RUN_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<RunView> {
    return this.runs.get(actor, id);
  }

  @Post('runs/:id/cancel')
  @HttpCode(200)
  @Requires('run:contribute')
  @ApiOperation({
    summary: 'Cancel a run',
    description:
      'Cancels a run. A run that no worker holds ends at once (200). For a run that a worker holds, the worker is asked to stop (202); with `force`, the run ends without waiting for it.',
  })
  @ApiZodResponse(200, runSchema, {
    description: 'Ended.',
    example: { ...QUEUED_RUN_EXAMPLE, status: 'canceled', waiting_for: null },
  })
  @ApiZodResponse(202, runSchema, {
    description: 'A worker has it and was asked to stop.',
    example: STOPPING_RUN_EXAMPLE,
  })
  @ApiProblemResponses('run-ended')
  async cancel(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: cancelSchema }) input: { force: boolean },
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RunView> {
    const { run, ended } = await this.runs.cancel(actor, id, input.force);
    void reply.status(ended ? 200 : 202);
    return run;
  }
}
