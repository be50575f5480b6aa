import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { MessagesModule } from '../messages/index.js';
import { SecretsModule } from '../secrets/index.js';
import { StreamsModule } from '../streams/index.js';
import { RunEnqueuerRepository } from './admission.repository.js';
import { ChildrenService } from './children.service.js';
import { RunTreeRepository } from './family.repository.js';
import { QuestionsService } from './questions.service.js';
import { LeaseRescuerRepository } from './reaper.repository.js';
import { RunEnqueuer } from './run-admission.js';
import { ReplayRepository } from './replay.repository.js';
import { ReplayService } from './replay.service.js';
import { RunInteractionController } from './run-people.controller.js';
import { LeaseRescuer } from './run-reaper.js';
import { BudgetEnforcer } from './run-stopper.js';
import { BudgetEnforcerRepository } from './run-stops.repository.js';
import { RunsController } from './runs.controller.js';
import { RunScheduler } from './run-sweeper.js';
import { RunsQuery } from './runs.query.js';
import { RunsRepository } from './runs.repository.js';
import { RunsService } from './runs.service.js';
import { ScheduledRuns } from './scheduled/scheduled-runs.service.js';
import { ScheduledRunsRepository } from './scheduled/scheduled-runs.repository.js';
import { WorkerHeartbeatsRepository } from './sightings.repository.js';
import { RunTransitionsRepository } from './sweeps.repository.js';
import { WaitsRepository } from './waits.repository.js';
import { WorkerController } from './worker.controller.js';
import { EventAppendBatcher } from './append-gatherer.js';
import { BatchAppendRepository } from './gathered-append.repository.js';
import { WorkerRepository } from './worker.repository.js';
import { ClaimBatcher } from './worker-claims.js';
import { WaitingClaims } from './waiting-claims.js';
import { WorkerHeartbeats } from './worker-sightings.js';
import { WorkerInteractionController } from './worker-waits.controller.js';
import { WorkerTextRedactor } from './said.js';
import { WorkerService } from './worker.service.js';

@Module({
  imports: [AgentsModule, MessagesModule, SecretsModule, StreamsModule],
  controllers: [RunsController, RunInteractionController, WorkerController, WorkerInteractionController],
  providers: [
    RunsRepository,
    RunsQuery,
    RunsService,
    WorkerRepository,
    EventAppendBatcher,
    BatchAppendRepository,
    WorkerService,
    WorkerTextRedactor,
    LeaseRescuerRepository,
    LeaseRescuer,
    RunEnqueuerRepository,
    RunEnqueuer,
    RunScheduler,
    RunTransitionsRepository,
    WorkerHeartbeatsRepository,
    ClaimBatcher,
    WaitingClaims,
    WorkerHeartbeats,
    BudgetEnforcerRepository,
    BudgetEnforcer,
    WaitsRepository,
    QuestionsService,
    RunTreeRepository,
    ChildrenService,
    ReplayRepository,
    ReplayService,
    ScheduledRunsRepository,
    ScheduledRuns,
  ],
  exports: [
    RunsService,
    WorkerService,
    WorkerTextRedactor,
    LeaseRescuer,
    BudgetEnforcer,
    QuestionsService,
    ReplayService,
    ScheduledRuns,
  ],
})
export class RunsModule {}
