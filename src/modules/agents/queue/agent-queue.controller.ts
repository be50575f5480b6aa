import { Body, Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiOperation, ApiSecurity, ApiTags } from '@nestjs/swagger';
import { type Actor, Requires } from '../../../access/index.js';
import { CurrentActor } from '../../../http/decorators/current-actor.js';
import { ApiZodResponse } from '../../../http/decorators/api-zod-response.js';
import { idParam } from '../../../http/openapi/schemas.js';
import {
  AGENT_WORKERS_EXAMPLE,
  type AgentWorker,
  agentWorkersSchema,
  type PauseInput,
  pauseSchema,
} from './agent-queue.schema.js';
import { AgentQueueService } from './agent-queue.service.js';
import { AGENT_EXAMPLE, agentSchema, type AgentView } from '../agents.schema.js';

@ApiTags('Agents')
@ApiBearerAuth('bearer')
@ApiSecurity('x-api-key')
@Controller('api/v1/agents')
export class AgentQueueController {
  constructor(private readonly queue: AgentQueueService) {}

  @Get(':id/workers')
  @Requires('agent:read')
  @ApiOperation({
    summary: 'List the workers of an agent',
    description: 'The last 200 that asked within a week, the latest first.',
  })
  @ApiZodResponse(200, agentWorkersSchema, { description: 'The workers.', example: AGENT_WORKERS_EXAMPLE })
  workers(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
  ): Promise<{ data: AgentWorker[] }> {
    return this.queue.workers(actor, id);
  }

  @Post(':id/pause')
  @HttpCode(200)
  @Requires('agent:manage')
  @ApiOperation({
    summary: 'Pause an agent',
    description: 'What runs goes on, and what is handed in queues. For admins.',
  })
  @ApiZodResponse(200, agentSchema, {
    description: 'Paused.',
    example: { ...AGENT_EXAMPLE, paused_at: '2026-01-31T09:00:00.000Z', pause_reason: 'The model provider is down.' },
  })
  pause(
    @CurrentActor() actor: Actor,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: pauseSchema.default({}) }) input: PauseInput,
  ): Promise<AgentView> {
    return this.queue.pause(actor, id, input);
  }

  @Post(':id/resume')
  @HttpCode(200)
  @Requires('agent:manage')
  @ApiOperation({ summary: 'Resume an agent', description: 'For admins.' })
  @ApiZodResponse(200, agentSchema, { description: 'Not paused.', example: AGENT_EXAMPLE })
  resume(@CurrentActor() actor: Actor, @Param('id', { schema: idParam }) id: string): Promise<AgentView> {
    return this.queue.resume(actor, id);
  }
}
