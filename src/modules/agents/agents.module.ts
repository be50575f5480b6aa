import { Module } from '@nestjs/common';
import { AgentDestinations } from './agent-destinations.js';
import { AgentQueueController } from './agent-queue.controller.js';
import { AgentQueueRepository } from './agent-queue.repository.js';
import { AgentQueueService } from './agent-queue.service.js';
import { AgentsController } from './agents.controller.js';
import { AgentsRepository } from './agents.repository.js';
import { AgentsService } from './agents.service.js';
import { DefaultAgentProvisioner } from './default-agent-setup.js';

@Module({
  controllers: [AgentsController, AgentQueueController],
  providers: [
    AgentsRepository,
    AgentQueueRepository,
    AgentQueueService,
    AgentDestinations,
    AgentsService,
    DefaultAgentProvisioner,
  ],
  exports: [AgentsService, DefaultAgentProvisioner],
})
export class AgentsModule {}
