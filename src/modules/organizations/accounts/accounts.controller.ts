import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../../access/index.js';
import type { IdempotencyTicket } from '../../../database/idempotency.js';
import { created } from '../../../http/decorators/created.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import type { Page } from '../../../kernel/page.js';
import {
  ACCOUNT_EXAMPLE,
  accountListQuery,
  type AccountListQuery,
  accountPage,
  type AccountPatch,
  accountPatchSchema,
  accountSchema,
  type AccountView,
  type NewAccountInput,
  newAccountSchema,
} from './accounts.schema.js';
import { AccountsService } from './accounts.service.js';

@ApiTags('Accounts')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/accounts')
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Get()
  @Requires('account:read')
  @ApiOperation({
    summary: 'List accounts',
    description:
      'Returns the accounts of your organization that you can see, newest first. An account says whom work is for; it gives no rights.',
  })
  @ApiZodResponse(200, accountPage, {
    description: 'A page of accounts.',
    example: { data: [ACCOUNT_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: accountListQuery }) query: AccountListQuery,
  ): Promise<Page<AccountView>> {
    return this.accounts.list(actor, query);
  }

  @Post()
  @Requires('account:create')
  @ApiOperation({ summary: 'Create an account', description: 'For whom work is done: a label, never a permission.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, accountSchema, { description: 'Created.', example: ACCOUNT_EXAMPLE })
  @ApiProblemResponses('already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newAccountSchema }) input: NewAccountInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AccountView> {
    return created(reply, await this.accounts.create(actor, input, ticket), ({ id }) => `/api/v1/accounts/${id}`);
  }

  @Get(':id')
  @Requires('account:read')
  @ApiOperation({ summary: 'Get an account', description: 'Returns an account of your organization.' })
  @ApiZodResponse(200, accountSchema, { description: 'The account.', example: ACCOUNT_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<AccountView> {
    return this.accounts.get(actor, id);
  }

  @Patch(':id')
  @Requires('account:manage')
  @ApiOperation({ summary: 'Update an account', description: 'A JSON merge patch (RFC 7396).' })
  @ApiZodResponse(200, accountSchema, { description: 'The account as it is now.', example: ACCOUNT_EXAMPLE })
  @ApiProblemResponses('already-exists')
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: accountPatchSchema }) patch: AccountPatch,
  ): Promise<AccountView> {
    return this.accounts.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('account:manage')
  @ApiOperation({
    summary: 'Delete an account',
    description: 'Deletes an account. Requires that you created it or are an admin.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('still-referenced')
  remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    return this.accounts.remove(actor, id);
  }
}
