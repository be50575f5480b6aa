import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Patch,
  Post,
  Query,
  Res,
  type StreamableFile,
  applyDecorators,
} from '@nestjs/common';
import { ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import { JsonArrayStream } from '../../http/pagination/json-array-stream.js';
import { answered } from '../../http/decorators/created.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../http/idempotency/idempotency-key.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { TaskOverviewsService } from '../../modules/tasks/index.js';
import {
  DONE,
  fromDelete,
  fromListQuery,
  fromNewTask,
  fromTaskPatch,
  taskOf,
  toRuns,
  toTasks,
} from './recoupable.mapper.js';
import {
  RECOUPABLE_EXAMPLES,
  type RecoupableDeleteBody,
  type RecoupableDeleteQuery,
  type RecoupableDone,
  type RecoupableListQuery,
  type RecoupableNewTask,
  type RecoupableRuns,
  type RecoupableRunsQuery,
  type RecoupableTaskPatch,
  type RecoupableTasks,
  recoupableDeleteBody,
  recoupableDeleteQuery,
  recoupableDoneSchema,
  recoupableErrorSchema,
  recoupableListQuery,
  recoupableNewTask,
  recoupableRunsErrorSchema,
  recoupableRunsQuery,
  recoupableRunsSchema,
  recoupableTaskPatch,
  recoupableTasksSchema,
} from './recoupable.schema.js';

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'The request is not valid; `missing_fields` names what is missing or wrong.',
  401: 'No valid credential.',
  403: 'Readable, but not yours to change.',
  404: 'No such task, or not one you may read.',
  409: 'A request with this Idempotency-Key is in progress.',
  413: 'The body is too large.',
  415: 'The body is not application/json.',
  422: 'The Idempotency-Key was used with another request.',
  429: 'Too many requests.',
  500: 'Our fault.',
  503: 'Try again.',
};

const AccessDeniedRecorder = (
  schema: typeof recoupableErrorSchema | typeof recoupableRunsErrorSchema,
  ...statuses: number[]
): MethodDecorator =>
  applyDecorators(
    ...[...statuses, 400, 401, 403, 429, 500, 503].map((status) => {
      const none = schema === recoupableErrorSchema ? { tasks: [] } : { runs: [] };
      const description = REFUSALS[status] ?? '';
      return ApiZodResponse(status, schema, { description, example: { status: 'error', ...none, error: description } });
    }),
  );

@ApiTags('Recoupable')
@ApiSecurity('apikey')
@ApiSecurity('api-key')
@ApiSecurity('bearer')
@ApiSecurity('x-api-key')
@Controller('api/tasks')
export class RecoupableController {
  constructor(
    private readonly tasks: TaskOverviewsService,
    private readonly replies: JsonArrayStream,
  ) {}

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List tasks with their schedules and last runs, newest first',
    description: 'Streamed whole; with `limit`, a page, and `Link` names the next.',
  })
  @ApiZodResponse(200, recoupableTasksSchema, {
    description: 'The tasks; none for an unknown id.',
    example: RECOUPABLE_EXAMPLES.tasks,
  })
  @AccessDeniedRecorder(recoupableErrorSchema)
  async list(
    @CurrentActor() actor: Actor,
    @Query({ schema: recoupableListQuery }) query: RecoupableListQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RecoupableTasks | StreamableFile> {
    const { filter, page } = fromListQuery(query);
    return this.replies.of(reply, await this.tasks.list(actor, filter, page), taskOf(actor.organizationId), toTasks);
  }

  @Get('runs')
  @Requires('run:read')
  @ApiOperation({
    summary: 'Get a run',
    description: 'Returns the run with this id in a list; the list is empty if there is no such run.',
  })
  @ApiZodResponse(200, recoupableRunsSchema, {
    description: 'The run; none for an unknown id.',
    example: RECOUPABLE_EXAMPLES.runs,
  })
  @AccessDeniedRecorder(recoupableRunsErrorSchema)
  async runs(
    @CurrentActor() actor: Actor,
    @Query({ schema: recoupableRunsQuery }) { runId }: RecoupableRunsQuery,
  ): Promise<RecoupableRuns> {
    return toRuns(await this.tasks.findRun(actor, runId), actor.organizationId);
  }

  @Post()
  @HttpCode(200)
  @Requires('task:create')
  @ApiOperation({
    summary: 'Create a task with a schedule',
    description: 'For the organisation’s default agent; starts no run. Takes Idempotency-Key.',
  })
  @ApiZodResponse(200, recoupableTasksSchema, { description: 'The one task.', example: RECOUPABLE_EXAMPLES.tasks })
  @AccessDeniedRecorder(recoupableErrorSchema, 409, 413, 415, 422)
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: recoupableNewTask }) body: RecoupableNewTask,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RecoupableTasks> {
    const show = taskOf(actor.organizationId);
    return answered(reply, await this.tasks.create(actor, fromNewTask(body), ticket, (task) => toTasks([show(task)])));
  }

  @Patch()
  @Requires('task:contribute')
  @ApiOperation({
    summary: 'Update a task; its id is in the body',
    description: 'Updates the task that `id` in the body names, and its schedule.',
  })
  @ApiZodResponse(200, recoupableTasksSchema, {
    description: 'The one task as it is now.',
    example: RECOUPABLE_EXAMPLES.tasks,
  })
  @AccessDeniedRecorder(recoupableErrorSchema, 404, 409, 413, 415)
  async update(
    @CurrentActor() actor: Actor,
    @Body({ schema: recoupableTaskPatch }) body: RecoupableTaskPatch,
  ): Promise<RecoupableTasks> {
    return toTasks([taskOf(actor.organizationId)(await this.tasks.update(actor, body.id, fromTaskPatch(body)))]);
  }

  @Delete()
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Delete a task; its id is in the body or `?id=`',
    description: 'Deletes a task with its runs and its schedule.',
  })
  @ApiZodResponse(200, recoupableDoneSchema, { description: 'Deleted.', example: RECOUPABLE_EXAMPLES.done })
  @AccessDeniedRecorder(recoupableErrorSchema, 404, 413, 415)
  async remove(
    @CurrentActor() actor: Actor,
    @Query({ schema: recoupableDeleteQuery }) query: RecoupableDeleteQuery,
    @Body({ schema: recoupableDeleteBody }) body: RecoupableDeleteBody,
  ): Promise<RecoupableDone> {
    await this.tasks.remove(actor, fromDelete(query, body));
    return DONE;
  }
}
