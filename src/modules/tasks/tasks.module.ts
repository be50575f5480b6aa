import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/index.js';
import { AssetsModule } from '../assets/index.js';
import { MessagesModule } from '../messages/index.js';
import { BulkModule, RunsModule } from '../runs/index.js';
import { SecretsModule } from '../secrets/index.js';
import { SchedulesModule } from '../schedules/index.js';
import { StreamsModule } from '../streams/index.js';
import { TaskOverviewsQuery } from './board-tasks.query.js';
import { TaskOverviewsService } from './board-tasks.service.js';
import { TaskSummariesQuery } from './shown-tasks.query.js';
import { TaskSummariesService } from './shown-tasks.service.js';
import { TaskBatchController } from './task-batch.controller.js';
import { BatchCreateTasksService } from './task-batch.service.js';
import { TaskMessagesService } from './task-conversation.service.js';
import { CreateTaskService } from './task-creation.service.js';
import { TaskDesk } from './task-desk.js';
import { UpdateTaskService } from './task-editing.service.js';
import { TaskPresenter } from './task-presenter.js';
import { TaskPurgeRepository } from './task-purge.repository.js';
import { TaskPurger } from './task-purger.js';
import { TaskSharesController } from './task-shares.controller.js';
import { TaskSharesRepository } from './task-shares.repository.js';
import { TaskSharesService } from './task-shares.service.js';
import { TasksController } from './tasks.controller.js';
import { TasksQuery } from './tasks.query.js';
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
