import { Controller, Delete, Get, Param, Query, Res, type StreamableFile, applyDecorators } from '@nestjs/common';
import { ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import { ArrayReplies } from '../../http/array-reply.js';
import { CurrentActor } from '../../http/current-actor.js';
import { AnyQuery } from '../../http/declared-input.guard.js';
import { Returns } from '../../http/returns.js';
import { idParam } from '../../http/schemas.js';
import { ShownTasksService } from '../../modules/tasks/index.js';
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

const Refusals = (): MethodDecorator =>
  applyDecorators(
    Returns(401, nlaErrorSchema, {
      description: 'The API key is invalid.',
      example: { error: 'Send one valid credential.' },
    }),
    Returns(429, nlaErrorSchema, { description: 'Too many requests.', example: { error: 'Too many requests.' } }),
    Returns(500, nlaErrorSchema, {
      description: 'Our fault.',
      example: { error: 'Something went wrong on our side.' },
    }),
    Returns(503, nlaErrorSchema, {
      description: 'Try again.',
      example: { error: 'The database cannot be reached just now; try again.' },
    }),
  );
const NotFound = (): MethodDecorator =>
  Returns(404, nlaErrorSchema, {
    description: 'The task’s id is not found, or not one you may read.',
    example: { error: 'No such task.' },
  });
const Forbidden = (description: string): MethodDecorator =>
  Returns(403, nlaErrorSchema, { description, example: { error: 'You may read this, but not change it.' } });

@ApiTags('NLA')
@ApiSecurity('bearer')
@ApiSecurity('x-api-key')
@ApiSecurity('api-key')
@ApiSecurity('apikey')
@Controller('api/v1/task')
@AnyQuery()
export class NlaController {
  constructor(
    private readonly tasks: ShownTasksService,
    private readonly replies: ArrayReplies,
  ) {}

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List the results of the tasks you created, newest first',
    description:
      'For a key without a user: of every task it may read. Streamed whole; with `limit`, a page, and `Link` names the next.',
  })
  @Returns(200, nlaListSchema, { description: 'A bare array.', example: [NLA_EXAMPLE] })
  @Returns(400, nlaErrorSchema, {
    description: '`limit` or `cursor` is not valid.',
    example: { error: '?limit: must be a whole number from 1 to 100' },
  })
  @Forbidden('The key may not read tasks.')
  @Refusals()
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
  @Returns(200, nlaTaskSchema, { description: 'The task.', example: NLA_EXAMPLE })
  @Forbidden('The key may not read tasks.')
  @NotFound()
  @Refusals()
  async get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<NlaTask> {
    return toNlaTask(await this.tasks.getResult(actor, id));
  }

  @Delete(':id')
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Delete a task, for good',
    description: 'Running work is ended; nobody sees the task from then on.',
  })
  @Returns(200, nlaTaskSchema, { description: 'The task as it was.', example: NLA_EXAMPLE })
  @Forbidden('You may read the task, but not delete it.')
  @NotFound()
  @Refusals()
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<NlaTask> {
    return toNlaTask(await this.tasks.deleteResult(actor, id));
  }
}
