import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Put, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import type { ListQuery } from '../../../http/pagination/cursor-paginator.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import {
  type NewProjectInput,
  newProjectSchema,
  PROJECT_EXAMPLE,
  PROJECT_SHARE_EXAMPLE,
  projectListQuery,
  type ProjectListQuery,
  projectPage,
  type ProjectPatch,
  projectPatchSchema,
  projectSchema,
  projectSharePage,
  projectShareSchema,
  type ProjectShareView,
  type ProjectView,
  type ShareAccessInput,
  shareAccessSchema,
  shareListQuery,
} from './projects.schema.js';
import { ProjectsService } from './projects.service.js';

@ApiTags('Projects')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/projects')
export class ProjectsController {
  constructor(private readonly projects: ProjectsService) {}

  @Get()
  @Requires('project:read')
  @ApiOperation({
    summary: 'List projects',
    description: 'Returns the projects of your organization that you can see, newest first.',
  })
  @ApiZodResponse(200, projectPage, {
    description: 'A page of projects.',
    example: { data: [PROJECT_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: projectListQuery }) query: ProjectListQuery,
  ): Promise<Page<ProjectView>> {
    return this.projects.list(actor, query);
  }

  @Post()
  @Requires('project:create')
  @ApiOperation({ summary: 'Create a project', description: 'A grouping of tasks that can be shared whole.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, projectSchema, { description: 'Created.', example: PROJECT_EXAMPLE })
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newProjectSchema }) input: NewProjectInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectView> {
    return created(reply, await this.projects.create(actor, input, ticket), ({ id }) => `/api/v1/projects/${id}`);
  }

  @Get(':id')
  @Requires('project:read')
  @ApiOperation({ summary: 'Get a project', description: 'Returns a project of your organization.' })
  @ApiZodResponse(200, projectSchema, { description: 'The project.', example: PROJECT_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<ProjectView> {
    return this.projects.get(actor, id);
  }

  @Patch(':id')
  @Requires('project:manage')
  @ApiOperation({ summary: 'Update a project', description: 'A JSON merge patch (RFC 7396).' })
  @ApiZodResponse(200, projectSchema, { description: 'The project as it is now.', example: PROJECT_EXAMPLE })
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: projectPatchSchema }) patch: ProjectPatch,
  ): Promise<ProjectView> {
    return this.projects.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('project:manage')
  @ApiOperation({
    summary: 'Delete a project',
    description: 'Deletes a project. Requires that you created it, maintain its team or are an admin.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('still-referenced')
  remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    return this.projects.remove(actor, id);
  }

  @Get(':id/shares')
  @Requires('project:read')
  @ApiOperation({
    summary: 'List the shares of a project',
    description: 'Returns the teams that a project is shared with and the access that each of them has.',
  })
  @ApiZodResponse(200, projectSharePage, {
    description: 'A page of shares.',
    example: { data: [PROJECT_SHARE_EXAMPLE], next_cursor: null },
  })
  listShares(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: shareListQuery }) query: ListQuery,
  ): Promise<Page<ProjectShareView>> {
    return this.projects.listShares(actor, id, query);
  }

  @Put(':id/shares/:team_id')
  @Requires('project:manage')
  @ApiOperation({
    summary: 'Create or update a project share',
    description: 'Its present and future tasks, but for private ones.',
  })
  @ApiZodResponse(200, projectShareSchema, { description: 'The share.', example: PROJECT_SHARE_EXAMPLE })
  putShare(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('team_id', { schema: idParam }) teamId: string,
    @Body({ schema: shareAccessSchema }) input: ShareAccessInput,
  ): Promise<ProjectShareView> {
    return this.projects.putShare(actor, id, teamId, input);
  }

  @Delete(':id/shares/:team_id')
  @HttpCode(204)
  @Requires('project:manage')
  @ApiOperation({
    summary: 'Revoke a project share',
    description: 'Removes the share. The members of the team lose the access that it gave them at once.',
  })
  @ApiZodResponse(204, null, { description: 'No longer shared.' })
  removeShare(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('team_id', { schema: idParam }) teamId: string,
  ): Promise<void> {
    return this.projects.removeShare(actor, id, teamId);
  }
}
