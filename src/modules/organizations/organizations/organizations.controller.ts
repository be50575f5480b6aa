import { Body, Controller, Get, Param, Patch, Post, Query, Res } from '@nestjs/common';
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
  type NewOrganizationInput,
  ORGANIZATION_EXAMPLE,
  type OrganizationPatch,
  type OrganizationView,
  newOrganizationSchema,
  organizationListQuery,
  organizationPage,
  organizationPatchSchema,
  organizationSchema,
} from './organizations.schema.js';
import { OrganizationsService } from './organizations.service.js';

@ApiTags('Organizations')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1')
export class OrganizationsController {
  constructor(private readonly organizations: OrganizationsService) {}

  @Get('organization')
  @Requires('organization:read')
  @ApiOperation({
    summary: 'Get your organization',
    description: 'Returns the organization that the credential belongs to, with its settings.',
  })
  @ApiZodResponse(200, organizationSchema, { description: 'The organization.', example: ORGANIZATION_EXAMPLE })
  own(@CurrentActor() actor: Actor): Promise<OrganizationView> {
    return this.organizations.own(actor);
  }

  @Patch('organization')
  @Requires('organization:update')
  @ApiOperation({ summary: 'Update your organization', description: 'A JSON merge patch (RFC 7396), for admins.' })
  @ApiZodResponse(200, organizationSchema, {
    description: 'The organization as it is now.',
    example: ORGANIZATION_EXAMPLE,
  })
  update(
    @CurrentActor() actor: Actor,
    @Body({ schema: organizationPatchSchema }) patch: OrganizationPatch,
  ): Promise<OrganizationView> {
    return this.organizations.update(actor, patch);
  }

  @Get('organizations')
  @Requires('instance:operate')
  @ApiOperation({ summary: 'List organizations', description: 'For the operator of the instance.' })
  @ApiZodResponse(200, organizationPage, {
    description: 'A page of organizations.',
    example: { data: [ORGANIZATION_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: organizationListQuery }) query: ListQuery,
  ): Promise<Page<OrganizationView>> {
    return this.organizations.list(actor, query);
  }

  @Get('organizations/:id')
  @Requires('instance:operate')
  @ApiOperation({ summary: 'Get an organization', description: 'For the operator of the instance.' })
  @ApiZodResponse(200, organizationSchema, { description: 'The organization.', example: ORGANIZATION_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<OrganizationView> {
    return this.organizations.get(actor, id);
  }

  @Post('organizations')
  @Requires('instance:operate')
  @ApiOperation({
    summary: 'Create an organization',
    description: 'With its owner and its default agent. For the operator of the instance.',
  })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, organizationSchema, { description: 'Created.', example: ORGANIZATION_EXAMPLE })
  @ApiProblemResponses('already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newOrganizationSchema }) input: NewOrganizationInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrganizationView> {
    return created(
      reply,
      await this.organizations.create(actor, input, ticket),
      ({ id }) => `/api/v1/organizations/${id}`,
    );
  }
}
