import { Controller, Delete, Get, Param, Query, Res, type StreamableFile, applyDecorators } from '@nestjs/common';
import { ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import { JsonArrayStream } from '../../http/pagination/json-array-stream.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { AnyQuery } from '../../http/guards/declared-input.guard.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import { TaskSummariesService } from '../../modules/tasks/index.js';
import { toNlaList, toNlaTask } from './nla.mapper.js';
import {
  NLA_EXAMPLE,
  type NlaListQuery,
  type NlaTask,
  nlaErrorSchema,
  nlaListQuery,
  nlaListSchema,
  nlaTaskSchema,
} from './nla.schema.js';

const AccessDeniedRecorder = (): MethodDecorator =>
  applyDecorators(
    ApiZodResponse(401, nlaErrorSchema, {
      description: 'The API key is invalid.',
      example: { error: 'Send one valid credential.' },
    }),
    ApiZodResponse(429, nlaErrorSchema, {
      description: 'Too many requests.',
      example: { error: 'Too many requests.' },
    }),
    ApiZodResponse(500, nlaErrorSchema, {
      description: 'Our fault.',
      example: { error: 'Something went wrong on our side.' },
    }),
    ApiZodResponse(503, nlaErrorSchema, {
      description: 'Try again.',
      example: { error: 'The database cannot be reached just now; try again.' },
    }),
  );
const NotFound = (): MethodDecorator =>
  ApiZodResponse(404, nlaErrorSchema, {
    description: 'The task’s id is not found, or not one you may read.',
    example: { error: 'No such task.' },
  });
const Forbidden = (description: string): MethodDecorator =>
  ApiZodResponse(403, nlaErrorSchema, { description, example: { error: 'You may read this, but not change it.' } });

@ApiTags('NLA')
@ApiSecurity('bearer')
@ApiSecurity('x-api-key')
@ApiSecurity('api-key')
@ApiSecurity('apikey')
@Controller('api/v1/task')
@AnyQuery()
export class NlaController {
  constructor(
    private readonly tasks: TaskSummariesService,
    private readonly replies: JsonArrayStream,
  ) {}

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List the results of the tasks you created, newest first',
    description:
      'For a key without a user: of every task it may read. Streamed whole; with `limit`, a page, and `Link` names the next.',
  })
  @ApiZodResponse(200, nlaListSchema, { description: 'A bare array.', example: [NLA_EXAMPLE] })
  @ApiZodResponse(400, nlaErrorSchema, {
    description: '`limit` or `cursor` is not valid.',
    example: { error: '?limit: must be a whole number from 1 to 100' },
  })
  @Forbidden('The key may not read tasks.')
  @AccessDeniedRecorder()
  async list(
    @CurrentActor() actor: Actor,
    @Query({ schema: nlaListQuery }) query: NlaListQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<NlaTask[] | StreamableFile> {
    return this.replies.of(reply, await this.tasks.results(actor, query), toNlaTask, toNlaList);
  }

  @Get(':id')
  @Requires('task:read')
  @ApiOperation({
    summary: 'Get the result of a task',
    description: 'Returns one task with its status and its result.',
  })
  @ApiZodResponse(200, nlaTaskSchema, { description: 'The task.', example: NLA_EXAMPLE })
  @Forbidden('The key may not read tasks.')
  @NotFound()
  @AccessDeniedRecorder()
  async get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<NlaTask> {
    return toNlaTask(await this.tasks.getResult(actor, id));
  }

  @Delete(':id')
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Delete a task',
    description: 'Running work is ended; nobody sees the task from then on.',
  })
  @ApiZodResponse(200, nlaTaskSchema, { description: 'The task as it was.', example: NLA_EXAMPLE })
  @Forbidden('You may read the task, but not delete it.')
  @NotFound()
  @AccessDeniedRecorder()
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<NlaTask> {
    return toNlaTask(await this.tasks.deleteResult(actor, id));
  }
}
