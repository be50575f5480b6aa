import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { MessagesModule } from '../messages/index.js';
import { StreamsModule } from '../streams/index.js';
import { ReaperRepository } from './reaper.repository.js';
import { RunReaper } from './run-reaper.js';
import { RunStopper } from './run-stopper.js';
import { RunStopsRepository } from './run-stops.repository.js';
import { RunsController } from './runs.controller.js';
import { RunsQuery } from './runs.query.js';
import { RunsRepository } from './runs.repository.js';
import { RunsService } from './runs.service.js';
import { WorkerController } from './worker.controller.js';
import { WorkerRepository } from './worker.repository.js';
import { WorkerService } from './worker.service.js';

@Module({
  imports: [AgentsModule, MessagesModule, StreamsModule],
  controllers: [RunsController, WorkerController],
  providers: [RunsRepository, RunsQuery, RunsService, WorkerRepository, WorkerService, ReaperRepository, RunReaper, RunStopsRepository, RunStopper],
  exports: [RunsService, WorkerService, RunReaper, RunStopper],
})
export class RunsModule {}
