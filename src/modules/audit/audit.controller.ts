import { Readable } from 'node:stream';
import { Controller, Get, Query, StreamableFile } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiProduces, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../access/index.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import type { Page } from '../../kernel/page.js';
import {
  AUDIT_EXAMPLE,
  type AuditEventView,
  auditEventSchema,
  auditExportQuery,
  type AuditExportQuery,
  auditHeadSchema,
  type AuditHeadView,
  auditListQuery,
  type AuditListQuery,
  auditPage,
  HEAD_EXAMPLE,
} from './audit.schema.js';
import { AuditService } from './audit.service.js';

@ApiTags('Audit')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/audit-events')
export class AuditController {
  constructor(private readonly audit: AuditService) {}

  @Get()
  @Requires('audit:read')
  @ApiOperation({
    summary: 'List audit events',
    description: 'For admins.',
  })
  @ApiZodResponse(200, auditPage, {
    description: 'A page of events.',
    example: { data: [AUDIT_EXAMPLE], next_cursor: null },
  })
  @ApiProblemResponses('invalid-request', 'invalid-cursor', 'unauthenticated', 'forbidden')
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: auditListQuery }) query: AuditListQuery,
  ): Promise<Page<AuditEventView>> {
    return this.audit.list(actor, query);
  }

  @Get('export')
  @Requires('audit:read')
  @ApiOperation({
    summary: 'Export audit events',
    description: 'A reply that ends has told all; one that cannot be finished is broken off. For admins.',
  })
  @ApiProduces('application/x-ndjson', 'text/csv')
  @ApiZodResponse(200, auditEventSchema, { description: 'One event a line.', example: AUDIT_EXAMPLE })
  @ApiProblemResponses('invalid-request', 'unauthenticated', 'forbidden')
  async export(
    @CurrentActor() actor: Actor,
    @Query({ schema: auditExportQuery }) query: AuditExportQuery,
  ): Promise<StreamableFile> {
    const lines = await this.audit.export(actor, query);
    return new StreamableFile(Readable.from(lines, { objectMode: false }), {
      type: query.format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      disposition: `attachment; filename="audit-events.${query.format}"`,
    });
  }

  @Get('head')
  @Requires('audit:read')
  @ApiOperation({
    summary: 'Get the signed head of the audit chain',
    description: 'Keep it elsewhere: with it, whoever cuts the trail short or writes it anew is found out. For admins.',
  })
  @ApiZodResponse(200, auditHeadSchema, { description: 'The head.', example: HEAD_EXAMPLE })
  @ApiProblemResponses('unauthenticated', 'forbidden')
  head(@CurrentActor() actor: Actor): Promise<AuditHeadView> {
    return this.audit.head(actor);
  }
}
