import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { AssetsModule } from '../assets/index.js';
import { AuthModule } from '../auth/index.js';
import { RunsModule } from '../runs/index.js';
import { BuiltinExecutions } from './builtin-executions.js';
import { BuiltinWorker } from './builtin-worker.js';
import { ExecutorsRepository } from './executors.repository.js';

@Module({
  imports: [AgentsModule, AssetsModule, AuthModule, RunsModule],
  providers: [ExecutorsRepository, BuiltinExecutions, BuiltinWorker],
})
export class ExecutorsModule {}
