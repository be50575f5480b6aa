import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
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
  type NewUserInput,
  newUserSchema,
  USER_EXAMPLE,
  userListQuery,
  userPage,
  type UserDeletion,
  userDeletionQuery,
  type UserPatch,
  userPatchSchema,
  userSchema,
  type UserView,
} from './users.schema.js';
import { UsersService } from './users.service.js';

@ApiTags('Users')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Get()
  @Requires('user:read')
  @ApiOperation({
    summary: 'List users',
    description:
      'Returns the users of your organization that you can see, newest first. An API key that is limited to teams sees the members of those teams.',
  })
  @ApiZodResponse(200, userPage, {
    description: 'A page of users.',
    example: { data: [USER_EXAMPLE], next_cursor: null },
  })
  list(@CurrentActor() actor: Actor, @Query({ schema: userListQuery }) query: ListQuery): Promise<Page<UserView>> {
    return this.users.list(actor, query);
  }

  @Post()
  @Requires('user:manage')
  @ApiOperation({
    summary: 'Create a user',
    description: 'With their sign-in and their account; for admins. Nobody gives a role above their own.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, userSchema, { description: 'Created.', example: USER_EXAMPLE })
  @ApiProblemResponses('already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newUserSchema }) input: NewUserInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<UserView> {
    return created(reply, await this.users.create(actor, input, ticket), ({ id }) => `/api/v1/users/${id}`);
  }

  @Get(':id')
  @Requires('user:read')
  @ApiOperation({ summary: 'Get a user', description: 'Returns a user of your organization.' })
  @ApiZodResponse(200, userSchema, { description: 'The user.', example: USER_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<UserView> {
    return this.users.get(actor, id);
  }

  @Patch(':id')
  @Requires('user:manage')
  @ApiOperation({
    summary: 'Update a user',
    description:
      'A JSON merge patch (RFC 7396). API keys that the user created keep their roles when the role of the user changes; send ' +
      '`created_keys` to revoke them.',
  })
  @ApiZodResponse(200, userSchema, { description: 'The user as it is now.', example: USER_EXAMPLE })
  @ApiProblemResponses('already-exists', 'conflict')
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: userPatchSchema }) patch: UserPatch,
  ): Promise<UserView> {
    return this.users.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('user:manage')
  @ApiOperation({
    summary: 'Delete a user',
    description:
      'Ends their rights, their sessions and the API keys that act as them at once and frees the e-mail. What they created stays. Other ' +
      'API keys that they created go on working; send `created_keys=revoke` to revoke them too.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('conflict')
  remove(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: userDeletionQuery }) query: UserDeletion,
  ): Promise<void> {
    return this.users.remove(actor, id, query);
  }
}
