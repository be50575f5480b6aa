import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { type Actor, Requires } from '../../access/index.js';
import type { IdempotencyTicket } from '../../database/idempotency.js';
import { created } from '../../http/decorators/created.js';
import { CurrentActor } from '../../http/decorators/current-actor.js';
import { IdempotencyKey } from '../../http/idempotency/idempotency-key.js';
import { ApiProblemResponses, ApiZodResponse } from '../../http/decorators/api-zod-response.js';
import { idParam } from '../../http/openapi/schemas.js';
import type { Page } from '../../kernel/page.js';
import {
  AGENT_EXAMPLE,
  agentListQuery,
  type AgentListQuery,
  agentPage,
  type AgentPatch,
  type AgentSigningSecret,
  agentSigningSecretSchema,
  agentPatchSchema,
  agentSchema,
  type AgentView,
  type NewAgentInput,
  newAgentSchema,
} from './agents.schema.js';
import { AgentsService } from './agents.service.js';

@ApiTags('Agents')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/agents')
export class AgentsController {
  constructor(private readonly agents: AgentsService) {}

  @Get()
  @Requires('agent:read')
  @ApiOperation({ summary: 'List agents', description: 'Returns the agents of your organization.' })
  @ApiZodResponse(200, agentPage, {
    description: 'A page of agents.',
    example: { data: [AGENT_EXAMPLE], next_cursor: null },
  })
  list(
    @CurrentActor() actor: Actor,
    @Query({ schema: agentListQuery }) query: AgentListQuery,
  ): Promise<Page<AgentView>> {
    return this.agents.list(actor, query);
  }

  @Post()
  @Requires('agent:manage')
  @ApiOperation({ summary: 'Create an agent', description: 'For admins.' })
  @ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'The same key again gets the same reply, and no second one.',
  })
  @ApiZodResponse(201, agentSchema, { description: 'Created.', example: AGENT_EXAMPLE })
  @ApiProblemResponses('not-available', 'already-exists')
  async create(
    @CurrentActor() actor: Actor,
    @Body({ schema: newAgentSchema }) input: NewAgentInput,
    @IdempotencyKey() ticket: IdempotencyTicket | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AgentView> {
    return created(reply, await this.agents.create(actor, input, ticket), ({ id }) => `/api/v1/agents/${id}`);
  }

  @Get(':id')
  @Requires('agent:read')
  @ApiOperation({ summary: 'Get an agent', description: 'Returns an agent with its limits and its configuration.' })
  @ApiZodResponse(200, agentSchema, { description: 'The agent.', example: AGENT_EXAMPLE })
  get(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<AgentView> {
    return this.agents.get(actor, id);
  }

  @Get(':id/signing-secret')
  @Requires('agent:manage')
  @ApiOperation({
    summary: 'Get the signing secret of an HTTP agent',
    description: 'For whoever sets up the other side; see Standard Webhooks. For admins.',
  })
  @ApiZodResponse(200, agentSigningSecretSchema, {
    description: 'The secret.',
    example: { secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', origin: 'https://agents.example.com' },
  })
  signingSecret(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
  ): Promise<AgentSigningSecret> {
    return this.agents.signingSecret(actor, id);
  }

  @Patch(':id')
  @Requires('agent:manage')
  @ApiOperation({ summary: 'Update an agent', description: 'A JSON merge patch (RFC 7396).' })
  @ApiZodResponse(200, agentSchema, { description: 'The agent as it is now.', example: AGENT_EXAMPLE })
  @ApiProblemResponses('not-available', 'already-exists')
  update(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: agentPatchSchema }) patch: AgentPatch,
  ): Promise<AgentView> {
    return this.agents.update(actor, id, patch);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('agent:manage')
  @ApiOperation({
    summary: 'Delete an agent',
    description: 'Neither the default agent nor one with runs that have not ended.',
  })
  @ApiZodResponse(204, null, { description: 'Deleted.' })
  @ApiProblemResponses('still-referenced')
  remove(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<void> {
    return this.agents.remove(actor, id);
  }
}
