import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { MessagesModule } from '../messages/index.js';
import { SecretsModule } from '../secrets/index.js';
import { StreamsModule } from '../streams/index.js';
import { RunEnqueuerRepository } from './lifecycle/run-enqueuer.repository.js';
import { ChildrenService } from './children/children.service.js';
import { RunTreeRepository } from './children/run-tree.repository.js';
import { QuestionsService } from './interaction/questions.service.js';
import { LeaseRescuerRepository } from './maintenance/lease-rescuer.repository.js';
import { RunEnqueuer } from './lifecycle/run-enqueuer.js';
import { ReplayRepository } from './lifecycle/replay.repository.js';
import { ReplayService } from './lifecycle/replay.service.js';
import { RunInteractionController } from './interaction/run-interaction.controller.js';
import { LeaseRescuer } from './maintenance/lease-rescuer.js';
import { BudgetEnforcer } from './maintenance/budget-enforcer.js';
import { BudgetEnforcerRepository } from './maintenance/budget-enforcer.repository.js';
import { RunsController } from './lifecycle/runs.controller.js';
import { RunScheduler } from './maintenance/run-scheduler.js';
import { RunsQuery } from './views/runs.query.js';
import { RunsRepository } from './lifecycle/runs.repository.js';
import { RunsService } from './lifecycle/runs.service.js';
import { ScheduledRuns } from './scheduled/scheduled-runs.service.js';
import { ScheduledRunsRepository } from './scheduled/scheduled-runs.repository.js';
import { WorkerHeartbeatsRepository } from './worker/worker-heartbeats.repository.js';
import { RunTransitionsRepository } from './maintenance/run-transitions.repository.js';
import { WaitsRepository } from './interaction/waits.repository.js';
import { WorkerController } from './worker/worker.controller.js';
import { EventAppendBatcher } from './worker/event-append-batcher.js';
import { BatchAppendRepository } from './worker/batch-append.repository.js';
import { WorkerRepository } from './worker/worker.repository.js';
import { ClaimBatcher } from './worker/claim-batcher.js';
import { WaitingClaims } from './worker/waiting-claims.js';
import { WorkerHeartbeats } from './worker/worker-heartbeats.js';
import { WorkerInteractionController } from './interaction/worker-interaction.controller.js';
import { WorkerTextRedactor } from './worker/worker-text-redactor.js';
import { WorkerService } from './worker/worker.service.js';

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
