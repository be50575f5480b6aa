import { Module } from '@nestjs/common';
import { AgentDestinations } from './agent-destinations.js';
import { AgentQueueController } from './queue/agent-queue.controller.js';
import { AgentQueueRepository } from './queue/agent-queue.repository.js';
import { AgentQueueService } from './queue/agent-queue.service.js';
import { AgentsController } from './agents.controller.js';
import { AgentsRepository } from './agents.repository.js';
import { AgentsService } from './agents.service.js';
import { DefaultAgentProvisioner } from './default-agent-provisioner.js';

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
