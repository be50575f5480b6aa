export { RunAttemptEntity, RunEntity, TaskCounterEntity } from './core/run.entity.js';
export { BulkModule } from './bulk/bulk.module.js';
export { BulkWorker } from './bulk/bulk-worker.js';
export { RunBatchService } from './bulk/run-batch.service.js';
export { holds, leaseLost, parseFence } from './core/leases.js';
export { RunsModule } from './runs.module.js';
export { RunsService, type CreateRun } from './lifecycle/runs.service.js';
export type { ClaimedWork } from './worker/claim-batcher.js';
export { WorkerService } from './worker/worker.service.js';
export { QuestionsService } from './interaction/questions.service.js';
export { ReplayService } from './lifecycle/replay.service.js';
export { childIdsJson } from './children/run-tree.repository.js';
export { ScheduledRuns, type ScheduledRun, type ScheduledSettings } from './scheduled/scheduled-runs.service.js';
export { LeaseRescuer } from './maintenance/lease-rescuer.js';
export { BudgetEnforcer } from './maintenance/budget-enforcer.js';
export { attemptsJson, runJson, type RunView } from './views/runs.query.js';
export {
  RUN_STATUSES,
  TASK_STATUSES,
  ENDED_STATUSES,
  isEnded,
  type RunStatus,
  type TaskStatus,
} from './core/run.state.js';
export { RUN_EXAMPLE } from './views/run.example.js';
export { runErrorSchema, runSchema } from './views/runs.schema.js';
export { asFailure } from './worker/worker-error.js';
export { keepEventHalves } from './worker/delta-halves.js';
export { workerEventSchema, type WorkerEvent } from './worker/worker.schema.js';
export { concurrencyKeySchema, delaySchema, ttlSchema } from './core/run-times.js';
export { WorkerTextRedactor } from './worker/worker-text-redactor.js';
