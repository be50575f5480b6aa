import { Body, Controller, Get, HttpCode, Patch, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import {
  DEFAULT_RETENTION,
  dryRunSchema,
  RETENTION_REPORT_EXAMPLE,
  type Retention,
  type RetentionPatch,
  retentionPatchSchema,
  type RetentionReport,
  retentionReportSchema,
  retentionSchema,
} from './retention.schema.js';
import { RetentionService } from './retention.service.js';

@ApiTags('Retention')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/retention')
export class RetentionController {
  constructor(private readonly retention: RetentionService) {}

  @Get()
  @Requires('retention:read')
  @ApiOperation({ summary: 'Get the retention policy', description: 'For admins.' })
  @ApiZodResponse(200, retentionSchema, { description: 'Days by class.', example: DEFAULT_RETENTION })
  get(@CurrentActor() actor: Actor): Promise<Retention> {
    return this.retention.get(actor);
  }

  @Patch()
  @Requires('retention:manage')
  @ApiOperation({
    summary: 'Update the retention policy',
    description:
      'The body is a JSON merge patch (RFC 7396); null keeps for good. A shorter time deletes what is older within minutes: try it with a dry run first. For admins.',
  })
  @ApiZodResponse(200, retentionSchema, {
    description: 'As it is now.',
    example: { ...DEFAULT_RETENTION, events_days: 14, assets_days: null },
  })
  update(
    @CurrentActor() actor: Actor,
    @Body({ schema: retentionPatchSchema }) patch: RetentionPatch,
  ): Promise<Retention> {
    return this.retention.update(actor, patch);
  }

  @Post('dry-run')
  @HttpCode(200)
  @Requires('retention:read')
  @ApiOperation({
    summary: 'Preview what retention would delete',
    description: 'By what is set, or by other days that are given. For admins.',
  })
  @ApiZodResponse(200, retentionReportSchema, { description: 'Counts by class.', example: RETENTION_REPORT_EXAMPLE })
  dryRun(
    @CurrentActor() actor: Actor,
    @Body({ schema: dryRunSchema }) tried: RetentionPatch,
  ): Promise<RetentionReport> {
    return this.retention.dryRun(actor, tried);
  }
}
