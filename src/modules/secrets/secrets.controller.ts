import { Body, Controller, Delete, Get, HttpCode, Param, Put, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import type { ListQuery } from '../../http/pagination/cursor-paginator.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import type { Page } from '../../kernel/page.js';
import {
  SECRET_EXAMPLE,
  secretListQuery,
  secretNameParam,
  secretPage,
  type SecretPut,
  secretPut,
  secretSchema,
  type SecretView,
} from './secrets.schema.js';
import { SecretsService } from './secrets.service.js';

@ApiTags('Secrets')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/secrets')
export class SecretsController {
  constructor(private readonly secrets: SecretsService) {}

  @Get()
  @Requires('secret:read')
  @ApiOperation({
    summary: 'List secrets',
    description: 'Returns the names of the secrets of your organization. No route returns a value.',
  })
  @ApiZodResponse(200, secretPage, {
    description: 'A page of secrets.',
    example: { data: [SECRET_EXAMPLE], next_cursor: null },
  })
  @ApiProblemResponses('invalid-request', 'invalid-cursor', 'unauthenticated', 'forbidden')
  list(@CurrentActor() actor: Actor, @Query({ schema: secretListQuery }) query: ListQuery): Promise<Page<SecretView>> {
    return this.secrets.list(actor, query);
  }

  @Put(':name')
  @Requires('secret:manage')
  @ApiOperation({
    summary: 'Create or update a secret',
    description:
      'It is sealed at once and never shown again. Agents get it with a run where their `allowed_secret_names` and the `secret_names` of the task name it. For admins.',
  })
  @ApiZodResponse(200, secretSchema, { description: 'The secret, without its value.', example: SECRET_EXAMPLE })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'limit-reached')
  put(
    @CurrentActor() actor: Actor,
    @Param('name', { schema: secretNameParam }) name: string,
    @Body({ schema: secretPut }) input: SecretPut,
  ): Promise<SecretView> {
    return this.secrets.put(actor, name, input);
  }

  @Delete(':name')
  @HttpCode(204)
  @Requires('secret:manage')
  @ApiOperation({
    summary: 'Delete a secret',
    description:
      'For admins. Values that runs were given are kept sealed, for redaction only, until those runs are deleted.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden', 'not-found')
  async remove(@CurrentActor() actor: Actor, @Param('name', { schema: secretNameParam }) name: string): Promise<void> {
    await this.secrets.remove(actor, name);
  }
}
