export { RunAttemptEntity, RunEntity, TaskCounterEntity } from './run.entity.js';
export { RunsModule } from './runs.module.js';
export { RunsService, type CreateRun } from './runs.service.js';
export { WorkerService, type ClaimedWork } from './worker.service.js';
export { RunReaper } from './run-reaper.js';
export { attemptsJson, runJson, type RunView } from './runs.query.js';
export { RUN_STATUSES, TASK_STATUSES, ENDED_STATUSES, isEnded, type RunStatus, type TaskStatus } from './run.state.js';
export { runErrorSchema, runSchema } from './runs.schema.js';
export type { WorkerEvent } from './worker.schema.js';
