import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import { BodyLimit } from '../../http/decorators/body-limit.js';
import { created } from '../../http/decorators/created.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import type { Page } from '../../kernel/page.js';
import { type Message, messageSchema } from '../messages/index.js';
import { TaskMessagesService } from './commands/task-messages.service.js';
import { TaskDesk } from './commands/task-desk.js';
import { MESSAGE_EXAMPLE, TASK_DETAIL_EXAMPLE, TASK_ITEM_EXAMPLE } from './task.examples.js';
import { type TaskDetail, type TaskItem, taskDetailSchema, taskPage } from './queries/task-view.schema.js';
import {
  type NewTask,
  type NewTaskMessage,
  type TaskListQuery,
  type TaskPatch,
  newTask,
  newTaskMessage,
  taskListQuery,
  taskPatch,
} from './tasks.schema.js';
import { TasksService } from './tasks.service.js';

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  required: false,
  description: 'The same key again gets the same reply, and nothing new.',
};

@ApiTags('Tasks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/tasks')
export class TasksController {
  constructor(
    private readonly tasks: TasksService,
    private readonly desk: TaskDesk,
    private readonly conversation: TaskMessagesService,
  ) {}

  @Post()
  @BodyLimit('large')
  @Requires('task:create')
  @ApiOperation({
    summary: 'Create a task',
    description: 'Task, first message, schedule and first run are made together or not at all.',
  })
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiZodResponse(201, taskDetailSchema, { description: 'The task’s detail.', example: TASK_DETAIL_EXAMPLE })
  @ApiProblemResponses(
    'invalid-request',
    'malformed-json',
    'not-available',
    'unauthenticated',
    'forbidden',
    'not-found',
    'payload-too-large',
    'unsupported-media-type',
    'limit-reached',
    'budget-exceeded',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newTask }) body: NewTask,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TaskDetail> {
    return created(reply, await this.desk.create(actor, body, ticket), ({ task }) => `/api/v1/tasks/${task.id}`);
  }

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List tasks',
    description:
      'A page ends early where its prompts, payloads and metadata would pass 8 MiB; `next_cursor` alone says whether there is more.',
  })
  @ApiZodResponse(200, taskPage, {
    description: 'A page of tasks.',
    example: { data: [TASK_ITEM_EXAMPLE], next_cursor: null },
  })
  @ApiProblemResponses('invalid-request', 'invalid-cursor', 'unauthenticated')
  list(@CurrentActor() actor: Actor, @Query({ schema: taskListQuery }) query: TaskListQuery): Promise<Page<TaskItem>> {
    return this.tasks.list(actor, query);
  }

  @Get(':id')
  @Requires('task:read')
  @ApiOperation({
    summary: 'Get a task',
    description: 'The detail of the Neo API (`GET /api/v1/tasks/{id}`), with fields of our own beside the page’s.',
  })
  @ApiZodResponse(200, taskDetailSchema, { description: 'Task details with messages.', example: TASK_DETAIL_EXAMPLE })
  @ApiProblemResponses('unauthenticated', 'not-found')
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<TaskDetail> {
    return this.tasks.get(actor, id);
  }

  @Patch(':id')
  @Requires('task:contribute')
  @ApiOperation({
    summary: 'Update a task',
    description:
      'The body is a JSON merge patch (RFC 7396). `visibility`, `team_id` and `project_id` take the right to manage the task; the rest takes the right to contribute to it.',
  })
  @ApiZodResponse(200, taskDetailSchema, {
    description: 'The task’s detail as it is now.',
    example: TASK_DETAIL_EXAMPLE,
  })
  @ApiProblemResponses(
    'invalid-request',
    'malformed-json',
    'not-available',
    'unauthenticated',
    'forbidden',
    'not-found',
    'conflict',
    'payload-too-large',
  )
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: taskPatch }) patch: TaskPatch,
  ): Promise<TaskDetail> {
    return this.desk.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Delete a task',
    description:
      'Deletes a task with its runs, messages, events and assets. Runs that are still active end. This cannot be undone.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted; its runs have ended.' })
  @ApiProblemResponses('unauthenticated', 'forbidden', 'not-found')
  async remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    await this.tasks.remove(actor, id);
  }

  @Post(':id/messages')
  @BodyLimit('large')
  @Requires('message:create')
  @ApiOperation({
    summary: 'Add a message',
    description:
      'Answers the question that a run of it asked last and still waits with; where there is none, starts a run with it.',
  })
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiZodResponse(201, messageSchema, {
    description: 'The message; `run_id` is the run it answered or started.',
    example: MESSAGE_EXAMPLE,
  })
  @ApiProblemResponses(
    'invalid-request',
    'malformed-json',
    'unauthenticated',
    'forbidden',
    'not-found',
    'payload-too-large',
    'budget-exceeded',
    'idempotency-in-progress',
    'idempotency-mismatch',
  )
  async message(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: newTaskMessage }) body: NewTaskMessage,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Message> {
    return created(reply, await this.conversation.post(actor, id, body, ticket), () => `/api/v1/tasks/${id}/messages`);
  }
}
