import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { AssetsModule } from '../assets/index.js';
import { AuthModule } from '../auth/index.js';
import { RunsModule } from '../runs/index.js';
import { BuiltinExecutor } from './builtin/builtin-executor.js';
import { CommandExecutor } from './command/command-executor.js';
import { EXECUTORS, type Executor } from './executor.js';
import { ExecutorsRepository } from './executors.repository.js';
import { HttpExecutor } from './http/http-executor.js';
import { InProcessWorker } from './in-process-worker.js';
import { RunClaimer } from './run-claimer.js';

@Module({
  imports: [AgentsModule, AssetsModule, AuthModule, RunsModule],
  providers: [
    ExecutorsRepository,
    RunClaimer,
    BuiltinExecutor,
    HttpExecutor,
    CommandExecutor,
    {
      provide: EXECUTORS,
      inject: [BuiltinExecutor, HttpExecutor, CommandExecutor],
      useFactory: (...executors: Executor[]) => executors,
    },
    InProcessWorker,
  ],
})
export class ExecutorsModule {}
