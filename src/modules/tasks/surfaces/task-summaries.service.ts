import { Injectable } from '@nestjs/common';
import { type Actor, type ReadScope, readScope } from '../../../access/index.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import type { ItemSequence } from '../../../http/pagination/json-array-stream.js';
import { notFound } from '../../../kernel/errors.js';
import { TaskSummariesQuery, type TaskSummary, type TaskSummaryPage, type TaskResult } from './task-summaries.query.js';
import { type TaskPageRequest, openTaskCursor, sealTaskCursor } from '../queries/task-cursors.js';
import { TasksService } from '../tasks.service.js';

/** Tasks that have been run, and what came out: as many published pages show them. */
@Injectable()
export class TaskSummariesService {
  constructor(
    private readonly query: TaskSummariesQuery,
    private readonly tasks: TasksService,
    private readonly sealer: CursorCodec,
  ) {}

  /** A page by number from 1, newest first; empty past the end, with the true total. */
  async page(actor: Actor, input: { page: number; limit: number }): Promise<TaskSummaryPage> {
    const skip = (input.page - 1) * input.limit;
    return this.query.page(readScope(actor, 'task:read'), { skip, limit: input.limit });
  }

  /** @throws DomainError `not-found`, also for a task that was never run */
  async get(actor: Actor, id: string): Promise<TaskSummary> {
    return present(await this.query.find(readScope(actor, 'task:read'), id));
  }

  /**
   * Results, newest first: of the tasks that the user made as whom the actor acts; for other keys, of all that the key may read.
   * @throws DomainError `invalid-cursor`
   */
  async results(actor: Actor, input: TaskPageRequest): Promise<ItemSequence<TaskResult>> {
    const scope = readScope(actor, 'task:read');
    const context = resultsContext(scope);
    const after = openTaskCursor(this.sealer, context, input.cursor);
    const { first, rest, next } = await this.query.results(scope, {
      createdBy: scope.actingUserId,
      after,
      limit: input.limit ?? null,
    });
    return { first, rest, nextCursor: next === null ? null : sealTaskCursor(this.sealer, context, next) };
  }

  /** @throws DomainError `not-found`, also for a task that was never run */
  async getResult(actor: Actor, id: string): Promise<TaskResult> {
    return present(await this.query.findResult(readScope(actor, 'task:read'), id));
  }

  /**
   * Deletes the task and answers what it was as it went. Of two that delete the same task, one gets it and the other `not-found`.
   * @throws DomainError `not-found`, also for a task that was never run; `forbidden`
   */
  async deleteResult(actor: Actor, id: string): Promise<TaskResult> {
    // Asked first, since what is not shown here is absent here, even where the right to delete is missing too.
    await this.getResult(actor, id);
    return present((await this.tasks.remove(actor, id, (tx, scope) => this.query.findResult(scope, id, tx))) ?? null);
  }
}

function present<Value>(found: Value | null): Value {
  if (found === null) {
    throw notFound('task');
  }
  return found;
}

function resultsContext(scope: ReadScope): string {
  return JSON.stringify(['task-results', scope.organizationId, scope.actingUserId]);
}
