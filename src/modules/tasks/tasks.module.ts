import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { AssetsModule } from '../assets/index.js';
import { MessagesModule } from '../messages/index.js';
import { BulkModule, RunsModule } from '../runs/index.js';
import { SecretsModule } from '../secrets/index.js';
import { SchedulesModule } from '../schedules/index.js';
import { StreamsModule } from '../streams/index.js';
import { TaskOverviewsQuery } from './surfaces/task-overviews.query.js';
import { TaskOverviewsService } from './surfaces/task-overviews.service.js';
import { TaskSummariesQuery } from './surfaces/task-summaries.query.js';
import { TaskSummariesService } from './surfaces/task-summaries.service.js';
import { TaskBatchController } from './commands/task-batch.controller.js';
import { BatchCreateTasksService } from './commands/batch-create-tasks.service.js';
import { TaskMessagesService } from './commands/task-messages.service.js';
import { CreateTaskService } from './commands/create-task.service.js';
import { TaskDesk } from './commands/task-desk.js';
import { UpdateTaskService } from './commands/update-task.service.js';
import { TaskPresenter } from './queries/task-presenter.js';
import { TaskPurgeRepository } from './purge/task-purge.repository.js';
import { TaskPurger } from './purge/task-purger.js';
import { TaskSharesController } from './shares/task-shares.controller.js';
import { TaskSharesRepository } from './shares/task-shares.repository.js';
import { TaskSharesService } from './shares/task-shares.service.js';
import { TasksController } from './tasks.controller.js';
import { TasksQuery } from './queries/tasks.query.js';
import { TasksRepository } from './tasks.repository.js';
import { TasksService } from './tasks.service.js';

/** The desk: a task is handed in here with its run and schedule, shown, changed, shared, and taken away. */
@Module({
  imports: [
    AgentsModule,
    AssetsModule,
    BulkModule,
    MessagesModule,
    RunsModule,
    SchedulesModule,
    SecretsModule,
    StreamsModule,
  ],
  controllers: [TaskBatchController, TasksController, TaskSharesController],
  providers: [
    TaskOverviewsQuery,
    TaskOverviewsService,
    TaskSummariesQuery,
    TaskSummariesService,
    BatchCreateTasksService,
    TaskMessagesService,
    CreateTaskService,
    TaskDesk,
    UpdateTaskService,
    TaskPresenter,
    TaskPurgeRepository,
    TaskPurger,
    TaskSharesRepository,
    TaskSharesService,
    TasksQuery,
    TasksRepository,
    TasksService,
  ],
  exports: [TaskOverviewsService, TaskSummariesService, TaskDesk, TaskPurger, TasksService],
})
export class TasksModule {}
