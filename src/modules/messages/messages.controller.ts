import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { type ListQuery, listQuery, pageSchema } from '../../http/pagination/cursor-paginator.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import type { Page } from '../../kernel/page.js';
import { type Message, messageSchema } from './messages.schema.js';
import { MessagesService } from './messages.service.js';

@ApiTags('Tasks')
@Controller('api/v1/tasks/:id/messages')
export class MessagesController {
  constructor(private readonly messages: MessagesService) {}

  @Get()
  @Requires('message:read')
  @ApiOperation({
    summary: 'List the messages of a task',
    description: 'In the order they were said, unless `sort` says otherwise.',
  })
  @ApiZodResponse(200, pageSchema(messageSchema, 'MessagePage'), {
    description: 'A page of messages.',
    example: {
      data: [
        {
          id: '0198f0a0-0000-7000-8000-000000000003',
          role: 'assistant',
          parts: [{ type: 'text', text: 'Three sentences sum it up.' }],
          created_at: '2026-01-31T09:00:01.000Z',
          run_id: '0198f0a0-0000-7000-8000-000000000002',
        },
      ],
      next_cursor: null,
    },
  })
  async list(
    @Param('id', { schema: idParam }) taskId: string,
    @Query({ schema: listQuery }) query: ListQuery,
    @CurrentActor() actor: Actor,
  ): Promise<Page<Message>> {
    return this.messages.list(actor, taskId, query);
  }
}
