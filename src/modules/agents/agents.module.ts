import { Module } from '@nestjs/common';
import { AgentsController } from './agents.controller.js';
import { AgentsRepository } from './agents.repository.js';
import { AgentsService } from './agents.service.js';
import { DefaultAgentSetup } from './default-agent-setup.js';

@Module({
  controllers: [AgentsController],
  providers: [AgentsRepository, AgentsService, DefaultAgentSetup],
  exports: [AgentsService, DefaultAgentSetup],
})
export class AgentsModule {}
