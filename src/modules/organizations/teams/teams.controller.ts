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
  type MemberRoleInput,
  memberRoleSchema,
  type NewTeamInput,
  newTeamSchema,
  TEAM_EXAMPLE,
  TEAM_MEMBER_EXAMPLE,
  type TeamDeletion,
  teamDeletionQuery,
  teamListQuery,
  teamMemberPage,
  teamMemberSchema,
  type TeamMemberView,
  teamPage,
  type TeamPatch,
  teamPatchSchema,
  teamSchema,
  type TeamView,
} from './teams.schema.js';
import { TeamsService } from './teams.service.js';

@ApiTags('Teams')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/teams')
export class TeamsController {
  constructor(private readonly teams: TeamsService) {}

  @Get()
  @Requires('team:read')
  @ApiOperation({
    summary: 'List teams',
    description:
      'Returns the teams of your organization that you can see, newest first. An API key that is limited to teams sees only those.',
  })
  @ApiZodResponse(200, teamPage, {
    description: 'A page of teams.',
    example: { data: [TEAM_EXAMPLE], next_cursor: null },
  })
  list(@CurrentActor() actor: Actor, @Query({ schema: teamListQuery }) query: ListQuery): Promise<Page<TeamView>> {
    return this.teams.list(actor, query);
  }

  @Post()
  @Requires('team:create')
  @ApiOperation({ summary: 'Create a team', description: 'For admins.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, teamSchema, { description: 'Created.', example: TEAM_EXAMPLE })
  @ApiProblemResponses('already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newTeamSchema }) input: NewTeamInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TeamView> {
    return created(reply, await this.teams.create(actor, input, ticket), ({ id }) => `/api/v1/teams/${id}`);
  }

  @Get(':id')
  @Requires('team:read')
  @ApiOperation({ summary: 'Get a team', description: 'Returns a team of your organization.' })
  @ApiZodResponse(200, teamSchema, { description: 'The team.', example: TEAM_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<TeamView> {
    return this.teams.get(actor, id);
  }

  @Patch(':id')
  @Requires('team:manage')
  @ApiOperation({ summary: 'Update a team', description: 'A JSON merge patch (RFC 7396).' })
  @ApiZodResponse(200, teamSchema, { description: 'The team as it is now.', example: TEAM_EXAMPLE })
  @ApiProblemResponses('already-exists')
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: teamPatchSchema }) patch: TeamPatch,
  ): Promise<TeamView> {
    return this.teams.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('team:manage')
  @ApiOperation({
    summary: 'Delete a team',
    description:
      'For admins. A team that still has projects, tasks, or working API keys that are limited to it alone is not deleted. Deleted tasks ' +
      'and keys that are revoked or expired do not count. A key that is limited to other teams as well stays limited to those.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('still-referenced')
  remove(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: teamDeletionQuery }) query: TeamDeletion,
  ): Promise<void> {
    return this.teams.remove(actor, id, query);
  }

  @Get(':id/members')
  @Requires('team:read')
  @ApiOperation({
    summary: 'List the members of a team',
    description: 'Returns the members of a team with their roles, a page at a time.',
  })
  @ApiZodResponse(200, teamMemberPage, {
    description: 'A page of members.',
    example: { data: [TEAM_MEMBER_EXAMPLE], next_cursor: null },
  })
  listMembers(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: teamListQuery }) query: ListQuery,
  ): Promise<Page<TeamMemberView>> {
    return this.teams.listMembers(actor, id, query);
  }

  @Put(':id/members/:user_id')
  @Requires('team:manage')
  @ApiOperation({
    summary: 'Add or update a team member',
    description: 'For admins and maintainers of the team.',
  })
  @ApiZodResponse(200, teamMemberSchema, { description: 'The member.', example: TEAM_MEMBER_EXAMPLE })
  putMember(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('user_id', { schema: idParam }) userId: string,
    @Body({ schema: memberRoleSchema }) input: MemberRoleInput,
  ): Promise<TeamMemberView> {
    return this.teams.putMember(actor, id, userId, input);
  }

  @Delete(':id/members/:user_id')
  @HttpCode(204)
  @Requires('team:manage')
  @ApiOperation({ summary: 'Remove a team member', description: 'For admins and maintainers of the team.' })
  @ApiZodResponse(204, null, { description: 'No longer a member.' })
  removeMember(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Param('user_id', { schema: idParam }) userId: string,
  ): Promise<void> {
    return this.teams.removeMember(actor, id, userId);
  }
}
