import { Body, Controller, Delete, Get, HttpCode, Param, Put, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import { TaskSharesService } from './task-shares.service.js';
import { SHARE_EXAMPLE } from '../task.examples.js';
import {
  type ShareListQuery,
  type SharePut,
  type TaskShare,
  shareListQuery,
  sharePage,
  sharePut,
  shareSchema,
} from '../tasks.schema.js';

@ApiTags('Tasks')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/tasks/:id/shares')
export class TaskSharesController {
  constructor(private readonly shares: TaskSharesService) {}

  @Get()
  @Requires('task:read')
  @ApiOperation({
    summary: 'List the shares of a task',
    description: 'Returns the teams that a task is shared with and the access that each of them has.',
  })
  @ApiZodResponse(200, sharePage, {
    description: 'A page of shares, oldest first.',
    example: { data: [SHARE_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: shareListQuery }) query: ShareListQuery,
  ): Promise<Page<TaskShare>> {
    return this.shares.list(actor, id, query);
  }

  @Put(':team_id')
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Create or update a share',
    description:
      'Shares a task with a team, with `read` or `write` access, or changes the access of an existing share. ' +
      'A share gives access whatever the visibility of the task, `private` included.',
  })
  @ApiZodResponse(200, shareSchema, { description: 'The share.', example: SHARE_EXAMPLE })
  put(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('team_id', { schema: idParam }) teamId: string,
    @Body({ schema: sharePut }) body: SharePut,
  ): Promise<TaskShare> {
    return this.shares.put(actor, id, teamId, body);
  }

  @Delete(':team_id')
  @HttpCode(204)
  @Requires('task:manage')
  @ApiOperation({
    summary: 'Revoke a share',
    description: 'Removes the share. The members of the team lose the access that it gave them at once.',
  })
  @ApiZodResponse(204, null, { description: 'It is not shared.' })
  async remove(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('team_id', { schema: idParam }) teamId: string,
  ): Promise<void> {
    await this.shares.remove(actor, id, teamId);
  }
}
