import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { MessagesModule } from '../messages/index.js';
import { SecretsModule } from '../secrets/index.js';
import { StreamsModule } from '../streams/index.js';
import { AdmissionRepository } from './admission.repository.js';
import { ChildrenService } from './children.service.js';
import { FamilyRepository } from './family.repository.js';
import { QuestionsService } from './questions.service.js';
import { ReaperRepository } from './reaper.repository.js';
import { RunAdmission } from './run-admission.js';
import { ReplayRepository } from './replay.repository.js';
import { ReplayService } from './replay.service.js';
import { RunPeopleController } from './run-people.controller.js';
import { RunReaper } from './run-reaper.js';
import { RunStopper } from './run-stopper.js';
import { RunStopsRepository } from './run-stops.repository.js';
import { RunsController } from './runs.controller.js';
import { RunSweeper } from './run-sweeper.js';
import { RunsQuery } from './runs.query.js';
import { RunsRepository } from './runs.repository.js';
import { RunsService } from './runs.service.js';
import { ScheduledRuns } from './scheduled/scheduled-runs.service.js';
import { ScheduledRunsRepository } from './scheduled/scheduled-runs.repository.js';
import { SightingsRepository } from './sightings.repository.js';
import { SweepsRepository } from './sweeps.repository.js';
import { WaitsRepository } from './waits.repository.js';
import { WorkerController } from './worker.controller.js';
import { AppendGatherer } from './append-gatherer.js';
import { GatheredAppendRepository } from './gathered-append.repository.js';
import { WorkerRepository } from './worker.repository.js';
import { WorkerClaims } from './worker-claims.js';
import { WaitingClaims } from './waiting-claims.js';
import { WorkerSightings } from './worker-sightings.js';
import { WorkerWaitsController } from './worker-waits.controller.js';
import { Said } from './said.js';
import { WorkerService } from './worker.service.js';

@Module({
  imports: [AgentsModule, MessagesModule, SecretsModule, StreamsModule],
  controllers: [RunsController, RunPeopleController, WorkerController, WorkerWaitsController],
  providers: [
    RunsRepository,
    RunsQuery,
    RunsService,
    WorkerRepository,
    AppendGatherer,
    GatheredAppendRepository,
    WorkerService,
    Said,
    ReaperRepository,
    RunReaper,
    AdmissionRepository,
    RunAdmission,
    RunSweeper,
    SweepsRepository,
    SightingsRepository,
    WorkerClaims,
    WaitingClaims,
    WorkerSightings,
    RunStopsRepository,
    RunStopper,
    WaitsRepository,
    QuestionsService,
    FamilyRepository,
    ChildrenService,
    ReplayRepository,
    ReplayService,
    ScheduledRunsRepository,
    ScheduledRuns,
  ],
  exports: [RunsService, WorkerService, Said, RunReaper, RunStopper, QuestionsService, ReplayService, ScheduledRuns],
})
export class RunsModule {}
