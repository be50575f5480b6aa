import { Injectable } from '@nestjs/common';
import type { Actor } from '../../../access/index.js';
import type { IdempotencyTicket, Outcome } from '../../../database/idempotency.js';
import { CreateTaskService } from './create-task.service.js';
import { UpdateTaskService } from './update-task.service.js';
import { TaskPresenter } from '../queries/task-presenter.js';
import type { NewTask, TaskPatch } from '../tasks.schema.js';
import type { TaskDetail } from '../queries/task-view.schema.js';

/** Making and changing tasks, each answered with the detail as its surface shows it. */
@Injectable()
export class TaskDesk {
  constructor(
    private readonly creation: CreateTaskService,
    private readonly editing: UpdateTaskService,
    private readonly presenter: TaskPresenter,
  ) {}

  /** See {@link CreateTaskService.create}. A replay shows what was answered first, with links signed now. */
  async create(actor: Actor, input: NewTask, ticket: IdempotencyTicket | null): Promise<Outcome<TaskDetail>> {
    const { value, replayed } = await this.creation.create(actor, input, ticket);
    return { value: this.presenter.detail(actor, value), replayed };
  }

  /** See {@link UpdateTaskService.update}. */
  async update(actor: Actor, id: string, patch: TaskPatch): Promise<TaskDetail> {
    return this.presenter.detail(actor, await this.editing.update(actor, id, patch));
  }
}
