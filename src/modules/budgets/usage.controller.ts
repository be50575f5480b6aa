import { Controller, Get, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { USAGE_EXAMPLE, usageQuery, type UsageQueryInput, usageSchema, type Usage } from './usage.schema.js';
import { UsageService } from './usage.service.js';

@ApiTags('Budgets')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/usage')
export class UsageController {
  constructor(private readonly usage: UsageService) {}

  @Get()
  @Requires('usage:read')
  @ApiOperation({
    summary: 'Get usage',
    description:
      'Runs of the tasks you may read, by the day they were made on, those under way included; for admins, also those of tasks that are gone.',
  })
  @ApiZodResponse(200, usageSchema, { description: 'What was used.', example: USAGE_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Query({ schema: usageQuery }) query: UsageQueryInput): Promise<Usage> {
    return this.usage.get(actor, query);
  }
}
