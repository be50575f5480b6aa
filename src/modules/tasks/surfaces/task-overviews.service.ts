import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, readScope, writeScope } from '../../../access/index.js';
import { Idempotency, type IdempotencyTicket, type Outcome } from '../../../database/idempotency.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import type { ItemSequence } from '../../../http/pagination/json-array-stream.js';
import { notFound } from '../../../kernel/errors.js';
import { SchedulesService } from '../../schedules/index.js';
import {
  type TaskOverviewFilter,
  type RunOverview,
  TaskOverviewsQuery,
  type StoredTaskOverview,
} from './task-overviews.query.js';
import { CreateTaskService } from '../commands/create-task.service.js';
import { type TaskPageRequest, openTaskCursor, sealTaskCursor } from '../queries/task-cursors.js';
import { UpdateTaskService } from '../commands/update-task.service.js';
import type { NewTask, TaskPatch } from '../tasks.schema.js';
import { TasksService } from '../tasks.service.js';

/** A task on a board, with when it fires next. */
export interface TaskOverview extends StoredTaskOverview {
  /** Computed now; none where the task or its schedule is not enabled. */
  upcoming: string[];
}

const UPCOMING = 5;

/** Tasks with their schedule and last runs, as boards show and change them. */
@Injectable()
export class TaskOverviewsService {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly query: TaskOverviewsQuery,
    private readonly creation: CreateTaskService,
    private readonly editing: UpdateTaskService,
    private readonly tasks: TasksService,
    private readonly schedules: SchedulesService,
    private readonly sealer: CursorCodec,
  ) {}

  /** What fits the filter, newest first; nothing for an unknown id. @throws DomainError `invalid-cursor` */
  async list(actor: Actor, filter: TaskOverviewFilter, page: TaskPageRequest): Promise<ItemSequence<TaskOverview>> {
    const scope = readScope(actor, 'task:read');
    const context = listContext(scope, filter);
    const { first, rest, next } = await this.query.list(scope, filter, {
      after: openTaskCursor(this.sealer, context, page.cursor),
      limit: page.limit ?? null,
    });
    return {
      first: first.map((task) => this.#withUpcoming(task)),
      rest: rest === null ? null : this.#allWithUpcoming(rest),
      nextCursor: next === null ? null : sealTaskCursor(this.sealer, context, next),
    };
  }

  /** The run, or null where it is not there for this actor. */
  async findRun(actor: Actor, runId: string): Promise<RunOverview | null> {
    return this.query.findRun(readScope(actor, 'run:read'), runId);
  }

  /**
   * Makes a task with its schedule; starts no run unless the input says so. `present` words the reply, which is what the
   * Idempotency-Key keeps.
   * @throws DomainError as `CreateTaskService.create`
   */
  async create<Body>(
    actor: Actor,
    input: NewTask,
    ticket: IdempotencyTicket | null,
    present: (task: TaskOverview) => Body,
  ): Promise<Outcome<Body>> {
    const scope = writeScope(actor, 'task:create');
    return this.idempotency.run(scope, ticket, async (tx) => {
      const id = await this.creation.createIn(tx, scope, input, ticket?.key);
      return present(this.#present(await this.query.find(scope, id, tx)));
    });
  }

  /** @throws DomainError as `UpdateTaskService.update` */
  async update(actor: Actor, id: string, patch: TaskPatch): Promise<TaskOverview> {
    await this.editing.update(actor, id, patch);
    return this.#present(await this.query.find(readScope(actor, 'task:read'), id));
  }

  /** @throws DomainError `not-found`, `forbidden` */
  async remove(actor: Actor, id: string): Promise<void> {
    await this.tasks.remove(actor, id);
  }

  #present(found: StoredTaskOverview | null): TaskOverview {
    if (found === null) {
      throw notFound('task');
    }
    return this.#withUpcoming(found);
  }

  #withUpcoming(task: StoredTaskOverview): TaskOverview {
    const { schedule } = task;
    const fires = schedule === null ? [] : this.schedules.nextExecutions(schedule, UPCOMING);
    return { ...task, upcoming: fires };
  }

  async *#allWithUpcoming(batches: AsyncIterable<readonly StoredTaskOverview[]>): AsyncGenerator<TaskOverview[]> {
    for await (const batch of batches) {
      yield batch.map((task) => this.#withUpcoming(task));
    }
  }
}

function listContext(scope: ReadScope, filter: TaskOverviewFilter): string {
  const { id, account_id, artist_account_id, enabled } = filter;
  return JSON.stringify(['board-tasks', scope.organizationId, id, account_id, artist_account_id, enabled]);
}
