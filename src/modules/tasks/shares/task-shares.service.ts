import { Injectable } from '@nestjs/common';
import { type Actor, type WriteScope, readScope, writeScope } from '../../../access/index.js';
import { Database, type Tx } from '../../../database/database.js';
import { CursorCodec } from '../../../infrastructure/signed-urls/cursor-codec.js';
import { forbidden, notFound } from '../../../kernel/errors.js';
import type { Page } from '../../../kernel/page.js';
import { type SharePosition, TaskSharesRepository } from './task-shares.repository.js';
import { TasksRepository } from '../tasks.repository.js';
import type { ShareListQuery, SharePut, TaskShare } from '../tasks.schema.js';

/** The teams a task is shared with. A share gives access whatever the visibility of the task, `private` included. */
@Injectable()
export class TaskSharesService {
  constructor(
    private readonly database: Database,
    private readonly repository: TaskSharesRepository,
    private readonly tasks: TasksRepository,
    private readonly sealer: CursorCodec,
  ) {}

  /** Oldest first. @throws DomainError `not-found`, `invalid-cursor` */
  async list(actor: Actor, taskId: string, query: ShareListQuery): Promise<Page<TaskShare>> {
    const scope = readScope(actor, 'task:read');
    const context = JSON.stringify(['task-shares', scope.organizationId, taskId]);
    const after = query.cursor === undefined ? null : position(this.sealer.open(context, query.cursor));
    const rows = await this.repository.list(scope, taskId, query.limit + 1, after);
    if (rows === null) {
      throw notFound('task');
    }
    const shown = rows.slice(0, query.limit);
    const last = shown.at(-1);
    return {
      data: shown.map((row) => row.item),
      next_cursor:
        rows.length > shown.length && last !== undefined ? this.sealer.seal(context, [last.at, last.id]) : null,
    };
  }

  /** @throws DomainError `not-found` (the task, or the team), `forbidden` */
  async put(actor: Actor, taskId: string, teamId: string, input: SharePut): Promise<TaskShare> {
    const scope = writeScope(actor, 'task:manage');
    return this.database.write(scope, async (tx) => {
      await this.#lock(scope, tx, taskId);
      const share = await this.repository.put(scope, tx, taskId, teamId, input.access);
      if (share === null) {
        throw notFound('team');
      }
      return share;
    });
  }

  /** @throws DomainError `not-found` (the task, or its share), `forbidden` */
  async remove(actor: Actor, taskId: string, teamId: string): Promise<void> {
    const scope = writeScope(actor, 'task:manage');
    await this.database.write(scope, async (tx) => {
      await this.#lock(scope, tx, taskId);
      if (!(await this.repository.delete(scope, tx, taskId, teamId))) {
        throw notFound('share');
      }
    });
  }

  async #lock(scope: WriteScope, tx: Tx, taskId: string): Promise<void> {
    const task = await this.tasks.lock(scope, tx, taskId);
    if (task === null) {
      throw notFound('task');
    }
    if (!task.mayManage) {
      throw forbidden();
    }
  }
}

function position([at, id]: (string | number | null)[]): SharePosition {
  return { at: String(at), id: String(id) };
}
