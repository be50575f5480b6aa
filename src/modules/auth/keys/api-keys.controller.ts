import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiTags } from '@nestjs/swagger';
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
  API_KEY_EXAMPLE,
  type ApiKey,
  type ApiKeyListQuery,
  type ApiKeyWithSecret,
  type NewApiKeyInput,
  type Rotation,
  apiKeyListQuery,
  apiKeyPage,
  apiKeySchema,
  apiKeyWithSecret,
  newApiKey,
  rotation,
} from './api-keys.schema.js';
import { ApiKeysService } from './api-keys.service.js';

const SECRET_EXAMPLE: ApiKeyWithSecret = {
  ...API_KEY_EXAMPLE,
  key: 'tyk_4fGq0Zr81LxB_Zt3mXq9V0aBcD1eF2gH3iJ4kL5mN6oP72Xa8k2Qd',
  note: 'Keep the key now: it cannot be shown again.',
};

@ApiTags('API keys')
@ApiBearerAuth('bearer')
@Controller('api/v1/api-keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeysService) {}

  @Post()
  @Requires('api_key:manage')
  @ApiOperation({
    summary: 'Create an API key',
    description: 'The secret is in this reply and never again. Takes Idempotency-Key.',
  })
  @ApiZodResponse(201, apiKeyWithSecret, { description: 'The key, with its secret.', example: SECRET_EXAMPLE })
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newApiKey }) body: NewApiKeyInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyWithSecret> {
    return created(reply, await this.keys.create(actor, body, ticket), locationOf);
  }

  @Get()
  @Requires('api_key:read')
  @ApiOperation({
    summary: 'List API keys',
    description: 'Revoked keys are not listed. `created_by` says who created a key and lists the keys of one creator.',
  })
  @ApiZodResponse(200, apiKeyPage, {
    description: 'A page of keys.',
    example: { data: [API_KEY_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: apiKeyListQuery }) query: ApiKeyListQuery,
  ): Promise<Page<ApiKey>> {
    return this.keys.list(actor, query);
  }

  @Get(':id')
  @Requires('api_key:read')
  @ApiOperation({
    summary: 'Get an API key',
    description: 'Returns the description of an API key, without the key itself. For admins.',
  })
  @ApiZodResponse(200, apiKeySchema, { description: 'The key, without its secret.', example: API_KEY_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<ApiKey> {
    return this.keys.get(actor, id);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('api_key:manage')
  @ApiOperation({
    summary: 'Revoke an API key',
    description: 'Ends the key on every replica from the next request on, and every link that was made with it.',
  })
  @ApiZodResponse(204, null, { description: 'It is revoked.' })
  async revoke(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    await this.keys.revoke(actor, id);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Requires('api_key:manage')
  @ApiOperation({
    summary: 'Rotate an API key',
    description:
      'Its id, rights and history stay. Links that were made with the old secret end with it. Takes Idempotency-Key.',
  })
  @ApiZodResponse(200, apiKeyWithSecret, { description: 'The key, with its new secret.', example: SECRET_EXAMPLE })
  @ApiProblemResponses('conflict')
  async rotate(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: rotation }) body: Rotation,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyWithSecret> {
    return created(reply, await this.keys.rotate(actor, id, body, ticket), locationOf);
  }
}

function locationOf({ id }: { id: string }): string {
  return `/api/v1/api-keys/${id}`;
}
